// Kernels with one fault each, and the same kernels without it.
namespace wootz {

struct Planted {
  u32 count;
};

inline void sound(Place at, device const f32* x, device f32* y, constant Planted& p) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  u32 i = at.group * at.lanes + at.lane;
  shared[at.lane] = i < p.count ? x[i] : 0.0f;
  scratch_barrier(at);
  f32 value = shared[at.lanes - 1 - at.lane] + shuffle_xor(at, f32(at.lane), 1);
  simd_barrier(at);
  if (i < p.count) y[i] = value;
}

inline void reads_past_the_end(Place at, device const f32* x, device f32* y, constant Planted& p) {
  if (at.group == 1 && at.lane == 3) y[0] = x[p.count + 1];
}

inline void writes_before_the_start(Place at, device const f32* x, device f32* y, constant Planted&) {
  y[i64(at.lane) - 1] = x[at.lane];
}

inline void writes_what_it_reads(Place at, device const f32* x, device f32*, constant Planted&) {
  const_cast<device f32*>(x)[at.lane] = 1.0f;
}

inline void works_element_by_element(Place at, device const f32* x, device f32* y, constant Planted&) {
  u32 i = at.group * at.lanes + at.lane;
  y[i] = x[i] + 1.0f;
}

inline void overruns_scratch(Place at, device const f32*, device f32* y, constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  shared[at.lane + 1] = 1.0f;
  y[at.lane] = 1.0f;
}

inline void reads_unwritten_scratch(Place at, device const f32*, device f32* y, constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  if (at.lane != 7) shared[at.lane] = 1.0f;
  scratch_barrier(at);
  y[at.lane] = shared[at.lane];
}

inline void keeps_scratch_between_groups(Place at, device const f32*, device f32* y, constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  if (at.group == 0) shared[at.lane] = 1.0f;
  y[at.group * at.lanes + at.lane] = shared[at.lane];
}

inline void reads_output_before_it_is_written(Place at, device const f32*, device f32* y, constant Planted&) {
  y[at.lane] = y[at.lane] + 1.0f;
}

inline void forgets_a_barrier(Place at, device const f32* x, device f32* y, constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  shared[at.lane] = x[at.lane];
  y[at.lane] = shared[at.lane == 0 ? 0 : at.lane - 1];
}

inline void reuses_scratch_too_early(Place at, device const f32* x, device f32* y, constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  f32 sum = 0.0f;
  for (u32 round = 0; round < 2; ++round) {
    shared[at.lane] = x[at.lane];
    scratch_barrier(at);
    sum += shared[at.lanes - 1 - at.lane];
  }
  y[at.lane] = sum;
}

inline void takes_a_simd_barrier_for_a_group_barrier(Place at, device const f32* x, device f32* y,
                                                     constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  shared[at.lane] = x[at.lane];
  simd_barrier(at);
  y[at.lane] = shared[at.lane % 32];
}

inline void takes_a_shuffle_for_a_barrier(Place at, device const f32* x, device f32* y, constant Planted&) {
  scratch f32* shared = scratch_at<f32>(at, 0);
  shared[at.lane] = x[at.lane];
  u32 other = shuffle_xor(at, at.lane, 1);
  y[at.lane] = shared[other];
}

inline void takes_a_scratch_barrier_for_a_device_barrier(Place at, device const f32* x, device f32* y,
                                                         constant Planted&) {
  y[at.lane] = x[at.lane];
  scratch_barrier(at);
  f32 other = y[at.lanes - 1 - at.lane];
  device_barrier(at);
  y[at.lane] = other;
}

inline void groups_write_one_element(Place at, device const f32*, device f32* y, constant Planted&) {
  if (at.lane == 0) y[0] = f32(at.group);
}

inline void stores_beside_an_atomic(Place at, device const f32*, device f32* y, constant Planted&) {
  device u32* count = reinterpret_cast<device u32*>(y);
  if (at.lane == 0) atomic_store(count, 1u);
  if (at.lane == 1) *count = 0;
}

inline void leaves_before_the_barrier(Place at, device const f32* x, device f32* y, constant Planted&) {
  if (at.lane == 40) return;
  scratch_barrier(at);
  y[at.lane] = x[at.lane];
}

inline void waits_at_two_barriers(Place at, device const f32* x, device f32* y, constant Planted&) {
  if (at.lane < 32) {
    scratch_barrier(at);
  } else {
    device_barrier(at);
  }
  y[at.lane] = x[at.lane];
}

inline void shuffles_in_half_a_simd(Place at, device const f32* x, device f32* y, constant Planted&) {
  f32 value = x[at.lane];
  if (at.lane % 32 < 16) value = shuffle_xor(at, value, 1);
  y[at.lane] = value;
}

inline void moves_a_crooked_pack(Place at, device const f32* x, device f32* y, constant Planted&) {
  Pack<f32, 4> pack = load<4>(x + 1);
  y[at.lane] = pack.at[0];
}

}  // namespace wootz

using namespace wootz;

#define PLANT(name) ENTRY(planted_##name, 64, 2, Planted, IN(0, f32) OUT(1, f32), (b0, b1), name)
PLANT(sound)
PLANT(reads_past_the_end)
PLANT(writes_before_the_start)
PLANT(writes_what_it_reads)
PLANT(works_element_by_element)
PLANT(overruns_scratch)
PLANT(reads_unwritten_scratch)
PLANT(keeps_scratch_between_groups)
PLANT(reads_output_before_it_is_written)
PLANT(forgets_a_barrier)
PLANT(reuses_scratch_too_early)
PLANT(takes_a_simd_barrier_for_a_group_barrier)
PLANT(takes_a_shuffle_for_a_barrier)
PLANT(takes_a_scratch_barrier_for_a_device_barrier)
PLANT(groups_write_one_element)
PLANT(stores_beside_an_atomic)
PLANT(leaves_before_the_barrier)
PLANT(waits_at_two_barriers)
PLANT(shuffles_in_half_a_simd)
PLANT(moves_a_crooked_pack)
