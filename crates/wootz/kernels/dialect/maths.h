#pragma once
// Functions that not every platform offers: one definition for all.

namespace wootz {

inline f32 absolute(f32 x) { return bits_as<f32>(bits_as<u32>(x) & 0x7fffffffu); }

// log(1 + x): the rounding of 1 + x is undone by the ratio of x to what was really added.
inline f32 log1p_precise(f32 x) {
  f32 sum = 1.0f + x;
  if (sum == 1.0f || is_inf(sum)) return x;
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

// erfc(x) for x >= 0.5: exp(-x * x) times a polynomial in (x - 2) / (x + 2) (fitted on
// 0.5 ... 10.2, relative error 2e-9; beyond it the exponential is 0).
inline f32 erfc_tail(f32 x) {
  f32 t = (x - 2.0f) / (x + 2.0f);
  f32 p = 1.468386319e-04f;
  p = fused(p, t, 6.256025651e-05f);
  p = fused(p, t, -9.715909054e-04f);
  p = fused(p, t, -8.527780545e-04f);
  p = fused(p, t, 6.995714745e-03f);
  p = fused(p, t, 3.733623161e-03f);
  p = fused(p, t, -7.897845963e-02f);
  p = fused(p, t, 2.416581597e-01f);
  p = fused(p, t, -4.271858498e-01f);
  p = fused(p, t, 2.553956766e-01f);
  // The exponential would magnify the rounding of x * x: that rounding is taken back.
  f32 square = x * x, lost = fused(x, x, -square);
  f32 power = exp_precise(-square);
  return p * (power - power * lost);
}

inline f32 erfc_precise(f32 x) {
  f32 size = absolute(x);
  if (is_nan(x)) return x;
  if (size < 0.5f) return 1.0f - x * erf_ratio(x * x);
  f32 tail = size > 10.2f ? 0.0f : erfc_tail(size);
  return x < 0.0f ? 2.0f - tail : tail;
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

// log(1 + exp(x))
inline f32 softplus(f32 x) {
  return (x > 0.0f ? x : 0.0f) + log1p_precise(exp_precise(-absolute(x)));
}

}  // namespace wootz
