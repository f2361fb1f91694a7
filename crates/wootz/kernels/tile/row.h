#pragma once
#include "tile/team.h"

// Rows in registers: each lane holds PACKS packs of VEC neighbours. Pack j of a lane starts at
// (j * team.size + team.rank) * VEC, so that a team's loads are side by side. With VEC > 1 the
// rows start at multiples of VEC and their length is one.

namespace wootz {

template <typename T, u32 VEC, u32 PACKS> struct Row {
  wide<T> at[VEC * PACKS];
};

template <u32 VEC, typename Team>
inline u32 pack_start(thread const Team& team, u32 j) {
  return (j * team.size + team.rank) * VEC;
}

// What a load brings: words for packs of 16 bytes, else an element.
template <typename T, u32 VEC> struct Brought {
  typedef Words type;
  static Words load(device const T* from) { return load_words(from); }
  static wide<T> widened(thread const Words& words, u32 i) { return widen(element<T>(words, i)); }
};
template <typename T> struct Brought<T, 1> {
  typedef T type;
  static T load(device const T* from) { return *from; }
  static wide<T> widened(thread const T& value, u32) { return widen(value); }
};

// Elements past `length` become `fill`. All loads are on their way before the first is waited for.
template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void load_row(thread Row<T, VEC, PACKS>& row, thread const Team& team, device const T* from,
                     u32 length, wide<T> fill) {
  typedef Brought<T, VEC> Bring;
  typename Bring::type brought[PACKS];
  device const T* mine = from + pack_start<VEC>(team, 0);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    if (pack_start<VEC>(team, j) < length) brought[j] = Bring::load(mine + j * team.size * VEC);
  }
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    bool inside = pack_start<VEC>(team, j) < length;
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      row.at[j * VEC + i] = inside ? Bring::widened(brought[j], i) : fill;
    }
  }
}

// Where staged rows begin in scratch memory: after what reductions use.
enum : u32 { STAGE = 1024 };

// The same by way of scratch memory, where the row comes while the lane computes another: `ask` for
// it, then `take` it. A lane takes only what it asked for itself, so no barrier is in between.
template <u32 VEC, u32 PACKS, typename T, typename Team>
inline void ask_row(thread const Team& team, scratch T* stage, device const T* from, u32 length) {
  device const T* mine = from + pack_start<VEC>(team, 0);
  scratch T* place = stage + team.at.lane * VEC;
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    if (pack_start<VEC>(team, j) < length) {
      bring<VEC>(place + j * Team::LANES_OF_GROUP * VEC, mine + j * team.size * VEC);
    }
  }
}
template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void take_row(thread Row<T, VEC, PACKS>& row, thread const Team& team,
                     scratch const T* stage, u32 length, wide<T> fill) {
  scratch const T* place = stage + team.at.lane * VEC;
  arrived(team.at);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    bool inside = pack_start<VEC>(team, j) < length;
    Pack<T, VEC> pack;
    if (inside) pack = get_packed<VEC>(place + j * Team::LANES_OF_GROUP * VEC);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      row.at[j * VEC + i] = inside ? widen(pack.at[i]) : fill;
    }
  }
}

template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void store_row(thread const Row<T, VEC, PACKS>& row, thread const Team& team, device T* to,
                      u32 length) {
  device T* mine = to + pack_start<VEC>(team, 0);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    if (pack_start<VEC>(team, j) < length) {
      Pack<T, VEC> pack = narrow<T, VEC>(row.at + j * VEC);
      store<VEC>(mine + j * team.size * VEC, pack);
    }
  }
}

// The lane's own part of a reduction over the row.
template <typename Op, typename T, u32 VEC, u32 PACKS>
inline wide<T> fold(thread const Row<T, VEC, PACKS>& row) {
  wide<T> state = row.at[0];
  UNROLL for (u32 k = 1; k < VEC * PACKS; ++k) state = Op::join(state, row.at[k]);
  return state;
}

}  // namespace wootz
