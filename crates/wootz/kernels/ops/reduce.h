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
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        state = Fold::add(state, W(widen(pack[j].at[i])), start + j * step + i, first, p);
      }
    }
  }
  for (; start < end; start += step) {
    Pack<T, VEC> pack = load<VEC>(x + start);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      state = Fold::add(state, W(widen(pack.at[i])), start + i, first, p);
    }
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

// A group takes 32 neighbouring columns: each simd folds its share of the rows, and the first one
// joins what all have found. Gives the state to the lanes of the first simd.
template <typename Fold, typename W, typename T>
inline typename Fold::State fold_columns(Place at, device const T* column, bool inside, u64 from,
                                         u64 end, constant ReduceParams& p) {
  typename Fold::State state = Fold::none();
  u64 step = simds(at), k = from + simd_index(at);
  if (inside && k < end) {
    W first = W(widen(column[0]));
    for (; k + (AHEAD - 1) * step < end; k += AHEAD * step) {
      T ahead[AHEAD];
      UNROLL for (u32 j = 0; j < AHEAD; ++j) ahead[j] = column[(k + j * step) * p.inner];
      UNROLL for (u32 j = 0; j < AHEAD; ++j) {
        state = Fold::add(state, W(widen(ahead[j])), k + j * step, first, p);
      }
    }
    for (; k < end; k += step) {
      state = Fold::add(state, W(widen(column[k * p.inner])), k, first, p);
    }
  }
  scratch typename Fold::State* all = scratch_at<typename Fold::State>(at, 0);
  scratch_barrier(at);
  put(all + at.lane, state);
  scratch_barrier(at);
  if (simd_index(at) == 0) {
    for (u32 i = 1; i < simds(at); ++i) {
      state = Fold::join(state, get(all + (i * SIMD_LANES + at.lane)));
    }
  }
  return state;
}

template <typename Fold, typename W, typename Out, typename T>
inline void reduce_columns(Place at, device const T* x, device Out* y, constant ReduceParams& p) {
  u64 blocks = (p.inner + SIMD_LANES - 1) / SIMD_LANES;
  for (u64 unit = at.group; unit < p.outer * blocks; unit += at.groups) {
    u64 outer = unit / blocks, i = (unit - outer * blocks) * SIMD_LANES + simd_lane(at);
    bool inside = i < p.inner;
    device const T* column = x + (outer * p.length * p.inner + i);
    typename Fold::State state = fold_columns<Fold, W>(at, column, inside, 0, p.length, p);
    if (inside && simd_index(at) == 0) y[outer * p.inner + i] = Out(Fold::finish(state, p));
  }
}

template <typename Fold, typename W, typename T>
inline void reduce_column_parts(Place at, device const T* x, device typename Fold::State* states,
                                constant ReduceParams& p) {
  u64 blocks = (p.inner + SIMD_LANES - 1) / SIMD_LANES;
  for (u64 unit = at.group; unit < p.outer * blocks * p.parts; unit += at.groups) {
    u64 part = unit % p.parts, block = unit / p.parts;
    u64 outer = block / blocks, i = (block - outer * blocks) * SIMD_LANES + simd_lane(at);
    bool inside = i < p.inner;
    u64 from = part * p.part, end = from + p.part < p.length ? from + p.part : p.length;
    device const T* column = x + (outer * p.length * p.inner + i);
    typename Fold::State state = fold_columns<Fold, W>(at, column, inside, from, end, p);
    if (inside && simd_index(at) == 0) {
      keep(states + ((outer * p.inner + i) * p.parts + part), state);
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
