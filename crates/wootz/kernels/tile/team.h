#pragma once
#include "tile/reduce.h"

// Who works on a row: some lanes of a simd for short rows, which then need no barrier, a group for
// long ones. A body is written once over the team.
//
// Lanes of a simd stay together: where several teams share one, all of them take part in every
// step as long as the simd's `first` team has a row, and a team whose own `row` is none of the
// rows works on one of no length.

namespace wootz {

template <u32 SIZE> struct LaneTeam {
  Place at;
  u32 rank;    // this lane's number in the team
  u32 size;    // lanes in the team
  u64 row;     // the first row of this team
  u64 first;   // the first row of its simd
  u64 stride;  // from one row of this team to the next
};
typedef LaneTeam<SIMD_LANES> SimdTeam;

struct GroupTeam {
  Place at;
  u32 rank;
  u32 size;
  u64 row;
  u64 first;
  u64 stride;
  u32 turn;  // which of the two sets of slots the next reduction uses
};

template <typename Team> struct TeamOf;
template <u32 SIZE> struct TeamOf<LaneTeam<SIZE>> {
  static LaneTeam<SIZE> make(Place at) {
    u64 first = (u64(at.group) * simds(at) + simd_index(at)) * (SIMD_LANES / SIZE);
    LaneTeam<SIZE> team = {at, at.lane % SIZE, SIZE, first + simd_lane(at) / SIZE, first,
                           u64(at.groups) * simds(at) * (SIMD_LANES / SIZE)};
    return team;
  }
};
template <> struct TeamOf<GroupTeam> {
  static GroupTeam make(Place at) {
    GroupTeam team = {at, at.lane, at.lanes, at.group, at.group, at.groups, 0};
    return team;
  }
};
template <typename Team> inline Team team_of(Place at) { return TeamOf<Team>::make(at); }

template <typename Op, u32 SIZE>
inline typename Op::State reduce(thread LaneTeam<SIZE>& team, typename Op::State state) {
  UNROLL for (u32 mask = SIZE / 2; mask > 0; mask /= 2) {
    state = Op::join(state, Op::across(team.at, state, mask));
  }
  return state;
}
template <typename Op>
inline typename Op::State reduce(thread GroupTeam& team, typename Op::State state) {
  Slots<typename Op::State> slots = {scratch_at<typename Op::State>(team.at, 0), team.turn};
  state = group_reduce<Op>(team.at, state, slots);
  team.turn = slots.turn;
  return state;
}

// Whether a condition that is one for a team's lanes holds for some team whose lanes would wait for
// each other: all of them then go the same way.
template <u32 SIZE> inline bool any(thread const LaneTeam<SIZE>& team, bool condition) {
  return simd_any(team.at, condition);
}
inline bool any(thread const GroupTeam&, bool condition) { return condition; }

}  // namespace wootz
