// softmax, log_softmax and logsumexp over the rows of a matrix.
//
//   softmax(x)     = exp(x - top) / total      top   = max(x)
//   log_softmax(x) = x - top - log(total)      total = sum(exp(x - top))
//   logsumexp(x)   = top + log(total), one value a row
//
// Held: a team keeps the row in registers. Streamed: a row of any length is read twice.

#include "tile/row.h"

namespace wootz {

struct Softmax {
  static f32 of(f32 x, f32 top, f32 total) { return exp_precise(x - top) / total; }
};
struct LogSoftmax {
  static f32 of(f32 x, f32 top, f32 total) { return (x - top) - log_precise(total); }
};

// One row's summary. A lane that saw only -inf has total 0, so that it adds nothing.
struct TopTotal {
  f32 top;
  f32 total;
};

inline f32 term(f32 x, f32 top) { return x == -infinity() ? 0.0f : exp_precise(x - top); }

struct JoinTopTotal {
  typedef TopTotal State;
  static TopTotal none() {
    TopTotal state = {-infinity(), 0.0f};
    return state;
  }
  static TopTotal join(TopTotal a, TopTotal b) {
    f32 top = Max<f32>::join(a.top, b.top);
    TopTotal state = {top, rescaled(a, top) + rescaled(b, top)};
    return state;
  }
  static TopTotal across(Place at, TopTotal state, u32 mask) {
    TopTotal other = {shuffle_xor(at, state.top, mask), shuffle_xor(at, state.total, mask)};
    return other;
  }
  static f32 rescaled(TopTotal state, f32 top) {
    return state.top == top ? state.total : state.total * exp_precise(state.top - top);
  }
};

template <typename Out, typename T, typename Team, u32 VEC, u32 PACKS>
inline void softmax_held(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  Team team = team_of<Team>(at);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    Row<T, VEC, PACKS> row;
    load_row(row, team, x + r * p.length, p.length, -infinity());
    f32 top = reduce<Max<f32>>(team, fold<Max<f32>>(row));
    f32 total = 0.0f;
    UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) total += term(row.at[k], top);
    total = reduce<Sum<f32>>(team, total);
    UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) row.at[k] = Out::of(row.at[k], top, total);
    store_row(row, team, y + r * p.length, p.length);
  }
}

template <typename T, u32 VEC, typename Team>
inline TopTotal summarize(thread Team& team, device const T* x, u64 length) {
  TopTotal state = JoinTopTotal::none();
  for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
    Pack<T, VEC> pack = load<VEC>(x + start);
    f32 top = state.top;
    UNROLL for (u32 i = 0; i < VEC; ++i) top = Max<f32>::join(top, f32(pack.at[i]));
    f32 total = JoinTopTotal::rescaled(state, top);
    UNROLL for (u32 i = 0; i < VEC; ++i) total += term(f32(pack.at[i]), top);
    state.top = top;
    state.total = total;
  }
  return reduce<JoinTopTotal>(team, state);
}

template <typename Out, typename T, typename Team, u32 VEC>
inline void softmax_streamed(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  Team team = team_of<Team>(at);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    device const T* from = x + r * p.length;
    device T* to = y + r * p.length;
    TopTotal state = summarize<T, VEC>(team, from, p.length);
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        pack.at[i] = T(Out::of(f32(pack.at[i]), state.top, state.total));
      }
      store<VEC>(to + start, pack);
    }
  }
}

template <typename T, typename Team, u32 VEC>
inline void logsumexp(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  Team team = team_of<Team>(at);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    TopTotal state = summarize<T, VEC>(team, x + r * p.length, p.length);
    // An infinite top is the answer; adding its NaN total would hide it.
    f32 value = is_inf(state.top) ? state.top : state.top + log_precise(state.total);
    if (team.rank == 0) y[r] = T(value);
  }
}

}  // namespace wootz
