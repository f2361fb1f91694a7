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

template <typename T, u32 VEC, typename Team>
inline f32 sum_streamed(thread Team& team, device const T* x, u64 length, f32 over) {
  f32 sum = 0.0f;
  for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
    Pack<T, VEC> pack = load<VEC>(x + start);
    UNROLL for (u32 i = 0; i < VEC; ++i) sum += f32(pack.at[i]) / over;
  }
  return sum;
}

// What a row is centred on: its mean, or 0, which needs no sum.
struct Centred {
  enum : bool { CENTRED = true };
  template <typename Team> static f32 centre(thread Team& team, f32 sum, f32 share) {
    return reduce<Sum<f32>>(team, sum) * share;
  }
  template <typename T, u32 VEC, typename Team>
  static f32 total(thread Team& team, device const T* x, u64 length, f32 over) {
    return reduce<Sum<f32>>(team, sum_streamed<T, VEC>(team, x, length, over));
  }
  template <typename Team> static Spread spread(thread Team& team, Spread state) {
    return reduce<JoinSpread>(team, state);
  }
};
struct Uncentred {
  enum : bool { CENTRED = false };
  template <typename Team> static f32 centre(thread Team&, f32, f32) { return 0.0f; }
  template <typename T, u32 VEC, typename Team>
  static f32 total(thread Team&, device const T*, u64, f32) {
    return 0.0f;
  }
  template <typename Team> static Spread spread(thread Team& team, Spread state) {
    Spread all = {0.0f, reduce<Sum<f32>>(team, state.squares)};
    return all;
  }
};

// y = (x - shift) * scale
struct Line {
  f32 shift;
  f32 scale;
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
  Line line = {miss, 1.0f / sqrt_precise(variance + eps)};
  return line;
}
// The same of deviations that were scaled by `down`.
inline Line line_of(Spread all, f32 share, f32 eps, f32 down) {
  Line line = line_of(all, share, eps * down * down);
  line.shift /= down;
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
// (x - line.shift) * line.scale * weight + bias
template <typename Kind, typename T, u32 VEC>
inline void apply(thread f32* x, Line line, thread const Affine<T, VEC>& affine) {
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    f32 slope = line.scale * f32(affine.weight.at[i]), offset = f32(affine.bias.at[i]);
    x[i] = fused(x[i], slope, Kind::CENTRED ? fused(-line.shift, slope, offset) : offset);
  }
}

template <typename Kind, u32 VEC, typename T, u32 PACKS, typename Team>
inline Spread spread_held(thread Team& team, thread const Row<T, VEC, PACKS>& row, f32 down) {
  Spread state = JoinSpread::none();
  UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
    f32 apart = row.at[k] * down;
    state.sum += apart;
    state.squares = fused(apart, apart, state.squares);
  }
  return Kind::spread(team, state);
}

template <typename Kind, typename Whose, typename T, u32 VEC, u32 PACKS, typename Team>
inline void finish_row(thread Row<T, VEC, PACKS>& row, thread const Team& team, Line line,
                       device const T* weight, device const T* bias, device T* to, u32 length,
                       constant NormParams& p) {
  device T* mine = to + pack_start<VEC>(team, 0);
  UNROLL for (u32 j = 0; j < PACKS; ++j) {
    u32 start = pack_start<VEC>(team, j);
    if (start < length) {
      Affine<T, VEC> affine = affine_at<Whose, VEC>(weight, bias, start, p);
      apply<Kind>(row.at + j * VEC, line, affine);
      Pack<T, VEC> pack = narrow<T, VEC>(row.at + j * VEC);
      store<VEC>(mine + j * team.size * VEC, pack);
    }
  }
}

// What stands for a row once it is centred: elements that are not there are 0.
template <typename Kind, typename T, u32 VEC, u32 PACKS, typename Team>
inline void centre_row(thread Row<T, VEC, PACKS>& row, thread const Team& team, f32 centre,
                       u32 length) {
  if (!Kind::CENTRED) return;
  UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) row.at[k] -= centre;
  if (length == team.size * VEC * PACKS) return;
  UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
    if (pack_start<VEC>(team, k / VEC) >= length) row.at[k] = 0.0f;
  }
}

template <typename Kind, typename T, u32 VEC, u32 PACKS, typename Team>
inline void norm_row(thread Team& team, thread Row<T, VEC, PACKS>& row, device const T* weight,
                     device const T* bias, device T* to, u32 length, f32 share,
                     constant NormParams& p) {
  // A lane that holds little has room for what it multiplies by, and asks for it early.
  enum : bool { EARLY = VEC * PACKS <= 8 };
  Affine<T, VEC> early[PACKS];
  bool prepared = EARLY && p.packed;
  if (prepared) {
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u32 start = pack_start<VEC>(team, j);
      if (start < length) early[j] = affine_at<Own, VEC>(weight, bias, start, p);
    }
  }
  f32 centre = Kind::centre(team, fold<Sum<f32>>(row), share);
  if (any(team, is_inf(centre))) {
    // The sum was too large, which the mean need not be.
    f32 sum = 0.0f;
    UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) sum = fused(row.at[k], power_of_two(-32), sum);
    sum = Kind::centre(team, sum, share) * power_of_two(32);
    if (is_inf(centre)) centre = sum;
  }
  centre_row<Kind>(row, team, centre, length);
  Spread all = spread_held<Kind, VEC>(team, row, 1.0f);
  Line line = line_of(all, share, p.eps);
  bool unfit = !fits(all.squares, p.eps);
  if (any(team, unfit)) {
    f32 top = 0.0f;
    UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) top = Max<f32>::join(top, absolute(row.at[k]));
    f32 down = down_from(reduce<Max<f32>>(team, top));
    all = spread_held<Kind, VEC>(team, row, down);
    if (unfit) line = line_of(all, share, p.eps, down);
  }
  if (prepared) {
    UNROLL for (u32 j = 0; j < PACKS; ++j) apply<Kind>(row.at + j * VEC, line, early[j]);
    store_row(row, team, to, length);
  } else if (p.packed) {
    finish_row<Kind, Own>(row, team, line, weight, bias, to, length, p);
  } else {
    finish_row<Kind, Shared>(row, team, line, weight, bias, to, length, p);
  }
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
    load_row(row, team, end ? x + r * p.length : x, end, 0.0f);
    norm_row<Kind>(team, row, weight + group, bias + group, y + r * p.length, end, share, p);
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
    take_row(row, team, stage, length, 0.0f);
    if (next < p.rows) ask_row<VEC, PACKS>(team, stage, x + next * p.length, length);
    norm_row<Kind>(team, row, weight + group, bias + group, y + r * p.length, length, share, p);
  }
}

template <typename Kind, typename T, u32 VEC, typename Team>
inline Spread spread_streamed(thread Team& team, device const T* x, u64 length, f32 centre,
                              f32 down) {
  Spread state = JoinSpread::none();
  for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
    Pack<T, VEC> pack = load<VEC>(x + start);
    UNROLL for (u32 i = 0; i < VEC; ++i) {
      f32 apart = (f32(pack.at[i]) - centre) * down;
      state.sum += apart;
      state.squares = fused(apart, apart, state.squares);
    }
  }
  return Kind::spread(team, state);
}

template <typename Kind, typename T, typename Team, u32 VEC>
inline void norm_streamed(Place at, device const T* x, device const T* weight, device const T* bias,
                          device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  f32 length = f32(p.length), share = 1.0f / length;
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    u64 group = weights_of(r, p);
    device const T* from = x + r * p.length;
    f32 centre = Kind::template total<T, VEC>(team, from, p.length, 1.0f) * share;
    if (is_inf(centre)) centre = Kind::template total<T, VEC>(team, from, p.length, length);
    Spread all = spread_streamed<Kind, T, VEC>(team, from, p.length, centre, 1.0f);
    Line line = line_of(all, share, p.eps);
    if (!fits(all.squares, p.eps)) {
      f32 top = 0.0f;
      for (u64 i = team.rank; i < p.length; i += team.size) {
        top = Max<f32>::join(top, absolute(f32(from[i]) - centre));
      }
      f32 down = down_from(reduce<Max<f32>>(team, top));
      all = spread_streamed<Kind, T, VEC>(team, from, p.length, centre, down);
      line = line_of(all, share, p.eps, down);
    }
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      f32 values[VEC];
      UNROLL for (u32 i = 0; i < VEC; ++i) values[i] = f32(pack.at[i]) - centre;
      Affine<T, VEC> affine = p.packed ? affine_at<Own, VEC>(weight + group, bias + group, start, p)
                                       : affine_at<Shared, VEC>(weight + group, bias + group, start, p);
      apply<Kind>(values, line, affine);
      Pack<T, VEC> out = narrow<T, VEC>(values);
      store<VEC>(y + r * p.length + start, out);
    }
  }
}

}  // namespace wootz
