#pragma once
#include "dialect/dialect.h"

// Ops of two operands of one type.

namespace wootz {

// The type in which integers wrap: signed overflow is no value in C++.
template <typename T> struct Wrapping { typedef T type; };
template <> struct Wrapping<f16> { typedef f32 type; };
template <> struct Wrapping<bf16> { typedef f32 type; };
template <> struct Wrapping<i32> { typedef u32 type; };
template <> struct Wrapping<i64> { typedef u64 type; };

#define WRAPS(Name, operation)                                              \
  struct Name {                                                             \
    template <typename T> static T of(T a, T b) {                           \
      typedef typename Wrapping<T>::type W;                                 \
      return T(W(W(a) operation W(b)));                                     \
    }                                                                       \
  };
WRAPS(Add, +)
WRAPS(Sub, -)
WRAPS(Mul, *)
#undef WRAPS

// Compared as wide<T>: u8, 1 or 0.
#define COMPARES(Name, operation)                                           \
  struct Name {                                                             \
    template <typename T> static u8 of(T a, T b) { return u8(widen(a) operation widen(b)); } \
  };
COMPARES(Eq, ==)
COMPARES(Ne, !=)
COMPARES(Lt, <)
COMPARES(Le, <=)
COMPARES(Gt, >)
COMPARES(Ge, >=)
#undef COMPARES

#define LOGICAL(Name, expression)                                           \
  struct Name {                                                             \
    template <typename T> static u8 of(T x, T y) {                          \
      bool a = widen(x) != wide<T>(0), b = widen(y) != wide<T>(0);          \
      return u8(expression);                                                \
    }                                                                       \
  };
LOGICAL(LogicalAnd, a && b)
LOGICAL(LogicalOr, a || b)
LOGICAL(LogicalXor, a != b)
#undef LOGICAL

#define BITWISE(Name, operation)                                            \
  struct Name {                                                             \
    template <typename T> static T of(T a, T b) { return T(a operation b); } \
  };
BITWISE(BitwiseAnd, &)
BITWISE(BitwiseOr, |)
BITWISE(BitwiseXor, ^)
#undef BITWISE

// A shift by the width or more, or by less than 0, moves every bit out.
struct Shl {
  template <typename T> static T of(T a, T b) {
    return u64(b) < 8 * sizeof(T) ? T(typename Wrapping<T>::type(a) << b) : T(0);
  }
};
struct Shr {
  template <typename T> static T of(T a, T b) {
    if (u64(b) < 8 * sizeof(T)) return T(a >> b);
    return a < T(0) ? T(-1) : T(0);
  }
};

// Division that has a value for every pair: by 0 gives 0, and the lowest by -1 wraps.
template <typename T> struct Divide {
  static T quotient(T a, T b) { return b == T(0) ? T(0) : T(a / b); }
  static T remainder(T a, T b) { return b == T(0) ? T(0) : T(a % b); }
};
template <> struct Divide<f32> {
  static f32 quotient(f32 a, f32 b) { return a / b; }
  static f32 remainder(f32 a, f32 b) { return rem_exact(a, b); }
};
template <> struct Divide<i32> {
  static i32 quotient(i32 a, i32 b) {
    if (b == 0) return 0;
    return b == -1 ? i32(0u - u32(a)) : a / b;
  }
  static i32 remainder(i32 a, i32 b) { return (b == 0 || b == -1) ? 0 : a % b; }
};
template <> struct Divide<i64> {
  static i64 quotient(i64 a, i64 b) {
    if (b == 0) return 0;
    return b == -1 ? i64(u64(0) - u64(a)) : a / b;
  }
  static i64 remainder(i64 a, i64 b) { return (b == 0 || b == -1) ? 0 : a % b; }
};
struct Div {
  template <typename T> static T of(T a, T b) {
    return T(Divide<wide<T>>::quotient(widen(a), widen(b)));
  }
};
struct Rem {
  template <typename T> static T of(T a, T b) {
    return T(Divide<wide<T>>::remainder(widen(a), widen(b)));
  }
};

// NaN wins.
struct Maximum {
  template <typename T> static T of(T x, T y) {
    wide<T> a = widen(x), b = widen(y);
    return (a > b || a != a) ? x : y;
  }
};
struct Minimum {
  template <typename T> static T of(T x, T y) {
    wide<T> a = widen(x), b = widen(y);
    return (a < b || a != a) ? x : y;
  }
};

// Of integers by squaring; 1 over a power is whole for 1 and -1 only.
template <typename W> struct PowerOf {
  static W of(W a, W b) {
    typedef typename Wrapping<W>::type U;
    if (b < W(0)) {
      if (a == W(1)) return a;
      return a == W(-1) ? ((b & W(1)) != W(0) ? a : W(1)) : W(0);
    }
    U result = U(1), base = U(a);
    for (U left = U(b); left != U(0); left = left >> 1) {
      if ((left & U(1)) != U(0)) result = U(result * base);
      base = U(base * base);
    }
    return W(result);
  }
};
template <> struct PowerOf<f32> {
  static f32 of(f32 a, f32 b) { return pow_precise(a, b); }
};
struct Pow {
  template <typename T> static T of(T a, T b) { return T(PowerOf<wide<T>>::of(widen(a), widen(b))); }
};
struct Atan2 {
  template <typename T> static T of(T a, T b) { return T(atan2_precise(f32(a), f32(b))); }
};

}  // namespace wootz
