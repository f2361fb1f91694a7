#pragma once
#include "tile/team.h"

// Rows in registers: each lane holds PACKS packs of VEC neighbours, as they lie in memory. Pack j of a lane starts at
// (j * team.size + team.rank) * VEC, so that a team's loads are side by side. With VEC > 1 the
// rows start at multiples of VEC and their length is one.

namespace wootz {

template <u32 VEC, typename Team>
inline u32 pack_start(thread const Team& team, u32 j) {
  return (j * team.size + team.rank) * VEC;
}

// What a load brings: words for packs of 16 bytes, else an element.
template <typename T, u32 VEC> struct Brought {
  typedef Words type;
  static Words load(device const T* from) { return load_words(from); }
  static Words take(scratch const T* from) {
    return get_packed<4>(reinterpret_cast<scratch const u32*>(from));
  }
  static Words filled(T value) {
    Words words;
    UNROLL for (u32 i = 0; i < VEC; ++i) set_element(words, i, value);
    return words;
  }
  static wide<T> value(thread const Words& words, u32 i) { return widened<T>(words, i); }
  static wide<T> anew(thread const Words& words, u32 i) { return Anew<T>::of(words, i); }
};
template <typename T> struct Brought<T, 1> {
  typedef T type;
  static T load(device const T* from) { return *from; }
  static T take(scratch const T* from) { return *from; }
  static T filled(T value) { return value; }
  static wide<T> value(thread const T& one, u32) { return widen(one); }
  static wide<T> anew(thread const T& one, u32) { return widen(one); }
};

template <typename T, u32 VEC, u32 PACKS> struct Row {
  typename Brought<T, VEC>::type at[PACKS];
};
// Element k of those that a lane holds; `anew` where keeping it from the last time would take a register.
template <typename T, u32 VEC, u32 PACKS>
inline wide<T> value(thread const Row<T, VEC, PACKS>& row, u32 k) {
  return Brought<T, VEC>::value(row.at[k / VEC], k % VEC);
}
template <typename T, u32 VEC, u32 PACKS>
inline wide<T> anew(thread const Row<T, VEC, PACKS>& row, u32 k) {
  return Brought<T, VEC>::anew(row.at[k / VEC], k % VEC);
}

// Elements past `length` become `fill`. All loads are on their way before the first is waited for.
template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void load_row(thread Row<T, VEC, PACKS>& row, thread const Team& team, device const T* from,
                     u32 length, T fill) {
  device const T* mine = from + pack_start<VEC>(team, 0);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    if (pack_start<VEC>(team, j) < length) {
      row.at[j] = Brought<T, VEC>::load(mine + j * team.size * VEC);
    } else {
      row.at[j] = Brought<T, VEC>::filled(fill);
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
                     scratch const T* stage, u32 length, T fill) {
  scratch const T* place = stage + team.at.lane * VEC;
  arrived(team.at);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    if (pack_start<VEC>(team, j) < length) {
      row.at[j] = Brought<T, VEC>::take(place + j * Team::LANES_OF_GROUP * VEC);
    } else {
      row.at[j] = Brought<T, VEC>::filled(fill);
    }
  }
}

// VEC results as pack j of a row.
template <u32 VEC, typename T, typename Team>
inline void store_pack(thread const Team& team, device T* to, u32 j, thread const f32* values, u32 length) {
  if (pack_start<VEC>(team, j) < length) {
    Pack<T, VEC> pack = narrow<T, VEC>(values);
    store<VEC>(to + pack_start<VEC>(team, 0) + j * team.size * VEC, pack);
  }
}

// The lane's own part of a reduction over the row.
template <typename Op, typename T, u32 VEC, u32 PACKS>
inline wide<T> fold(thread const Row<T, VEC, PACKS>& row) {
  wide<T> state = value(row, 0);
  UNROLL for (u32 k = 1; k < VEC * PACKS; ++k) state = Op::join(state, value(row, k));
  return state;
}

}  // namespace wootz
