// Matrix products by matrix units: y[b] = a[b] * x[b] and what becomes of it, any strides, no padding
// at the edges.
//
// A group computes BM x BN of one product, its WM x WN simds a part each. Tiles of a and x, BK
// deep, come to scratch STAGES ahead, where what lies outside the matrices is 0; the blocks of the
// next step come to registers while those of one are multiplied. Where tiles are few and the inner
// size is long it is cut into parts, whose sums a kernel of their own finishes.

#include "tile/epilogue.h"
#include "tile/product.h"
#include "tile/staged.h"

namespace wootz {

// FINISHED if anything becomes of sums, PACKED if packs of both matrices can be moved as one. Scratch:
// STAGES times BM x BK and BK x BN elements of T.
template <typename T, typename Out, bool FINISHED, u32 BM, u32 BN, u32 BK, u32 WM, u32 WN,
          u32 STAGES, bool A_INNER, bool X_INNER, bool PACKED>
inline void matmul(Place at, device const T* a, device const T* x, device const T* bias,
                   device const Out* added, device Out* y, constant MatmulParams& p) {
  typedef Supply<T, BM, BK, A_INNER, PACKED, 32 * WM * WN> Left;
  typedef Supply<T, BN, BK, X_INNER, PACKED, 32 * WM * WN> Right;
  enum : u32 { TM = BM / (8 * WM), TN = BN / (8 * WN), SLOT = (BM + BN) * BK };
  typedef Strip<8 * TN> Rows;
  static_assert(BK % (2 * MATRIX_K) == 0, "two sets of blocks take turns");
  static_assert(WM * WN * Rows::SIZE * sizeof(f32) <= STAGES * SLOT * sizeof(T), "strips fit");
  typename Left::Tile of_a;
  typename Right::Tile of_x;
  scratch T* slots = scratch_at<T>(at, 0);
  scratch T* end = slots + STAGES * SLOT;
  u32 high = simd_index(at) / WN * (8 * TM), wide = simd_index(at) % WN * (8 * TN);

  u32 units = u32(p.row_tiles * p.column_tiles * p.batch * p.parts);
  for (u32 t = at.group; t < units; t += at.groups) {
    Unit unit = unit_at<BM, BN>(t, p);
    Left left;
    Right right;
    start(left, at, matrix_at(a, unit.batch, p, false), unit.row, p.rows, unit.first, p.a_row,
          p.a_column);
    start(right, at, matrix_at(x, unit.batch, p, true), unit.column, p.columns, unit.first,
          p.x_column, p.x_row);
    Progress to_come = progress_of<BK>(unit);
    scratch T* to = slots;
    scratch_barrier(at);
    UNROLL for (u32 s = 0; s + 1 < STAGES; ++s) {
      u32 deep = depth_of_next<BK>(to_come);
      ask_tile(left, to, deep, 0, 1);
      ask_tile(right, to + BM * BK, deep, 0, 1);
      asked_for(at);
      to += SLOT;
    }
    arrived_but<STAGES - 2>(at);
    scratch_barrier(at);
    scratch const T* now = slots;
    SimdTile<T, TM, TN> c;  // [8 TM, 8 TN]
    clear(c);
    Blocks<T, true, TM> lefts[2];
    Blocks<T, false, TN> rights[2];
    take_blocks(at, lefts[0], of_a, now, high, 0);
    take_blocks(at, rights[0], of_x, now + BM * BK, wide, 0);
    for (u32 tiles = progress_of<BK>(unit).tiles; tiles > 0; --tiles) {
      u32 deep = depth_of_next<BK>(to_come);
      UNROLL for (u32 kk = 0; kk < BK; kk += MATRIX_K) {
        u32 next = (kk + MATRIX_K) % BK, self = kk / MATRIX_K % 2;
        if (next == 0) {
          asked_for(at);
          to = to + SLOT == end ? slots : to + SLOT;
          arrived_but<STAGES - 2>(at);
          scratch_barrier(at);
          now = now + SLOT == end ? slots : now + SLOT;
        }
        take_blocks(at, lefts[1 - self], of_a, now, high, next);
        take_blocks(at, rights[1 - self], of_x, now + BM * BK, wide, next);
        if (next != 0) {
          ask_tile(left, to, deep, kk / MATRIX_K, BK / MATRIX_K - 1);
          ask_tile(right, to + BM * BK, deep, kk / MATRIX_K, BK / MATRIX_K - 1);
        }
        multiply_blocks(at, c, lefts[self], rights[self]);
      }
    }

    if (FINISHED) {
      arrived(at);
      scratch_barrier(at);
      scratch f32* strip = strip_at<8 * TN>(at);
      scratch f32* own = strip + (block_row(at) * Rows::STEP + block_column(at));
      UNROLL for (u32 i = 0; i < TM; ++i) {
        UNROLL for (u32 j = 0; j < TN; ++j) {
          put(own + 8 * j, get(c, i, j, 0));
          put(own + (8 * j + 1), get(c, i, j, 1));
        }
        write_strip<8 * TN>(at, p, strip, bias, added, y, unit, unit.row + high + 8 * i, 1,
                            unit.column + wide);
      }
      continue;
    }
    UNROLL for (u32 j = 0; j < TN; ++j) {
      u64 column = unit.column + wide + 8 * j + block_column(at);
      UNROLL for (u32 i = 0; i < TM; ++i) {
        u64 row = unit.row + high + 8 * i + block_row(at);
        f32 run[2] = {get(c, i, j, 0), get(c, i, j, 1)};
        write_run<2>(p, y, run, unit, row, column);
      }
    }
  }
}

}  // namespace wootz
