#pragma once
// The part of matrix tiles that is the same everywhere.
//
// A SimdTile<T, TM, TN> is the 8 TM x 8 TN accumulator of a simd, in f32, made of 8 x 8 blocks of
// which each lane has two neighbours of a row. Where they lie is the platform's (block_row and
// block_column); TM is even. multiply_add takes MATRIX_K columns of a and rows of b from scratch;
// multiply_add_turned takes columns of both, and an even TN.

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
