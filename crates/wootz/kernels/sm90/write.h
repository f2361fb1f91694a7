#pragma once
// From a warpgroup's sums, 64 rows by BN columns, to the result.

#include "sm90/queue.h"

namespace wootz {

// What a lane adds to its sums of a row of y. All are loaded, columns outside as the last one, so that
// no load waits for another.
template <u32 BN, typename T>
inline void add_bias(Place at, f32 (&c)[BN / 2], Part part, device const T* bias,
                     constant Sm90MatmulParams& p) {
  UNROLL for (u32 j = 0; j < BN / 8; ++j) {
    UNROLL for (u32 e = 0; e < 2; ++e) {
      u32 column = part.column + j * 8 + at.lane % 4 * 2 + e;
      f32 value = f32(bias[column < p.columns ? column : p.columns - 1]);
      c[j * 4 + e] += value;
      c[j * 4 + e + 2] += value;
    }
  }
}

// Writes what a warpgroup has of y, 64 rows by BN columns, from the registers: where rows of y do not
// start at multiples of 16 bytes. Columns before FIRST are written already.
template <typename T, u32 BN, u32 FIRST = 0>
inline void write_each(Place at, const f32 (&c)[BN / 2], Part part, device T* y,
                       constant Sm90MatmulParams& p) {
  UNROLL for (u32 e = FIRST / 2; e < BN / 2; e += 2) {
    u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
    u32 column = part.column + e / 4 * 8 + at.lane % 4 * 2;
    if (row >= part.end || column >= p.columns) continue;
    device T* to = y + (u64(part.batch) * p.rows + row) * p.columns + column;
    if (p.columns % 2 == 0) {
      store(to, narrow<T, 2>(c + e));
      continue;
    }
    to[0] = T(c[e]);
    if (column + 1 < p.columns) to[1] = T(c[e + 1]);
  }
}

// The same where the result lies turned, and its bias with it.
template <typename T, u32 BN>
inline void write_turned(Place at, const f32 (&c)[BN / 2], Part part, device const T* bias,
                         device T* y, constant Sm90MatmulParams& p) {
  UNROLL for (u32 e = 0; e < BN / 2; ++e) {
    u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
    u32 column = part.column + e / 4 * 8 + at.lane % 4 * 2 + e % 2;
    if (row >= part.end || column >= p.columns) continue;
    f32 value = p.has_bias ? c[e] + f32(bias[row]) : c[e];
    y[(u64(part.batch) * p.columns + column) * p.rows + row] = T(value);
  }
}

template <typename T>
inline u32 pair(f32 first, f32 second) {
  f32 both[2] = {first, second};
  return bits_as<u32>(narrow<T, 2>(both));
}

// A box of results: 16 rows of so many columns, which fill 128 bytes.
template <typename T> struct BoxColumns { enum : u32 { value = ROW_BYTES / sizeof(T) }; };

// A simd's part of a box to scratch memory, of the sums of its columns. A row's packs of 16 bytes lie
// in an order that depends on the row, so that neither rows nor columns meet in one bank.
template <typename T, u32 bytes> struct FillBox;
template <typename T> struct FillBox<T, 2> {
  static void fill(u32 lane, u32 out, const f32* sums) {
    u32 row = lane % 16;
    UNROLL for (u32 j = 0; j < BoxColumns<T>::value / 16; ++j) {
      const f32* from = sums + j * 8;
      u32 chunk = (j * 2 + lane / 16) ^ (row % 8);
      store_blocks(out + row * ROW_BYTES + chunk * 16, pair<T>(from[0], from[1]),
                   pair<T>(from[2], from[3]), pair<T>(from[4], from[5]), pair<T>(from[6], from[7]));
    }
  }
};
template <typename T> struct FillBox<T, 4> {
  static void fill(u32 lane, u32 out, const f32* sums) {
    u32 row = lane / 4;
    UNROLL for (u32 j = 0; j < BoxColumns<T>::value / 8; ++j) {
      u32 chunk = (j * 2 + lane % 4 / 2) ^ row;
      u32 to = out + row * ROW_BYTES + chunk * 16 + lane % 2 * 8;
      store_two(to, sums[j * 4], sums[j * 4 + 1]);
      store_two(to + 8 * ROW_BYTES, sums[j * 4 + 2], sums[j * 4 + 3]);
    }
  }
};

// The same by packs of 16 bytes, a box at a time by way of scratch memory at `out`, which has room
// for two. What fills no box goes from the registers.
template <typename T, u32 BN>
inline void write_packs(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device T* y,
                        constant Sm90MatmulParams& p) {
  enum : u32 { COLUMNS = BoxColumns<T>::value, PACK = 16 / sizeof(T) };
  u32 lane = at.lane % 32, chunk = lane % 8;
  u32 row = part.row + at.lane % 128 / 32 * 16 + lane / 8, column = part.column + chunk * PACK;
  device T* to = y + (u64(part.batch) * p.rows + row) * p.columns + column;
  UNROLL for (u32 box = 0; (box + 1) * COLUMNS <= BN; ++box) {
    u32 half = out + box % 2 * (16 * ROW_BYTES);
    FillBox<T, sizeof(T)>::fill(lane, half, c + box * (COLUMNS / 2));
    simd_barrier(at);
    UNROLL for (u32 i = 0; i < 16; i += 4) {
      u32 from = half + (lane / 8 + i) * ROW_BYTES + (chunk ^ (lane / 8 + i) % 8) * 16;
      Pack<u32, 4> words = load_pack(from);
      bool inside = row + i < part.end && column + box * COLUMNS < p.columns;
      if (inside) store(reinterpret_cast<device u32*>(to + u64(i) * p.columns + box * COLUMNS), words);
    }
  }
  if (BN % COLUMNS != 0) write_each<T, BN, BN / COLUMNS * COLUMNS>(at, c, part, y, p);
  // Nobody fills a box anew before it is read.
  simd_barrier(at);
}

}  // namespace wootz
