#pragma once
#include "dialect/dialect.h"

// Ops of one operand. Those whose result has the operand's type never see a half-width float:
// pointwise.h widens it first.

namespace wootz {

// A float's function of `x`.
#define FLOAT(Name, expression)                                        \
  struct Name {                                                        \
    static f32 of(f32 x) { return expression; }                        \
  };
// The same, which is told whether the result will be rounded to bf16.
#define FITTED(Name, function)                                         \
  struct Name {                                                        \
    static f32 of(f32 x) { return function(x, false); }                \
    static f32 rough(f32 x) { return function(x, true); }               \
  };
// A question about a float: u8, 1 or 0.
#define ASK(Name, expression)                                          \
  struct Name {                                                        \
    template <typename T> static u8 of(T value) {                      \
      f32 x = f32(value);                                              \
      return u8(expression);                                           \
    }                                                                  \
  };

FITTED(Exp, exponential)
FLOAT(Exp2, exp2_precise(x))
FLOAT(Log, log_precise(x))
FLOAT(Log2, log2_precise(x))
FLOAT(Log1p, log1p_precise(x))
FLOAT(Expm1, expm1_precise(x))
FLOAT(Sqrt, sqrt_precise(x))
FLOAT(Rsqrt, rsqrt_precise(x))
FLOAT(Recip, 1.0f / x)
FLOAT(Sin, sin_precise(x))
FLOAT(Cos, cos_precise(x))
FLOAT(Tan, tan_precise(x))
FLOAT(Asin, asin_precise(x))
FLOAT(Acos, acos_precise(x))
FLOAT(Atan, atan_precise(x))
FLOAT(Sinh, sinh_precise(x))
FLOAT(Cosh, cosh_precise(x))
FLOAT(Tanh, tanh_precise(x))
FLOAT(Asinh, asinh_precise(x))
FLOAT(Acosh, acosh_precise(x))
FLOAT(Atanh, atanh_precise(x))
FLOAT(Erf, erf_precise(x))
FITTED(Sigmoid, sigmoid)
FITTED(Gelu, gelu)
FITTED(GeluTanh, gelu_tanh)
FITTED(Silu, silu)
FLOAT(Softplus, softplus(x))
FLOAT(Floor, floor_exact(x))
FLOAT(Ceil, ceil_exact(x))
FLOAT(Round, round_even(x))
FLOAT(Trunc, trunc_exact(x))
ASK(IsNan, is_nan(x))
ASK(IsInf, is_inf(x))

#undef FLOAT
#undef FITTED
#undef ASK

// Floats by their sign bit, so that -0 and NaN come out as IEEE says; signed integers wrap.
struct Abs {
  static f32 of(f32 x) { return absolute(x); }
  static i32 of(i32 x) { return x < 0 ? i32(0u - u32(x)) : x; }
  static i64 of(i64 x) { return x < 0 ? i64(u64(0) - u64(x)) : x; }
  static u32 of(u32 x) { return x; }
  static u8 of(u8 x) { return x; }
};
struct Neg {
  static f32 of(f32 x) { return -x; }
  static i32 of(i32 x) { return i32(0u - u32(x)); }
  static i64 of(i64 x) { return i64(u64(0) - u64(x)); }
  static u32 of(u32 x) { return 0u - x; }
  static u8 of(u8 x) { return u8(0u - x); }
};
// 0 and NaN stay what they are.
struct Sign {
  static f32 of(f32 x) { return x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : x); }
  static i32 of(i32 x) { return i32(x > 0) - i32(x < 0); }
  static i64 of(i64 x) { return i64(x > 0) - i64(x < 0); }
  static u32 of(u32 x) { return x > 0; }
  static u8 of(u8 x) { return x > 0; }
};

struct Relu {
  template <typename T> static T of(T x) { return x < T(0) ? T(0) : x; }
};
// What an op is of a half-width float of type T, in f32.
template <typename Op, typename T> struct Widened {
  static f32 of(f32 x) { return Op::of(x); }
};
template <> struct Widened<Exp, bf16> { static f32 of(f32 x) { return Exp::rough(x); } };
template <> struct Widened<Sigmoid, bf16> { static f32 of(f32 x) { return Sigmoid::rough(x); } };
template <> struct Widened<Gelu, bf16> { static f32 of(f32 x) { return Gelu::rough(x); } };
template <> struct Widened<GeluTanh, bf16> { static f32 of(f32 x) { return GeluTanh::rough(x); } };
template <> struct Widened<Silu, bf16> { static f32 of(f32 x) { return Silu::rough(x); } };

struct Copy {
  template <typename T> static T of(T x) { return x; }
};
template <typename To> struct Cast {
  template <typename T> static To of(T x) { return convert<To>(x); }
};
// The same from and to the bits of 8-bit floats.
template <typename To> struct FromFloat8 {
  static To of(u8 bits) {
    f8e4m3 x;
    x.bits = bits;
    return convert<To>(f32(x));
  }
};
struct ToFloat8 {
  template <typename T> static u8 of(T x) { return f8e4m3(convert<f32>(x)).bits; }
};
struct LogicalNot {
  template <typename T> static u8 of(T x) { return widen(x) == wide<T>(0); }
};
struct BitwiseNot {
  template <typename T> static T of(T x) { return T(~x); }
};

}  // namespace wootz
