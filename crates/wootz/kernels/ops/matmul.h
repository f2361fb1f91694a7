// Matrix products: y[b] = a[b] * x[b] (+ bias), any strides, no padding at the edges.
//
// A group computes BM x BN of one product, its WM x WN simds a part each. Tiles of a and x, BK
// deep, pass through scratch, where what lies outside the matrices is 0.

#include "dialect/dialect.h"

namespace wootz {

// Copies rows x columns elements from (row, column) on of a height x width matrix to scratch.
template <u32 ROWS, u32 COLUMNS, u32 STEP, typename T>
inline void load_tile(Place at, scratch T* to, device const T* from, u64 row, u64 column,
                      u64 height, u64 width, i64 row_stride, i64 column_stride) {
  // Lanes run along the axis whose elements are neighbours.
  bool along_rows = column_stride != 1 && row_stride == 1;
  for (u32 i = at.lane; i < ROWS * COLUMNS; i += at.lanes) {
    u32 r = along_rows ? i % ROWS : i / COLUMNS;
    u32 c = along_rows ? i / ROWS : i % COLUMNS;
    bool inside = row + r < height && column + c < width;
    T value = T(0.0f);
    if (inside) value = from[i64(row + r) * row_stride + i64(column + c) * column_stride];
    to[r * STEP + c] = value;
  }
}

// Scratch: BM x (BK + 8) and BK x (BN + 8) elements of T. The 8 spread rows over the banks.
template <typename T, u32 BM, u32 BN, u32 WM, u32 WN>
inline void matmul(Place at, device const T* a, device const T* x, device const T* bias,
                   device T* y, constant MatmulParams& p) {
  enum : u32 { BK = MATRIX_K, A_STEP = BK + 8, X_STEP = BN + 8 };
  enum : u32 { TM = BM / (8 * WM), TN = BN / (8 * WN) };
  scratch T* a_tile = scratch_at<T>(at, 0);
  scratch T* x_tile = scratch_at<T>(at, BM * A_STEP * u32(sizeof(T)));
  u32 simd_row = simd_index(at) / WN * (8 * TM), simd_column = simd_index(at) % WN * (8 * TN);

  u64 tiles = p.row_tiles * p.column_tiles;
  for (u64 t = at.group; t < tiles * p.batch; t += at.groups) {
    u64 batch = t / tiles, tile = t - batch * tiles;
    u64 row = tile / p.column_tiles * BM, column = tile % p.column_tiles * BN;
    device const T* a_from = a;
    device const T* x_from = x;
    u64 rest = batch;
    for (u32 axis = p.batch_rank; axis > 0; --axis) {
      u64 outer = rest / p.batch_shape[axis - 1];
      i64 index = i64(rest - outer * p.batch_shape[axis - 1]);
      a_from += index * p.a_batch[axis - 1];
      x_from += index * p.x_batch[axis - 1];
      rest = outer;
    }

    SimdTile<T, TM, TN> c;  // [8 TM, 8 TN]
    clear(c);
    for (u64 k = 0; k < p.depth; k += BK) {
      scratch_barrier(at);
      load_tile<BM, BK, A_STEP>(at, a_tile, a_from, row, k, p.rows, p.depth, p.a_row, p.a_column);
      load_tile<BK, BN, X_STEP>(at, x_tile, x_from, k, column, p.depth, p.columns, p.x_row, p.x_column);
      scratch_barrier(at);
      multiply_add(at, c, a_tile + simd_row * A_STEP, A_STEP, x_tile + simd_column, X_STEP);
    }

    UNROLL for (u32 i = 0; i < TM; ++i) {
      UNROLL for (u32 j = 0; j < TN; ++j) {
        UNROLL for (u32 e = 0; e < 2; ++e) {
          u64 r = row + simd_row + 8 * i + block_row(at);
          u64 n = column + simd_column + 8 * j + block_column(at) + e;
          if (r < p.rows && n < p.columns) {
            f32 value = get(c, i, j, e);
            if (p.has_bias) value += f32(bias[n]);
            y[(batch * p.rows + r) * p.columns + n] = T(value);
          }
        }
      }
    }
  }
}

}  // namespace wootz
