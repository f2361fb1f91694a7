// Kernels for tests of devices: small, with results that are known exactly.

namespace wootz {

struct Small {
  u64 count;
  u64 turns;
};

inline u64 element(Place at) { return u64(at.group) * at.lanes + at.lane; }

inline void add(Place at, device const f32* x, device const f32* y, device f32* z,
                constant Small& p) {
  u64 i = element(at);
  if (i < p.count) z[i] = x[i] + y[i];
}

// One more, `turns` times over: slow work on request.
inline void count_up(Place at, device const f32* x, device f32* y, constant Small& p) {
  u64 i = element(at);
  if (i >= p.count) return;
  f32 value = x[i];
  for (u64 turn = 0; turn < p.turns; ++turn) value = value + 1.0f;
  y[i] = value;
}

// Each group's elements backwards. The count is a multiple of the lanes.
inline void reverse(Place at, device const f32* x, device f32* y, constant Small& p) {
  scratch f32* row = scratch_at<f32>(at, 0);
  u64 i = element(at);
  row[at.lane] = x[i];
  scratch_barrier(at);
  y[i] = row[at.lanes - 1 - at.lane];
}

// Every lane far outside of what it was given.
inline void stray(Place at, device f32* y, constant Small& p) {
  y[element(at) + (u64(1) << 40)] = 1.0f;
}

}  // namespace wootz

using namespace wootz;
ENTRY(small_add, 256, 3, Small, IN(0, f32) IN(1, f32) OUT(2, f32), (b0, b1, b2), add)
ENTRY(small_count_up, 256, 2, Small, IN(0, f32) OUT(1, f32), (b0, b1), count_up)
ENTRY(small_reverse, 256, 2, Small, IN(0, f32) OUT(1, f32), (b0, b1), reverse)
ENTRY(small_stray, 256, 1, Small, OUT(0, f32), (b0), stray)
