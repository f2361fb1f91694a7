#pragma once
#include "tile/reduce.h"

// Who works on a row: a simd for short rows, which then needs no barrier, a group for long ones.
// A body is written once over the team. Every lane of a team walks the same rows.

namespace wootz {

struct SimdTeam {
  Place at;
  u32 rank;    // this lane's number in the team
  u32 size;    // lanes in the team
  u64 row;     // the first row of this team
  u64 stride;  // from one row of this team to the next
};

struct GroupTeam {
  Place at;
  u32 rank;
  u32 size;
  u64 row;
  u64 stride;
  u32 turn;  // which of the two sets of slots the next reduction uses
};

template <typename Team> struct TeamOf;
template <> struct TeamOf<SimdTeam> {
  static SimdTeam make(Place at) {
    SimdTeam team = {at, simd_lane(at), SIMD_LANES, u64(at.group) * simds(at) + simd_index(at),
                     u64(at.groups) * simds(at)};
    return team;
  }
};
template <> struct TeamOf<GroupTeam> {
  static GroupTeam make(Place at) {
    GroupTeam team = {at, at.lane, at.lanes, at.group, at.groups, 0};
    return team;
  }
};
template <typename Team> inline Team team_of(Place at) { return TeamOf<Team>::make(at); }

template <typename Op>
inline typename Op::State reduce(thread SimdTeam& team, typename Op::State state) {
  return simd_reduce<Op>(team.at, state);
}
template <typename Op>
inline typename Op::State reduce(thread GroupTeam& team, typename Op::State state) {
  Slots<typename Op::State> slots = {scratch_at<typename Op::State>(team.at, 0), team.turn};
  state = group_reduce<Op>(team.at, state, slots);
  team.turn = slots.turn;
  return state;
}

}  // namespace wootz
