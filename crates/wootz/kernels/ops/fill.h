// fill: one value everywhere; arange: evenly spaced ones.

#include "dialect/dialect.h"

namespace wootz {

// y[i] = the bits of whole_start; elements are only moved.
template <typename T>
inline void fill(Place at, device T* y, constant FillParams& p) {
  for (u64 i = first_of_lane<u64>(at); i < p.count; i += lane_stride<u64>(at)) {
    y[i] = T(p.whole_start);
  }
}

// y[i] = whole_start + i * whole_step, which wraps.
template <typename T>
inline void arange_whole(Place at, device T* y, constant FillParams& p) {
  for (u64 i = first_of_lane<u64>(at); i < p.count; i += lane_stride<u64>(at)) {
    y[i] = convert<T>(i64(u64(p.whole_start) + i * u64(p.whole_step)));
  }
}

// y[i] = start + i * step, both as sums of two floats.
template <typename T>
inline void arange(Place at, device T* y, constant FillParams& p) {
  for (u64 i = first_of_lane<u64>(at); i < p.count; i += lane_stride<u64>(at)) {
    // The parts of i are exact in a float.
    f32 near = f32(i & 0xffffffu), far = f32(i >> 24) * 16777216.0f;
    Two from_near = two_product(near, p.step[0]), from_far = two_product(far, p.step[0]);
    Two sum = two_sum(from_near.high, from_far.high);
    f32 low = sum.low + from_near.low + from_far.low + (near + far) * p.step[1];
    Two value = two_sum(p.start[0], sum.high);
    value.low += low + p.start[1];
    y[i] = T(one_of(value));
  }
}

}  // namespace wootz
