// Reductions: rows (the folded elements are neighbours) and columns (they are a row apart).
//
// x is [outer, length, inner], folded over `length`; rows have an inner size of 1. A fold that is
// too long for one team is cut into `parts` of `part` elements each, whose states are joined by a
// kernel of its own.

#include "tile/fold.h"
#include "tile/team.h"

namespace wootz {

// Elements that a lane fetches before it folds them.
enum : u32 { AHEAD = 4 };

template <typename Fold, typename W, typename T, u32 VEC>
inline typename Fold::State fold_pack(typename Fold::State state, Pack<T, VEC> pack, u64 from,
                                      W first, constant ReduceParams& p) {
  W x[VEC];
  UNROLL for (u32 i = 0; i < VEC; ++i) x[i] = W(widen(pack.at[i]));
  return Together<Fold, W, VEC>::add(state, x, from, 1, first, p);
}

// Folds what this lane has of a row's elements `from` to `end`.
template <typename Fold, typename W, typename T, u32 VEC, typename Team>
inline typename Fold::State fold_row(thread const Team& team, device const T* x, u64 from, u64 end,
                                     constant ReduceParams& p) {
  typename Fold::State state = Fold::none();
  u64 step = u64(team.size) * VEC, start = from + u64(team.rank) * VEC;
  if (start >= end) return state;
  W first = W(widen(x[0]));
  for (; start + (AHEAD - 1) * step < end; start += AHEAD * step) {
    Pack<T, VEC> pack[AHEAD];
    UNROLL for (u32 j = 0; j < AHEAD; ++j) pack[j] = load<VEC>(x + (start + j * step));
    UNROLL for (u32 j = 0; j < AHEAD; ++j) {
      state = fold_pack<Fold, W>(state, pack[j], start + j * step, first, p);
    }
  }
  for (; start < end; start += step) {
    state = fold_pack<Fold, W>(state, load<VEC>(x + start), start, first, p);
  }
  return state;
}

template <typename Fold, typename W, typename Out, typename T, typename Team, u32 VEC>
inline void reduce_rows(Place at, device const T* x, device Out* y, constant ReduceParams& p) {
  Team team = team_of<Team>(at);
  for (u64 step = 0; team.first + step < p.outer; step += team.stride) {
    u64 row = team.row + step, end = row < p.outer ? p.length : 0;
    typename Fold::State state = fold_row<Fold, W, T, VEC>(team, x + row * p.length, 0, end, p);
    state = reduce<Fold>(team, state);
    if (team.rank == 0 && row < p.outer) y[row] = Out(Fold::finish(state, p));
  }
}

template <typename Fold, typename W, typename T, typename Team, u32 VEC>
inline void reduce_row_parts(Place at, device const T* x, device typename Fold::State* states,
                             constant ReduceParams& p) {
  Team team = team_of<Team>(at);
  for (u64 unit = team.row; unit < p.outer * p.parts; unit += team.stride) {
    u64 row = unit / p.parts, from = (unit - row * p.parts) * p.part;
    u64 end = from + p.part < p.length ? from + p.part : p.length;
    typename Fold::State state =
        fold_row<Fold, W, T, VEC>(team, x + row * p.length, from, end, p);
    state = reduce<Fold>(team, state);
    if (team.rank == 0) keep(states + unit, state);
  }
}

// Lanes of a group that folds columns, and rows that a lane fetches before it folds them.
enum : u32 { COLUMN_LANES = 128, COLUMN_AHEAD = 8 };

// A group takes neighbouring columns, VEC for each lane of a simd: each simd folds its share of the
// rows, and for each of the VEC some simd joins what all have found. Gives the state of column
// `i * VEC + k` of these to lane i of simd k % simds, as `found[k / simds]`.
template <u32 VEC> struct Column {
  enum : u32 { SIMDS = COLUMN_LANES / SIMD_LANES, EACH = (VEC + SIMDS - 1) / SIMDS };
};
template <typename Fold, typename W, typename T, u32 VEC>
inline void fold_columns(Place at, device const T* column, bool inside, u64 from, u64 end,
                         thread typename Fold::State* found, constant ReduceParams& p) {
  typedef typename Fold::State State;
  // As many rows ahead as make up for narrow packs.
  enum : u32 { SIMDS = Column<VEC>::SIMDS, ROWS = VEC * sizeof(T) < 16 ? 2 * COLUMN_AHEAD : COLUMN_AHEAD };
  State state[VEC];
  UNROLL for (u32 i = 0; i < VEC; ++i) state[i] = Fold::none();
  u64 k = from + simd_index(at);
  if (inside && k < end) {
    Pack<T, VEC> first = load<VEC>(column);
    for (; k + (ROWS - 1) * SIMDS < end; k += ROWS * SIMDS) {
      Pack<T, VEC> ahead[ROWS];
      UNROLL for (u32 j = 0; j < ROWS; ++j) {
        ahead[j] = load<VEC>(column + (k + j * SIMDS) * p.inner);
      }
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        W x[ROWS];
        UNROLL for (u32 j = 0; j < ROWS; ++j) x[j] = W(widen(ahead[j].at[i]));
        W one = W(widen(first.at[i]));
        state[i] = Together<Fold, W, ROWS>::add(state[i], x, k, SIMDS, one, p);
      }
    }
    for (; k < end; k += SIMDS) {
      Pack<T, VEC> pack = load<VEC>(column + k * p.inner);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        state[i] = Fold::add(state[i], W(widen(pack.at[i])), k, W(widen(first.at[i])), p);
      }
    }
  }
  scratch State* all = scratch_at<State>(at, 0);
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    if (i % SIMDS == 0) scratch_barrier(at);
    scratch State* columns = all + i % SIMDS * COLUMN_LANES;
    put(columns + at.lane, state[i]);
    if (i % SIMDS == SIMDS - 1 || i == VEC - 1) {
      scratch_barrier(at);
      scratch State* mine = all + simd_index(at) * COLUMN_LANES + simd_lane(at);
      if (simd_index(at) <= i % SIMDS) {
        State joined = get(mine);
        for (u32 j = 1; j < SIMDS; ++j) joined = Fold::join(joined, get(mine + j * SIMD_LANES));
        found[i / SIMDS] = joined;
      }
    }
  }
}

template <typename Fold, typename W, typename Out, typename T, u32 VEC>
inline void reduce_columns(Place at, device const T* x, device Out* y, constant ReduceParams& p) {
  u64 blocks = (p.inner + SIMD_LANES * VEC - 1) / (SIMD_LANES * VEC);
  for (u64 unit = at.group; unit < p.outer * blocks; unit += at.groups) {
    u64 outer = unit / blocks, i = ((unit - outer * blocks) * SIMD_LANES + simd_lane(at)) * VEC;
    bool inside = i < p.inner;
    device const T* column = x + (outer * p.length * p.inner + i);
    typename Fold::State found[Column<VEC>::EACH];
    fold_columns<Fold, W, T, VEC>(at, column, inside, 0, p.length, found, p);
    UNROLL for (u32 k = 0; k < VEC; ++k) {
      bool mine = k % Column<VEC>::SIMDS == simd_index(at);
      if (inside && mine) {
        y[outer * p.inner + i + k] = Out(Fold::finish(found[k / Column<VEC>::SIMDS], p));
      }
    }
  }
}

template <typename Fold, typename W, typename T, u32 VEC>
inline void reduce_column_parts(Place at, device const T* x, device typename Fold::State* states,
                                constant ReduceParams& p) {
  u64 blocks = (p.inner + SIMD_LANES * VEC - 1) / (SIMD_LANES * VEC);
  for (u64 unit = at.group; unit < p.outer * blocks * p.parts; unit += at.groups) {
    u64 part = unit % p.parts, block = unit / p.parts;
    u64 outer = block / blocks, i = ((block - outer * blocks) * SIMD_LANES + simd_lane(at)) * VEC;
    bool inside = i < p.inner;
    u64 from = part * p.part, end = from + p.part < p.length ? from + p.part : p.length;
    device const T* column = x + (outer * p.length * p.inner + i);
    typename Fold::State found[Column<VEC>::EACH];
    fold_columns<Fold, W, T, VEC>(at, column, inside, from, end, found, p);
    UNROLL for (u32 k = 0; k < VEC; ++k) {
      bool mine = k % Column<VEC>::SIMDS == simd_index(at);
      if (inside && mine) {
        keep(states + ((outer * p.inner + i + k) * p.parts + part), found[k / Column<VEC>::SIMDS]);
      }
    }
  }
}

// y[i] = the join of the `parts` states of output i. A simd takes an output.
template <typename Fold, typename Out>
inline void reduce_join(Place at, device const typename Fold::State* states, device Out* y,
                        constant ReduceParams& p) {
  SimdTeam team = team_of<SimdTeam>(at);
  for (u64 i = team.row; i < p.outer * p.inner; i += team.stride) {
    typename Fold::State state = Fold::none();
    for (u64 part = team.rank; part < p.parts; part += SIMD_LANES) {
      state = Fold::join(state, kept(states + (i * p.parts + part)));
    }
    state = simd_reduce<Fold>(at, state);
    if (team.rank == 0) y[i] = Out(Fold::finish(state, p));
  }
}

}  // namespace wootz
