// Copies whose input and output run along different axes: by tiles, so that both are read and
// written along the axis in which they are neighbours.
//
// p.wholes: 0 rows (neighbours in x), 1 columns (neighbours in y), 2 from one column of x to the
// next, 3 from one row of y to the next. The shape of p has the other axes. Elements are only
// moved.

#include "tile/walk.h"

namespace wootz {

// Scratch: TILE x (TILE + 1) elements. The 1 spreads columns over the banks.
template <typename T, u32 TILE>
inline void transpose(Place at, device const T* x, device T* y, constant WalkParams& p) {
  scratch T* tile = scratch_at<T>(at, 0);
  u64 rows = u64(p.wholes[0]), columns = u64(p.wholes[1]);
  u64 row_tiles = (rows + TILE - 1) / TILE, column_tiles = (columns + TILE - 1) / TILE;
  u32 along = at.lane % TILE, first = at.lane / TILE, step = at.lanes / TILE;
  for (u64 unit = at.group; unit < p.total * row_tiles * column_tiles; unit += at.groups) {
    u64 outer = unit / (row_tiles * column_tiles);
    u64 rest = unit - outer * (row_tiles * column_tiles);
    // Tiles that follow each other lie along the columns, and so side by side in y.
    u64 row = rest / column_tiles * TILE, column = rest % column_tiles * TILE;
    Spot<2> spot = locate<2, 1>(outer, p);
    device const T* from = x + spot.offset[1];
    device T* to = y + spot.offset[0];
    scratch_barrier(at);
    for (u32 c = first; c < TILE; c += step) {
      if (row + along < rows && column + c < columns) {
        tile[c * (TILE + 1) + along] = from[i64(row + along) + i64(column + c) * p.wholes[2]];
      }
    }
    scratch_barrier(at);
    for (u32 r = first; r < TILE; r += step) {
      if (row + r < rows && column + along < columns) {
        to[i64(column + along) + i64(row + r) * p.wholes[3]] = tile[along * (TILE + 1) + r];
      }
    }
  }
}

}  // namespace wootz
