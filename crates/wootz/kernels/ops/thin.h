// Matrix products with few rows: y = a * x and what becomes of it, where the inner size's elements are
// neighbours in a and in x, as they are in weights. Such a product takes as long as reading x does.
//
// A group computes 8 BLOCKS columns. Its simds share out the inner size, 64 elements in turn, each
// lane with packs straight from memory, and add up their sums in scratch in their order.

#include "tile/epilogue.h"

namespace wootz {

// A pack of row `row`, or zeros where there is none.
template <typename T>
inline Words pack_of(device const T* from, bool there) {
  if (there) return load_words(from);
  Words none = {{0, 0, 0, 0}};
  return none;
}

// Up to 16 HIGH rows. Scratch: 128 BLOCKS HIGH f32 for each simd.
template <typename T, u32 BLOCKS, u32 HIGH>
inline void matmul_thin(Place at, device const T* a, device const T* x, device const T* bias,
                        device const T* added, device T* y, constant ThinParams& p) {
  enum : u32 { VEC = 8, STEP = 64, SIDES = 2, COLUMNS = 8 * BLOCKS, SUMS = 128 * BLOCKS * HIGH };
  scratch f32* sums = scratch_at<f32>(at, 0);
  u32 row = simd_lane(at) / 4;
  u64 pack = simd_lane(at) % 4 * VEC;
  for (u64 tile = at.group; tile * COLUMNS < p.columns; tile += at.groups) {
    device const T* right[BLOCKS];
    UNROLL for (u32 j = 0; j < BLOCKS; ++j) {
      u64 column = tile * COLUMNS + j * 8 + row;
      // What has no column is computed and not written.
      right[j] = x + i64(column < p.columns ? column : p.columns - 1) * p.x_column;
    }
    device const T* top = a + i64(row) * p.a_row;

    PackSums c[HIGH][BLOCKS];
    UNROLL for (u32 i = 0; i < HIGH; ++i) {
      UNROLL for (u32 j = 0; j < BLOCKS; ++j) {
        UNROLL for (u32 e = 0; e < 4; ++e) c[i][j].at[e / 2][e % 2] = 0.0f;
      }
    }
    for (u64 k = simd_index(at) * STEP + pack; k < p.depth + pack; k += simds(at) * STEP) {
      Words turned[SIDES][BLOCKS], left[SIDES][2 * HIGH];
      UNROLL for (u32 side = 0; side < SIDES; ++side) {
        u64 from = k + side * (STEP / SIDES);
        bool inside = from < p.depth;
        UNROLL for (u32 j = 0; j < BLOCKS; ++j) {
          turned[side][j] = pack_of(right[j] + from, inside);
        }
        UNROLL for (u32 i = 0; i < 2 * HIGH; ++i) {
          left[side][i] = pack_of(top + i64(8 * i) * p.a_row + from, inside && row + 8 * i < p.rows);
        }
      }
      UNROLL for (u32 side = 0; side < SIDES; ++side) {
        UNROLL for (u32 i = 0; i < HIGH; ++i) {
          UNROLL for (u32 j = 0; j < BLOCKS; ++j) {
            multiply_packs<T>(at, c[i][j], left[side][2 * i], left[side][2 * i + 1], turned[side][j]);
          }
        }
      }
    }

    UNROLL for (u32 i = 0; i < HIGH; ++i) {
      UNROLL for (u32 j = 0; j < BLOCKS; ++j) {
        UNROLL for (u32 e = 0; e < 4; ++e) {
          u32 line = 16 * i + row + e / 2 * 8, column = j * 8 + simd_lane(at) % 4 * 2 + e % 2;
          sums[simd_index(at) * SUMS + line * COLUMNS + column] = c[i][j].at[e / 2][e % 2];
        }
      }
    }
    scratch_barrier(at);
    for (u32 i = at.lane; i < p.rows * COLUMNS; i += at.lanes) {
      u64 column = tile * COLUMNS + i % COLUMNS;
      if (column >= p.columns) continue;
      u64 line = i / COLUMNS;
      f32 value = p.plain && p.epilogue.has_bias ? f32(bias[column]) : 0.0f;
      for (u32 simd = 0; simd < simds(at); ++simd) value += sums[simd * SUMS + i];
      if (!p.plain) value = finished(p.epilogue, value, bias, added, 0, line, column);
      y[line * p.columns + column] = T(value);
    }
    scratch_barrier(at);
  }
}

}  // namespace wootz
