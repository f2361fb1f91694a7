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
inline u64 pack_start(thread const Team& team, u32 j) {
  return (u64(j) * team.size + team.rank) * VEC;
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

// Elements past `length` become `fill`. All loads are on their way before the first is waited for:
// a pack that does not exist is loaded from the row's start and not used.
template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void load_row(thread Row<T, VEC, PACKS>& row, thread const Team& team, device const T* from,
                     u64 length, wide<T> fill) {
  typedef Brought<T, VEC> Bring;
  typename Bring::type brought[PACKS];
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    u64 start = pack_start<VEC>(team, j);
    brought[j] = Bring::load(from + (start < length ? start : 0));
  }
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    bool inside = pack_start<VEC>(team, j) < length;
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      row.at[j * VEC + i] = inside ? Bring::widened(brought[j], i) : fill;
    }
  }
}

template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void store_row(thread const Row<T, VEC, PACKS>& row, thread const Team& team, device T* to,
                      u64 length) {
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    u64 start = pack_start<VEC>(team, j);
    if (start < length) {
      Pack<T, VEC> pack = narrow<T, VEC>(row.at + j * VEC);
      store<VEC>(to + start, pack);
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
