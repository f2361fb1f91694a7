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

template <u32 LANES> struct GroupTeam {
  enum : u32 { MEMBERS = 1, LANES_OF_GROUP = LANES };
  Place at;
  u32 rank;
  u32 size;
  u64 row;
  u64 first;
  u64 stride;
  u32 turn;  // which of the two sets of slots the next reduction uses
};

// The groups of a cluster.
template <u32 COUNT, u32 LANES> struct ClusterTeam {
  enum : u32 { MEMBERS = COUNT, LANES_OF_GROUP = LANES };
  Place at;
  u32 rank;
  u32 size;
  u64 row;
  u64 first;
  u64 stride;
  u32 turn;
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
template <u32 LANES> struct TeamOf<GroupTeam<LANES>> {
  static GroupTeam<LANES> make(Place at) {
    GroupTeam<LANES> team = {at, at.lane, LANES, at.group, at.group, at.groups, 0};
    return team;
  }
};
template <u32 MEMBERS, u32 LANES> struct TeamOf<ClusterTeam<MEMBERS, LANES>> {
  static ClusterTeam<MEMBERS, LANES> make(Place at) {
    u64 row = at.group / MEMBERS;
    ClusterTeam<MEMBERS, LANES> team = {at, member(at) * LANES + at.lane, MEMBERS * LANES, row, row,
                                        at.groups / MEMBERS, 0};
    // Nobody writes to a member that has not started.
    cluster_barrier(at);
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
template <typename Op, u32 LANES>
inline typename Op::State reduce(thread GroupTeam<LANES>& team, typename Op::State state) {
  Slots<typename Op::State> slots = {scratch_at<typename Op::State>(team.at, 0), team.turn};
  state = group_reduce<Op, LANES>(team.at, state, slots);
  team.turn = slots.turn;
  return state;
}

// Every group tells all members what it found; all join that in the same order.
template <typename Op, u32 MEMBERS, u32 LANES>
inline typename Op::State reduce(thread ClusterTeam<MEMBERS, LANES>& team,
                                 typename Op::State state) {
  typedef typename Op::State State;
  Slots<State> slots = {scratch_at<State>(team.at, 0), team.turn};
  scratch State* found = slots.at + 2 * SIMD_LANES + team.turn * MEMBERS;
  state = group_reduce<Op, LANES>(team.at, state, slots);
  team.turn = slots.turn;
  if (team.at.lane < MEMBERS) put(scratch_of(team.at, team.at.lane, found + member(team.at)), state);
  cluster_barrier(team.at);
  state = get(found);
  for (u32 i = 1; i < MEMBERS; ++i) state = Op::join(state, get(found + i));
  return state;
}

// Whether a condition that is one for a team's lanes holds for some team whose lanes would wait for
// each other: all of them then go the same way.
template <u32 SIZE> inline bool any(thread const LaneTeam<SIZE>& team, bool condition) {
  return simd_any(team.at, condition);
}
template <typename Team> inline bool any(thread const Team&, bool condition) { return condition; }

}  // namespace wootz
