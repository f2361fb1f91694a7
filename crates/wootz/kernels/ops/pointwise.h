// Elementwise ops of one, two and three operands: any strides, any broadcasting.
//
// An Op is a struct with `static Out of(...)` over elements as they are stored; the ops themselves
// are in unary.h and binary.h.

#include "ops/unary.h"
#include "ops/binary.h"
#include "tile/walk.h"

namespace wootz {

template <typename Op, typename Out, typename T, u32 VEC, typename Index>
inline void pointwise1(Place at, device const T* x, device Out* y, constant WalkParams& p) {
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<2> spot = locate<2, VEC>(i, p);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<Out, VEC> out;
    UNROLL for (u32 k = 0; k < VEC; ++k) out.at[k] = Op::of(a.at[k]);
    put_pack(y + spot.offset[0], out, inner_stride(p, 0), spot.count);
  }
}

template <typename Op, typename Out, typename T, u32 VEC, typename Index>
inline void pointwise2(Place at, device const T* x, device const T* z, device Out* y,
                       constant WalkParams& p) {
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<3> spot = locate<3, VEC>(i, p);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<T, VEC> b = fetch<VEC>(z + spot.offset[2], inner_stride(p, 2), spot.count);
    Pack<Out, VEC> out;
    UNROLL for (u32 k = 0; k < VEC; ++k) out.at[k] = Op::of(a.at[k], b.at[k]);
    put_pack(y + spot.offset[0], out, inner_stride(p, 0), spot.count);
  }
}

// p.floats[0] * x + p.floats[1] * z; a factor of zero leaves z out, whatever it is.
template <typename T, u32 VEC, typename Index>
inline void blend(Place at, device const T* x, device const T* z, device T* y,
                  constant WalkParams& p) {
  f32 alpha = p.floats[0], beta = p.floats[1];
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<3> spot = locate<3, VEC>(i, p);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<T, VEC> b = fetch<VEC>(z + spot.offset[2], inner_stride(p, 2), spot.count);
    UNROLL for (u32 k = 0; k < VEC; ++k) {
      f32 value = alpha * f32(a.at[k]);
      a.at[k] = T(beta == 0.0f ? value : fused(beta, f32(b.at[k]), value));
    }
    put_pack(y + spot.offset[0], a, inner_stride(p, 0), spot.count);
  }
}

// where(condition, x, z)
template <typename T, u32 VEC, typename Index>
inline void choose(Place at, device const u8* condition, device const T* x, device const T* z,
                   device T* y, constant WalkParams& p) {
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<4> spot = locate<4, VEC>(i, p);
    Pack<u8, VEC> c = fetch<VEC>(condition + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[2], inner_stride(p, 2), spot.count);
    Pack<T, VEC> b = fetch<VEC>(z + spot.offset[3], inner_stride(p, 3), spot.count);
    UNROLL for (u32 k = 0; k < VEC; ++k) a.at[k] = c.at[k] != 0 ? a.at[k] : b.at[k];
    put_pack(y + spot.offset[0], a, inner_stride(p, 0), spot.count);
  }
}

// x kept inside p.wholes (or for floats p.floats) 0 and 1; a NaN stays one.
template <typename W> struct Bounds {
  static W low(constant WalkParams& p) { return W(p.wholes[0]); }
  static W high(constant WalkParams& p) { return W(p.wholes[1]); }
};
template <> struct Bounds<f32> {
  static f32 low(constant WalkParams& p) { return p.floats[0]; }
  static f32 high(constant WalkParams& p) { return p.floats[1]; }
};
template <typename T, u32 VEC, typename Index>
inline void clamp(Place at, device const T* x, device T* y, constant WalkParams& p) {
  wide<T> low = Bounds<wide<T>>::low(p), high = Bounds<wide<T>>::high(p);
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<2> spot = locate<2, VEC>(i, p);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[1], inner_stride(p, 1), spot.count);
    UNROLL for (u32 k = 0; k < VEC; ++k) {
      wide<T> value = widen(a.at[k]);
      if (value < low) value = low;
      if (value > high) value = high;
      a.at[k] = T(value);
    }
    put_pack(y + spot.offset[0], a, inner_stride(p, 0), spot.count);
  }
}

}  // namespace wootz
