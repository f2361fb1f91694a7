#pragma once
// The dialect as plain C++, run by the emulator.
//
// Compiled with -fsanitize=thread and linked without it, so that the compiler calls the
// `__tsan_*` functions below before each access to memory. They, and everything that waits for
// other lanes, go through a table of hooks that the emulator hands over when it loads the code.

#include <math.h>
#include <stdint.h>
#include <string.h>

#define device
#define scratch
#define thread
#define constant const
#define FIXED static constexpr const
#define UNROLL
#define ROLLED
#define UNCHECKED __attribute__((no_sanitize_thread, noinline))

namespace wootz {

typedef float f32;
typedef int32_t i32;
typedef uint32_t u32;
typedef int64_t i64;
typedef uint64_t u64;
typedef uint8_t u8;
typedef uint16_t u16;

template <typename To, typename From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits_as keeps the size");
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

inline f32 f16_widen(u16 bits) {
  u32 sign = u32(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  // A subnormal is a count of 2^-24; of others the exponent moves to f32's bias.
  f32 wide = magnitude < 0x400u ? f32(magnitude) * bits_as<f32>(0x33800000u)
                                : bits_as<f32>((magnitude << 13) + 0x38000000u);
  if (magnitude >= 0x7c00u) wide = bits_as<f32>(0x7f800000u | (magnitude << 13));
  return bits_as<f32>(sign | bits_as<u32>(wide));
}

inline u16 f16_narrow(f32 value) {
  u32 bits = bits_as<u32>(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return u16(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return u16(sign | 0x7c00u);  // rounds past 65504
  if (magnitude < 0x38800000u) {  // subnormal: let an f32 addition round at bit 2^-24
    f32 rounded = bits_as<f32>(magnitude) + 0.5f;
    return u16(sign | (bits_as<u32>(rounded) - 0x3f000000u));
  }
  u32 odd = (magnitude >> 13) & 1u;
  return u16(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

inline u16 bf16_narrow(f32 value) {
  u32 bits = bits_as<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return u16((bits >> 16) | 0x40u);
  return u16((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

struct f16 {
  u16 bits;
  f16() = default;
  explicit f16(f32 value) : bits(f16_narrow(value)) {}
  explicit operator f32() const { return f16_widen(bits); }
};

struct bf16 {
  u16 bits;
  bf16() = default;
  explicit bf16(f32 value) : bits(bf16_narrow(value)) {}
  explicit operator f32() const { return bits_as<f32>(u32(bits) << 16); }
};

// Where a body runs.
struct Place {
  u32 group;   // which group of the grid
  u32 groups;  // how many there are
  u32 lane;    // which lane of the group
  u32 lanes;   // how many, a multiple of SIMD_LANES
  u8* memory;  // the group's scratch memory, 16-byte aligned
};

// What the emulator provides. The order is the ABI.
struct Hooks {
  void (*read)(const void* address, u64 bytes);
  void (*write)(const void* address, u64 bytes);
  void (*atomic)(const void* address, u64 bytes);
  void (*atomic_store)(const void* address, u64 bytes);
  void (*misaligned)(const void* address, u64 alignment);
  void (*scratch_barrier)(u32 line);
  void (*device_barrier)(u32 line);
  void (*simd_barrier)(u32 line);
  // Deposits a lane's value; once all lanes of the simd have, returns all, 16 bytes apart.
  const u8* (*exchange)(const void* value, u64 bytes, u32 line);
};

static Hooks hooks;

#define HERE u32 line = __builtin_LINE()

UNCHECKED inline void scratch_barrier(Place, HERE) { hooks.scratch_barrier(line); }
UNCHECKED inline void device_barrier(Place, HERE) { hooks.device_barrier(line); }
UNCHECKED inline void simd_barrier(Place, HERE) { hooks.simd_barrier(line); }

template <typename T>
UNCHECKED T shuffle(Place, T value, u32 from, HERE) {
  const u8* all = hooks.exchange(&value, sizeof(T), line);
  T result;
  __builtin_memcpy(&result, all + 16 * (from % 32), sizeof(T));
  return result;
}

template <typename T>
inline T shuffle_xor(Place at, T value, u32 mask, HERE) {
  return shuffle(at, value, (at.lane ^ mask) % 32, line);
}

// The value of the lane `distance` below; a lane that has none keeps its own.
template <typename T>
inline T shuffle_up(Place at, T value, u32 distance, HERE) {
  u32 self = at.lane % 32;
  return shuffle(at, value, self < distance ? self : self - distance, line);
}

UNCHECKED inline bool simd_any(Place, bool condition, HERE) {
  u8 flag = condition;
  const u8* all = hooks.exchange(&flag, 1, line);
  bool any = false;
  for (u32 i = 0; i < 32; ++i) any |= all[16 * i] != 0;
  return any;
}

template <typename T>
UNCHECKED void check_alignment(const T* at, u64 bytes) {
  bytes = bytes < 16 ? bytes : 16;
  if (uintptr_t(at) % bytes) hooks.misaligned(at, bytes);
}

// `count` neighbours moved as one; a pack in memory is aligned to its own size, or
// to 16 bytes if that is less.
template <typename T, u32 count> struct Pack {
  T at[count];
};

template <u32 count, typename T>
inline Pack<T, count> load(const T* from) {
  check_alignment(from, sizeof(T) * count);
  Pack<T, count> pack;
  for (u32 i = 0; i < count; ++i) pack.at[i] = from[i];
  return pack;
}

template <u32 count, typename T>
inline void store(T* to, const Pack<T, count>& pack) {
  check_alignment(to, sizeof(T) * count);
  for (u32 i = 0; i < count; ++i) to[i] = pack.at[i];
}

// Whole values in and out of scratch memory.
template <typename T> inline void put(scratch T* to, T value) { *to = value; }
template <typename T> inline T get(scratch const T* from) { return *from; }
// Packs, to and from where packs start.
template <u32 count, typename T> inline void put_packed(scratch T* to, const Pack<T, count>& pack) {
  check_alignment(to, sizeof(T) * count);
  for (u32 i = 0; i < count; ++i) to[i] = pack.at[i];
}
template <u32 count, typename T> inline Pack<T, count> get_packed(scratch const T* from) {
  return load<count>(from);
}
// In and out of device memory.
template <typename T> inline void keep(device T* to, T value) { *to = value; }
template <typename T> inline T kept(device const T* from) { return *from; }

// Lanes run one at a time between hooks, so an atomic operation is a plain one.
UNCHECKED inline u32 atomic_add(u32* at, u32 value) {
  hooks.atomic(at, 4);
  u32 old = *at;
  *at = old + value;
  return old;
}
UNCHECKED inline u32 atomic_max(u32* at, u32 value) {
  hooks.atomic(at, 4);
  u32 old = *at;
  if (value > old) *at = value;
  return old;
}
UNCHECKED inline u32 atomic_load(const u32* at) {
  hooks.atomic(at, 4);
  return *at;
}
UNCHECKED inline void atomic_store(u32* at, u32 value) {
  hooks.atomic_store(at, 4);
  *at = value;
}

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

// A lane's two elements of an 8 x 8 block.
struct Block {
  f32 at[2];
};

template <typename T, u32 TM, u32 TN> struct SimdTile {
  Block at[TM][TN];
};
template <typename T, u32 TM, u32 TN>
inline f32 get(const SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e) {
  return tile.at[i][j].at[e];
}
template <typename T, u32 TM, u32 TN>
inline void set(SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e, f32 value) {
  tile.at[i][j].at[e] = value;
}

template <typename T> inline Block block_of(const T* first, const T* second) {
  return {{f32(*first), f32(*second)}};
}

// c += a * b over all lanes of the simd.
UNCHECKED inline void block_multiply_add(Place at, Block& c, const Block& a, const Block& b, HERE) {
  Block mine[2] = {a, b};
  const u8* all = hooks.exchange(mine, sizeof(mine), line);
  f32 left[8][8], right[8][8];
  for (u32 lane = 0; lane < 32; ++lane) {
    Place there = at;
    there.lane = lane;
    u32 row = block_row(there), column = block_column(there);
    __builtin_memcpy(&left[row][column], all + 16 * lane, 8);
    __builtin_memcpy(&right[row][column], all + 16 * lane + 8, 8);
  }
  u32 row = block_row(at), column = block_column(at);
  for (u32 k = 0; k < 8; ++k) {
    for (u32 e = 0; e < 2; ++e) c.at[e] = fmaf(left[row][k], right[k][column + e], c.at[e]);
  }
}

inline f32 absolute(f32 x) { return fabsf(x); }
// The larger and the smaller; NaN wins over everything.
inline f32 larger(f32 a, f32 b) { return (a > b || a != a) ? a : b; }
inline f32 smaller(f32 a, f32 b) { return (a < b || a != a) ? a : b; }
inline f32 exp2_fast(f32 x) { return exp2f(x); }
// Of an x of -1 ... 1.
inline f32 exp2_unit(f32 x) { return exp2f(x); }
inline f32 reciprocal_fast(f32 x) { return 1.0f / x; }

// Values of f32 as a pack of T.
template <typename T, u32 count> inline Pack<T, count> narrow(thread const f32* from) {
  Pack<T, count> pack;
  UNROLL for (u32 i = 0; i < count; ++i) pack.at[i] = T(from[i]);
  return pack;
}

inline f32 fused(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }
// An operand as arithmetic takes it: zero if it is subnormal and the machine flushes. Functions that
// look at bits would not notice.
inline f32 taken(f32 x) {
  u32 one = 0x3f800000u;
  asm("" : "+r"(one));
  return x * bits_as<f32>(one);
}
inline f32 sqrt_precise(f32 x) { return sqrtf(x); }
inline f32 exp_precise(f32 x) { return expf(x); }
inline f32 exp_fast(f32 x) { return expf(x); }
inline f32 exp2_precise(f32 x) { return exp2f(x); }
inline f32 log_precise(f32 x) { return logf(taken(x)); }
inline f32 log2_precise(f32 x) { return log2f(taken(x)); }
inline f32 rsqrt_precise(f32 x) { return 1.0f / sqrtf(x); }
inline f32 sin_precise(f32 x) { return sinf(x); }
inline f32 cos_precise(f32 x) { return cosf(x); }
inline f32 tan_precise(f32 x) { return tanf(x); }
inline f32 asin_precise(f32 x) { return asinf(x); }
inline f32 acos_precise(f32 x) { return acosf(x); }
inline f32 atan_precise(f32 x) { return atanf(x); }
inline f32 atan2_precise(f32 y, f32 x) { return atan2f(taken(y), taken(x)); }
inline f32 sinh_precise(f32 x) { return sinhf(x); }
inline f32 cosh_precise(f32 x) { return coshf(x); }
inline f32 tanh_precise(f32 x) { return tanhf(x); }
inline f32 asinh_precise(f32 x) { return asinhf(x); }
inline f32 acosh_precise(f32 x) { return acoshf(x); }
inline f32 atanh_precise(f32 x) { return atanhf(x); }
inline f32 pow_precise(f32 x, f32 y) { return powf(taken(x), taken(y)); }
inline f32 floor_exact(f32 x) { return floorf(x); }
inline f32 ceil_exact(f32 x) { return ceilf(x); }
inline f32 trunc_exact(f32 x) { return truncf(x); }
inline f32 round_even(f32 x) { return rintf(x); }
inline f32 rem_exact(f32 x, f32 y) { return fmodf(x, y); }

}  // namespace wootz

#include "dialect/accesses.h"

#define CALLED UNCHECKED __attribute__((visibility("default")))
