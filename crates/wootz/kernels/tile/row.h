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

// A row as it is in memory: fetched ahead of its turn.
template <typename T, u32 VEC, u32 PACKS> struct RawRow {
  Pack<T, VEC> at[PACKS];
};

template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void fetch_row(thread RawRow<T, VEC, PACKS>& raw, thread const Team& team,
                      device const T* from, u64 length) {
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    u64 start = pack_start<VEC>(team, j);
    if (start < length) raw.at[j] = load<VEC>(from + start);
  }
}

// Elements past `length` become `fill`.
template <typename T, u32 VEC, u32 PACKS, typename Team>
inline void widen_row(thread Row<T, VEC, PACKS>& row, thread const RawRow<T, VEC, PACKS>& raw,
                      thread const Team& team, u64 length, wide<T> fill) {
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    bool inside = pack_start<VEC>(team, j) < length;
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      row.at[j * VEC + i] = inside ? widen(raw.at[j].at[i]) : fill;
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
