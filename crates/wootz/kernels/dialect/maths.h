#pragma once
// Functions that not every platform offers: one definition for all.

namespace wootz {

// A number as the sum of two floats: about 48 bits of it.
struct Two {
  f32 high;
  f32 low;
};

inline Two two_sum(f32 a, f32 b) {
  f32 sum = a + b, part = sum - a;
  Two two = {sum, (a - (sum - part)) + (b - part)};
  return two;
}
inline Two two_product(f32 a, f32 b) {
  f32 product = a * b;
  Two two = {product, fused(a, b, -product)};
  return two;
}
// Where the sum is no number of finite size, neither is what was lost of it.
inline f32 one_of(Two two) {
  f32 sum = two.high + two.low;
  return is_nan(sum) ? two.high : sum;
}

// log(1 + x): the rounding of 1 + x is undone by the ratio of x to what was really added.
inline f32 log1p_precise(f32 x) {
  f32 sum = 1.0f + x;
  if (sum == 1.0f || (is_inf(sum) && x > 0.0f)) return x;
  f32 added = sum - 1.0f;
  return log_precise(sum) * (x / added);
}

// exp(x) - 1: likewise, by the ratio of x to log(exp(x)).
inline f32 expm1_precise(f32 x) {
  f32 power = exp_precise(x);
  if (power == 1.0f) return x;
  f32 less = power - 1.0f;
  if (less == -1.0f || absolute(x) > 1.0f) return less;
  return less * (x / log_precise(power));
}

// erf(x) / x for |x| <= 1, as a polynomial in x * x (fitted, relative error 4e-11).
inline f32 erf_ratio(f32 square) {
  f32 p = -9.634989923e-06f;
  p = fused(p, square, 1.125464034e-04f);
  p = fused(p, square, -8.482507690e-04f);
  p = fused(p, square, 5.220923213e-03f);
  p = fused(p, square, -2.686539212e-02f);
  p = fused(p, square, 1.128378184e-01f);
  p = fused(p, square, -3.761263843e-01f);
  return fused(p, square, 1.128379167e+00f);
}

// erfc(x) / exp(-x * x) for x >= 0.5, as a polynomial in t = (x - 2) / (x + 2) (fitted on
// 0.5 ... 10.2, relative error 2e-9; beyond it the exponential is 0).
inline f32 erfc_ratio(f32 t) {
  f32 p = 1.468386319e-04f;
  p = fused(p, t, 6.256025651e-05f);
  p = fused(p, t, -9.715909054e-04f);
  p = fused(p, t, -8.527780545e-04f);
  p = fused(p, t, 6.995714745e-03f);
  p = fused(p, t, 3.733623161e-03f);
  p = fused(p, t, -7.897845963e-02f);
  p = fused(p, t, 2.416581597e-01f);
  p = fused(p, t, -4.271858498e-01f);
  return fused(p, t, 2.553956766e-01f);
}
inline f32 erfc_tail(f32 x) {
  f32 p = erfc_ratio((x - 2.0f) / (x + 2.0f));
  // The exponential would magnify the rounding of x * x: that rounding is taken back.
  f32 square = x * x, lost = fused(x, x, -square);
  f32 power = exp_precise(-square);
  return p * (power - power * lost);
}

inline f32 erf_precise(f32 x) {
  f32 size = absolute(x);
  if (is_nan(x)) return x;
  if (size < 1.0f) return x * erf_ratio(x * x);
  f32 value = size > 4.0f ? 1.0f : 1.0f - erfc_tail(size);
  return x < 0.0f ? -value : value;
}

// 1 / (1 + exp(-x)), where the exponential cannot overflow.
inline f32 sigmoid(f32 x) {
  f32 power = exp_precise(-absolute(x));
  return (x < 0.0f ? power : 1.0f) / (1.0f + power);
}

// a / d for a d of 1 ... 2: as good as a division, from an approximation and what it misses.
inline f32 over(f32 a, f32 d) {
  f32 inverse = reciprocal_fast(d), quotient = a * inverse;
  return fused(fused(-quotient, d, a), inverse, quotient);
}

// exp(x) of an x of -87 ... 0: the rounding of the exponent of two is taken back.
inline f32 exp_falling(f32 x) {
  f32 exponent = x * 1.44269504f;
  f32 rest = fused(x, 1.92596303e-8f, fused(x, 1.44269504f, -exponent));
  f32 power = exp2_fast(exponent);
  return fused(power, 0.693147181f * rest, power);
}

// x * sigmoid(w), where x and w have one sign.
inline f32 gate(f32 x, f32 w) {
  if (w < -80.0f) {
    // The sigmoid, but not the product, would be too small to keep its digits.
    f32 root = exp_precise(0.5f * w);
    return root == 0.0f ? -0.0f : x * root * root;
  }
  f32 power = w > 87.0f ? 0.0f : exp_falling(-absolute(w));
  return x * over(w < 0.0f ? power : 1.0f, 1.0f + power);
}

inline f32 silu(f32 x) { return gate(x, x); }

// x / 2 * erfc(-x / sqrt 2): of a small x by erf, of others by what is missing from 0 or x. The
// rounding of x * x, which the exponential would magnify, is taken back.
inline f32 gelu(f32 x) {
  f32 size = smaller(absolute(x), 16.0f), half_size = 0.5f * size;
  f32 square = half_size * size, lost = fused(half_size, size, -square);
  f32 z = size * 0.70710678118654752f;
  f32 erf = z * erf_ratio(square);
  f32 near = 0.5f * x * (1.0f + (x < 0.0f ? -erf : erf));
  f32 exponent = -1.44269504f * square;
  f32 rest = fused(-1.44269504f, square, -exponent);
  rest = fused(-1.92596303e-8f, square, rest);
  rest = fused(-1.44269504f, lost, rest);
  f32 power = exp2_fast(exponent);
  power = fused(power, 0.693147181f * rest, power);
  f32 tail = half_size * erfc_ratio((z - 2.0f) * reciprocal_fast(z + 2.0f)) * power;
  return size < 1.0f ? near : (x < 0.0f ? -tail : x - tail);
}

inline f32 gelu_tanh(f32 x) {
  return gate(x, 1.5957691216057308f * fused(0.044715f * x * x, x, x));
}

// log(1 + exp(x))
inline f32 softplus(f32 x) {
  return (x > 0.0f ? x : 0.0f) + log1p_precise(exp_precise(-absolute(x)));
}

}  // namespace wootz
