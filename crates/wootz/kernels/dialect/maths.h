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

// exp(x) * 2^up, of an x for which that is a normal number: the nearest power of two, and 2 to what
// is left of the exponent. A `rough` result, here and below, will be rounded to bf16.
inline f32 exp_raised(f32 x, f32 up, bool rough) {
  // Added to 1.5 * 2^23, a number rounds to a whole one, whose bits are then the lowest.
  f32 base = 12583039.0f + up, sum = fused(x, 1.44269504f, base), whole = sum - base;
  f32 rest = fused(x, 1.44269504f, -whole);
  if (!rough) rest = fused(x, 1.92596303e-8f, rest);
  return exp2_unit(rest) * bits_as<f32>(bits_as<u32>(sum) << 23);
}

inline f32 exponential(f32 x, bool rough) {
  return rough ? exp2_fast(x * 1.44269504f) : exp_precise(x);
}

// x / (1 + exp(-w)). Far below 0 the divisor is lowered, so that small results keep their digits; x
// is finite there.
inline f32 gate(f32 x, f32 w, bool rough) {
  bool far = w < -64.0f;
  f32 one = far ? 9.09494702e-13f : 1.0f, up = far ? -40.0f : 0.0f;
  f32 divisor = one + exp_raised(-smaller(larger(w, -110.0f), 30.0f), up, rough);
  f32 inverse = reciprocal_fast(divisor);
  if (!rough) inverse = fused(fused(-inverse, divisor, 1.0f), inverse, inverse);
  return (x * one) * inverse;
}

inline f32 sigmoid(f32 x, bool rough) { return gate(1.0f, x, rough); }
inline f32 silu(f32 x, bool rough) { return gate(larger(x, -110.0f), x, rough); }
inline f32 gelu_tanh(f32 x, bool rough) {
  f32 y = larger(x, -12.0f);
  return gate(y, 1.5957691216057308f * fused(0.044715f * y * y, y, y), rough);
}

// Phi(-x) * exp(x * x / 2) for the normal distribution's Phi and x >= 0, as a polynomial in
// (x - 2.5) / (x + 2.5) (fitted on 0 ... 14.6, relative error 9.4e-8).
inline f32 tail_ratio(f32 x) {
  f32 t = fused(-5.0f, reciprocal_fast(x + 2.5f), 1.0f);
  f32 p = -1.529297416e-04f;
  p = fused(p, t, -3.285286544e-04f);
  p = fused(p, t, 7.982178948e-04f);
  p = fused(p, t, 2.940550140e-03f);
  p = fused(p, t, -5.117249224e-03f);
  p = fused(p, t, -2.454780198e-02f);
  p = fused(p, t, 1.131350624e-01f);
  p = fused(p, t, -2.280698150e-01f);
  return fused(p, t, 1.413313443e-01f);
}

// The same, off by 1.3e-4.
inline f32 rough_tail_ratio(f32 x) {
  f32 t = fused(-7.0f, reciprocal_fast(x + 3.5f), 1.0f);
  f32 p = fused(1.800249784e-02f, t, -6.239568500e-02f);
  p = fused(p, t, 1.261430124e-01f);
  p = fused(p, t, -1.870768937e-01f);
  return fused(p, t, 1.063324195e-01f);
}

// x * Phi(x): what is missing from 0 or x is |x| * Phi(-|x|).
inline f32 gelu(f32 x, bool rough) {
  f32 size = smaller(absolute(x), 15.0f), half_size = 0.5f * size, square = half_size * size;
  f32 share = (rough ? rough_tail_ratio(size) : tail_ratio(size)) * 9.09494702e-13f;
  // The exponential would magnify the rounding of the square: that rounding is taken back. Squares
  // of bf16 have none.
  if (!rough) share = fused(-fused(half_size, size, -square), share, share);
  return larger(x, 0.0f) - size * exp_raised(-square, 40.0f, rough) * share;
}

// log(1 + exp(x))
inline f32 softplus(f32 x) {
  return (x > 0.0f ? x : 0.0f) + log1p_precise(exp_precise(-absolute(x)));
}

}  // namespace wootz
