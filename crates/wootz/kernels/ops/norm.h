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
  template <typename Team> static f32 centre(thread Team& team, f32 sum, f32 length) {
    return reduce<Sum<f32>>(team, sum) / length;
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
inline Line line_of(Spread all, f32 length, f32 eps) {
  f32 miss = all.sum / length;
  f32 variance = all.squares / length - miss * miss;
  if (variance < 0.0f) variance = 0.0f;
  Line line = {miss, 1.0f / sqrt_precise(variance + eps)};
  return line;
}
// The same of deviations that were scaled by `down`.
inline Line line_of(Spread all, f32 length, f32 eps, f32 down) {
  Line line = line_of(all, length, eps * down * down);
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

// The weights, or biases, of VEC neighbours from `index` on.
template <u32 VEC, typename T>
inline Pack<T, VEC> fetch_affine(device const T* from, u64 index, constant NormParams& p) {
  if (VEC > 1 && p.packed) return load<VEC>(from + index);
  Pack<T, VEC> pack;
  UNROLL for (u32 i = 0; i < VEC; ++i) {
    pack.at[i] = from[p.inner == 1 ? index + i : (index + i) / p.inner];
  }
  return pack;
}
template <u32 VEC, typename T>
inline void affine(thread f32* x, device const T* weight, device const T* bias, u64 index,
                   constant NormParams& p) {
  if (p.has_weight) {
    Pack<T, VEC> pack = fetch_affine<VEC>(weight, index, p);
    UNROLL for (u32 i = 0; i < VEC; ++i) x[i] *= f32(pack.at[i]);
  }
  if (p.has_bias) {
    Pack<T, VEC> pack = fetch_affine<VEC>(bias, index, p);
    UNROLL for (u32 i = 0; i < VEC; ++i) x[i] += f32(pack.at[i]);
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

template <typename Kind, typename T, typename Team, u32 VEC, u32 PACKS>
inline void norm_held(Place at, device const T* x, device const T* weight, device const T* bias,
                      device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  f32 length = f32(p.length);
  for (u64 step = 0; team.first + step < p.rows; step += team.stride) {
    u64 r = team.row + step, end = r < p.rows ? p.length : 0;
    u64 group = p.groups == 1 ? 0 : (r % p.groups) * p.weights;
    Row<T, VEC, PACKS> row;
    load_row(row, team, end ? x + r * p.length : x, end, 0.0f);
    f32 centre = Kind::centre(team, fold<Sum<f32>>(row), length);
    if (any(team, is_inf(centre))) {
      f32 sum = 0.0f;
      UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) sum += row.at[k] / length;
      sum = Kind::centre(team, sum, 1.0f);
      if (is_inf(centre)) centre = sum;
    }
    UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
      bool inside = pack_start<VEC>(team, k / VEC) < end;
      row.at[k] = inside ? row.at[k] - centre : 0.0f;
    }
    Spread all = spread_held<Kind, VEC>(team, row, 1.0f);
    Line line = line_of(all, length, p.eps);
    bool unfit = !fits(all.squares, p.eps);
    if (any(team, unfit)) {
      f32 top = 0.0f;
      UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) top = Max<f32>::join(top, absolute(row.at[k]));
      f32 down = down_from(reduce<Max<f32>>(team, top));
      all = spread_held<Kind, VEC>(team, row, down);
      if (unfit) line = line_of(all, length, p.eps, down);
    }
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u64 start = pack_start<VEC>(team, j);
      if (start < end) {
        thread f32* values = row.at + j * VEC;
        UNROLL for (u32 i = 0; i < VEC; ++i) values[i] = (values[i] - line.shift) * line.scale;
        affine<VEC>(values, weight + group, bias + group, start, p);
        Pack<T, VEC> pack = narrow<T, VEC>(values);
        store<VEC>(y + r * p.length + start, pack);
      }
    }
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
  f32 length = f32(p.length);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    u64 group = (r % p.groups) * p.weights;
    device const T* from = x + r * p.length;
    f32 centre = Kind::template total<T, VEC>(team, from, p.length, 1.0f) / length;
    if (is_inf(centre)) centre = Kind::template total<T, VEC>(team, from, p.length, length);
    Spread all = spread_streamed<Kind, T, VEC>(team, from, p.length, centre, 1.0f);
    Line line = line_of(all, length, p.eps);
    if (!fits(all.squares, p.eps)) {
      f32 top = 0.0f;
      for (u64 i = team.rank; i < p.length; i += team.size) {
        top = Max<f32>::join(top, absolute(f32(from[i]) - centre));
      }
      f32 down = down_from(reduce<Max<f32>>(team, top));
      all = spread_streamed<Kind, T, VEC>(team, from, p.length, centre, down);
      line = line_of(all, length, p.eps, down);
    }
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      f32 values[VEC];
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        values[i] = ((f32(pack.at[i]) - centre) - line.shift) * line.scale;
      }
      affine<VEC>(values, weight + group, bias + group, start, p);
      Pack<T, VEC> out = narrow<T, VEC>(values);
      store<VEC>(y + r * p.length + start, out);
    }
  }
}

}  // namespace wootz
