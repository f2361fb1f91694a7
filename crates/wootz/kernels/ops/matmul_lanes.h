// Products of f32 matrices by the lanes' own multiply-adds, where matrix units would round f32.
//
// A group computes BM x BN of a product, its WM x WN simds a part each, of which a lane has 4 x 4
// blocks. Tiles of both matrices, BK deep, come to scratch STAGES ahead, turned so that what one
// step of the inner size needs lies together; the next step's values come to registers meanwhile.

#include "tile/epilogue.h"
#include "tile/product.h"

namespace wootz {

// A lane's share of the tiles of one matrix: LINES lines (rows of the left one, columns of the right
// one), BK of each, in packs of 4. Where neighbours lie along the inner size (INNER) packs are
// turned on their way, through registers; others come by themselves.
template <u32 LINES, u32 BK, u32 LANES, bool INNER, bool PACKED> struct Feed {
  enum : u32 {
    STEP = LINES + 4,  // banks differ along the inner size
    WIDE = INNER ? BK / 4 : LINES / 4,
    DOWN = LANES / WIDE,
    HEIGHT = INNER ? LINES : BK,
    COUNT = HEIGHT / DOWN,
  };
  static_assert(COUNT * DOWN == HEIGHT, "shares are equal");
  device const f32* from;
  i64 down;    // from one of its packs to the next
  i64 across;  // from one element of a pack to the next
  i64 on;      // from one tile to the next
  u32 row;     // of its first pack: a line where INNER, else a step of the inner size
  u32 column;
  u32 lines;   // those of the tile that are there
  Words held[INNER ? COUNT : 1];
};

// From line `first` of `lines` on, and from `inner` on.
template <u32 LINES, u32 BK, u32 LANES, bool INNER, bool PACKED>
inline void start(thread Feed<LINES, BK, LANES, INNER, PACKED>& feed, Place at,
                  device const f32* from, u64 first, u64 lines, u64 inner, i64 line_stride,
                  i64 inner_stride) {
  typedef Feed<LINES, BK, LANES, INNER, PACKED> Own;
  feed.row = at.lane / Own::WIDE;
  feed.column = at.lane % Own::WIDE * 4;
  feed.down = (INNER ? line_stride : inner_stride) * Own::DOWN;
  feed.across = INNER ? inner_stride : line_stride;
  feed.on = PACKED && INNER ? i64(BK) : inner_stride * BK;
  feed.lines = u32(lines - first < LINES ? lines - first : LINES);
  u32 line = INNER ? feed.row : feed.column, k = INNER ? feed.column : feed.row;
  feed.from = from + (i64(first + line) * line_stride + i64(inner + k) * inner_stride);
}

// Asks for the next tile, of which `deep` of the inner size are there.
template <u32 LINES, u32 BK, u32 LANES, bool INNER, bool PACKED>
inline void ask_tile(thread Feed<LINES, BK, LANES, INNER, PACKED>& feed, scratch f32* tile, u32 deep) {
  typedef Feed<LINES, BK, LANES, INNER, PACKED> Own;
  u32 high = INNER ? feed.lines : deep, wide = INNER ? deep : feed.lines;
  UNROLL for (u32 j = 0; j < Own::COUNT; ++j) {
    device const f32* from = feed.from + feed.down * i64(j);
    bool there = feed.row + j * Own::DOWN < high;
    if (INNER) {
      Words none = {{0, 0, 0, 0}};
      feed.held[j] = none;
      if (PACKED) {
        if (there && feed.column < wide) feed.held[j] = load_words(from);
      } else {
        UNROLL for (u32 i = 0; i < 4; ++i) {
          if (there && feed.column + i < wide) {
            set_element(feed.held[j], i, from[feed.across * i64(i)]);
          }
        }
      }
      continue;
    }
    scratch f32* to = tile + ((feed.row + j * Own::DOWN) * Own::STEP + feed.column);
    if (PACKED) {
      bring_pack<4>(to, from, there && feed.column < wide);
    } else {
      UNROLL for (u32 i = 0; i < 4; ++i) {
        bring_one(to + i, from + feed.across * i64(i), there && feed.column + i < wide);
      }
    }
  }
  feed.from += feed.on;
}

// Puts down what is held of it.
template <u32 LINES, u32 BK, u32 LANES, bool INNER, bool PACKED>
inline void put_tile(thread Feed<LINES, BK, LANES, INNER, PACKED>& feed, scratch f32* tile) {
  typedef Feed<LINES, BK, LANES, INNER, PACKED> Own;
  if (!INNER) return;
  scratch f32* to = tile + (feed.column * Own::STEP + feed.row);
  UNROLL for (u32 j = 0; j < Own::COUNT; ++j) {
    UNROLL for (u32 i = 0; i < 4; ++i) {
      put(to + (i * Own::STEP + j * Own::DOWN), element<f32>(feed.held[j], i));
    }
  }
}

// COUNT values of a lane, in runs of 4 that are APART from each other.
template <u32 COUNT, u32 APART> inline void take_runs(thread f32* to, scratch const f32* from) {
  UNROLL for (u32 i = 0; i < COUNT; i += 4) {
    Pack<f32, 4> run = get_packed<4>(from + i / 4 * APART);
    UNROLL for (u32 e = 0; e < 4; ++e) to[i + e] = run.at[e];
  }
}

// FINISHED if anything becomes of sums. Scratch: STAGES times BK x (BM + 4) and BK x (BN + 4) elements.
template <typename Out, bool FINISHED, u32 BM, u32 BN, u32 BK, u32 WM, u32 WN, u32 STAGES,
          bool A_INNER, bool X_INNER, bool PACKED>
inline void matmul_lanes(Place at, device const f32* a, device const f32* x, device const f32* bias,
                         device const Out* added, device Out* y, constant MatmulParams& p) {
  typedef Feed<BM, BK, 32 * WM * WN, A_INNER, PACKED> Left;
  typedef Feed<BN, BK, 32 * WM * WN, X_INNER, PACKED> Right;
  // 8 x 4 lanes of a simd.
  enum : u32 { TM = BM / (8 * WM), TN = BN / (4 * WN), SLOT = BK * (Left::STEP + Right::STEP) };
  typedef Strip<4 * TN> Rows;
  static_assert(BK % 2 == 0, "two sets of values take turns");
  static_assert(u32(WM * WN * Rows::SIZE) <= u32(STAGES * SLOT), "strips fit");
  scratch f32* slots = scratch_at<f32>(at, 0);
  scratch f32* end = slots + STAGES * SLOT;
  u32 high = simd_index(at) / WN * (8 * TM) + simd_lane(at) / 4 * 4;
  u32 wide = simd_index(at) % WN * (4 * TN) + simd_lane(at) % 4 * 4;

  u32 units = u32(p.row_tiles * p.column_tiles * p.batch * p.parts);
  for (u32 t = at.group; t < units; t += at.groups) {
    Unit unit = unit_at<BM, BN>(t, p);
    Left left;
    Right right;
    start(left, at, matrix_at(a, unit.batch, p, false), unit.row, p.rows, unit.first, p.a_row,
          p.a_column);
    start(right, at, matrix_at(x, unit.batch, p, true), unit.column, p.columns, unit.first,
          p.x_column, p.x_row);
    scratch f32* to = slots;
    f32 sums[TM][TN];
    UNROLL for (u32 i = 0; i < TM; ++i) {
      UNROLL for (u32 j = 0; j < TN; ++j) sums[i][j] = 0.0f;
    }
    Progress to_come = progress_of<BK>(unit);
    scratch_barrier(at);
    UNROLL for (u32 s = 0; s + 1 < STAGES; ++s) {
      u32 deep = depth_of_next<BK>(to_come);
      ask_tile(left, to, deep);
      ask_tile(right, to + BK * Left::STEP, deep);
      asked_for(at);
      put_tile(left, to);
      put_tile(right, to + BK * Left::STEP);
      to += SLOT;
    }
    arrived_but<STAGES - 2>(at);
    scratch_barrier(at);
    f32 lefts[2][TM], rights[2][TN];
    scratch const f32* now = slots;
    scratch const f32* a_now = now + high;
    scratch const f32* x_now = now + (BK * Left::STEP + wide);
    take_runs<TM, 32>(lefts[0], a_now);
    take_runs<TN, 16>(rights[0], x_now);
    for (u32 tiles = progress_of<BK>(unit).tiles; tiles > 0; --tiles) {
      u32 deep = depth_of_next<BK>(to_come);
      UNROLL for (u32 kk = 0; kk < BK; ++kk) {
        u32 next = (kk + 1) % BK;
        if (next == 0) {
          arrived_but<STAGES - 2>(at);
          scratch_barrier(at);
          now = now + SLOT == end ? slots : now + SLOT;
          a_now = now + high;
          x_now = now + (BK * Left::STEP + wide);
        }
        take_runs<TM, 32>(lefts[(kk + 1) % 2], a_now + next * Left::STEP);
        take_runs<TN, 16>(rights[(kk + 1) % 2], x_now + next * Right::STEP);
        if (kk == 0) {
          ask_tile(left, to, deep);
          ask_tile(right, to + BK * Left::STEP, deep);
          asked_for(at);
        }
        if (kk == BK - 2) {
          put_tile(left, to);
          put_tile(right, to + BK * Left::STEP);
          to = to + SLOT == end ? slots : to + SLOT;
        }
        UNROLL for (u32 i = 0; i < TM; ++i) {
          UNROLL for (u32 j = 0; j < TN; ++j) {
            sums[i][j] = fused(lefts[kk % 2][i], rights[kk % 2][j], sums[i][j]);
          }
        }
      }
    }

    if (FINISHED) {
      arrived(at);
      scratch_barrier(at);
      u32 top = simd_index(at) / WN * (8 * TM), side = simd_index(at) % WN * (4 * TN);
      scratch f32* strip = strip_at<4 * TN>(at);
      scratch f32* own = strip + (simd_lane(at) / 4 * Rows::STEP + simd_lane(at) % 4 * 4);
      UNROLL for (u32 i = 0; i < TM; ++i) {
        UNROLL for (u32 j = 0; j < TN; ++j) put(own + (j / 4 * 16 + j % 4), sums[i][j]);
        write_strip<4 * TN>(at, p, strip, bias, added, y, unit, unit.row + top + i / 4 * 32 + i % 4,
                            4, unit.column + side);
      }
      continue;
    }
    UNROLL for (u32 j = 0; j < TN; j += 4) {
      u64 column = unit.column + wide + j / 4 * 16;
      UNROLL for (u32 i = 0; i < TM; ++i) {
        u64 row = unit.row + high + i / 4 * 32 + i % 4;
        f32 run[4] = {sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]};
        write_run<4>(p, y, run, unit, row, column);
      }
    }
  }
}

}  // namespace wootz
