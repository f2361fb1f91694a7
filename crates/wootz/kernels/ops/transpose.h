// Copies whose input and output run along different axes: by tiles, so that both are read and
// written along the axis in which they are neighbours.
//
// p.wholes: 0 rows (neighbours in x), 1 columns (neighbours in y), 2 from one column of x to the
// next, 3 from one row of y to the next. The shape of p has the other axes. Elements are only
// moved.

#include "tile/walk.h"

namespace wootz {

// Lanes of a group that moves elements, and of one that moves blocks.
enum : u32 { LANES_OF_ELEMENTS = 128, LANES_OF_BLOCKS = 256 };

// The tile of x and y that a group has in turn.
struct Turned {
  u64 row;
  u64 column;
  i64 from;  // of x's first element
  i64 to;    // of y's
};
template <u32 HIGH, u32 WIDE>
inline Turned turned_tile(u64 unit, constant WalkParams& p) {
  u64 row_tiles = (u64(p.wholes[0]) + HIGH - 1) / HIGH, column_tiles = (u64(p.wholes[1]) + WIDE - 1) / WIDE;
  u64 outer = unit / (row_tiles * column_tiles), rest = unit - outer * (row_tiles * column_tiles);
  Spot<2> spot = locate<2, 1>(outer, p);
  // Tiles that follow each other lie along the columns, and so side by side in y.
  Turned tile = {rest / column_tiles * HIGH, rest % column_tiles * WIDE, spot.offset[1], spot.offset[0]};
  return tile;
}
template <u32 HIGH, u32 WIDE> inline u64 turned_tiles(constant WalkParams& p) {
  return p.total * ((u64(p.wholes[0]) + HIGH - 1) / HIGH) * ((u64(p.wholes[1]) + WIDE - 1) / WIDE);
}

// Element by element. Scratch: 32 x 33 elements, where the 1 spreads columns over the banks.
template <typename T> inline void transpose(Place at, device const T* x, device T* y, constant WalkParams& p) {
  enum : u32 { TILE = 32, HIGH = LANES_OF_ELEMENTS / TILE, EACH = TILE / HIGH };
  scratch T* tile = scratch_at<T>(at, 0);
  u64 rows = u64(p.wholes[0]), columns = u64(p.wholes[1]);
  u32 along = at.lane % TILE, first = at.lane / TILE;
  for (u64 unit = at.group; unit < turned_tiles<TILE, TILE>(p); unit += at.groups) {
    Turned turned = turned_tile<TILE, TILE>(unit, p);
    device const T* from = x + (turned.from + i64(turned.row + along));
    device T* to = y + (turned.to + i64(turned.column + along));
    T values[EACH];
    UNROLL for (u32 j = 0; j < EACH; ++j) {
      u64 c = turned.column + first + j * HIGH;
      if (turned.row + along < rows && c < columns) values[j] = from[i64(c) * p.wholes[2]];
    }
    scratch_barrier(at);
    UNROLL for (u32 j = 0; j < EACH; ++j) {
      u32 c = first + j * HIGH;
      if (turned.row + along < rows && turned.column + c < columns) tile[c * (TILE + 1) + along] = values[j];
    }
    scratch_barrier(at);
    UNROLL for (u32 j = 0; j < EACH; ++j) {
      u32 r = first + j * HIGH;
      if (turned.row + r < rows && turned.column + along < columns) {
        to[i64(turned.row + r) * p.wholes[3]] = tile[along * (TILE + 1) + r];
      }
    }
  }
}

// By blocks of VEC x VEC, which a lane turns in registers: rows and columns are whole packs. Scratch:
// the turned tile, whose packs of a row change places by its number, which spreads them over the banks.
template <typename T, u32 VEC>
inline void transpose_blocks(Place at, device const T* x, device T* y, constant WalkParams& p) {
  enum : u32 { HIGH = 16, WIDE = LANES_OF_BLOCKS / HIGH, ROWS = HIGH * VEC, COLUMNS = WIDE * VEC };
  scratch T* tile = scratch_at<T>(at, 0);
  u32 high = at.lane % HIGH, wide = at.lane / HIGH;
  u32 along = at.lane % WIDE, first = at.lane / WIDE;
  for (u64 unit = at.group; unit < turned_tiles<ROWS, COLUMNS>(p); unit += at.groups) {
    Turned turned = turned_tile<ROWS, COLUMNS>(unit, p);
    u64 row = turned.row + high * VEC, column = turned.column + wide * VEC;
    bool inside = row < u64(p.wholes[0]) && column < u64(p.wholes[1]);
    device const T* from = x + (turned.from + i64(row) + i64(column) * p.wholes[2]);
    Pack<T, VEC> block[VEC];
    UNROLL for (u32 j = 0; j < VEC; ++j) {
      if (inside) block[j] = load<VEC>(from + j * p.wholes[2]);
    }
    scratch_barrier(at);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      Pack<T, VEC> pack;
      UNROLL for (u32 j = 0; j < VEC; ++j) pack.at[j] = block[j].at[i];
      if (inside) put_packed<VEC>(tile + ((high * VEC + i) * COLUMNS + (wide ^ high) * VEC), pack);
    }
    scratch_barrier(at);
    device T* to = y + (turned.to + i64(turned.column + along * VEC));
    UNROLL for (u32 j = 0; j < ROWS * WIDE / LANES_OF_BLOCKS; ++j) {
      u32 r = first + j * (LANES_OF_BLOCKS / WIDE);
      if (turned.row + r < u64(p.wholes[0]) && turned.column + along * VEC < u64(p.wholes[1])) {
        Pack<T, VEC> pack = get_packed<VEC>(tile + (r * COLUMNS + (along ^ r / VEC) * VEC));
        store(to + i64(turned.row + r) * p.wholes[3], pack);
      }
    }
  }
}

}  // namespace wootz
