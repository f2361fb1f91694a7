#pragma once
#include "dialect/dialect.h"

// Tiles of a matrix on their way to scratch memory.

namespace wootz {

// A lane's share of the tiles that follow each other along the inner size. PACKED if packs can be
// moved as one, and lie inside the matrix wholly or not at all.
template <typename T, u32 LINES, u32 BK, bool INNER, bool PACKED, u32 LANES> struct Supply {
  typedef Staged<T, LINES, BK, INNER> Tile;
  enum : u32 { DOWN = LANES / Tile::PACKS, COUNT = Tile::HEIGHT / DOWN };
  static_assert(LANES % Tile::PACKS == 0 && COUNT * DOWN == Tile::HEIGHT, "shares are equal");
  static_assert(DOWN % 8 == 0, "a lane's packs are turned alike");
  device const T* from;
  i64 down;    // from one of its rows to the next
  i64 across;  // from one element of a pack to the next
  i64 on;      // from one tile to the next
  u32 row;     // of the tile
  u32 column;
  u32 lines;   // those of the tile that are there
};

// From line `first` of `lines`, and from `inner` on.
template <typename T, u32 LINES, u32 BK, bool INNER, bool PACKED, u32 LANES>
inline void start(thread Supply<T, LINES, BK, INNER, PACKED, LANES>& supply, Place at,
                  device const T* from, u64 first, u64 lines, u64 inner, i64 line_stride,
                  i64 inner_stride) {
  typedef Supply<T, LINES, BK, INNER, PACKED, LANES> Own;
  typedef typename Own::Tile Tile;
  supply.row = at.lane / Tile::PACKS;
  supply.column = at.lane % Tile::PACKS * Tile::VEC;
  supply.down = (INNER ? line_stride : inner_stride) * Own::DOWN;
  supply.across = INNER ? inner_stride : line_stride;
  supply.on = inner_stride * BK;
  supply.lines = u32(lines - first < LINES ? lines - first : LINES);
  u32 line = INNER ? supply.row : supply.column, k = INNER ? supply.column : supply.row;
  supply.from = from + (i64(first + line) * line_stride + i64(inner + k) * inner_stride);
}

// A share of what a lane asks of the next tile, of which `deep` of the inner size are there.
template <typename T, u32 LINES, u32 BK, bool INNER, bool PACKED, u32 LANES>
inline void ask_tile(thread Supply<T, LINES, BK, INNER, PACKED, LANES>& supply, scratch T* tile,
                     u32 deep, u32 share, u32 shares) {
  typedef Supply<T, LINES, BK, INNER, PACKED, LANES> Own;
  typedef typename Own::Tile Tile;
  u32 high = INNER ? supply.lines : deep, wide = INNER ? deep : supply.lines;
  scratch T* to = tile + Tile::place(supply.row, supply.column / Tile::VEC, Tile::turn(supply.row));
  UNROLL for (u32 j = 0; j < Own::COUNT; ++j) {
    if (j * shares / Own::COUNT != share) continue;
    device const T* from = supply.from + supply.down * i64(j);
    bool there = supply.row + j * Own::DOWN < high;
    UNROLL for (u32 i = 0; i < Tile::VEC; i += PACKED ? u32(Tile::VEC) : 1u) {
      scratch T* place = to + (j * Own::DOWN * Tile::WIDTH + i);
      if (PACKED) {
        bring_pack<Tile::VEC>(place, from, there && supply.column < wide);
      } else {
        bring_one(place, from + supply.across * i64(i), there && supply.column + i < wide);
      }
    }
  }
  if (share + 1 == shares) supply.from += supply.on;
}

}  // namespace wootz
