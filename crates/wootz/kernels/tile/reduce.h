#pragma once
#include "dialect/dialect.h"

// Combining one value of each lane. An Op has a State, `join` of two states (commutative to the
// bit), and `across`, which fetches the state of the lane whose number differs in `mask`.

namespace wootz {

template <typename T> struct Scalar {
  typedef T State;
  static T across(Place at, T state, u32 mask) { return shuffle_xor(at, state, mask); }
};

template <typename T> struct Sum : Scalar<T> {
  static T none() { return T(0); }
  static T join(T a, T b) { return a + b; }
};
template <typename T> struct Product : Scalar<T> {
  static T none() { return T(1); }
  static T join(T a, T b) { return a * b; }
};
// NaN wins over everything, as in NumPy and PyTorch.
template <typename T> struct Max : Scalar<T> {
  static T none() { return Ends<T>::least(); }
  static T join(T a, T b) { return (a > b || a != a) ? a : b; }
};
template <typename T> struct Min : Scalar<T> {
  static T none() { return Ends<T>::greatest(); }
  static T join(T a, T b) { return (a < b || a != a) ? a : b; }
};

// All lanes of a simd get the result.
template <typename Op>
inline typename Op::State simd_reduce(Place at, typename Op::State state) {
  UNROLL for (u32 mask = SIMD_LANES / 2; mask > 0; mask /= 2) {
    state = Op::join(state, Op::across(at, state, mask));
  }
  return state;
}

// Scratch bytes that a group reduction needs for states of `bytes` bytes: two sets of slots, used
// in turn, so that one barrier a reduction is enough.
template <typename State> struct Slots {
  scratch State* at;
  u32 turn;
};
template <typename State>
inline Slots<State> slots_at(Place at, u32 byte) {
  Slots<State> slots = {scratch_at<State>(at, byte), 0};
  return slots;
}

// All lanes of a group get the result. Every lane calls it.
template <typename Op>
inline typename Op::State group_reduce(Place at, typename Op::State state,
                                       thread Slots<typename Op::State>& slots) {
  state = simd_reduce<Op>(at, state);
  u32 simd_count = simds(at);
  if (simd_count == 1) return state;
  scratch typename Op::State* mine = slots.at + slots.turn * SIMD_LANES;
  slots.turn ^= 1;
  if (simd_lane(at) == 0) put(mine + simd_index(at), state);
  scratch_barrier(at);
  u32 lane = simd_lane(at);
  state = lane < simd_count ? get(mine + lane) : Op::none();
  return simd_reduce<Op>(at, state);
}

}  // namespace wootz
