#pragma once

namespace wootz {

// Thirty-two lanes in step: the same on Apple GPUs, NVIDIA GPUs and the emulator.
enum : u32 { SIMD_LANES = 32 };

inline u32 simd_lane(Place at) { return at.lane % SIMD_LANES; }
inline u32 simd_index(Place at) { return at.lane / SIMD_LANES; }
inline u32 simds(Place at) { return at.lanes / SIMD_LANES; }

// Scratch memory as elements of T, from `byte` on. Its contents are unwritten at first.
template <typename T>
inline scratch T* scratch_at(Place at, u32 byte) {
  return reinterpret_cast<scratch T*>(at.memory + byte);
}

// The lanes of a whole grid share work out one by one: where a lane starts, and its next.
template <typename Index> inline Index first_of_lane(Place at) {
  return Index(at.group) * at.lanes + at.lane;
}
template <typename Index> inline Index lane_stride(Place at) {
  return Index(at.groups) * at.lanes;
}

// The cluster of a group: groups that run together and reach each other's scratch memory. Where there
// are none, a group is one of its own.
#if !defined(HAS_CLUSTERS)
inline u32 member(Place) { return 0; }
inline void cluster_barrier(Place at) { scratch_barrier(at); }
template <typename T> inline scratch T* scratch_of(Place, u32, scratch T* at) { return at; }
#endif

// A pack of 16 bytes from device to scratch memory, which may come while the lane goes on; what it
// asked for is there after `arrived`.
#if !defined(HAS_BRING)
template <u32 count, typename T> inline void bring(scratch T* to, device const T* from) {
  Pack<T, count> pack = load<count>(from);
  put_packed<count>(to, pack);
}
inline void arrived(Place) {}
// The same for what may not be `there`: zeros then. In groups that `asked_for` ends: `arrived_but`
// waits for all but the last so many.
template <u32 count, typename T>
inline void bring_pack(scratch T* to, device const T* from, bool there) {
  Pack<T, count> pack = splat<count>(T(0.0f));
  if (there) pack = load<count>(from);
  put_packed<count>(to, pack);
}
template <typename T> inline void bring_one(scratch T* to, device const T* from, bool there) {
  put(to, there ? *from : T(0.0f));
}
inline void asked_for(Place) {}
template <u32 groups> inline void arrived_but(Place) {}
#endif

}  // namespace wootz
