#pragma once
// Matrix products by 8 x 8 blocks, of which each lane of a simd has two elements, from tiles in
// scratch: Apple's form, which the emulator runs too.

namespace wootz {

// COUNT blocks of 8 lines, MATRIX_K of the inner size.
template <typename T, bool LEFT, u32 COUNT> struct Blocks {
  Block at[COUNT][MATRIX_K / 8];
};

// Those from `line` and `k` on, multiples of 8 and of MATRIX_K.
template <typename T, bool LEFT, u32 COUNT, u32 LINES, u32 BK, bool INNER>
inline void take_blocks(Place at, thread Blocks<T, LEFT, COUNT>& blocks,
                        Staged<T, LINES, BK, INNER>, scratch const T* tile, u32 line, u32 k) {
  typedef Staged<T, LINES, BK, INNER> Tile;
  u32 down = LEFT ? block_row(at) : block_column(at);
  u32 deep = LEFT ? block_column(at) : block_row(at);
  UNROLL for (u32 i = 0; i < COUNT; ++i) {
    UNROLL for (u32 h = 0; h < MATRIX_K / 8; ++h) {
      u32 l = line + 8 * i, d = k + 8 * h;
      scratch const T* first = tile + Tile::find(l, down, d, deep);
      scratch const T* second = tile + Tile::find(l, down + !LEFT, d, deep + LEFT);
      blocks.at[i][h] = block_of(first, second);
    }
  }
}

template <typename T, u32 TM, u32 TN>
inline void multiply_blocks(Place at, thread SimdTile<T, TM, TN>& c,
                            thread const Blocks<T, true, TM>& a,
                            thread const Blocks<T, false, TN>& x) {
  UNROLL for (u32 h = 0; h < MATRIX_K / 8; ++h) {
    UNROLL for (u32 i = 0; i < TM; ++i) {
      UNROLL for (u32 j = 0; j < TN; ++j) {
        block_multiply_add(at, c.at[i][j], a.at[i][h], x.at[j][h]);
      }
    }
  }
}

// c += a * transposed(b), [8 TM, MATRIX_K] and [8 TN, MATRIX_K].
template <typename T, u32 TM, u32 TN>
inline void multiply_add_turned(Place at, thread SimdTile<T, TM, TN>& c, scratch const T* a,
                                u32 a_step, scratch const T* b, u32 b_step) {
  u32 row = block_row(at), column = block_column(at);
  UNROLL for (u32 k = 0; k < MATRIX_K; k += 8) {
    Block left[TM], right[TN];
    UNROLL for (u32 i = 0; i < TM; ++i) {
      scratch const T* from = a + ((8 * i + row) * a_step + k + column);
      left[i] = block_of(from, from + 1);
    }
    UNROLL for (u32 j = 0; j < TN; ++j) {
      scratch const T* from = b + ((8 * j + column) * b_step + k + row);
      right[j] = block_of(from, from + b_step);
    }
    UNROLL for (u32 i = 0; i < TM; ++i) {
      UNROLL for (u32 j = 0; j < TN; ++j) {
        block_multiply_add(at, c.at[i][j], left[i], right[j]);
      }
    }
  }
}

}  // namespace wootz
