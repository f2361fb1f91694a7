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

// A body: what becomes of a pack of each operand.
template <typename Op, typename Out, typename T, u32 VEC> struct Of1 {
  enum : u32 { OPERANDS = 1 };
  static Pack<Out, VEC> of(thread const Pack<T, VEC>& a, thread const Pack<T, VEC>&,
                           thread const Pack<T, VEC>&, constant WalkParams&) {
    return Each<Op, Out, T, VEC>::of(a);
  }
};
template <typename Op, typename Out, typename T, u32 VEC> struct Of2 {
  enum : u32 { OPERANDS = 2 };
  static Pack<Out, VEC> of(thread const Pack<T, VEC>& a, thread const Pack<T, VEC>& b,
                           thread const Pack<T, VEC>&, constant WalkParams&) {
    return Each<Op, Out, T, VEC>::of(a, b);
  }
};
// where(condition, a, b)
template <typename T, u32 VEC> struct Chosen {
  enum : u32 { OPERANDS = 3 };
  static Pack<T, VEC> of(thread const Pack<u8, VEC>& condition, thread const Pack<T, VEC>& a,
                         thread const Pack<T, VEC>& b, constant WalkParams&) {
    Pack<T, VEC> out;
    UNROLL for (u32 k = 0; k < VEC; ++k) out.at[k] = condition.at[k] != 0 ? a.at[k] : b.at[k];
    return out;
  }
};
// a kept inside p.wholes (or for floats p.floats) 0 and 1; a NaN stays one.
template <typename W> struct Bounds {
  static W low(constant WalkParams& p) { return W(p.wholes[0]); }
  static W high(constant WalkParams& p) { return W(p.wholes[1]); }
};
template <> struct Bounds<f32> {
  static f32 low(constant WalkParams& p) { return p.floats[0]; }
  static f32 high(constant WalkParams& p) { return p.floats[1]; }
};
template <typename T, u32 VEC> struct Clamped {
  enum : u32 { OPERANDS = 1 };
  static Pack<T, VEC> of(thread const Pack<T, VEC>& a, thread const Pack<T, VEC>&,
                         thread const Pack<T, VEC>&, constant WalkParams& p) {
    wide<T> low = Bounds<wide<T>>::low(p), high = Bounds<wide<T>>::high(p);
    Pack<T, VEC> out;
    UNROLL for (u32 k = 0; k < VEC; ++k) {
      wide<T> value = widen(a.at[k]);
      if (value < low) value = low;
      if (value > high) value = high;
      out.at[k] = T(value);
    }
    return out;
  }
};

// Walks the operands of a body, of which those that it has not are not looked at: by counting packs as
// an Index, or by Lines.
struct Lines {};
template <typename Index> struct Walker {
  template <typename Body, u32 VEC, typename First, typename T, typename Out>
  static void run(Place at, device const First* x, device const T* z, device const T* w, device Out* y,
                  constant WalkParams& p) {
    enum : u32 { COUNT = Body::OPERANDS };
    if (VEC > 1 && p.flat) {
      for (u64 first = first_flat(at); first < p.total; first += flat_stride(at)) {
        Pack<First, VEC> a[PACKS_AHEAD];
        Pack<T, VEC> b[PACKS_AHEAD], c[PACKS_AHEAD];
        Pack<Out, VEC> out[PACKS_AHEAD];
        load_flat(at, a, x, first, p.total);
        if (COUNT > 1) load_flat(at, b, z, first, p.total);
        if (COUNT > 2) load_flat(at, c, w, first, p.total);
        UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) out[j] = Body::of(a[j], b[j], c[j], p);
        store_flat(at, out, y, first, p.total);
      }
      return;
    }
    for (u64 first = first_flat(at); first < p.total; first += flat_stride(at)) {
      Spot<COUNT + 1> spot[PACKS_AHEAD];
      Pack<First, VEC> a[PACKS_AHEAD];
      Pack<T, VEC> b[PACKS_AHEAD], c[PACKS_AHEAD];
      UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
        u64 i = first + j * at.lanes;
        spot[j] = locate<COUNT + 1, VEC>(Index(i < p.total ? i : first), p);
        a[j] = fetch<VEC>(x + spot[j].offset[1], inner_stride(p, 1), spot[j].count);
        if (COUNT > 1) b[j] = fetch<VEC>(z + spot[j].offset[COUNT > 1 ? 2 : 0], inner_stride(p, 2), spot[j].count);
        if (COUNT > 2) c[j] = fetch<VEC>(w + spot[j].offset[COUNT > 2 ? 3 : 0], inner_stride(p, 3), spot[j].count);
      }
      UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
        if (first + j * at.lanes < p.total) {
          Pack<Out, VEC> out = Body::of(a[j], b[j], c[j], p);
          put_pack(y + spot[j].offset[0], out, spot[j].count);
        }
      }
    }
  }
};
template <> struct Walker<Lines> {
  template <typename Body, u32 VEC, typename First, typename T, typename Out>
  static void run(Place at, device const First* x, device const T* z, device const T* w, device Out* y,
                  constant WalkParams& p) {
    enum : u32 { COUNT = Body::OPERANDS };
    u32 size = PACKS_AHEAD * at.lanes, stretches = (u32(p.packs) + size - 1) / size;
    u32 units = u32(p.total) / u32(p.packs) * stretches;
    for (u32 unit = at.group; unit < units; unit += at.groups) {
      Stretch<COUNT + 1> stretch = stretch_of<COUNT + 1>(at, unit, stretches, p);
      Pack<First, VEC> a[PACKS_AHEAD];
      Pack<T, VEC> b[PACKS_AHEAD], c[PACKS_AHEAD];
      load_stretch<VEC>(at, a, x, stretch, 1, p);
      if (COUNT > 1) load_stretch<VEC>(at, b, z, stretch, 2, p);
      if (COUNT > 2) load_stretch<VEC>(at, c, w, stretch, 3, p);
      UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
        u32 pack = stretch.first + j * at.lanes;
        if (pack < u32(p.packs)) {
          Pack<Out, VEC> out = Body::of(a[j], b[j], c[j], p);
          store(y + (stretch.spot.offset[0] + i64(pack) * VEC), out);
        }
      }
    }
  }
};

template <typename Op, typename Out, typename T, u32 VEC, typename Walk>
inline void pointwise1(Place at, device const T* x, device Out* y, constant WalkParams& p) {
  Walker<Walk>::template run<Of1<Op, Out, T, VEC>, VEC>(at, x, x, x, y, p);
}
template <typename Op, typename Out, typename T, u32 VEC, typename Walk>
inline void pointwise2(Place at, device const T* x, device const T* z, device Out* y,
                       constant WalkParams& p) {
  Walker<Walk>::template run<Of2<Op, Out, T, VEC>, VEC>(at, x, z, z, y, p);
}
template <typename T, u32 VEC, typename Walk>
inline void choose(Place at, device const u8* condition, device const T* x, device const T* z,
                   device T* y, constant WalkParams& p) {
  Walker<Walk>::template run<Chosen<T, VEC>, VEC>(at, condition, x, z, y, p);
}
template <typename T, u32 VEC, typename Walk>
inline void clamp(Place at, device const T* x, device T* y, constant WalkParams& p) {
  Walker<Walk>::template run<Clamped<T, VEC>, VEC>(at, x, x, x, y, p);
}

}  // namespace wootz
