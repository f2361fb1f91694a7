// Reductions: rows (the reduced elements are neighbours), columns (they are a row apart), and any
// axes (they are wherever strides say).
//
// A Fold says what a reduction is: its State, `none`, `of(x, index)` for one element, `join`,
// `across` (see tile/reduce.h) and `finish(state, count)`. Elements come as wide<T>.

#include "tile/team.h"
#include "tile/walk.h"

namespace wootz {

// A Fold that joins elements as they are.
template <typename Op, typename W> struct Plain : Op {
  static W of(W x, u64) { return x; }
  static W finish(W state, u64) { return state; }
};
template <typename W> struct FoldSum : Plain<Sum<W>, W> {};
template <typename W> struct FoldProduct : Plain<Product<W>, W> {};
template <typename W> struct FoldMax : Plain<Max<W>, W> {};
template <typename W> struct FoldMin : Plain<Min<W>, W> {};

template <typename W> struct FoldMean : Sum<W> {
  static W of(W x, u64) { return x; }
  static W finish(W state, u64 count) { return state / W(count); }
};
// The Euclidean norm.
template <typename W> struct FoldNorm : Sum<W> {
  static W of(W x, u64) { return x * x; }
  static W finish(W state, u64) { return sqrt_precise(state); }
};
template <typename W> struct FoldAny : Max<u32> {
  static u32 of(W x, u64) { return x != W(0); }
  static u8 finish(u32 state, u64) { return u8(state); }
};
template <typename W> struct FoldAll : Min<u32> {
  static u32 none() { return 1; }
  static u32 of(W x, u64) { return x != W(0); }
  static u8 finish(u32 state, u64) { return u8(state); }
};

// A value and where it was first seen.
template <typename W> struct Found {
  W value;
  u64 index;
};
// The first place of the largest (or smallest) element; the first NaN if there is one.
template <typename W, bool largest> struct FoldArg {
  typedef Found<W> State;
  static State none() {
    State state = {W(0), ~u64(0)};
    return state;
  }
  static State of(W x, u64 index) {
    State state = {x, index};
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
  static State across(Place at, State state, u32 mask) {
    State other = {shuffle_xor(at, state.value, mask), shuffle_xor(at, state.index, mask)};
    return other;
  }
  static i64 finish(State state, u64) { return i64(state.index); }
};
template <typename W> struct FoldArgMax : FoldArg<W, true> {};
template <typename W> struct FoldArgMin : FoldArg<W, false> {};

// Count, mean and sum of squared differences from it; two of them join without cancellation.
struct Moments {
  f32 count;
  f32 mean;
  f32 squares;
};
struct JoinMoments {
  typedef Moments State;
  static Moments none() {
    Moments state = {0.0f, 0.0f, 0.0f};
    return state;
  }
  static Moments join(Moments a, Moments b) {
    f32 count = a.count + b.count;
    if (count == 0.0f) return a;
    f32 apart = b.mean - a.mean;
    // Symmetric in a and b, so that lanes agree on every bit.
    f32 mean = (a.count * a.mean + b.count * b.mean) / count;
    if (a.count == b.count) mean = 0.5f * a.mean + 0.5f * b.mean;
    f32 squares = (a.squares + b.squares) + apart * apart * (a.count * b.count / count);
    Moments state = {count, mean, squares};
    return state;
  }
  static Moments across(Place at, Moments s, u32 mask) {
    Moments other = {shuffle_xor(at, s.count, mask), shuffle_xor(at, s.mean, mask),
                     shuffle_xor(at, s.squares, mask)};
    return other;
  }
};

// Folds the elements that this lane has of a row.
template <typename Fold, typename T, u32 VEC, typename Team>
inline typename Fold::State fold_row(thread const Team& team, device const T* x, u64 length) {
  typename Fold::State state = Fold::none();
  for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
    Pack<T, VEC> pack = load<VEC>(x + start);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      state = Fold::join(state, Fold::of(widen(pack.at[i]), start + i));
    }
  }
  return state;
}

template <typename Fold, typename Out, typename T, typename Team, u32 VEC>
inline void reduce_rows(Place at, device const T* x, device Out* y, constant ReduceParams& p) {
  Team team = team_of<Team>(at);
  for (u64 row = team.row; row < p.outer; row += team.stride) {
    typename Fold::State state = fold_row<Fold, T, VEC>(team, x + row * p.length, p.length);
    state = reduce<Fold>(team, state);
    if (team.rank == 0) y[row] = Out(Fold::finish(state, p.length));
  }
}

// x is [outer, length, inner]: lanes side by side along `inner`, each folding its own column.
template <typename Fold, typename Out, typename T>
inline void reduce_columns(Place at, device const T* x, device Out* y, constant ReduceParams& p) {
  u64 total = p.outer * p.inner;
  for (u64 i = first_pack<u64>(at); i < total; i += pack_stride<u64>(at)) {
    u64 outer = i / p.inner;
    device const T* column = x + (outer * p.length * p.inner + (i - outer * p.inner));
    typename Fold::State state = Fold::none();
    for (u64 k = 0; k < p.length; ++k) {
      state = Fold::join(state, Fold::of(widen(column[k * p.inner]), k));
    }
    y[i] = Out(Fold::finish(state, p.length));
  }
}

// The variance of rows, divided by the length less p.correction, from the mean: two passes.
template <typename T, typename Team, u32 VEC>
inline void variance_rows(Place at, device const T* x, device T* y, constant ReduceParams& p) {
  Team team = team_of<Team>(at);
  for (u64 row = team.row; row < p.outer; row += team.stride) {
    device const T* from = x + row * p.length;
    f32 mean = reduce<Sum<f32>>(team, fold_row<FoldSum<f32>, T, VEC>(team, from, p.length));
    mean /= f32(p.length);
    f32 squares = 0.0f;
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        f32 apart = f32(pack.at[i]) - mean;
        squares += apart * apart;
      }
    }
    squares = reduce<Sum<f32>>(team, squares);
    if (team.rank == 0) y[row] = T(squares / (f32(p.length) - p.correction));
  }
}

template <typename T>
inline void variance_columns(Place at, device const T* x, device T* y, constant ReduceParams& p) {
  u64 total = p.outer * p.inner;
  for (u64 i = first_pack<u64>(at); i < total; i += pack_stride<u64>(at)) {
    u64 outer = i / p.inner;
    device const T* column = x + (outer * p.length * p.inner + (i - outer * p.inner));
    f32 mean = 0.0f, squares = 0.0f;
    for (u64 k = 0; k < p.length; ++k) mean += f32(column[k * p.inner]);
    mean /= f32(p.length);
    for (u64 k = 0; k < p.length; ++k) {
      f32 apart = f32(column[k * p.inner]) - mean;
      squares += apart * apart;
    }
    y[i] = T(squares / (f32(p.length) - p.correction));
  }
}

}  // namespace wootz
