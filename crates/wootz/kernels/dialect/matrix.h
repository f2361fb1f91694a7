#pragma once
// The part of matrix tiles that is the same everywhere.
//
// A SimdTile<T, TM, TN> is the 8 TM x 8 TN accumulator of a simd, in f32, made of 8 x 8 blocks of
// which each lane has two neighbours of a row. Where they lie is the platform's (block_row and
// block_column); TM and TN are even. Its factors are Blocks, MATRIX_K of the inner size, which
// take_blocks takes from Staged tiles in scratch; multiply_add_turned takes MATRIX_K columns of both
// from there by itself.

namespace wootz {

template <typename T, u32 TM, u32 TN>
inline void clear(thread SimdTile<T, TM, TN>& tile) {
  UNROLL for (u32 i = 0; i < TM; ++i) {
    UNROLL for (u32 j = 0; j < TN; ++j) {
      set(tile, i, j, 0, 0.0f);
      set(tile, i, j, 1, 0.0f);
    }
  }
}

// A tile of a matrix in scratch, LINES x BK: lines are the left matrix's rows or the right one's
// columns. Where neighbours lie along the inner size (INNER) a line is a row of the tile, else a
// column. Packs of a row change places, so that those of 8 rows, which are taken together, lie in
// banks of their own.
template <typename T, u32 LINES, u32 BK, bool INNER> struct Staged {
  enum : u32 {
    VEC = 16 / sizeof(T),
    HEIGHT = INNER ? LINES : BK,
    WIDTH = INNER ? BK : LINES,
    PACKS = WIDTH / VEC,
    SIZE = LINES * BK,
  };
  // What the packs of a row are turned by; a row's place among 8 decides.
  static u32 turn(u32 row) { return PACKS >= 8 ? row % 8 : row % 8 / (8 / PACKS); }
  static u32 place(u32 row, u32 pack, u32 turned) { return row * WIDTH + (pack ^ turned) * VEC; }
  // Of the element `down` lines and `deep` of the inner size, both below 8, from a line and a k that are
  // multiples of 8.
  static u32 find(u32 line, u32 down, u32 k, u32 deep) {
    u32 row = INNER ? line + down : k + deep, column = INNER ? k + deep : line + down;
    return place(row, column / VEC, turn(INNER ? down : deep)) + column % VEC;
  }
};

// Sums of 16 rows by 8 columns: each lane has two neighbours of row lane / 4 and of the row 8 below.
// multiply_packs adds the products of 32 of the inner size, of which a lane has a pack of 8 in the
// order of the lanes of four: of rows lane / 4 and lane / 4 + 8 on the left, and on the right of
// column lane / 4. T has half width.
#if !defined(MULTIPLIES_PACKS)
struct PackSums {
  f32 at[2][2];
};
template <typename T>
inline void multiply_packs(Place at, thread PackSums& c, thread const Words& top,
                           thread const Words& bottom, thread const Words& right) {
  u32 lane = simd_lane(at), row = lane / 4 * 4, column = lane % 4 * 8;
  for (u32 quarter = 0; quarter < 4; ++quarter) {
    Words left[2], turned[2];
    UNROLL for (u32 i = 0; i < 4; ++i) {
      left[0].at[i] = shuffle(at, top.at[i], row + quarter);
      left[1].at[i] = shuffle(at, bottom.at[i], row + quarter);
      turned[0].at[i] = shuffle(at, right.at[i], column + quarter);
      turned[1].at[i] = shuffle(at, right.at[i], column + 4 + quarter);
    }
    UNROLL for (u32 k = 0; k < 8; ++k) {
      UNROLL for (u32 i = 0; i < 2; ++i) {
        UNROLL for (u32 j = 0; j < 2; ++j) {
          c.at[i][j] += f32(element<T>(left[i], k)) * f32(element<T>(turned[j], k));
        }
      }
    }
  }
}
#endif

}  // namespace wootz

#if defined(__CUDACC__)
#include "dialect/mma.h"
#else
#include "dialect/blocks.h"
#endif
