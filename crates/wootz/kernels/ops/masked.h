// Matrix products without the blocks that masks hide: y = a * transposed(b), where a block of a or
// of b that is hidden counts as zeros, and one of y is zero. Nothing of them is read.
//
// A group computes a block of y: the products over runs of blocks that count, one run after another.

#include "tile/lines.h"

namespace wootz {

// Whether mask `which` lets the block at a row and a column through; a mask that is not there does.
inline bool passes(device const u8* mask, u32 which, u64 batch, u64 row, u64 column,
                   constant MaskedParams& p) {
  if ((p.has >> which & 1) == 0) return true;
  u32 first = 3 * which;
  return mask[i64(batch) * p.masks[first] + i64(row) * p.masks[first + 1] +
              i64(column) * p.masks[first + 2]] != 0;
}

// b is transposed, and its mask is not.
template <typename T, u32 BLOCK, u32 WM, u32 WN, u32 AHEAD>
inline void masked(Place at, device const T* a, device const T* b, device const u8* left,
                   device const u8* right, device const u8* out, device T* y,
                   constant MaskedParams& p) {
  typedef Cut<T, BLOCK, BLOCK, WM, WN, AHEAD> Of;
  u32 high = simd_index(at) / WN * (8 * Of::TM), wide = simd_index(at) % WN * (8 * Of::TN);
  u64 rows = (p.rows + BLOCK - 1) / BLOCK, columns = (p.columns + BLOCK - 1) / BLOCK;
  u64 depths = (p.depth + BLOCK - 1) / BLOCK;
  for (u64 t = at.group; t < rows * columns * p.batch; t += at.groups) {
    // Tiles that run at the same time share their columns of b.
    u64 batch = t / (rows * columns), tile = t - batch * (rows * columns);
    u64 i = tile % rows, j = tile / rows;
    Lines<T> from = {a + batch * p.a_batch, p.rows, p.depth, p.a_row, (p.packed & 1) != 0};
    Lines<T> with = {b + batch * p.b_batch, p.columns, p.depth, p.b_row, (p.packed & 2) != 0};
    typename Of::Tile c;
    clear(c);
    u64 k = passes(out, 2, batch, i, j, p) ? 0 : depths;
    while (k < depths) {
      u64 first = k;
      while (k < depths && passes(left, 0, batch, i, k, p) && passes(right, 1, batch, k, j, p)) ++k;
      if (k == first) {
        ++k;
        continue;
      }
      from.end = k * BLOCK < p.depth ? k * BLOCK : p.depth;
      with.end = from.end;
      add_lines_product<T, BLOCK, BLOCK, WM, WN, AHEAD>(at, c, from, with, i * BLOCK, j * BLOCK,
                                                        first * BLOCK);
    }
    UNROLL for (u32 r = 0; r < Of::TM; ++r) {
      UNROLL for (u32 s = 0; s < Of::TN; ++s) {
        UNROLL for (u32 e = 0; e < 2; ++e) {
          u64 row = i * BLOCK + high + 8 * r + block_row(at);
          u64 column = j * BLOCK + wide + 8 * s + block_column(at) + e;
          if (row < p.rows && column < p.columns) {
            y[(batch * p.rows + row) * p.columns + column] = T(get(c, r, s, e));
          }
        }
      }
    }
  }
}

}  // namespace wootz
