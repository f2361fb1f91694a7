// softmax and log_softmax over the rows of a matrix.
//
//   softmax(x)     = exp(x - top) / total      top   = max(x)
//   log_softmax(x) = x - top - log(total)      total = sum(exp(x - top))
//
// Held: a team keeps the row in registers. Streamed: a row of any length is read twice.

#include "tile/row.h"

namespace wootz {

// What a row keeps of each element, what all have in common, and what becomes of both.
struct Softmax {
  static f32 part(f32, f32 power) { return power; }
  static f32 factor(f32 total, f32) { return 1.0f / total; }
  static f32 last(f32 part, f32 factor) { return part * factor; }
};
struct LogSoftmax {
  static f32 part(f32 distance, f32) { return distance; }
  static f32 factor(f32 total, f32 top) { return log_total(total, top); }
  static f32 last(f32 part, f32 factor) { return part - factor; }
};

// An element whose row is known.
template <typename Out> inline f32 finish(f32 x, f32 top, f32 factor) {
  return Out::last(Out::part(x - top, term(x, origin_of(top))), factor);
}

template <typename Out, typename T, u32 VEC, u32 PACKS, typename Team>
inline void softmax_row(thread Team& team, thread const Row<T, VEC, PACKS>& row, device T* to,
                        u32 length) {
  // More parts than registers are worked out twice.
  enum : bool { TWICE = VEC * PACKS > 32 };
  f32 top = reduce<Max<f32>>(team, fold<Max<f32>>(row));
  Origin origin = origin_of(top);
  f32 total = 0.0f, parts[TWICE ? VEC : VEC * PACKS];
  UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
    f32 x = TWICE ? anew(row, k) : value(row, k);
    f32 power = TWICE ? term_of_total(x, origin) : term(x, origin);
    if (!TWICE) parts[k] = Out::part(x - top, power);
    total += power;
  }
  f32 factor = Out::factor(reduce<Sum<f32>>(team, total), top);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    thread f32* pack = parts + (TWICE ? 0 : j * VEC);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      pack[i] = TWICE ? finish<Out>(anew(row, j * VEC + i), top, factor) : Out::last(pack[i], factor);
    }
    store_pack<VEC>(team, to, j, pack, length);
  }
}

template <typename Out, typename T, typename Team, u32 VEC, u32 PACKS>
inline void softmax_held(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  Team team = team_of<Team>(at);
  for (u64 step = 0; team.first + step < p.rows; step += team.stride) {
    u64 r = team.row + step;
    u32 length = r < p.rows ? u32(p.length) : 0;
    Row<T, VEC, PACKS> row;
    load_row(row, team, length ? x + r * p.length : x, length, T(-infinity()));
    softmax_row<Out>(team, row, y + r * p.length, length);
  }
}

// The same, where the next row comes while this one is worked on.
template <typename Out, typename T, typename Team, u32 VEC, u32 PACKS>
inline void softmax_ahead(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  Team team = team_of<Team>(at);
  scratch T* stage = scratch_at<T>(at, STAGE);
  u32 length = u32(p.length);
  if (team.row < p.rows) ask_row<VEC, PACKS>(team, stage, x + team.row * p.length, length);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    Row<T, VEC, PACKS> row;
    take_row(row, team, stage, length, T(-infinity()));
    u64 next = r + team.stride;
    if (next < p.rows) ask_row<VEC, PACKS>(team, stage, x + next * p.length, length);
    softmax_row<Out>(team, row, y + r * p.length, length);
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
    Origin origin = origin_of(top);
    UNROLL for (u32 i = 0; i < VEC; ++i) total += term(f32(pack.at[i]), origin);
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
    f32 factor = Out::factor(state.total, state.top);
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        pack.at[i] = T(finish<Out>(f32(pack.at[i]), state.top, factor));
      }
      store<VEC>(to + start, pack);
    }
  }
}

}  // namespace wootz
