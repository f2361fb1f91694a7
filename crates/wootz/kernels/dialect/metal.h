#pragma once
// The dialect as Metal Shading Language 3.1 and up.
//
// Compiled with safe maths, so that bare operators are IEEE's. `device`, `constant` and `thread`
// are Metal's own words.

#include <metal_stdlib>

#include <metal_simdgroup_matrix>

// Safe maths alone would still fuse; compilers differ in which of the two they know.
#pragma clang fp contract(off)
#pragma METAL fp contract(off)

#define scratch threadgroup
#define FIXED static constant constexpr const
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")

namespace wootz {

typedef float f32;
typedef half f16;
typedef bfloat bf16;
typedef int i32;
typedef uint u32;
typedef long i64;
typedef ulong u64;
typedef uchar u8;
typedef ushort u16;

template <typename To, typename From>
inline To bits_as(From from) {
  return as_type<To>(from);
}

// Where a body runs.
struct Place {
  u32 group;           // which group of the grid
  u32 groups;          // how many there are
  u32 lane;            // which lane of the group
  u32 lanes;           // how many, a multiple of SIMD_LANES
  scratch u8* memory;  // the group's scratch memory, 16-byte aligned
};

inline void scratch_barrier(Place) {
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
}
inline void device_barrier(Place) {
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup | metal::mem_flags::mem_device);
}
inline void simd_barrier(Place) {
  metal::simdgroup_barrier(metal::mem_flags::mem_threadgroup);
}

// Metal shuffles 32 bits at a time; longer values go as two halves, and bf16 as its bits.
template <typename T>
inline T shuffle(Place, T value, u32 from) {
  return metal::simd_shuffle(value, ushort(from));
}
template <>
inline bf16 shuffle(Place, bf16 value, u32 from) {
  return as_type<bf16>(metal::simd_shuffle(as_type<u16>(value), ushort(from)));
}
template <>
inline u64 shuffle(Place, u64 value, u32 from) {
  return as_type<u64>(metal::simd_shuffle(as_type<uint2>(value), ushort(from)));
}
template <>
inline i64 shuffle(Place, i64 value, u32 from) {
  return as_type<i64>(metal::simd_shuffle(as_type<uint2>(value), ushort(from)));
}
template <typename T>
inline T shuffle_xor(Place at, T value, u32 mask) {
  return shuffle(at, value, (at.lane ^ mask) % 32);
}
// The value of the lane `distance` below; a lane that has none keeps its own.
template <typename T>
inline T shuffle_up(Place at, T value, u32 distance) {
  u32 self = at.lane % 32;
  return shuffle(at, value, self < distance ? self : self - distance);
}
inline bool simd_any(Place, bool condition) { return metal::simd_any(condition); }

// `count` neighbours moved as one; a pack in memory is aligned to its own size, or
// to 16 bytes if that is less.
template <typename T, u32 count> struct Pack {
  T at[count];
};

// Metal's vectors end at four elements: longer packs move by fours.
template <typename T, u32 count> struct Mover {
  typedef metal::vec<T, 4> word;
  static Pack<T, count> load(device const T* from) {
    Pack<T, count> pack;
    UNROLL for (u32 i = 0; i < count; i += 4) {
      word w = *reinterpret_cast<device const word*>(from + i);
      pack.at[i] = w.x;
      pack.at[i + 1] = w.y;
      pack.at[i + 2] = w.z;
      pack.at[i + 3] = w.w;
    }
    return pack;
  }
  static void store(device T* to, thread const Pack<T, count>& pack) {
    UNROLL for (u32 i = 0; i < count; i += 4) {
      word w = word(pack.at[i], pack.at[i + 1], pack.at[i + 2], pack.at[i + 3]);
      *reinterpret_cast<device word*>(to + i) = w;
    }
  }
};
template <typename T> struct Mover<T, 2> {
  typedef metal::vec<T, 2> word;
  static Pack<T, 2> load(device const T* from) {
    word w = *reinterpret_cast<device const word*>(from);
    return {{w.x, w.y}};
  }
  static void store(device T* to, thread const Pack<T, 2>& pack) {
    *reinterpret_cast<device word*>(to) = word(pack.at[0], pack.at[1]);
  }
};
template <typename T> struct Mover<T, 1> {
  static Pack<T, 1> load(device const T* from) { return {{*from}}; }
  static void store(device T* to, thread const Pack<T, 1>& pack) { *to = pack.at[0]; }
};

template <u32 count, typename T>
inline Pack<T, count> load(device const T* from) {
  return Mover<T, count>::load(from);
}
template <u32 count, typename T>
inline void store(device T* to, thread const Pack<T, count>& pack) {
  Mover<T, count>::store(to, pack);
}

// Whole values in and out of scratch memory.
template <typename T> inline void put(scratch T* to, T value) { *to = value; }
template <typename T> inline T get(scratch const T* from) { return *from; }
// Packs, to and from where packs start.
template <u32 count, typename T>
inline void put_packed(scratch T* to, thread const Pack<T, count>& pack) {
  UNROLL for (u32 i = 0; i < count; i += 4) {
    metal::vec<T, 4> word(pack.at[i], pack.at[i + 1], pack.at[i + 2], pack.at[i + 3]);
    *reinterpret_cast<scratch metal::vec<T, 4>*>(to + i) = word;
  }
}
template <u32 count, typename T>
inline Pack<T, count> get_packed(scratch const T* from) {
  Pack<T, count> pack;
  UNROLL for (u32 i = 0; i < count; i += 4) {
    metal::vec<T, 4> word = *reinterpret_cast<scratch const metal::vec<T, 4>*>(from + i);
    pack.at[i] = word.x;
    pack.at[i + 1] = word.y;
    pack.at[i + 2] = word.z;
    pack.at[i + 3] = word.w;
  }
  return pack;
}
// In and out of device memory.
template <typename T> inline void keep(device T* to, T value) { *to = value; }
template <typename T> inline T kept(device const T* from) { return *from; }

#define ATOMICS(space)                                                                     \
  inline u32 atomic_add(space u32* at, u32 value) {                                        \
    return metal::atomic_fetch_add_explicit(reinterpret_cast<space metal::atomic_uint*>(at), \
                                            value, metal::memory_order_relaxed);           \
  }                                                                                        \
  inline u32 atomic_max(space u32* at, u32 value) {                                        \
    return metal::atomic_fetch_max_explicit(reinterpret_cast<space metal::atomic_uint*>(at), \
                                            value, metal::memory_order_relaxed);           \
  }                                                                                        \
  inline u32 atomic_load(space const u32* at) {                                            \
    space u32* from = const_cast<space u32*>(at);                                          \
    return metal::atomic_load_explicit(reinterpret_cast<space metal::atomic_uint*>(from),  \
                                       metal::memory_order_relaxed);                       \
  }                                                                                        \
  inline void atomic_store(space u32* at, u32 value) {                                     \
    metal::atomic_store_explicit(reinterpret_cast<space metal::atomic_uint*>(at), value,   \
                                 metal::memory_order_relaxed);                             \
  }
ATOMICS(device)
ATOMICS(scratch)
#undef ATOMICS

// Where a lane's two elements of an 8 x 8 block lie: Apple's lane map.
inline u32 block_row(Place at) {
  u32 lane = at.lane % 32;
  return (lane / 16) * 4 + (lane / 2) % 4;
}
inline u32 block_column(Place at) {
  u32 lane = at.lane % 32;
  return (lane / 8) % 2 * 4 + lane % 2 * 2;
}

enum : u32 { MATRIX_K = 8 };

typedef metal::simdgroup_matrix<float, 8, 8> Block;

template <typename T, u32 TM, u32 TN> struct SimdTile {
  Block at[TM][TN];
};
template <typename T, u32 TM, u32 TN>
inline f32 get(thread const SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e) {
  return e == 0 ? tile.at[i][j].thread_elements()[0] : tile.at[i][j].thread_elements()[1];
}
template <typename T, u32 TM, u32 TN>
inline void set(thread SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e, f32 value) {
  if (e == 0) {
    tile.at[i][j].thread_elements()[0] = value;
  } else {
    tile.at[i][j].thread_elements()[1] = value;
  }
}

template <typename T> inline Block block_of(scratch const T* first, scratch const T* second) {
  Block block;
  block.thread_elements()[0] = f32(*first);
  block.thread_elements()[1] = f32(*second);
  return block;
}

// c += a * b over all lanes of the simd.
inline void block_multiply_add(Place, thread Block& c, thread const Block& a, thread const Block& b) {
  metal::simdgroup_multiply_accumulate(c, a, b, c);
}

inline f32 absolute(f32 x) { return metal::fabs(x); }
// The larger and the smaller; NaN wins over everything.
inline f32 larger(f32 a, f32 b) { return (a > b || a != a) ? a : b; }
inline f32 smaller(f32 a, f32 b) { return (a < b || a != a) ? a : b; }
// Metal's fast one is only good near 0.
inline f32 exp2_fast(f32 x) { return metal::precise::exp2(x); }
// Of an x of -1 ... 1.
inline f32 exp2_unit(f32 x) { return metal::fast::exp2(x); }
inline f32 reciprocal_fast(f32 x) { return metal::fast::divide(1.0f, x); }

// Values of f32 as a pack of T.
template <typename T, u32 count> inline Pack<T, count> narrow(thread const f32* from) {
  Pack<T, count> pack;
  UNROLL for (u32 i = 0; i < count; ++i) pack.at[i] = T(from[i]);
  return pack;
}

inline f32 fused(f32 a, f32 b, f32 c) { return metal::fma(a, b, c); }
inline f32 sqrt_precise(f32 x) { return metal::precise::sqrt(x); }
inline f32 exp_precise(f32 x) { return metal::precise::exp(x); }
inline f32 exp_fast(f32 x) { return metal::fast::exp(x); }
inline f32 exp2_precise(f32 x) { return metal::precise::exp2(x); }
inline f32 log_precise(f32 x) { return metal::precise::log(x); }
inline f32 log2_precise(f32 x) { return metal::precise::log2(x); }
inline f32 rsqrt_precise(f32 x) { return metal::precise::rsqrt(x); }
inline f32 sin_precise(f32 x) { return metal::precise::sin(x); }
inline f32 cos_precise(f32 x) { return metal::precise::cos(x); }
inline f32 tan_precise(f32 x) { return metal::precise::tan(x); }
inline f32 asin_precise(f32 x) { return metal::precise::asin(x); }
inline f32 acos_precise(f32 x) { return metal::precise::acos(x); }
inline f32 atan_precise(f32 x) { return metal::precise::atan(x); }
inline f32 atan2_precise(f32 y, f32 x) { return metal::precise::atan2(y, x); }
inline f32 sinh_precise(f32 x) { return metal::precise::sinh(x); }
inline f32 cosh_precise(f32 x) { return metal::precise::cosh(x); }
inline f32 tanh_precise(f32 x) { return metal::precise::tanh(x); }
inline f32 asinh_precise(f32 x) { return metal::precise::asinh(x); }
inline f32 acosh_precise(f32 x) { return metal::precise::acosh(x); }
inline f32 atanh_precise(f32 x) { return metal::precise::atanh(x); }
inline f32 pow_precise(f32 x, f32 y) { return metal::precise::pow(x, y); }
inline f32 floor_exact(f32 x) { return metal::floor(x); }
inline f32 ceil_exact(f32 x) { return metal::ceil(x); }
inline f32 trunc_exact(f32 x) { return metal::trunc(x); }
inline f32 round_even(f32 x) { return metal::rint(x); }
inline f32 rem_exact(f32 x, f32 y) { return metal::precise::fmod(x, y); }

}  // namespace wootz

// Launch form: buffers, then the parameters, bound in order; scratch is threadgroup memory 0.
#define IN(index, type) device const type *b##index [[buffer(index)]],
#define OUT(index, type) device type *b##index [[buffer(index)]],
#define ENTRY(name, most, count, Params, BUFFERS, ARGUMENTS, ...)                          \
  [[kernel, max_total_threads_per_threadgroup(most)]] void name(                      \
      BUFFERS constant Params& params [[buffer(count)]],                              \
      threadgroup uchar* memory [[threadgroup(0)]],                                   \
      uint group [[threadgroup_position_in_grid]],                                    \
      uint groups [[threadgroups_per_grid]],                                          \
      uint lane [[thread_index_in_threadgroup]],                                      \
      uint lanes [[threads_per_threadgroup]]) {                                       \
    wootz::Place at = {group, groups, lane, lanes, memory};                           \
    __VA_ARGS__(at, BARE ARGUMENTS, params);                                                    \
  }
