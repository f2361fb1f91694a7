// Rotary position embedding: pairs (a, b) of a row turn by position * speed.
//
//   a' = a * cos - b * sin
//   b' = b * cos + a * sin
//
// x is [rows, width]; pair i is (2i, 2i + 1) where neighbours pair, else (i, i + width / 2). Its
// speed in turns is a fraction of 2^64: p.lead << p.shift times a power of the base that three
// tables of 16 make up. Whole turns fall out of the product of integers, so that far positions are
// as exact as near ones.

#include "dialect/dialect.h"

namespace wootz {

// The upper half of the product of two fractions of 2^63, as one of them.
inline u64 times(u64 a, u64 b) {
  u64 a_high = a >> 32, a_low = a & 0xffffffffu, b_high = b >> 32, b_low = b & 0xffffffffu;
  u64 middle = a_high * b_low + (a_low * b_low >> 32);
  u64 other = a_low * b_high + (middle & 0xffffffffu);
  return (a_high * b_high + (middle >> 32) + (other >> 32)) << 1;
}

inline u64 speed_of(u64 pair, constant RopeParams& p) {
  u64 i = p.reversed ? p.pairs - 1 - pair : pair;
  u64 power = times(times(p.ones[i & 15], p.sixteens[i >> 4 & 15]), p.rest[i >> 8 & 15]);
  return times(p.lead, power) << p.shift;
}

// The sine and cosine of a fraction of a turn. An eighth of a turn is where both are exact.
inline void turn(u64 fraction, thread f32& sine, thread f32& cosine) {
  u32 eighth = u32(fraction >> 61);
  bool mirrored = (eighth & 1) != 0;
  u64 rest = fraction & 0x1fffffffffffffffu;
  if (mirrored) rest = 0x2000000000000000u - rest;
  // 2 pi / 2^64, of at most 2^61 and so at most pi / 4.
  f32 angle = f32(rest) * 3.4061215800e-19f;
  // Polynomials in its square, fitted there: relative errors of the rest 4e-9 and 1e-10.
  f32 square = angle * angle;
  f32 s = fused(fused(-1.951726645e-4f, square, 8.332177912e-3f), square, -1.666665494e-1f);
  s = fused(s * square, angle, angle);
  f32 c = fused(fused(2.443841587e-5f, square, -1.388736722e-3f), square, 4.166664686e-2f);
  c = fused(c * square, square, fused(-0.5f, square, 1.0f));
  // Into the first quarter, then around.
  if (mirrored) {
    f32 swapped = s;
    s = c;
    c = swapped;
  }
  u32 quarter = eighth >> 1;
  sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
  cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}

// VEC pairs of a row, as they lie in it: two packs, whose elements pair with their neighbours or with
// those of the other.
template <u32 VEC> struct Pairs {
  f32 at[2 * VEC];
};
template <u32 VEC, bool neighbours>
inline void turn_pairs(thread Pairs<VEC>& pairs, thread const f32* sine, thread const f32* cosine) {
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    u32 first = neighbours ? 2 * i : i, second = neighbours ? 2 * i + 1 : VEC + i;
    f32 a = pairs.at[first], b = pairs.at[second];
    pairs.at[first] = fused(a, cosine[i], -(b * sine[i]));
    pairs.at[second] = fused(b, cosine[i], a * sine[i]);
  }
}
template <typename T, u32 VEC>
inline void turn_row(thread const Pack<T, VEC>& one, thread const Pack<T, VEC>& two, device T* to,
                     u64 apart, bool neighbours, thread const f32* sine, thread const f32* cosine) {
  Pairs<VEC> pairs;
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    pairs.at[i] = f32(one.at[i]);
    pairs.at[VEC + i] = f32(two.at[i]);
  }
  if (neighbours) {
    turn_pairs<VEC, true>(pairs, sine, cosine);
  } else {
    turn_pairs<VEC, false>(pairs, sine, cosine);
  }
  Pack<T, VEC> first = narrow<T, VEC>(pairs.at), second = narrow<T, VEC>(pairs.at + VEC);
  store<VEC>(to, first);
  store<VEC>(to + apart, second);
}

// Rows of one position follow each other `p.same` at a time, and positions repeat. A lane works out
// how VEC pairs turn at a position, and turns them in several of its rows, some of them asked for at once.
enum : u32 { ROPE_ROWS = 8, ROPE_AHEAD = 2 };
template <typename T, u32 VEC>
inline void rope(Place at, device const T* x, device const i64* positions, device T* y,
                 constant RopeParams& p) {
  u64 packs = p.pairs / VEC, rows = p.rows / p.places;
  u64 total = (rows + ROPE_ROWS - 1) / ROPE_ROWS * p.places * packs;
  for (u64 n = first_of_lane<u64>(at); n < total; n += lane_stride<u64>(at)) {
    u64 unit = n / packs, pair = (n - unit * packs) * VEC;
    u64 part = unit / p.places, place = unit - part * p.places;
    i64 position = p.given ? positions[place] : p.start + i64(place);
    f32 sine[VEC], cosine[VEC];
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      turn(u64(position) * speed_of(pair + i, p), sine[i], cosine[i]);
    }
    u64 first = part * ROPE_ROWS, end = first + ROPE_ROWS < rows ? first + ROPE_ROWS : rows;
    u64 lane = p.neighbours ? 2 * pair : pair, apart = p.neighbours ? VEC : p.pairs;
    u64 repeat = first / p.same, same = first - repeat * p.same;
    for (u64 k = first; k < end; k += ROPE_AHEAD) {
      u64 start[ROPE_AHEAD];
      Pack<T, VEC> one[ROPE_AHEAD], two[ROPE_AHEAD];
      UNROLL for (u32 j = 0; j < ROPE_AHEAD; ++j) {
        start[j] = ((repeat * p.places + place) * p.same + same) * (2 * p.pairs) + lane;
        // Past the last row comes what was there before.
        u64 there = k + j < end ? start[j] : start[0];
        one[j] = load<VEC>(x + there);
        two[j] = load<VEC>(x + (there + apart));
        same += 1;
        if (same == p.same) {
          same = 0;
          repeat += 1;
        }
      }
      UNROLL for (u32 j = 0; j < ROPE_AHEAD; ++j) {
        if (k + j < end) turn_row<T, VEC>(one[j], two[j], y + start[j], apart, p.neighbours, sine, cosine);
      }
    }
  }
}

}  // namespace wootz
