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

template <> struct Max<f32> : Scalar<f32> {
  static f32 none() { return -infinity(); }
  static f32 join(f32 a, f32 b) { return larger(a, b); }
};
template <> struct Min<f32> : Scalar<f32> {
  static f32 none() { return infinity(); }
  static f32 join(f32 a, f32 b) { return smaller(a, b); }
};

// The largest of some numbers, and the sum of their exponentials from there.
struct TopTotal {
  f32 top;
  f32 total;
};

// Exponentials are powers of two from an origin near the top. Of a small top the origin is its
// product with log2_e, rounded: the same for all elements, and so of no account in a ratio. Of a
// large one it is the top itself, from which all that counts is an exact distance away.
struct Origin {
  f32 shift;
  f32 base;
};
inline f32 log2_e() { return 1.44269504f; }
inline Origin origin_of(f32 top) {
  Origin origin = {0.0f, 0.0f};
  // Where all are -inf any finite origin makes them add nothing.
  if (top == -infinity()) return origin;
  if (absolute(top) < 1048576.0f) {
    origin.base = top * log2_e();
  } else {
    origin.shift = top;
  }
  return origin;
}
inline f32 term(f32 x, Origin origin) {
  return exp2_fast(fused(x - origin.shift, log2_e(), -origin.base));
}
// The same where it is only added to a total of at least one: what is too small for that may be 0.
inline f32 term_of_total(f32 x, Origin origin) {
  return exp2_unit(fused(x - origin.shift, log2_e(), -origin.base));
}
// How far the top lies above the origin, as a power of two.
inline f32 apart(f32 top) {
  return absolute(top) < 1048576.0f ? fused(top, log2_e(), -(top * log2_e())) : 0.0f;
}
// The logarithm of what the total would be from the top.
inline f32 log_total(f32 total, f32 top) { return log_precise(total) - 0.693147181f * apart(top); }

struct JoinTopTotal {
  typedef TopTotal State;
  static TopTotal none() {
    TopTotal state = {-infinity(), 0.0f};
    return state;
  }
  static TopTotal join(TopTotal a, TopTotal b) {
    f32 top = larger(a.top, b.top);
    TopTotal state = {top, rescaled(a, top) + rescaled(b, top)};
    return state;
  }
  static TopTotal across(Place at, TopTotal state, u32 mask) {
    TopTotal other = {shuffle_xor(at, state.top, mask), shuffle_xor(at, state.total, mask)};
    return other;
  }
  static f32 rescaled(TopTotal state, f32 top) {
    if (state.top == top || state.total == 0.0f) return state.total;
    f32 power = fused(state.top - top, log2_e(), apart(top) - apart(state.top));
    return state.total * exp2_fast(power);
  }
};

// All lanes of a simd get the result.
template <typename Op>
inline typename Op::State simd_reduce(Place at, typename Op::State state) {
  UNROLL for (u32 mask = SIMD_LANES / 2; mask > 0; mask /= 2) {
    state = Op::join(state, Op::across(at, state, mask));
  }
  return state;
}

// A group reduction's scratch memory: two sets of slots for states, used in turn, so that one
// barrier a reduction is enough.
template <typename State> struct Slots {
  scratch State* at;
  u32 turn;
};

// All lanes of a group of LANES get the result. Every lane calls it.
template <typename Op, u32 LANES>
inline typename Op::State group_reduce(Place at, typename Op::State state,
                                       thread Slots<typename Op::State>& slots) {
  enum : u32 { SIMDS = LANES / SIMD_LANES };
  state = simd_reduce<Op>(at, state);
  if (SIMDS == 1) return state;
  scratch typename Op::State* mine = slots.at + slots.turn * SIMD_LANES;
  slots.turn ^= 1;
  if (simd_lane(at) == 0) put(mine + simd_index(at), state);
  scratch_barrier(at);
  state = get(mine + simd_lane(at) % SIMDS);
  UNROLL for (u32 mask = SIMDS / 2; mask > 0; mask /= 2) {
    state = Op::join(state, Op::across(at, state, mask));
  }
  return state;
}

}  // namespace wootz
