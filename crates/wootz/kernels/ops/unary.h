#pragma once
#include "dialect/dialect.h"

// Ops of one operand. FLOAT ops take and give any float type and compute in f32; the others say
// their types.

namespace wootz {

// The expression sees `x`, widened.
#define FLOAT(Name, expression)                                        \
  struct Name {                                                        \
    static f32 wide_of(f32 x) { return expression; }                   \
    template <typename T> static T of(T x) { return T(wide_of(f32(x))); } \
  };
// A question about a float: u8, 1 or 0.
#define ASK(Name, expression)                                          \
  struct Name {                                                        \
    template <typename T> static u8 of(T value) {                      \
      f32 x = f32(value);                                              \
      return u8(expression);                                           \
    }                                                                  \
  };
// The expression sees `x` as wide<T>: floats in f32, integers as they are.
#define ANY(Name, expression)                                          \
  struct Name {                                                        \
    template <typename T> static T of(T value) {                       \
      wide<T> x = widen(value);                                        \
      return T(expression);                                            \
    }                                                                  \
  };

FLOAT(Exp, exp_precise(x))
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
FLOAT(Sigmoid, sigmoid(x))
FLOAT(Erf, erf_precise(x))
FLOAT(Gelu, gelu(x))
FLOAT(GeluTanh, gelu_tanh(x))
FLOAT(Silu, silu(x))
FLOAT(Softplus, softplus(x))
FLOAT(Floor, floor_exact(x))
FLOAT(Ceil, ceil_exact(x))
FLOAT(Round, round_even(x))
FLOAT(Trunc, trunc_exact(x))
ASK(IsNan, is_nan(x))
ASK(IsInf, is_inf(x))
ANY(Relu, (x < wide<T>(0) ? wide<T>(0) : x))

#undef FLOAT
#undef ASK
#undef ANY

// Floats by their sign bit, so that -0 and NaN come out as IEEE says; signed integers wrap.
struct Abs {
  static f32 of(f32 x) { return absolute(x); }
  static f16 of(f16 x) { return f16(absolute(f32(x))); }
  static bf16 of(bf16 x) { return bf16(absolute(f32(x))); }
  static i32 of(i32 x) { return x < 0 ? i32(0u - u32(x)) : x; }
  static i64 of(i64 x) { return x < 0 ? i64(u64(0) - u64(x)) : x; }
  static u32 of(u32 x) { return x; }
  static u8 of(u8 x) { return x; }
};
struct Neg {
  static f32 of(f32 x) { return -x; }
  static f16 of(f16 x) { return f16(-f32(x)); }
  static bf16 of(bf16 x) { return bf16(-f32(x)); }
  static i32 of(i32 x) { return i32(0u - u32(x)); }
  static i64 of(i64 x) { return i64(u64(0) - u64(x)); }
  static u32 of(u32 x) { return 0u - x; }
  static u8 of(u8 x) { return u8(0u - x); }
};
// 0 and NaN stay what they are.
struct Sign {
  static f32 of(f32 x) { return x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : x); }
  static f16 of(f16 x) { return f16(of(f32(x))); }
  static bf16 of(bf16 x) { return bf16(of(f32(x))); }
  static i32 of(i32 x) { return i32(x > 0) - i32(x < 0); }
  static i64 of(i64 x) { return i64(x > 0) - i64(x < 0); }
  static u32 of(u32 x) { return x > 0; }
  static u8 of(u8 x) { return x > 0; }
};

struct Copy {
  template <typename T> static T of(T x) { return x; }
};
template <typename To> struct Cast {
  template <typename T> static To of(T x) { return convert<To>(x); }
};
struct LogicalNot {
  template <typename T> static u8 of(T x) { return widen(x) == wide<T>(0); }
};
struct BitwiseNot {
  template <typename T> static T of(T x) { return T(~x); }
};

}  // namespace wootz
