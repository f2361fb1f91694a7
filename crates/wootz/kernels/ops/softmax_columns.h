// softmax and log_softmax along the columns of [rows, length, inner].
//
// A team takes a panel: neighbouring columns as WIDTH packs, of which a lane has one, and of whose
// rows it has every STEP-th. Held: in registers. Staged: in scratch memory, where each lane reads what
// it asked for itself. Streamed: the panel is read twice.

#include "ops/softmax.h"

namespace wootz {

template <u32 VEC, typename Team> struct Panel {
  enum : u32 {
    WIDTH = VEC == 1 ? SIMD_LANES : 8,
    COLUMNS = WIDTH * VEC,
    SIMDS = Team::LANES_OF_GROUP / SIMD_LANES,
    HIGH = Team::LANES_OF_GROUP / WIDTH,
    STEP = HIGH * Team::MEMBERS,
    // In scratch memory: a state for each column from each simd, twice one from each member, and what
    // all columns come to.
    FOUND = SIMDS * COLUMNS * 8,
    COMMON = FOUND + 2 * Team::MEMBERS * COLUMNS * 8,
    // Behind them what is staged.
    STAGED = COMMON + COLUMNS * 8,
  };
};

// Rows of a panel that a lane takes at once.
enum : u32 { PANEL_AHEAD = 4 };

// Where a lane's part of a panel is.
struct PanelPlace {
  u64 start;  // its first element, of the first row
  u64 row;    // its first row
  bool inside;
};
template <u32 VEC, typename Team>
inline PanelPlace panel_place(thread const Team& team, u64 unit, constant SoftmaxParams& p) {
  typedef Panel<VEC, Team> Of;
  u64 panels = (p.inner + Of::COLUMNS - 1) / Of::COLUMNS, outer = unit / panels;
  u64 column = (unit - outer * panels) * Of::COLUMNS + team.at.lane % Of::WIDTH * VEC;
  PanelPlace place = {outer * p.length * p.inner + column, team.rank / Of::WIDTH,
                      outer < p.rows && column < p.inner};
  return place;
}
template <u32 VEC, typename Team> inline u64 panels(constant SoftmaxParams& p) {
  typedef Panel<VEC, Team> Of;
  return p.rows * ((p.inner + Of::COLUMNS - 1) / Of::COLUMNS);
}
// Rows that a lane has of its panel.
inline u32 rows_of(PanelPlace place, u32 step, constant SoftmaxParams& p) {
  return place.inside && place.row < p.length ? u32((p.length - place.row + step - 1) / step) : 0;
}

// Several states as one.
inline TopTotal joined(scratch const TopTotal* states, u32 count, u32 step) {
  TopTotal all = {-infinity(), 0.0f};
  for (u32 j = 0; j < count; ++j) all.top = Max<f32>::join(all.top, get(states + j * step).top);
  for (u32 j = 0; j < count; ++j) all.total += JoinTopTotal::rescaled(get(states + j * step), all.top);
  return all;
}

// From what each lane found of its columns to what these columns come to: their top and the factor.
template <typename Out, u32 VEC, typename Team>
inline void reduce_panel(thread Team& team, thread TopTotal* state) {
  typedef Panel<VEC, Team> Of;
  Place at = team.at;
  scratch TopTotal* all = scratch_at<TopTotal>(at, 0);
  scratch TopTotal* found = scratch_at<TopTotal>(at, Of::FOUND) + team.turn * (Team::MEMBERS * Of::COLUMNS);
  scratch TopTotal* common = scratch_at<TopTotal>(at, Of::COMMON);
  team.turn ^= 1;
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    UNROLL for (u32 mask = Of::WIDTH; mask < SIMD_LANES; mask *= 2) {
      state[i] = JoinTopTotal::join(state[i], JoinTopTotal::across(at, state[i], mask));
    }
    if (simd_lane(at) < Of::WIDTH) {
      put(all + (simd_index(at) * Of::COLUMNS + simd_lane(at) * VEC + i), state[i]);
    }
  }
  scratch_barrier(at);
  bool mine = at.lane < Of::COLUMNS;
  TopTotal column = {0.0f, 0.0f};
  if (mine) column = joined(all + at.lane, Of::SIMDS, Of::COLUMNS);
  if (Team::MEMBERS > 1) {
    if (mine) {
      for (u32 j = 0; j < Team::MEMBERS; ++j) {
        put(scratch_of(at, j, found + (member(at) * Of::COLUMNS + at.lane)), column);
      }
    }
    cluster_barrier(at);
    if (mine) column = joined(found + at.lane, Team::MEMBERS, Of::COLUMNS);
  }
  if (mine) {
    column.total = Out::factor(column.total, column.top);
    put(common + at.lane, column);
  }
  scratch_barrier(at);
  UNROLL for (u32 i = 0; i < VEC; ++i) state[i] = get(common + (at.lane % Of::WIDTH * VEC + i));
}

// What is one for all elements of a column, known once its top and factor are.
template <u32 VEC> struct Common {
  Origin origin[VEC];
  f32 top[VEC];
  f32 factor[VEC];
};
template <u32 VEC> inline Common<VEC> common_of(thread const TopTotal* state) {
  Common<VEC> common;
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    common.origin[i] = origin_of(state[i].top);
    common.top[i] = state[i].top;
    common.factor[i] = state[i].total;
  }
  return common;
}
template <typename Out, u32 VEC> inline f32 finish_column(f32 x, u32 i, thread const Common<VEC>& common) {
  return Out::last(Out::part(x - common.top[i], term(x, common.origin[i])), common.factor[i]);
}
template <typename Out, typename T, u32 VEC>
inline Pack<T, VEC> finish_columns(thread const Pack<T, VEC>& pack, thread const Common<VEC>& common) {
  f32 values[VEC];
  UNROLL for (u32 i = 0; i < VEC; ++i) values[i] = finish_column<Out>(f32(pack.at[i]), i, common);
  return narrow<T, VEC>(values);
}

template <typename Out, typename T, typename Team, u32 VEC, u32 PACKS>
inline void softmax_columns_held(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  typedef Brought<T, VEC> Bring;
  Team team = team_of<Team>(at);
  u32 step = Panel<VEC, Team>::STEP;
  for (u64 unit = team.row; unit < panels<VEC, Team>(p); unit += team.stride) {
    PanelPlace place = panel_place<VEC>(team, unit, p);
    u32 mine = rows_of(place, step, p);
    device const T* from = x + (place.start + place.row * p.inner);
    typename Bring::type packs[PACKS];
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      packs[j] = Bring::filled(T(-infinity()));
      if (j < mine) packs[j] = Bring::load(from + u64(j) * step * p.inner);
    }
    TopTotal state[VEC];
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      state[i] = JoinTopTotal::none();
      UNROLL for (u32 j = 0; j < PACKS; ++j) state[i].top = Max<f32>::join(state[i].top, Bring::value(packs[j], i));
      Origin origin = origin_of(state[i].top);
      UNROLL for (u32 j = 0; j < PACKS; ++j) state[i].total += term_of_total(Bring::anew(packs[j], i), origin);
    }
    reduce_panel<Out, VEC>(team, state);
    Common<VEC> common = common_of<VEC>(state);
    device T* to = y + (place.start + place.row * p.inner);
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      f32 values[VEC];
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        values[i] = finish_column<Out>(Bring::anew(packs[j], i), i, common);
      }
      Pack<T, VEC> pack = narrow<T, VEC>(values);
      if (j < mine) store<VEC>(to + u64(j) * step * p.inner, pack);
    }
  }
}

// The rows from `k` on that a lane has of a panel which begins at `x`. One that is not there is the
// first once more: nothing of it is added or stored.
template <typename T, u32 VEC>
inline void ask_panel(thread Pack<T, VEC>* packs, device const T* x, u64 inner, u64 k, u64 step, u64 end) {
  UNROLL for (u32 j = 0; j < PANEL_AHEAD; ++j) {
    u64 row = k + j * step < end ? k + j * step : k;
    packs[j] = load<VEC>(x + row * inner);
  }
}

template <typename Out, typename T, typename Team, u32 VEC>
inline void softmax_columns_staged(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  typedef Panel<VEC, Team> Of;
  enum : u32 { APART = Team::LANES_OF_GROUP * VEC };
  Team team = team_of<Team>(at);
  scratch T* stage = scratch_at<T>(at, Of::STAGED) + at.lane * VEC;
  u32 step = Of::STEP;
  for (u64 unit = team.row; unit < panels<VEC, Team>(p); unit += team.stride) {
    PanelPlace place = panel_place<VEC>(team, unit, p);
    u32 mine = rows_of(place, step, p);
    u64 start = place.start + place.row * p.inner, on = u64(step) * p.inner;
    ROLLED for (u32 j = 0; j < mine; ++j) bring<VEC>(stage + j * APART, x + (start + j * on));
    // As many as are taken at once: what is not there adds nothing.
    Pack<T, VEC> none = splat<VEC>(T(-infinity()));
    for (u32 j = mine; j % PANEL_AHEAD != 0; ++j) put_packed<VEC>(stage + j * APART, none);
    arrived(at);
    TopTotal state[VEC];
    Origin origin[VEC];
    UNROLL for (u32 i = 0; i < VEC; ++i) state[i] = JoinTopTotal::none();
    ROLLED for (u32 j = 0; j < mine; j += PANEL_AHEAD) {
      UNROLL for (u32 k = 0; k < PANEL_AHEAD; ++k) {
        Pack<T, VEC> pack = get_packed<VEC>(stage + (j + k) * APART);
        UNROLL for (u32 i = 0; i < VEC; ++i) state[i].top = Max<f32>::join(state[i].top, f32(pack.at[i]));
      }
    }
    UNROLL for (u32 i = 0; i < VEC; ++i) origin[i] = origin_of(state[i].top);
    ROLLED for (u32 j = 0; j < mine; j += PANEL_AHEAD) {
      UNROLL for (u32 k = 0; k < PANEL_AHEAD; ++k) {
        Pack<T, VEC> pack = get_packed<VEC>(stage + (j + k) * APART);
        UNROLL for (u32 i = 0; i < VEC; ++i) state[i].total += term_of_total(f32(pack.at[i]), origin[i]);
      }
    }
    reduce_panel<Out, VEC>(team, state);
    Common<VEC> common = common_of<VEC>(state);
    ROLLED for (u32 j = 0; j < mine; ++j) {
      Pack<T, VEC> pack = get_packed<VEC>(stage + j * APART);
      pack = finish_columns<Out>(pack, common);
      store<VEC>(y + (start + j * on), pack);
    }
  }
}

template <typename Out, typename T, typename Team, u32 VEC>
inline void softmax_columns_streamed(Place at, device const T* x, device T* y, constant SoftmaxParams& p) {
  Team team = team_of<Team>(at);
  u64 step = Panel<VEC, Team>::STEP;
  for (u64 unit = team.row; unit < panels<VEC, Team>(p); unit += team.stride) {
    PanelPlace place = panel_place<VEC>(team, unit, p);
    TopTotal state[VEC];
    UNROLL for (u32 i = 0; i < VEC; ++i) state[i] = JoinTopTotal::none();
    u64 end = place.inside ? p.length : 0;
    for (u64 k = place.row; k < end; k += PANEL_AHEAD * step) {
      Pack<T, VEC> packs[PANEL_AHEAD];
      ask_panel<T, VEC>(packs, x + place.start, p.inner, k, step, end);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        f32 top = state[i].top;
        UNROLL for (u32 j = 0; j < PANEL_AHEAD; ++j) top = Max<f32>::join(top, f32(packs[j].at[i]));
        state[i].total = JoinTopTotal::rescaled(state[i], top);
        state[i].top = top;
        Origin origin = origin_of(top);
        UNROLL for (u32 j = 0; j < PANEL_AHEAD; ++j) {
          f32 power = term(f32(packs[j].at[i]), origin);
          state[i].total += k + j * step < end ? power : 0.0f;
        }
      }
    }
    reduce_panel<Out, VEC>(team, state);
    Common<VEC> common = common_of<VEC>(state);
    for (u64 k = place.row; k < end; k += PANEL_AHEAD * step) {
      Pack<T, VEC> packs[PANEL_AHEAD];
      ask_panel<T, VEC>(packs, x + place.start, p.inner, k, step, end);
      UNROLL for (u32 j = 0; j < PANEL_AHEAD; ++j) {
        if (k + j * step < end) {
          Pack<T, VEC> pack = finish_columns<Out>(packs[j], common);
          store<VEC>(y + (place.start + (k + j * step) * p.inner), pack);
        }
      }
    }
  }
}

}  // namespace wootz
