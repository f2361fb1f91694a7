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
  f32 s = sin_precise(angle), c = cos_precise(angle);
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

template <typename T>
inline void rope(Place at, device const T* x, device const i64* positions, device T* y,
                 constant RopeParams& p) {
  u64 total = p.rows * p.pairs;
  for (u64 n = first_of_lane<u64>(at); n < total; n += lane_stride<u64>(at)) {
    u64 row = n / p.pairs, pair = n - row * p.pairs;
    // Rows of one position follow each other `p.same` at a time, and positions repeat.
    u64 place = row / p.same % p.places;
    i64 position = p.given ? positions[place] : p.start + i64(place);
    f32 sine, cosine;
    turn(u64(position) * speed_of(pair, p), sine, cosine);
    u64 first = row * (2 * p.pairs) + (p.neighbours ? 2 * pair : pair);
    u64 second = first + (p.neighbours ? 1 : p.pairs);
    f32 a = f32(x[first]), b = f32(x[second]);
    y[first] = T(fused(a, cosine, -(b * sine)));
    y[second] = T(fused(b, cosine, a * sine));
  }
}

}  // namespace wootz
