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

}  // namespace wootz
