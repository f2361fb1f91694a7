#pragma once
#include "tile/reduce.h"

// Folding many elements into one value.
//
// A Fold says what a reduction is: its State, `none`, `add(state, x, index, first, p)` for one more
// element, `join` of two states (commutative to the bit), `across` (see tile/reduce.h) and
// `finish(state, p)`. Elements come as W; `first` is the first element of those that are folded,
// which every lane knows; `p.length` is how many there are.

namespace wootz {

// An Op of tile/reduce.h over elements as they are.
template <typename Op, typename W> struct Plain : Op {
  static W add(W state, W x, u64, W, constant ReduceParams&) { return Op::join(state, x); }
  static W finish(W state, constant ReduceParams&) { return state; }
};
template <typename W> struct FoldSum : Plain<Sum<W>, W> {};
template <typename W> struct FoldProduct : Plain<Product<W>, W> {};
template <typename W> struct FoldMax : Plain<Max<W>, W> {};
template <typename W> struct FoldMin : Plain<Min<W>, W> {};

// Sums of floats keep what each addition loses, so that their error does not grow with their
// length.
struct Exact {
  typedef Two State;
  static Two none() {
    Two state = {0.0f, 0.0f};
    return state;
  }
  static Two plus(Two state, f32 x) {
    Two sum = two_sum(state.high, x);
    sum.low += state.low;
    return sum;
  }
  static Two plus(Two state, Two x) {
    Two sum = plus(state, x.high);
    sum.low += x.low;
    return sum;
  }
  static Two join(Two a, Two b) {
    Two sum = two_sum(a.high, b.high);
    sum.low += a.low + b.low;
    return sum;
  }
  static Two across(Place at, Two state, u32 mask) {
    Two other = {shuffle_xor(at, state.high, mask), shuffle_xor(at, state.low, mask)};
    return other;
  }
};
template <> struct FoldSum<f32> : Exact {
  static Two add(Two state, f32 x, u64, f32, constant ReduceParams&) { return plus(state, x); }
  static f32 finish(Two state, constant ReduceParams&) { return one_of(state); }
};
template <typename W> struct FoldMean : FoldSum<W> {
  static W finish(Two state, constant ReduceParams& p) { return one_of(state) / f32(p.length); }
};

// A product of floats: a mantissa of two floats and an exponent, which no float could hold.
struct Power {
  f32 high;
  f32 low;
  i32 exponent;
};
inline Power normalized(f32 high, f32 low, i32 exponent) {
  Power power = {high, 0.0f, 0};
  if (high == 0.0f || is_nan(high) || is_inf(high)) return power;
  if (absolute(high) < 1.17549435e-38f) {
    high *= 16777216.0f;
    low *= 16777216.0f;
    exponent -= 24;
  }
  i32 excess = i32(bits_as<u32>(high) >> 23 & 0xffu) - 127;
  // The largest power of two has no normal inverse.
  if (excess == 127) excess = 126;
  f32 down = power_of_two(-excess);
  power.high = high * down;
  power.low = low * down;
  power.exponent = exponent + excess;
  return power;
}
template <> struct FoldProduct<f32> {
  typedef Power State;
  static Power none() {
    Power state = {1.0f, 0.0f, 0};
    return state;
  }
  static Power join(Power a, Power b) {
    Two product = two_product(a.high, b.high);
    f32 low = product.low + (a.high * b.low + a.low * b.high);
    Two sum = two_sum(product.high, low);
    if (is_nan(sum.high) || is_inf(sum.high)) return normalized(product.high, 0.0f, 0);
    return normalized(sum.high, sum.low, a.exponent + b.exponent);
  }
  static Power add(Power state, f32 x, u64, f32, constant ReduceParams&) {
    return join(state, normalized(x, 0.0f, 0));
  }
  static Power across(Place at, Power state, u32 mask) {
    Power other = {shuffle_xor(at, state.high, mask), shuffle_xor(at, state.low, mask),
                   shuffle_xor(at, state.exponent, mask)};
    return other;
  }
  static f32 finish(Power state, constant ReduceParams&) {
    f32 value = state.high + state.low;
    i32 left = state.exponent;
    if (left > 252) return value * infinity();
    if (left > 126) {
      value *= power_of_two(126);
      left -= 126;
    } else if (left < -126) {
      // Exact still: what follows rounds once.
      value *= power_of_two(-126);
      left += 126;
    }
    return left < -126 ? value * 0.0f : value * power_of_two(left);
  }
};

template <typename W> struct FoldAny : Max<u32> {
  static u32 add(u32 state, W x, u64, W, constant ReduceParams&) { return state | u32(x != W(0)); }
  static u8 finish(u32 state, constant ReduceParams&) { return u8(state); }
};
template <typename W> struct FoldAll : Min<u32> {
  static u32 none() { return 1; }
  static u32 add(u32 state, W x, u64, W, constant ReduceParams&) { return state & u32(x != W(0)); }
  static u8 finish(u32 state, constant ReduceParams&) { return u8(state); }
};

// A value and where it was first seen.
template <typename W> struct Found {
  W value;
  u64 index;
};
// The first place of the largest (or smallest) element; the first NaN if there is one.
template <typename W, bool largest> struct FoldPlace {
  typedef Found<W> State;
  static State none() {
    State state = {W(0), ~u64(0)};
    return state;
  }
  static bool before(State a, State b) {
    if (a.index == ~u64(0) || b.index == ~u64(0)) return b.index == ~u64(0);
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan;
    if (a_nan || a.value == b.value) return a.index < b.index;
    return largest ? a.value > b.value : a.value < b.value;
  }
  static State join(State a, State b) { return before(a, b) ? a : b; }
  // Elements come in the order of their indices: only a better one takes the place.
  static State add(State state, W x, u64 index, W, constant ReduceParams&) {
    bool better = largest ? x > state.value : x < state.value;
    bool nan = x != x && state.value == state.value;
    if (better || nan || state.index == ~u64(0)) {
      state.value = x;
      state.index = index;
    }
    return state;
  }
  static State across(Place at, State state, u32 mask) {
    State other = {shuffle_xor(at, state.value, mask), shuffle_xor(at, state.index, mask)};
    return other;
  }
  static i64 finish(State state, constant ReduceParams&) { return i64(state.index); }
};
template <typename W> struct FoldArgMax : FoldPlace<W, true> {};
template <typename W> struct FoldArgMin : FoldPlace<W, false> {};

// The variance: sums of distances from the first element and of their squares, all exact to two
// floats, so that what cancels in the end was never lost.
struct Moments {
  Two sum;
  Two squares;
};
template <typename W> struct FoldVariance {
  typedef Moments State;
  static State none() {
    State state = {Exact::none(), Exact::none()};
    return state;
  }
  static State join(State a, State b) {
    State state = {Exact::join(a.sum, b.sum), Exact::join(a.squares, b.squares)};
    return state;
  }
  static State add(State state, f32 x, u64, f32 first, constant ReduceParams&) {
    Two apart = two_sum(x, -first);
    Two square = two_product(apart.high, apart.high);
    square.low = fused(2.0f * apart.high, apart.low, square.low);
    state.sum = Exact::plus(state.sum, apart);
    state.squares = Exact::plus(state.squares, square);
    return state;
  }
  static State across(Place at, State state, u32 mask) {
    State other = {Exact::across(at, state.sum, mask), Exact::across(at, state.squares, mask)};
    return other;
  }
  static f32 finish(State state, constant ReduceParams& p) {
    f32 count = f32(p.length);
    if (is_inf(state.squares.high)) {
      return is_nan(state.sum.high) || is_inf(state.sum.high) ? not_a_number() : infinity();
    }
    // squares - sum * sum / count
    Two sum = two_sum(state.sum.high, state.sum.low);
    f32 mean = sum.high / count, rest = (fused(-mean, count, sum.high) + sum.low) / count;
    Two product = two_product(sum.high, mean);
    f32 low = product.low + (sum.high * rest + sum.low * mean);
    Two spread = two_sum(state.squares.high, -product.high);
    f32 squares = spread.high + (spread.low + state.squares.low - low);
    if (squares < 0.0f) squares = 0.0f;
    f32 freedom = count - p.argument;
    return squares / (freedom > 0.0f ? freedom : 0.0f);
  }
};

// Magnitudes, their count, and their largest.
template <typename W> struct FoldCount : Sum<u64> {
  static u64 add(u64 state, f32 x, u64, f32, constant ReduceParams&) {
    return state + u64(x != 0.0f);
  }
  static f32 finish(u64 state, constant ReduceParams&) { return f32(state); }
};
template <typename W> struct FoldTaxicab : Exact {
  static Two add(Two state, f32 x, u64, f32, constant ReduceParams&) {
    return plus(state, absolute(x));
  }
  static f32 finish(Two state, constant ReduceParams&) { return one_of(state); }
};
template <typename W> struct FoldLargest : Max<f32> {
  static f32 none() { return 0.0f; }
  static f32 add(f32 state, f32 x, u64, f32, constant ReduceParams&) {
    return Max<f32>::join(state, absolute(x));
  }
  static f32 finish(f32 state, constant ReduceParams&) { return state; }
};

// The Euclidean norm: squares of large, middling and small elements apart, each scaled to where
// squares neither overflow nor vanish.
struct Squares {
  Two large;
  Two middle;
  Two small;
};
template <typename W> struct FoldEuclid {
  typedef Squares State;
  FIXED f32 HIGH = 1.1258999068426240e15f;       // 2^50
  FIXED f32 LOW = 8.8817841970012523e-16f;       // 2^-50
  FIXED f32 SHRINK = 8.2718061255302767e-25f;    // 2^-80
  FIXED f32 GROW = 1.2676506002282294e30f;       // 2^100
  static State none() {
    State state = {Exact::none(), Exact::none(), Exact::none()};
    return state;
  }
  static State join(State a, State b) {
    State state = {Exact::join(a.large, b.large), Exact::join(a.middle, b.middle),
                   Exact::join(a.small, b.small)};
    return state;
  }
  static Two square(Two state, f32 x) { return Exact::plus(state, two_product(x, x)); }
  static State add(State state, f32 x, u64, f32, constant ReduceParams&) {
    f32 size = absolute(x);
    if (size >= LOW && size <= HIGH) {
      state.middle = square(state.middle, size);
    } else if (size < LOW) {
      state.small = square(state.small, size * GROW);
    } else {
      state.large = square(state.large, size * SHRINK);
    }
    return state;
  }
  static State across(Place at, State state, u32 mask) {
    State other = {Exact::across(at, state.large, mask), Exact::across(at, state.middle, mask),
                   Exact::across(at, state.small, mask)};
    return other;
  }
  static f32 root(Two square) {
    Two sum = two_sum(square.high, square.low);
    if (!(sum.high > 0.0f) || is_inf(sum.high)) return square.high;
    f32 root = sqrt_precise(sum.high);
    return root + (fused(-root, root, sum.high) + sum.low) / (2.0f * root);
  }
  static f32 finish(State state, constant ReduceParams&) {
    if (state.large.high != 0.0f) {
      // 2^-160, in two steps.
      f32 high = state.middle.high * SHRINK * SHRINK;
      return root(Exact::plus(state.large, high)) / SHRINK;
    }
    if (state.middle.high != 0.0f) {
      Two small = {state.small.high / GROW / GROW, 0.0f};
      return root(Exact::join(state.middle, small));
    }
    return root(state.small) / GROW;
  }
};

// Any other norm: the sum of powers of magnitudes, as shares of the largest so far.
struct Share {
  f32 top;
  f32 total;
  f32 power;
};
template <typename W> struct FoldNorm {
  typedef Share State;
  static Share none() {
    Share state = {0.0f, 0.0f, 0.0f};
    return state;
  }
  static Share across(Place at, Share state, u32 mask) {
    Share other = {shuffle_xor(at, state.top, mask), shuffle_xor(at, state.total, mask),
                   shuffle_xor(at, state.power, mask)};
    return other;
  }
  static f32 rescaled(Share state, f32 top, f32 power) {
    return state.top == top ? state.total : state.total * pow_precise(state.top / top, power);
  }
  static Share join(Share a, Share b) {
    f32 top = Max<f32>::join(a.top, b.top), power = Max<f32>::join(a.power, b.power);
    Share state = {top, rescaled(a, top, power) + rescaled(b, top, power), power};
    return state;
  }
  static Share add(Share state, f32 x, u64, f32, constant ReduceParams& p) {
    Share one = {absolute(x), 1.0f, p.argument};
    return join(state, one);
  }
  static f32 finish(Share state, constant ReduceParams& p) {
    return state.top * pow_precise(state.total, 1.0f / p.argument);
  }
};

// log(sum(exp(x))), from the largest.
template <typename W> struct FoldLogSumExp : JoinTopTotal {
  static TopTotal add(TopTotal state, f32 x, u64, f32, constant ReduceParams&) {
    f32 top = Max<f32>::join(state.top, x);
    TopTotal next = {top, rescaled(state, top) + term(x, origin_of(top))};
    return next;
  }
  static f32 finish(TopTotal state, constant ReduceParams&) {
    // An infinite top is the answer; adding its NaN total would hide it.
    return is_inf(state.top) ? state.top : state.top + log_total(state.total, state.top);
  }
};

// Several elements at once; the k-th has the index `from + k * step`.
template <typename Fold, typename W, u32 COUNT> struct Together {
  static typename Fold::State add(typename Fold::State state, thread const W* x, u64 from, u64 step,
                                  W first, constant ReduceParams& p) {
    UNROLL for (u32 k = 0; k < COUNT; ++k) state = Fold::add(state, x[k], from + k * step, first, p);
    return state;
  }
};

// Several values joined by an Op of tile/reduce.h, in no longer a chain than it takes.
template <typename Op, typename W, u32 COUNT> struct Tree {
  static W of(thread const W* x) {
    W low = Tree<Op, W, COUNT / 2>::of(x);
    return Op::join(low, Tree<Op, W, COUNT - COUNT / 2>::of(x + COUNT / 2));
  }
};
template <typename Op, typename W> struct Tree<Op, W, 1> {
  static W of(thread const W* x) { return x[0]; }
};
template <typename W, u32 COUNT> struct Together<FoldMax<W>, W, COUNT> {
  static W add(W state, thread const W* x, u64, u64, W, constant ReduceParams&) {
    return Max<W>::join(state, Tree<Max<W>, W, COUNT>::of(x));
  }
};
template <typename W, u32 COUNT> struct Together<FoldMin<W>, W, COUNT> {
  static W add(W state, thread const W* x, u64, u64, W, constant ReduceParams&) {
    return Min<W>::join(state, Tree<Min<W>, W, COUNT>::of(x));
  }
};
// A few floats are added up as they are: their sum loses no more than they could.
template <u32 COUNT> struct Together<FoldSum<f32>, f32, COUNT> {
  static Two add(Two state, thread const f32* x, u64, u64, f32, constant ReduceParams&) {
    return Exact::plus(state, Tree<Sum<f32>, f32, COUNT>::of(x));
  }
};
template <u32 COUNT>
struct Together<FoldMean<f32>, f32, COUNT> : Together<FoldSum<f32>, f32, COUNT> {};

// The best of several is seldom better than what was found before.
template <typename W, bool largest, u32 COUNT> struct PlaceTogether {
  typedef FoldPlace<W, largest> Fold;
  static Found<W> add(Found<W> state, thread const W* x, u64 from, u64 step, W,
                      constant ReduceParams&) {
    W best = largest ? Tree<Max<W>, W, COUNT>::of(x) : Tree<Min<W>, W, COUNT>::of(x);
    bool better = largest ? best > state.value : best < state.value;
    if (better || (best != best && state.value == state.value) || state.index == ~u64(0)) {
      state.value = best;
      UNROLL for (u32 k = COUNT; k-- > 0;) {
        if (x[k] == best || x[k] != x[k]) state.index = from + k * step;
      }
    }
    return state;
  }
};
template <typename W, u32 COUNT>
struct Together<FoldArgMax<W>, W, COUNT> : PlaceTogether<W, true, COUNT> {};
template <typename W, u32 COUNT>
struct Together<FoldArgMin<W>, W, COUNT> : PlaceTogether<W, false, COUNT> {};

}  // namespace wootz
