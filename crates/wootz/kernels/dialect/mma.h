#pragma once
// Matrix products by mma.sync, from tiles in scratch.

namespace wootz {

// COUNT blocks of 8 lines by MATRIX_K of the inner size, two a register quartet.
template <typename T, bool LEFT, u32 COUNT> struct Blocks {
  u32 at[COUNT / 2][4];
};

// Those from `line` and `k` on, multiples of 8 and 16. The left operand wants the lines' halves in
// neighbouring registers, the right one the inner size's.
template <typename T, bool LEFT, u32 COUNT, u32 LINES, u32 BK, bool INNER>
inline void take_blocks(Place at, Blocks<T, LEFT, COUNT>& blocks, Staged<T, LINES, BK, INNER>,
                        const T* tile, u32 line, u32 k) {
  typedef Staged<T, LINES, BK, INNER> Tile;
  u32 lane = at.lane % 32, low = lane / 8 % 2, top = lane / 16;
  u32 down = LEFT ? low : top, deep = LEFT ? top : low, turned = Tile::turn(lane % 8);
  UNROLL for (u32 i = 0; i < COUNT / 2; ++i) {
    if (INNER) {
      u32 row = line + 16 * i + 8 * down + lane % 8;
      load_blocks(blocks.at[i], tile + Tile::place(row, k / 8 + deep, turned));
    } else {
      u32 row = k + 8 * deep + lane % 8;
      load_turned_blocks(blocks.at[i], tile + Tile::place(row, line / 8 + 2 * i + down, turned));
    }
  }
}

template <typename T, u32 TM, u32 TN>
inline void multiply_blocks(Place, SimdTile<T, TM, TN>& c, const Blocks<T, true, TM>& a,
                            const Blocks<T, false, TN>& x) {
  UNROLL for (u32 i = 0; i < TM; i += 2) {
    UNROLL for (u32 j = 0; j < TN; ++j) {
      u32 right[2] = {x.at[j / 2][j % 2 * 2], x.at[j / 2][j % 2 * 2 + 1]};
      mma(c.at[i][j], c.at[i + 1][j], a.at[i / 2], right, T());
    }
  }
}

// c += a * transposed(b), [8 TM, MATRIX_K] and [8 TN, MATRIX_K]; TM and TN are even.
template <typename T, u32 TM, u32 TN>
inline void multiply_add_turned(Place at, SimdTile<T, TM, TN>& c, const T* a, u32 a_step,
                                const T* b, u32 b_step) {
  u32 lane = at.lane % 32, row = lane % 16, half = lane / 16 * 8;
  u32 column = lane / 16 * 8 + lane % 8, part = lane / 8 % 2 * 8;
  u32 right[TN][2];
  UNROLL for (u32 j = 0; j < TN; j += 2) {
    u32 blocks[4];
    load_blocks(blocks, b + ((8 * j + column) * b_step + part));
    right[j][0] = blocks[0];
    right[j][1] = blocks[1];
    right[j + 1][0] = blocks[2];
    right[j + 1][1] = blocks[3];
  }
  UNROLL for (u32 i = 0; i < TM; i += 2) {
    u32 left[4];
    load_blocks(left, a + ((8 * i + row) * a_step + half));
    UNROLL for (u32 j = 0; j < TN; ++j) mma(c.at[i][j], c.at[i + 1][j], left, right[j], T());
  }
}
// The tensor cores would round f32 to 10 bits: true f32 goes through the FMA units.
template <u32 TM, u32 TN>
inline void multiply_add_turned(Place at, SimdTile<f32, TM, TN>& c, const f32* a, u32 a_step,
                                const f32* b, u32 b_step) {
  u32 row = block_row(at), column = block_column(at);
  UNROLL for (u32 k = 0; k < MATRIX_K; ++k) {
    f32 left[TM];
    UNROLL for (u32 i = 0; i < TM; ++i) left[i] = a[(8 * i + row) * a_step + k];
    UNROLL for (u32 j = 0; j < TN; ++j) {
      const f32* right = b + ((8 * j + column) * b_step + k);
      UNROLL for (u32 i = 0; i < TM; ++i) {
        c.at[i][j][0] = __fmaf_rn(left[i], right[0], c.at[i][j][0]);
        c.at[i][j][1] = __fmaf_rn(left[i], right[b_step], c.at[i][j][1]);
      }
    }
  }
}

}  // namespace wootz
