#pragma once
// What low-rank adapters share: which one a row has, and what it takes the row down to. An index
// outside the adapters is left out and noted.

#include "dialect/dialect.h"
#include "tile/refuse.h"

namespace wootz {

template <typename I>
inline u64 adapter_of(device const I* index, u64 row, constant LoraParams& p) {
  return p.has_index ? u64(i64(index[row])) : 0;
}

// RANKS neighbours of t, [rows, rank], by one group. Scratch: RANKS values a simd.
template <typename T, typename I, u32 RANKS>
inline void lora_dots(Place at, device const T* x, device const T* a, device const I* index,
                      device f32* t, device u32* refused, u64 task, constant LoraParams& p) {
  enum : u32 { VEC = 16 / sizeof(T) };
  u64 tasks = (p.rank + RANKS - 1) / RANKS;
  u64 row = task / tasks, first = task % tasks * RANKS;
  u64 adapter = adapter_of(index, row, p);
  f32 sums[RANKS];
  UNROLL for (u32 r = 0; r < RANKS; ++r) sums[r] = 0.0f;
  if (adapter < p.limit) {
    device const T* left = x + row * p.depth;
    device const T* right = a + (adapter * p.rank + first) * p.depth;
    u64 lines = p.rank - first < RANKS ? p.rank - first : RANKS;
    for (u64 k = u64(at.lane) * VEC; k < p.depth; k += at.lanes * VEC) {
      if ((p.packed & 5) == 5) {
        Words xs = load_words(left + k), with[RANKS];
        UNROLL for (u32 r = 0; r < RANKS; ++r) {
          with[r] = load_words(right + ((r < lines ? r : 0) * p.depth + k));
        }
        UNROLL for (u32 e = 0; e < VEC; ++e) {
          f32 value = f32(element<T>(xs, e));
          UNROLL for (u32 r = 0; r < RANKS; ++r) {
            sums[r] = fused(value, f32(element<T>(with[r], e)), sums[r]);
          }
        }
        continue;
      }
      for (u64 e = k; e < p.depth && e < k + VEC; ++e) {
        f32 value = f32(left[e]);
        UNROLL for (u32 r = 0; r < RANKS; ++r) {
          sums[r] = fused(value, f32(right[(r < lines ? r : 0) * p.depth + e]), sums[r]);
        }
      }
    }
  } else if (at.lane == 0) {
    refuse(refused, row);
  }
  scratch f32* slots = scratch_at<f32>(at, 0);
  scratch_barrier(at);
  UNROLL for (u32 r = 0; r < RANKS; ++r) {
    f32 sum = sums[r];
    UNROLL for (u32 mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(at, sum, mask);
    if (simd_lane(at) == 0) put(slots + (simd_index(at) * RANKS + r), sum);
  }
  scratch_barrier(at);
  if (at.lane < RANKS && first + at.lane < p.rank) {
    f32 sum = 0.0f;
    for (u32 simd = 0; simd < simds(at); ++simd) sum += get(slots + (simd * RANKS + at.lane));
    t[row * p.rank + first + at.lane] = sum;
  }
}

}  // namespace wootz
