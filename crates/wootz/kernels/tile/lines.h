#pragma once
#include "dialect/dialect.h"

// Products of matrices whose rows lie together: c = a * transposed(b), a tile of it in a group.
//
// Tiles of a and b pass through scratch, BK deep, in rows that 16 bytes more keep off each other's
// banks; what lies outside the matrices is 0. The next AHEAD ones are on their way in registers
// meanwhile.

namespace wootz {

// Some rows of a matrix, up to column `end`.
template <typename T> struct Lines {
  device const T* from;
  u64 count;
  u64 end;
  u64 step;     // from one row to the next
  bool packed;  // whether packs of 16 bytes can be moved as one
};

// The lanes of a group that share a product: WM x WN simds, a part of BM x BN each.
template <typename T, u32 BM, u32 BN, u32 WM, u32 WN, u32 AHEAD> struct Cut {
  enum : u32 {
    LANES = 32 * WM * WN,
    VEC = 16 / sizeof(T),
    BK = 128 / sizeof(T),
    STEP = BK + VEC,
    TM = BM / (8 * WM),
    TN = BN / (8 * WN),
  };
  typedef SimdTile<T, TM, TN> Tile;
};

// A lane's share of a tile of ROWS lines, in registers. There are no fewer packs than lanes.
template <typename T, u32 ROWS, u32 LANES> struct LineShare {
  enum : u32 { VEC = 16 / sizeof(T), WIDE = 8, COUNT = ROWS * WIDE / LANES };
  static_assert(COUNT * LANES == ROWS * WIDE, "shares are equal");
  Words at[COUNT];
};

template <typename T, u32 ROWS, u32 LANES>
inline void fetch_lines(thread LineShare<T, ROWS, LANES>& share, Place at,
                        thread const Lines<T>& lines, u64 first, u64 column) {
  typedef LineShare<T, ROWS, LANES> Own;
  UNROLL for (u32 j = 0; j < Own::COUNT; ++j) {
    u32 i = at.lane + j * LANES;
    u64 row = first + i / Own::WIDE, k = column + i % Own::WIDE * Own::VEC;
    device const T* from = lines.from + (row * lines.step + k);
    if (row < lines.count && lines.packed && k + Own::VEC <= lines.end) {
      share.at[j] = load_words(from);
      continue;
    }
    u64 left = row < lines.count && k < lines.end ? lines.end - k : 0;
    UNROLL for (u32 e = 0; e < Own::VEC; ++e) {
      set_element(share.at[j], e, e < left ? from[e] : T(0.0f));
    }
  }
}

template <u32 STEP, typename T, u32 ROWS, u32 LANES>
inline void put_lines(scratch T* to, thread const LineShare<T, ROWS, LANES>& share, Place at) {
  typedef LineShare<T, ROWS, LANES> Own;
  UNROLL for (u32 j = 0; j < Own::COUNT; ++j) {
    u32 i = at.lane + j * LANES;
    scratch T* place = to + (i / Own::WIDE * STEP + i % Own::WIDE * Own::VEC);
    put_packed(reinterpret_cast<scratch u32*>(place), share.at[j]);
  }
}

// Adds to this simd's part of a tile, [8 TM, 8 TN], products of the rows of a from `row` and those of
// b from `column` on, over columns from `first` on. Scratch: BM + BN rows of STEP elements.
template <typename T, u32 BM, u32 BN, u32 WM, u32 WN, u32 AHEAD>
inline void add_lines_product(Place at, thread typename Cut<T, BM, BN, WM, WN, AHEAD>::Tile& c,
                              thread const Lines<T>& a, thread const Lines<T>& b, u64 row,
                              u64 column, u64 first) {
  typedef Cut<T, BM, BN, WM, WN, AHEAD> Of;
  scratch T* a_tile = scratch_at<T>(at, 0);
  scratch T* b_tile = scratch_at<T>(at, BM * Of::STEP * u32(sizeof(T)));
  u32 high = simd_index(at) / WN * (8 * Of::TM), wide = simd_index(at) % WN * (8 * Of::TN);
  LineShare<T, BM, Of::LANES> a_share[AHEAD];
  LineShare<T, BN, Of::LANES> b_share[AHEAD];
  UNROLL for (u32 s = 0; s < AHEAD; ++s) {
    fetch_lines(a_share[s], at, a, row, first + s * Of::BK);
    fetch_lines(b_share[s], at, b, column, first + s * Of::BK);
  }
  for (u64 k = first; k < a.end; k += AHEAD * Of::BK) {
    UNROLL for (u32 s = 0; s < AHEAD; ++s) {
      u64 now = k + s * Of::BK, then = now + AHEAD * Of::BK;
      if (now >= a.end) break;
      scratch_barrier(at);
      put_lines<Of::STEP>(a_tile, a_share[s], at);
      put_lines<Of::STEP>(b_tile, b_share[s], at);
      scratch_barrier(at);
      if (then < a.end) {
        fetch_lines(a_share[s], at, a, row, then);
        fetch_lines(b_share[s], at, b, column, then);
      }
      UNROLL for (u32 kk = 0; kk < Of::BK; kk += MATRIX_K) {
        multiply_add_turned(at, c, a_tile + (high * Of::STEP + kk), Of::STEP,
                            b_tile + (wide * Of::STEP + kk), Of::STEP);
      }
    }
  }
}

// The same, from nothing.
template <typename T, u32 BM, u32 BN, u32 WM, u32 WN, u32 AHEAD>
inline void lines_product(Place at, thread typename Cut<T, BM, BN, WM, WN, AHEAD>::Tile& c,
                          thread const Lines<T>& a, thread const Lines<T>& b, u64 row, u64 column,
                          u64 first) {
  clear(c);
  add_lines_product<T, BM, BN, WM, WN, AHEAD>(at, c, a, b, row, column, first);
}

}  // namespace wootz
