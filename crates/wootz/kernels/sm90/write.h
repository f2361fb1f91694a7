#pragma once
// From a warpgroup's sums, 64 rows by BN columns, to the result.

#include "sm90/queue.h"

namespace wootz {

// What a lane adds to its sums of a row of y.
template <u32 BN, typename T>
inline void add_bias(Place at, f32 (&c)[BN / 2], Part part, device const T* bias,
                     constant Sm90MatmulParams& p) {
  UNROLL for (u32 j = 0; j < BN / 8; ++j) {
    UNROLL for (u32 e = 0; e < 2; ++e) {
      u32 column = part.column + j * 8 + at.lane % 4 * 2 + e;
      f32 value = column < p.columns ? f32(bias[column]) : 0.0f;
      c[j * 4 + e] += value;
      c[j * 4 + e + 2] += value;
    }
  }
}

// Writes what a warpgroup has of y, 64 rows by BN columns, without the copy engine: rows of y whose
// bytes are no multiple of 16 are out of its reach.
template <typename T, u32 BN>
inline void write_each(Place at, const f32 (&c)[BN / 2], Part part, device T* y,
                       constant Sm90MatmulParams& p) {
  UNROLL for (u32 e = 0; e < BN / 2; e += 2) {
    u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
    u32 column = part.column + e / 4 * 8 + at.lane % 4 * 2;
    if (row >= p.rows || column >= p.columns) continue;
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
    if (row >= p.rows || column >= p.columns) continue;
    f32 value = p.has_bias ? c[e] + f32(bias[row]) : c[e];
    y[(u64(part.batch) * p.columns + column) * p.rows + row] = T(value);
  }
}

template <typename T>
inline u32 pair(f32 first, f32 second) {
  f32 both[2] = {first, second};
  return bits_as<u32>(narrow<T, 2>(both));
}

// The same by the copy engine: each simd sends its 16 rows, 64 columns at a time.
template <typename T, u32 BN>
inline void write_boxes(Place at, const f32 (&c)[BN / 2], Part part, const TensorMap& y, u32 out) {
  u32 lane = at.lane % 32, row = lane % 16;
  u32 mine = out + row * ROW_BYTES;
  UNROLL for (u32 box = 0; (box + 1) * BOX <= BN; ++box) {
    u32 half = box % 2 * (16 * ROW_BYTES);
    if (lane == 0) stores_read<1>();
    simd_barrier(at);
    UNROLL for (u32 j = 0; j < BOX / 16; ++j) {
      const f32* from = c + (box * 32 + j * 8);
      u32 chunk = (j * 2 + lane / 16) ^ (row % 8);
      store_blocks(mine + half + chunk * 16, pair<T>(from[0], from[1]), pair<T>(from[2], from[3]),
                   pair<T>(from[4], from[5]), pair<T>(from[6], from[7]));
    }
    boxes_written();
    simd_barrier(at);
    BoxAt to = {part.column + box * BOX, part.row + at.lane % 128 / 32 * 16, part.batch};
    if (lane == 0) store_box(y, to, out + half);
  }
}

}  // namespace wootz
