// Copies whose input and output run along different axes: by tiles, so that both are read and
// written along the axis in which they are neighbours.
//
// p.wholes: 0 rows (neighbours in x), 1 columns (neighbours in y), 2 from one column of x to the
// next, 3 from one row of y to the next. The shape of p has the other axes. Elements are only
// moved.

#include "tile/walk.h"

namespace wootz {

enum : u32 { LANES_OF_TRANSPOSE = 256 };

// Scratch: TILE x (TILE + 1) elements. The 1 spreads columns over the banks. With VEC > 1 both sides
// are moved by packs, which rows and columns are a multiple of.
template <typename T, u32 TILE, u32 VEC>
inline void transpose(Place at, device const T* x, device T* y, constant WalkParams& p) {
  enum : u32 { ACROSS = TILE / VEC, PACKS = TILE * ACROSS / LANES_OF_TRANSPOSE };
  scratch T* tile = scratch_at<T>(at, 0);
  u64 rows = u64(p.wholes[0]), columns = u64(p.wholes[1]);
  u64 row_tiles = (rows + TILE - 1) / TILE, column_tiles = (columns + TILE - 1) / TILE;
  u32 along = at.lane % ACROSS * VEC, first = at.lane / ACROSS;
  for (u64 unit = at.group; unit < p.total * row_tiles * column_tiles; unit += at.groups) {
    u64 outer = unit / (row_tiles * column_tiles);
    u64 rest = unit - outer * (row_tiles * column_tiles);
    // Tiles that follow each other lie along the columns, and so side by side in y.
    u64 row = rest / column_tiles * TILE, column = rest % column_tiles * TILE;
    Spot<2> spot = locate<2, 1>(outer, p);
    device const T* from = x + (spot.offset[1] + i64(row + along));
    device T* to = y + (spot.offset[0] + i64(column + along));
    Pack<T, VEC> packs[PACKS];
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u64 c = column + first + j * (TILE / PACKS);
      if (row + along < rows && c < columns) packs[j] = load<VEC>(from + i64(c) * p.wholes[2]);
    }
    scratch_barrier(at);
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u32 c = first + j * (TILE / PACKS);
      if (row + along < rows && column + c < columns) {
        UNROLL for (u32 i = 0; i < VEC; ++i) tile[c * (TILE + 1) + along + i] = packs[j].at[i];
      }
    }
    scratch_barrier(at);
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u32 r = first + j * (TILE / PACKS);
      if (row + r < rows && column + along < columns) {
        Pack<T, VEC> pack;
        UNROLL for (u32 i = 0; i < VEC; ++i) pack.at[i] = tile[(along + i) * (TILE + 1) + r];
        store(to + i64(row + r) * p.wholes[3], pack);
      }
    }
  }
}

}  // namespace wootz
