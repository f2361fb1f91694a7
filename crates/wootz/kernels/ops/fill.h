// fill and arange: floats from `start` and `step`, whole numbers from their own, which wrap.

#include "tile/walk.h"

namespace wootz {

// y[i] = start + i * step; a step of 0 fills.
template <typename T>
inline void arange(Place at, device T* y, constant FillParams& p) {
  for (u64 i = first_pack<u64>(at); i < p.count; i += pack_stride<u64>(at)) {
    y[i] = T(fused(f32(i), p.step, p.start));
  }
}

template <typename T>
inline void arange_whole(Place at, device T* y, constant FillParams& p) {
  for (u64 i = first_pack<u64>(at); i < p.count; i += pack_stride<u64>(at)) {
    y[i] = T(u64(p.whole_start) + i * u64(p.whole_step));
  }
}

}  // namespace wootz
