// Rows times weights of their own: y[i] = x[i] * transposed(w[index[i]]).
//
// Rows that follow each other and have one index share a product, so rows in the order of their
// indices are the fast case; any order is right. An index outside is left out and noted.

#include "tile/lines.h"
#include "tile/refuse.h"

namespace wootz {

// A group computes BM x BN of y; of rows with several indices, each run of one in turn.
template <typename T, typename I, u32 BM, u32 BN, u32 WM, u32 WN, u32 AHEAD>
inline void grouped(Place at, device const T* x, device const T* w, device const I* index,
                    device T* y, device u32* refused, constant GroupedParams& p) {
  typedef Cut<T, BM, BN, WM, WN, AHEAD> Of;
  u32 high = simd_index(at) / WN * (8 * Of::TM), wide = simd_index(at) % WN * (8 * Of::TN);
  for (u64 t = at.group; t < p.row_tiles * p.column_tiles; t += at.groups) {
    // Tiles that run at the same time share their rows' weights.
    u64 row = t % p.row_tiles * BM, column = t / p.row_tiles * BN;
    u64 last = row + BM < p.rows ? row + BM : p.rows;
    while (row < last) {
      i64 which = i64(index[row]);
      u64 end = row + 1;
      while (end < last && i64(index[end]) == which) ++end;
      if (u64(which) >= p.limit) {
        if (at.lane == 0) refuse(refused, row);
        row = end;
        continue;
      }
      Lines<T> a = {x, end, p.depth, p.depth, (p.packed & 1) != 0};
      Lines<T> b = {w + u64(which) * p.columns * p.depth, p.columns, p.depth, p.depth,
                    (p.packed & 2) != 0};
      typename Of::Tile c;
      lines_product<T, BM, BN, WM, WN, AHEAD>(at, c, a, b, row, column, 0);
      UNROLL for (u32 i = 0; i < Of::TM; ++i) {
        UNROLL for (u32 j = 0; j < Of::TN; ++j) {
          UNROLL for (u32 e = 0; e < 2; ++e) {
            u64 r = row + high + 8 * i + block_row(at);
            u64 n = column + wide + 8 * j + block_column(at) + e;
            if (r < end && n < p.columns) y[r * p.columns + n] = T(get(c, i, j, e));
          }
        }
      }
      row = end;
    }
  }
}

}  // namespace wootz
