#pragma once
// The dialect for the lint: declarations in plain C++ with numbered address spaces, where `this` lies
// in the thread space alone, as in Metal, so that a member function on an object elsewhere is refused.

#define device __attribute__((address_space(1)))
#define scratch __attribute__((address_space(3)))
#define constant const __attribute__((address_space(2)))
#define thread
#define FIXED static constexpr const
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED

namespace wootz {

typedef float f32;
typedef _Float16 f16;
typedef __bf16 bf16;
typedef int i32;
typedef unsigned int u32;
typedef long i64;
typedef unsigned long u64;
typedef unsigned char u8;
typedef unsigned short u16;

template <typename To, typename From> inline To bits_as(From from) {
  return __builtin_bit_cast(To, from);
}

struct Place {
  u32 group, groups, lane, lanes;
  scratch u8* memory;
};

void scratch_barrier(Place);
void device_barrier(Place);
void simd_barrier(Place);
template <typename T> T shuffle(Place, T value, u32 from);
template <typename T> T shuffle_xor(Place, T value, u32 mask);
template <typename T> T shuffle_up(Place, T value, u32 distance);
bool simd_any(Place, bool condition);

template <typename T, u32 count> struct Pack {
  T at[count];
};
template <u32 count, typename T> Pack<T, count> load(device const T* from);
template <u32 count, typename T> void store(device T* to, thread const Pack<T, count>& pack);

template <typename T> void put(scratch T* to, T value);
template <typename T> T get(scratch const T* from);
template <u32 count, typename T>
void put_packed(scratch T* to, thread const Pack<T, count>& pack);
template <u32 count, typename T> Pack<T, count> get_packed(scratch const T* from);
template <typename T> void keep(device T* to, T value);
template <typename T> T kept(device const T* from);

u32 atomic_add(device u32* at, u32 value);
u32 atomic_max(device u32* at, u32 value);
u32 atomic_load(device const u32* at);
void atomic_store(device u32* at, u32 value);
u32 atomic_add(scratch u32* at, u32 value);
u32 atomic_max(scratch u32* at, u32 value);
u32 atomic_load(scratch const u32* at);
void atomic_store(scratch u32* at, u32 value);

u32 block_row(Place at);
u32 block_column(Place at);
enum : u32 { MATRIX_K = 8 };
struct Block {
  f32 at[2];
};
template <typename T> Block block_of(scratch const T* first, scratch const T* second);
void block_multiply_add(Place at, thread Block& c, thread const Block& a, thread const Block& b);
template <typename T, u32 TM, u32 TN> struct SimdTile {
  Block at[TM][TN];
};
template <typename T, u32 TM, u32 TN>
f32 get(thread const SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e);
template <typename T, u32 TM, u32 TN>
void set(thread SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e, f32 value);

f32 absolute(f32 x);
f32 larger(f32 a, f32 b);
f32 smaller(f32 a, f32 b);
f32 exp2_fast(f32 x);
f32 exp2_unit(f32 x);
f32 reciprocal_fast(f32 x);
template <typename T, u32 count> Pack<T, count> narrow(thread const f32* from);

f32 fused(f32 a, f32 b, f32 c);
f32 sqrt_precise(f32 x);
f32 exp_precise(f32 x);
f32 exp_fast(f32 x);
f32 exp2_precise(f32 x);
f32 log_precise(f32 x);
f32 log2_precise(f32 x);
f32 rsqrt_precise(f32 x);
f32 sin_precise(f32 x);
f32 cos_precise(f32 x);
f32 tan_precise(f32 x);
f32 asin_precise(f32 x);
f32 acos_precise(f32 x);
f32 atan_precise(f32 x);
f32 atan2_precise(f32 y, f32 x);
f32 sinh_precise(f32 x);
f32 cosh_precise(f32 x);
f32 tanh_precise(f32 x);
f32 asinh_precise(f32 x);
f32 acosh_precise(f32 x);
f32 atanh_precise(f32 x);
f32 pow_precise(f32 x, f32 y);
f32 floor_exact(f32 x);
f32 ceil_exact(f32 x);
f32 trunc_exact(f32 x);
f32 round_even(f32 x);
f32 rem_exact(f32 x, f32 y);

}  // namespace wootz

#define IN(index, type) device const type *b##index,
#define OUT(index, type) device type *b##index,
#define ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)             \
  void name(BUFFERS constant Params& params, wootz::Place at) {           \
    __VA_ARGS__(at, BARE ARGUMENTS, params);                                        \
  }
