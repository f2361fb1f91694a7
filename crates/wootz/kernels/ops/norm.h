// layer_norm, rms_norm and group_norm over the rows of a matrix.
//
//   layer, group: (x - mean) / sqrt(var + eps) * weight + bias
//   rms:           x / sqrt(mean(x * x) + eps) * weight
//
// Row r uses the weights from (r % p.groups) * p.weights on; `p.inner` neighbours share one. For
// layer_norm and rms_norm that is one group and a weight for each element; for group_norm a group
// is its channels' weights, and a channel's pixels share one.

#include "tile/row.h"

namespace wootz {

// What a row is centred on: its mean, or 0, which needs no sum.
struct Centred {
  template <typename T, u32 VEC, u32 PACKS, typename Team>
  static f32 held(thread Team& team, thread const Row<T, VEC, PACKS>& row, f32 length) {
    return reduce<Sum<f32>>(team, fold<Sum<f32>>(row)) / length;
  }
  template <typename T, u32 VEC, typename Team>
  static f32 streamed(thread Team& team, device const T* x, u64 length) {
    f32 sum = 0.0f;
    for (u64 start = u64(team.rank) * VEC; start < length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(x + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) sum += f32(pack.at[i]);
    }
    return reduce<Sum<f32>>(team, sum) / f32(length);
  }
};
struct Uncentred {
  template <typename T, u32 VEC, u32 PACKS, typename Team>
  static f32 held(thread Team&, thread const Row<T, VEC, PACKS>&, f32) {
    return 0.0f;
  }
  template <typename T, u32 VEC, typename Team>
  static f32 streamed(thread Team&, device const T*, u64) {
    return 0.0f;
  }
};

template <typename T>
inline f32 affine(f32 x, device const T* weight, device const T* bias, u64 index,
                  constant NormParams& p) {
  u64 i = p.inner == 1 ? index : index / p.inner;
  if (p.has_weight) x *= f32(weight[i]);
  if (p.has_bias) x += f32(bias[i]);
  return x;
}

template <typename Kind, typename T, typename Team, u32 VEC, u32 PACKS>
inline void norm_held(Place at, device const T* x, device const T* weight, device const T* bias,
                      device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  f32 length = f32(p.length);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    u64 group = (r % p.groups) * p.weights;
    Row<T, VEC, PACKS> row;
    load_row(row, team, x + r * p.length, p.length, 0.0f);
    f32 centre = Kind::held(team, row, length);
    f32 squares = 0.0f;
    UNROLL for (u32 k = 0; k < VEC * PACKS; ++k) {
      bool inside = pack_start<VEC>(team, k / VEC) < p.length;
      row.at[k] -= centre;
      squares += inside ? row.at[k] * row.at[k] : 0.0f;
    }
    squares = reduce<Sum<f32>>(team, squares);
    f32 scale = 1.0f / sqrt_precise(squares / length + p.eps);
    UNROLL for (u32 j = 0; j < PACKS; ++j) {
      u64 start = pack_start<VEC>(team, j);
      if (start < p.length) {
        UNROLL for (u32 i = 0; i < VEC; ++i) {
          u32 k = j * VEC + i;
          row.at[k] = affine(row.at[k] * scale, weight + group, bias + group, start + i, p);
        }
      }
    }
    store_row(row, team, y + r * p.length, p.length);
  }
}

template <typename Kind, typename T, typename Team, u32 VEC>
inline void norm_streamed(Place at, device const T* x, device const T* weight, device const T* bias,
                          device T* y, constant NormParams& p) {
  Team team = team_of<Team>(at);
  f32 length = f32(p.length);
  for (u64 r = team.row; r < p.rows; r += team.stride) {
    u64 group = (r % p.groups) * p.weights;
    device const T* from = x + r * p.length;
    f32 centre = Kind::template streamed<T, VEC>(team, from, p.length), squares = 0.0f;
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        f32 apart = f32(pack.at[i]) - centre;
        squares += apart * apart;
      }
    }
    squares = reduce<Sum<f32>>(team, squares);
    f32 scale = 1.0f / sqrt_precise(squares / length + p.eps);
    for (u64 start = u64(team.rank) * VEC; start < p.length; start += u64(team.size) * VEC) {
      Pack<T, VEC> pack = load<VEC>(from + start);
      UNROLL for (u32 i = 0; i < VEC; ++i) {
        f32 value = (f32(pack.at[i]) - centre) * scale;
        pack.at[i] = T(affine(value, weight + group, bias + group, start + i, p));
      }
      store<VEC>(y + r * p.length + start, pack);
    }
  }
}

}  // namespace wootz
