// Elementwise ops of one, two and three operands: any strides, any broadcasting.
//
// An Op is a struct with `static Out of(...)` over elements; the ops themselves are in unary.h and
// binary.h.

#include "ops/unary.h"
#include "ops/binary.h"
#include "tile/walk.h"

namespace wootz {

// An Op over packs. What stays a half-width float is computed in f32 and rounded two at a time.
template <typename Op, typename Out, typename T, u32 VEC> struct Each {
  static Pack<Out, VEC> of(thread const Pack<T, VEC>& a) {
    Pack<Out, VEC> out;
    UNROLL for (u32 k = 0; k < VEC; ++k) out.at[k] = Op::of(a.at[k]);
    return out;
  }
  static Pack<Out, VEC> of(thread const Pack<T, VEC>& a, thread const Pack<T, VEC>& b) {
    Pack<Out, VEC> out;
    UNROLL for (u32 k = 0; k < VEC; ++k) out.at[k] = Op::of(a.at[k], b.at[k]);
    return out;
  }
};
template <typename Op, typename T, u32 VEC> struct EachHalf {
  static Pack<T, VEC> of(thread const Pack<T, VEC>& a) {
    f32 out[VEC];
    UNROLL for (u32 k = 0; k < VEC; ++k) out[k] = Widened<Op, T>::of(f32(a.at[k]));
    return narrow<T, VEC>(out);
  }
  static Pack<T, VEC> of(thread const Pack<T, VEC>& a, thread const Pack<T, VEC>& b) {
    f32 out[VEC];
    UNROLL for (u32 k = 0; k < VEC; ++k) out[k] = Op::of(f32(a.at[k]), f32(b.at[k]));
    return narrow<T, VEC>(out);
  }
};
template <typename Op, u32 VEC> struct Each<Op, f16, f16, VEC> : EachHalf<Op, f16, VEC> {};
template <typename Op, u32 VEC> struct Each<Op, bf16, bf16, VEC> : EachHalf<Op, bf16, VEC> {};

template <typename Op, typename Out, typename T, u32 VEC, typename Index>
inline void pointwise1(Place at, device const T* x, device Out* y, constant WalkParams& p) {
  if (VEC > 1 && p.flat) {
    for (u64 first = first_flat(at); first < p.total; first += flat_stride(at)) {
      Pack<T, VEC> a[FLAT_PACKS];
      Pack<Out, VEC> out[FLAT_PACKS];
      load_flat(at, a, x, first, p.total);
      UNROLL for (u32 j = 0; j < FLAT_PACKS; ++j) out[j] = Each<Op, Out, T, VEC>::of(a[j]);
      store_flat(at, out, y, first, p.total);
    }
    return;
  }
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<2> spot = locate<2, VEC>(i, p);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<Out, VEC> out = Each<Op, Out, T, VEC>::of(a);
    put_pack(y + spot.offset[0], out, spot.count);
  }
}

template <typename Op, typename Out, typename T, u32 VEC, typename Index>
inline void pointwise2(Place at, device const T* x, device const T* z, device Out* y,
                       constant WalkParams& p) {
  if (VEC > 1 && p.flat) {
    for (u64 first = first_flat(at); first < p.total; first += flat_stride(at)) {
      Pack<T, VEC> a[FLAT_PACKS], b[FLAT_PACKS];
      Pack<Out, VEC> out[FLAT_PACKS];
      load_flat(at, a, x, first, p.total);
      load_flat(at, b, z, first, p.total);
      UNROLL for (u32 j = 0; j < FLAT_PACKS; ++j) out[j] = Each<Op, Out, T, VEC>::of(a[j], b[j]);
      store_flat(at, out, y, first, p.total);
    }
    return;
  }
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<3> spot = locate<3, VEC>(i, p);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<T, VEC> b = fetch<VEC>(z + spot.offset[2], inner_stride(p, 2), spot.count);
    Pack<Out, VEC> out = Each<Op, Out, T, VEC>::of(a, b);
    put_pack(y + spot.offset[0], out, spot.count);
  }
}

// where(condition, x, z)
template <u32 VEC, typename T>
inline Pack<T, VEC> chosen(thread const Pack<u8, VEC>& condition, thread const Pack<T, VEC>& a,
                           thread const Pack<T, VEC>& b) {
  Pack<T, VEC> out;
  UNROLL for (u32 k = 0; k < VEC; ++k) out.at[k] = condition.at[k] != 0 ? a.at[k] : b.at[k];
  return out;
}
template <typename T, u32 VEC, typename Index>
inline void choose(Place at, device const u8* condition, device const T* x, device const T* z,
                   device T* y, constant WalkParams& p) {
  if (VEC > 1 && p.flat) {
    for (u64 first = first_flat(at); first < p.total; first += flat_stride(at)) {
      Pack<u8, VEC> c[FLAT_PACKS];
      Pack<T, VEC> a[FLAT_PACKS], b[FLAT_PACKS];
      load_flat(at, c, condition, first, p.total);
      load_flat(at, a, x, first, p.total);
      load_flat(at, b, z, first, p.total);
      UNROLL for (u32 j = 0; j < FLAT_PACKS; ++j) a[j] = chosen(c[j], a[j], b[j]);
      store_flat(at, a, y, first, p.total);
    }
    return;
  }
  for (Index i = first_of_lane<Index>(at); i < Index(p.total); i += lane_stride<Index>(at)) {
    Spot<4> spot = locate<4, VEC>(i, p);
    Pack<u8, VEC> c = fetch<VEC>(condition + spot.offset[1], inner_stride(p, 1), spot.count);
    Pack<T, VEC> a = fetch<VEC>(x + spot.offset[2], inner_stride(p, 2), spot.count);
    Pack<T, VEC> b = fetch<VEC>(z + spot.offset[3], inner_stride(p, 3), spot.count);
    Pack<T, VEC> out = chosen(c, a, b);
    put_pack(y + spot.offset[0], out, spot.count);
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
    put_pack(y + spot.offset[0], a, spot.count);
  }
}

}  // namespace wootz
