// Matrix products: y[b] = a[b] * x[b] (+ bias), any strides, no padding at the edges.
//
// A group computes BM x BN of one product, its WM x WN simds a part each. Tiles of a and x, BK
// deep, pass through scratch, where what lies outside the matrices is 0; the next ones are on
// their way in registers meanwhile. Where tiles are few and the inner size is long it is cut into
// parts, whose sums a kernel of their own adds up.

#include "dialect/dialect.h"

namespace wootz {

// A matrix that tiles are taken of. Packs of neighbours lie along its rows or its columns.
template <typename T> struct Matrix {
  device const T* from;
  u64 height;
  u64 width;
  i64 row_stride;
  i64 column_stride;
  bool along_rows;  // whether elements of one column are neighbours
  bool packed;      // whether packs can be moved as one, and lie inside wholly or not at all
};

// A lane's share of a ROWS x COLUMNS tile, in registers.
template <typename T, u32 ROWS, u32 COLUMNS, u32 LANES> struct Share {
  enum : u32 { VEC = 16 / sizeof(T), COUNT = ROWS * COLUMNS / (VEC * LANES) };
  Words at[COUNT];
};

// Where pack `i` of a tile starts in it.
struct Corner {
  u32 row;
  u32 column;
};
template <u32 ROWS, u32 COLUMNS, u32 VEC> inline Corner corner(u32 i, bool along_rows) {
  Corner along = {i % (ROWS / VEC) * VEC, i / (ROWS / VEC)};
  Corner across = {i / (COLUMNS / VEC), i % (COLUMNS / VEC) * VEC};
  return along_rows ? along : across;
}

template <typename T, u32 ROWS, u32 COLUMNS, u32 LANES>
inline void fetch_tile(thread Share<T, ROWS, COLUMNS, LANES>& share, Place at,
                       thread const Matrix<T>& m, u64 row, u64 column) {
  enum : u32 { VEC = Share<T, ROWS, COLUMNS, LANES>::VEC };
  UNROLL for (u32 j = 0; j < Share<T, ROWS, COLUMNS, LANES>::COUNT; ++j) {
    Corner c = corner<ROWS, COLUMNS, VEC>(at.lane + j * LANES, m.along_rows);
    u64 r = row + c.row, n = column + c.column;
    bool inside = r < m.height && n < m.width;
    device const T* from = m.from + (i64(r) * m.row_stride + i64(n) * m.column_stride);
    if (m.packed) {
      Words none = {{0, 0, 0, 0}};
      share.at[j] = none;
      if (inside) share.at[j] = load_words(from);
      continue;
    }
    i64 stride = m.along_rows ? m.row_stride : m.column_stride;
    u64 left = m.along_rows ? m.height - r : m.width - n;
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      set_element(share.at[j], i, inside && i < left ? from[i64(i) * stride] : T(0.0f));
    }
  }
}

template <u32 STEP, typename T, u32 ROWS, u32 COLUMNS, u32 LANES>
inline void put_tile(scratch T* to, thread const Share<T, ROWS, COLUMNS, LANES>& share, Place at,
                     bool along_rows) {
  enum : u32 { VEC = Share<T, ROWS, COLUMNS, LANES>::VEC };
  UNROLL for (u32 j = 0; j < Share<T, ROWS, COLUMNS, LANES>::COUNT; ++j) {
    Corner c = corner<ROWS, COLUMNS, VEC>(at.lane + j * LANES, along_rows);
    scratch T* place = to + (c.row * STEP + c.column);
    if (along_rows) {
      UNROLL for (u32 i = 0; i < VEC; ++i) place[i * STEP] = element<T>(share.at[j], i);
    } else {
      put_packed(reinterpret_cast<scratch u32*>(place), share.at[j]);
    }
  }
}

// The matrices of one product.
template <typename T>
inline device const T* matrix_at(device const T* from, u64 batch, constant MatmulParams& p,
                                 bool right) {
  u64 rest = batch;
  for (u32 axis = p.batch_rank; axis > 0; --axis) {
    u64 outer = rest / p.batch_shape[axis - 1];
    i64 index = i64(rest - outer * p.batch_shape[axis - 1]);
    from += index * (right ? p.x_batch[axis - 1] : p.a_batch[axis - 1]);
    rest = outer;
  }
  return from;
}

// Out is T, or f32 for the sums of parts, which have no bias yet.
// Scratch: BM x (BK + 8) and BK x (BN + 8) elements of T. The 8 spread rows over the banks.
template <typename T, typename Out, u32 BM, u32 BN, u32 BK, u32 WM, u32 WN>
inline void matmul(Place at, device const T* a, device const T* x, device const T* bias,
                   device Out* y, constant MatmulParams& p) {
  enum : u32 { LANES = 32 * WM * WN, A_STEP = BK + 8, X_STEP = BN + 8 };
  enum : u32 { TM = BM / (8 * WM), TN = BN / (8 * WN) };
  scratch T* a_tile = scratch_at<T>(at, 0);
  scratch T* x_tile = scratch_at<T>(at, BM * A_STEP * u32(sizeof(T)));
  u32 simd_row = simd_index(at) / WN * (8 * TM), simd_column = simd_index(at) % WN * (8 * TN);
  bool a_rows = (p.ways & 1) != 0, x_rows = (p.ways & 4) != 0;

  u64 tiles = p.row_tiles * p.column_tiles;
  for (u64 t = at.group; t < tiles * p.batch * p.parts; t += at.groups) {
    u64 product = t / tiles, tile = t - product * tiles;
    u64 part = product / p.batch, batch = product - part * p.batch;
    // Tiles that run at the same time share their columns of x.
    u64 row = tile % p.row_tiles * BM, column = tile / p.row_tiles * BN;
    u64 first = part * p.part, end = first + p.part < p.depth ? first + p.part : p.depth;
    Matrix<T> left = {matrix_at(a, batch, p, false), p.rows, end, p.a_row, p.a_column, a_rows,
                      (p.ways & 2) != 0};
    Matrix<T> right = {matrix_at(x, batch, p, true), end, p.columns, p.x_row, p.x_column, x_rows,
                       (p.ways & 8) != 0};
    Share<T, BM, BK, LANES> a_share;  // [BM, BK]
    Share<T, BK, BN, LANES> x_share;  // [BK, BN]
    fetch_tile(a_share, at, left, row, first);
    fetch_tile(x_share, at, right, first, column);

    SimdTile<T, TM, TN> c;  // [8 TM, 8 TN]
    clear(c);
    for (u64 k = first; k < end; k += BK) {
      scratch_barrier(at);
      put_tile<A_STEP>(a_tile, a_share, at, a_rows);
      put_tile<X_STEP>(x_tile, x_share, at, x_rows);
      scratch_barrier(at);
      if (k + BK < end) {
        fetch_tile(a_share, at, left, row, k + BK);
        fetch_tile(x_share, at, right, k + BK, column);
      }
      UNROLL for (u32 kk = 0; kk < BK; kk += MATRIX_K) {
        multiply_add(at, c, a_tile + (simd_row * A_STEP + kk), A_STEP,
                     x_tile + (kk * X_STEP + simd_column), X_STEP);
      }
    }

    UNROLL for (u32 i = 0; i < TM; ++i) {
      UNROLL for (u32 j = 0; j < TN; ++j) {
        UNROLL for (u32 e = 0; e < 2; ++e) {
          u64 r = row + simd_row + 8 * i + block_row(at);
          u64 n = column + simd_column + 8 * j + block_column(at) + e;
          if (r < p.rows && n < p.columns) {
            f32 value = get(c, i, j, e);
            if (p.has_bias) value += f32(bias[n]);
            y[(product * p.rows + r) * p.columns + n] = Out(value);
          }
        }
      }
    }
  }
}

// y = the sum of the parts (+ bias).
template <typename T>
inline void matmul_join(Place at, device const f32* sums, device const T* bias, device T* y,
                        constant MatmulParams& p) {
  u64 total = p.batch * p.rows * p.columns;
  for (u64 i = first_of_lane<u64>(at); i < total; i += lane_stride<u64>(at)) {
    f32 value = 0.0f;
    for (u64 part = 0; part < p.parts; ++part) value += sums[part * total + i];
    if (p.adds_bias) value += f32(bias[i % p.columns]);
    y[i] = T(value);
  }
}

}  // namespace wootz
