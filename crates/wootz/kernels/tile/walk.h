#pragma once
#include "dialect/dialect.h"

// Walking a shape whose operands have strides of their own.
//
// The innermost axis is cut into packs of VEC; a lane takes pack after pack. With VEC > 1 each
// operand steps along that axis by 1 (neighbours: moved as one) or 0 (one value for all), and
// packs are aligned. Index is u32 where all counts fit, because GPUs divide 64 bits slowly.

namespace wootz {

enum : u32 { MAX_RANK = 8 };

// Where a pack is: an offset for each operand, and how many of its elements exist.
template <u32 OPERANDS> struct Spot {
  i64 offset[OPERANDS];
  u32 count;
};

// Adds what the axes but the innermost one give, of which `rest` counts the places.
template <u32 OPERANDS, typename Index>
inline void add_outer(thread Spot<OPERANDS>& spot, Index rest, constant WalkParams& p) {
  ROLLED for (u32 axis = p.rank - 1; axis > 0;) {
    axis -= 1;
    Index size = Index(p.shape[axis]);
    Index outer = axis == 0 ? 0 : rest / size;
    i64 index = i64(rest - outer * size);
    rest = outer;
    UNROLL for (u32 k = 0; k < OPERANDS; ++k) {
      spot.offset[k] += index * p.strides[k * MAX_RANK + axis];
    }
  }
}

template <u32 OPERANDS, u32 VEC, typename Index>
inline Spot<OPERANDS> locate(Index pack, constant WalkParams& p) {
  Spot<OPERANDS> spot;
  u32 axis = p.rank - 1;
  // Most walks have one axis, and need no division.
  Index packs = Index(p.packs), rest = axis == 0 ? 0 : pack / packs;
  u64 inner = u64(pack - rest * packs) * VEC;
  u64 left = p.shape[axis] - inner;
  spot.count = left < VEC ? u32(left) : VEC;
  UNROLL for (u32 k = 0; k < OPERANDS; ++k) {
    spot.offset[k] = i64(inner) * p.strides[k * MAX_RANK + axis];
  }
  add_outer(spot, rest, p);
  return spot;
}

// Operand k's step along the innermost axis.
inline i64 inner_stride(constant WalkParams& p, u32 k) {
  return p.strides[k * MAX_RANK + p.rank - 1];
}

// Pack `count` of `VEC` elements that are `stride` apart; what does not exist repeats the first.
template <u32 VEC, typename T>
inline Pack<T, VEC> fetch(device const T* from, i64 stride, u32 count) {
  if (VEC > 1 && stride == 1 && count == VEC) return load<VEC>(from);
  Pack<T, VEC> pack = splat<VEC>(*from);
  if (VEC > 1 && stride == 1) {
    UNROLL for (u32 i = 1; i < VEC; ++i) {
      if (i < count) pack.at[i] = from[i];
    }
  }
  return pack;
}

template <u32 VEC, typename T>
inline void put_pack(device T* to, thread const Pack<T, VEC>& pack, u32 count) {
  if (VEC > 1 && count == VEC) {
    store(to, pack);
    return;
  }
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    if (i < count) to[i] = pack.at[i];
  }
}

// Where the operands are whole packs, one after another, a lane takes several, a group's lanes apart,
// and asks for all of them before it computes.
enum : u32 { PACKS_AHEAD = 2 };
inline u64 first_flat(Place at) { return u64(at.group) * (PACKS_AHEAD * at.lanes) + at.lane; }
inline u64 flat_stride(Place at) { return u64(at.groups) * (PACKS_AHEAD * at.lanes); }
template <u32 VEC, typename T>
inline void load_flat(Place at, thread Pack<T, VEC> (&packs)[PACKS_AHEAD], device const T* from, u64 first,
                      u64 total) {
  UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
    u64 pack = first + j * at.lanes;
    packs[j] = load<VEC>(from + (pack < total ? pack : first) * VEC);
  }
}
template <u32 VEC, typename T>
inline void store_flat(Place at, thread const Pack<T, VEC> (&packs)[PACKS_AHEAD], device T* to, u64 first,
                       u64 total) {
  UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
    u64 pack = first + j * at.lanes;
    if (pack < total) store(to + pack * VEC, packs[j]);
  }
}

// Where innermost axes are long and of whole packs, a group takes a stretch of one: a lane several of its
// packs, a group's lanes apart, and asks for all of them before it computes.
template <u32 OPERANDS> struct Stretch {
  Spot<OPERANDS> spot;  // where the axis starts
  u32 first;            // the lane's first pack of it
};
template <u32 OPERANDS>
inline Stretch<OPERANDS> stretch_of(Place at, u32 unit, u32 stretches, constant WalkParams& p) {
  Stretch<OPERANDS> stretch;
  u32 outer = p.rank == 1 ? 0 : unit / stretches;
  stretch.first = (unit - outer * stretches) * (PACKS_AHEAD * at.lanes) + at.lane;
  UNROLL for (u32 k = 0; k < OPERANDS; ++k) stretch.spot.offset[k] = 0;
  add_outer(stretch.spot, outer, p);
  return stretch;
}
template <u32 VEC, typename T, u32 OPERANDS>
inline void load_stretch(Place at, thread Pack<T, VEC> (&packs)[PACKS_AHEAD], device const T* from,
                      thread const Stretch<OPERANDS>& stretch, u32 k, constant WalkParams& p) {
  device const T* start = from + stretch.spot.offset[k];
  if (inner_stride(p, k) == 0) {
    Pack<T, VEC> same = splat<VEC>(*start);
    UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) packs[j] = same;
    return;
  }
  UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
    u32 pack = stretch.first + j * at.lanes;
    packs[j] = load<VEC>(start + u64(pack < u32(p.packs) ? pack : 0) * VEC);
  }
}

}  // namespace wootz
