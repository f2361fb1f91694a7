// layer_norm, rms_norm and group_norm over the rows of a matrix.
//
//   layer, group: (x - mean) / sqrt(var + eps) * weight + bias
//   rms:           x / sqrt(mean(x * x) + eps) * weight
//
// Row r uses the weights from (r % p.groups) * p.weights on; `p.inner` neighbours share one. For
// layer_norm and rms_norm that is one group and a weight for each element; for group_norm a group
// is its channels' weights, and a channel's pixels share one.
//
// A mean of rounded sums misses the true one by a little, which matters to values far from zero.
// So the deviations from it are summed as well, and what that sum shows is taken off again.

#include "tile/row.h"

namespace wootz {

// Sums over a row of deviations from a centre.
struct Spread {
  f32 sum;
  f32 squares;
};
struct JoinSpread {
  typedef Spread State;
  static Spread none() {
    Spread state = {0.0f, 0.0f};
    return state;
  }
  static Spread join(Spread a, Spread b) {
    Spread state = {a.sum + b.sum, a.squares + b.squares};
    return state;
  }
  static Spread across(Place at, Spread state, u32 mask) {
    Spread other = {shuffle_xor(at, state.sum, mask), shuffle_xor(at, state.squares, mask)};
    return other;
  }
};

// What a row is centred on: its mean, or 0, which needs no sum.
struct Centred {
  enum : bool { CENTRED = true };
  template <typename Team> static f32 centre(thread Team& team, f32 sum, f32 share) {
    return reduce<Sum<f32>>(team, sum) * share;
  }
  template <typename Team> static Spread spread(thread Team& team, Spread state) {
    return reduce<JoinSpread>(team, state);
  }
};
struct Uncentred {
  enum : bool { CENTRED = false };
  template <typename Team> static f32 centre(thread Team&, f32, f32) { return 0.0f; }
  template <typename Team> static Spread spread(thread Team& team, Spread state) {
    Spread all = {0.0f, reduce<Sum<f32>>(team, state.squares)};
    return all;
  }
};

// y = x * scale + offset
struct Line {
  f32 scale;
  f32 offset;
};

// Whether the sum of squares is of a size that f32 can hold well.
inline bool fits(f32 squares, f32 eps) {
  return squares < 1e37f && (squares > 1e-30f || eps > 1e-20f);
}
// An element's share of a sum is 1 / length.
inline Line line_of(Spread all, f32 share, f32 eps) {
  f32 miss = all.sum * share;
  f32 variance = fused(all.squares, share, -(miss * miss));
  if (variance < 0.0f) variance = 0.0f;
  f32 scale = 1.0f / sqrt_precise(variance + eps);
  Line line = {scale, -miss * scale};
  return line;
}
// The same of deviations that were scaled by `down`.
inline Line line_of(Spread all, f32 share, f32 eps, f32 down) {
  Line line = line_of(all, share, eps * down * down);
  line.scale *= down;
  return line;
}
// A power of two that brings the largest deviation near to 1.
inline f32 down_from(f32 top) {
  if (!(top > 0.0f) || is_inf(top)) return 1.0f;
  i32 exponent = i32(bits_as<u32>(top) >> 23) - 127;
  return power_of_two(exponent > 126 ? -126 : exponent < -126 ? 126 : -exponent);
}

// The weights and biases of VEC neighbours from `index` on: their own, or one for all of them.
template <typename T, u32 VEC> struct Affine {
  Pack<T, VEC> weight, bias;
};
struct Own {
  template <u32 VEC, typename T>
  static Pack<T, VEC> fetch(device const T* from, u64 index, constant NormParams&) {
    return load<VEC>(from + index);
  }
};
struct Shared {
  template <u32 VEC, typename T>
  static Pack<T, VEC> fetch(device const T* from, u64 index, constant NormParams& p) {
    return splat<VEC>(from[u32(index) / u32(p.inner)]);
  }
};
template <typename Whose, u32 VEC, typename T>
inline Affine<T, VEC> affine_at(device const T* weight, device const T* bias, u64 index,
                                constant NormParams& p) {
  Affine<T, VEC> affine = {splat<VEC>(T(1.0f)), splat<VEC>(T(0.0f))};
  if (p.has_weight) affine.weight = Whose::template fetch<VEC>(weight, index, p);
  if (p.has_bias) affine.bias = Whose::template fetch<VEC>(bias, index, p);
  return affine;
}
// (x * line.scale + line.offset) * weight + bias; what is not centred has neither summand.
template <typename Kind, typename T, u32 VEC>
inline void apply(thread f32* x, Line line, thread const Affine<T, VEC>& affine) {
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    f32 weight = f32(affine.weight.at[i]);
    x[i] = Kind::CENTRED ? fused(fused(x[i], line.scale, line.offset), weight, f32(affine.bias.at[i]))
                         : x[i] * line.scale * weight;
  }
}

// What is added up over a row in memory, of elements `down` times their distance from a centre.
template <typename T, u32 VEC, typename Team>
inline Spread spread_streamed(thread const Team& team, device const T* x, u64 length, f32 centre,
                              f32 down) {
  Spread state = JoinSpread::none();
  ROLLED for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
    Pack<T, VEC> pack = load<VEC>(x + start);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      f32 apart = (f32(pack.at[i]) - centre) * down;
      state.sum += apart;
      state.squares = fused(apart, apart, state.squares);
    }
  }
  return state;
}

// A row that is read from memory again and again: one that is too long to hold, or whose sums ask for a
// better centre or scale.
template <typename Kind, u32 VEC, typename T, typename Team>
inline void stream_row(thread Team& team, device const T* from, device const T* weight,
                       device const T* bias, device T* to, u64 length, constant NormParams& p) {
  f32 share = 1.0f / f32(p.length);
  Spread first = spread_streamed<T, VEC>(team, from, length, 0.0f, 1.0f);
  f32 centre = Kind::centre(team, first.sum, share);
  if (any(team, is_inf(centre))) {
    // The sum was too large, which the mean need not be.
    first = spread_streamed<T, VEC>(team, from, length, 0.0f, power_of_two(-32));
    f32 mean = Kind::centre(team, first.sum, share) * power_of_two(32);
    if (is_inf(centre)) centre = mean;
  }
  Spread all = Kind::spread(team, spread_streamed<T, VEC>(team, from, length, centre, 1.0f));
  Line line = line_of(all, share, p.eps);
  bool unfit = !fits(all.squares, p.eps);
  if (any(team, unfit)) {
    f32 top = 0.0f;
    ROLLED for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) top = Max<f32>::join(top, absolute(f32(pack.at[i]) - centre));
    }
    f32 down = down_from(reduce<Max<f32>>(team, top));
    all = Kind::spread(team, spread_streamed<T, VEC>(team, from, length, centre, down));
    if (unfit) line = line_of(all, share, p.eps, down);
  }
  ROLLED for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
    Pack<T, VEC> pack = load<VEC>(from + start);
    f32 values[VEC];
    UNROLL for (u32 i = 0; i < VEC; ++i) values[i] = f32(pack.at[i]) - centre;
    Affine<T, VEC> affine = p.packed ? affine_at<Own, VEC>(weight, bias, start, p)
                                     : affine_at<Shared, VEC>(weight, bias, start, p);
    apply<Kind>(values, line, affine);
    pack = narrow<T, VEC>(values);
    store<VEC>(to + start, pack);
  }
}

// Whether sums from 0 do, so that one look at the row is enough: for no mean; and for results of half
// width, whose rounding hides what is lost where the mean's square is no more than 16 variances.
template <typename Kind, typename T> struct Once {
  enum : bool { ENOUGH = !Kind::CENTRED || sizeof(T) == 2 };
};
inline bool is_near(Spread all, f32 share) {
  f32 mean = all.sum * share, square = all.squares * share;
  return mean * mean <= 16.0f * (square - mean * mean);
}

// Sums over a row in registers, where what is not there is 0, of distances from a centre.
template <typename T, u32 VEC, u32 PACKS, typename Team>
inline Spread spread_held(thread const Team& team, thread const Row<T, VEC, PACKS>& row, f32 centre,
                          u32 length) {
  Spread state = JoinSpread::none();
  bool whole = length == team.size * VEC * PACKS;
  UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
    f32 apart = value(row, k) - centre;
    if (!whole && pack_start<VEC>(team, k / VEC) >= length) apart = 0.0f;
    state.sum += apart;
    state.squares = fused(apart, apart, state.squares);
  }
  return state;
}
template <typename T, u32 VEC, u32 PACKS>
inline Spread spread_held(thread const Row<T, VEC, PACKS>& row) {
  Spread state = JoinSpread::none();
  UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
    f32 x = value(row, k);
    state.sum += x;
    state.squares = fused(x, x, state.squares);
  }
  return state;
}

template <typename Kind, typename Whose, typename T, u32 VEC, u32 PACKS, typename Team>
inline void finish_row(thread const Row<T, VEC, PACKS>& row, thread const Team& team, f32 centre,
                       Line line, device const T* weight, device const T* bias, device T* to,
                       u32 length, constant NormParams& p) {
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    u32 start = pack_start<VEC>(team, j);
    if (start < length) {
      Affine<T, VEC> affine = affine_at<Whose, VEC>(weight, bias, start, p);
      f32 values[VEC];
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        values[i] = anew(row, j * VEC + i);
        if (!Once<Kind, T>::ENOUGH) values[i] -= centre;
      }
      apply<Kind>(values, line, affine);
      store_pack<VEC>(team, to, j, values, length);
    }
  }
}

template <typename Kind, typename T, u32 VEC, u32 PACKS, typename Team>
inline void norm_row(thread Team& team, thread const Row<T, VEC, PACKS>& row, device const T* from,
                     device const T* weight, device const T* bias, device T* to, u32 length, f32 share,
                     constant NormParams& p) {
  // A lane that holds little has room for what it multiplies by, and asks for it early.
  enum : bool { EARLY = VEC * PACKS <= 8, ONCE = Once<Kind, T>::ENOUGH };
  Affine<T, VEC> early[PACKS];
  bool prepared = EARLY && p.packed;
  if (prepared) {
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u32 start = pack_start<VEC>(team, j);
      if (start < length) early[j] = affine_at<Own, VEC>(weight, bias, start, p);
    }
  }
  f32 centre = ONCE ? 0.0f : Kind::centre(team, fold<Sum<f32>>(row), share);
  Spread all = Kind::spread(team, ONCE ? spread_held(row) : spread_held(team, row, centre, length));
  Line line = line_of(all, share, p.eps);
  bool done = fits(all.squares, p.eps) && (!ONCE || is_near(all, share));
  u32 finished = done ? length : 0;
  if (prepared) {
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      f32 values[VEC];
      UNROLL for (u32 i = 0; i < VEC; ++i) values[i] = value(row, j * VEC + i) - centre;
      apply<Kind>(values, line, early[j]);
      store_pack<VEC>(team, to, j, values, finished);
    }
  } else if (p.packed) {
    finish_row<Kind, Own>(row, team, centre, line, weight, bias, to, finished, p);
  } else {
    finish_row<Kind, Shared>(row, team, centre, line, weight, bias, to, finished, p);
  }
  if (any(team, !done)) stream_row<Kind, VEC>(team, from, weight, bias, to, length - finished, p);
}

// The first weight of row r.
inline u64 weights_of(u64 r, constant NormParams& p) {
  return p.groups == 1 ? 0 : r % p.groups * p.weights;
}

template <typename Kind, typename T, typename Team, u32 VEC, u32 PACKS>
inline void norm_held(Place at, device const T* x, device const T* weight, device const T* bias,
                      device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  f32 share = 1.0f / f32(p.length);
  for (u64 step = 0; team.first + step < p.rows; step += team.stride) {
    u64 r = team.row + step, group = weights_of(r, p);
    u32 end = r < p.rows ? u32(p.length) : 0;
    Row<T, VEC, PACKS> row;
    device const T* from = end ? x + r * p.length : x;
    load_row(row, team, from, end, T(0.0f));
    norm_row<Kind>(team, row, from, weight + group, bias + group, y + r * p.length, end, share, p);
  }
}

// The same, where the next row comes while this one is worked on.
template <typename Kind, typename T, typename Team, u32 VEC, u32 PACKS>
inline void norm_ahead(Place at, device const T* x, device const T* weight, device const T* bias,
                       device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  scratch T* stage = scratch_at<T>(at, STAGE);
  u32 length = u32(p.length);
  f32 share = 1.0f / f32(p.length);
  if (team.row < p.rows) ask_row<VEC, PACKS>(team, stage, x + team.row * p.length, length);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    u64 group = weights_of(r, p), next = r + team.stride;
    Row<T, VEC, PACKS> row;
    take_row(row, team, stage, length, T(0.0f));
    if (next < p.rows) ask_row<VEC, PACKS>(team, stage, x + next * p.length, length);
    norm_row<Kind>(team, row, x + r * p.length, weight + group, bias + group, y + r * p.length, length,
                   share, p);
  }
}

template <typename Kind, typename T, typename Team, u32 VEC>
inline void norm_streamed(Place at, device const T* x, device const T* weight, device const T* bias,
                          device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    u64 group = weights_of(r, p);
    stream_row<Kind, VEC>(team, x + r * p.length, weight + group, bias + group, y + r * p.length, p.length, p);
  }
}

}  // namespace wootz
