#pragma once
// The dialect as CUDA C++ for NVRTC, compute capability 8.0 and up.
//
// Compiled with -default-device, so that functions need no marks, and with -fmad=false, so that a
// product and a sum are fused only where `fused` says so.

#define device
#define scratch
#define thread
#define constant const
#define FIXED static constexpr const
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")

namespace wootz {

typedef float f32;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef unsigned char u8;
typedef unsigned short u16;

template <typename To, typename From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits_as keeps the size");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

// The toolkit's headers with half types are not everywhere NVRTC is; the instructions are.
struct f16 {
  u16 bits;
  f16() = default;
  explicit f16(f32 value) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value)); }
  explicit operator f32() const {
    f32 value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
  }
};

struct bf16 {
  u16 bits;
  bf16() = default;
  explicit bf16(f32 value) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value)); }
  explicit operator f32() const { return bits_as<f32>(u32(bits) << 16); }
};

// The halves of a word as bf16, by an instruction that is no shift to the compiler, which would else
// keep what a shift gave before in a register.
#define HAS_ANEW
inline f32 low_anew(u32 word) {
  u32 bits;
  asm volatile("prmt.b32 %0, %1, 0, 0x1044;" : "=r"(bits) : "r"(word));
  return bits_as<f32>(bits);
}
inline f32 high_anew(u32 word) {
  u32 bits;
  asm volatile("prmt.b32 %0, %1, 0, 0x3244;" : "=r"(bits) : "r"(word));
  return bits_as<f32>(bits);
}

// Where a body runs.
struct Place {
  u32 group;   // which group of the grid
  u32 groups;  // how many there are
  u32 lane;    // which lane of the group
  u32 lanes;   // how many, a multiple of SIMD_LANES
  u8* memory;  // the group's scratch memory, 16-byte aligned
#if defined(WOOTZ_RESIDENT)
  u32 barrier;  // the group's own, since it shares its block with others
#endif
};

#if defined(WOOTZ_RESIDENT)
inline void scratch_barrier(Place at) {
  asm volatile("barrier.sync %0, %1;" : : "r"(at.barrier), "r"(at.lanes) : "memory");
}
inline void device_barrier(Place at) { scratch_barrier(at); }
#else
inline void scratch_barrier(Place) { __syncthreads(); }
inline void device_barrier(Place) { __syncthreads(); }
#endif
inline void simd_barrier(Place) { __syncwarp(); }

#if __CUDA_ARCH__ >= 900 && !defined(WOOTZ_RESIDENT)
#define HAS_CLUSTERS
inline u32 member(Place) {
  u32 rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
inline void cluster_barrier(Place) {
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" : : : "memory");
}
template <typename T> inline T* scratch_of(Place, u32 member, T* at) {
  u64 there;
  asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(at), "r"(member));
  return reinterpret_cast<T*>(there);
}
#endif

template <typename T>
inline T shuffle(Place, T value, u32 from) {
  return __shfl_sync(0xffffffffu, value, from);
}
template <typename T>
inline T shuffle_xor(Place, T value, u32 mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
// The value of the lane `distance` below; a lane that has none keeps its own.
template <typename T>
inline T shuffle_up(Place, T value, u32 distance) {
  return __shfl_up_sync(0xffffffffu, value, distance);
}
inline bool simd_any(Place, bool condition) { return __any_sync(0xffffffffu, condition); }

// `count` neighbours moved as one; a pack in memory is aligned to its own size, or
// to 16 bytes if that is less.
template <typename T, u32 count> struct Pack {
  T at[count];
};

template <u32 bytes> struct Word;
template <> struct Word<1> { typedef u8 type; };
template <> struct Word<2> { typedef u16 type; };
template <> struct Word<4> { typedef u32 type; };
template <> struct Word<8> { typedef uint2 type; };
template <> struct Word<16> { typedef uint4 type; };
struct TwoWords { uint4 low, high; };
template <> struct Word<32> { typedef TwoWords type; };

template <u32 count, typename T>
inline Pack<T, count> load(const T* from) {
  typedef typename Word<sizeof(T) * count>::type word;
  return bits_as<Pack<T, count>>(*reinterpret_cast<const word*>(from));
}

template <u32 count, typename T>
inline void store(T* to, const Pack<T, count>& pack) {
  typedef typename Word<sizeof(T) * count>::type word;
  *reinterpret_cast<word*>(to) = bits_as<word>(pack);
}

// Whole values in and out of scratch memory.
template <typename T> inline void put(scratch T* to, T value) { *to = value; }
template <typename T> inline T get(scratch const T* from) { return *from; }
// Packs, to and from where packs start.
template <u32 count, typename T> inline void put_packed(T* to, const Pack<T, count>& pack) {
  store(to, pack);
}
template <u32 count, typename T> inline Pack<T, count> get_packed(const T* from) {
  return load<count>(from);
}
#define HAS_BRING
template <u32 count, typename T> inline void bring(T* to, const T* from) {
  static_assert(sizeof(T) * count == 16, "a pack of 16 bytes");
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               : : "r"(u32(__cvta_generic_to_shared(to))), "l"(from) : "memory");
}
inline void arrived(Place) { asm volatile("cp.async.wait_all;" : : : "memory"); }
template <u32 count, typename T> inline void bring_pack(T* to, const T* from, bool there) {
  static_assert(sizeof(T) * count == 16, "a pack of 16 bytes");
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               : : "r"(u32(__cvta_generic_to_shared(to))), "l"(from), "r"(there ? 16 : 0) : "memory");
}
inline void bring_one(f32* to, const f32* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               : : "r"(u32(__cvta_generic_to_shared(to))), "l"(from), "r"(there ? 4 : 0) : "memory");
}
template <typename T> inline void bring_one(T* to, const T* from, bool there) {
  *to = there ? *from : T(0.0f);
}
inline void asked_for(Place) { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <u32 groups> inline void arrived_but(Place) {
  asm volatile("cp.async.wait_group %0;" : : "n"(groups) : "memory");
}
// In and out of device memory.
template <typename T> inline void keep(device T* to, T value) { *to = value; }
template <typename T> inline T kept(device const T* from) { return *from; }

inline u32 atomic_add(u32* at, u32 value) { return atomicAdd(at, value); }
inline u32 atomic_max(u32* at, u32 value) { return atomicMax(at, value); }
inline u32 atomic_load(const u32* at) {
  u32 value;
  asm volatile("ld.relaxed.gpu.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
  return value;
}
inline void atomic_store(u32* at, u32 value) {
  asm volatile("st.relaxed.gpu.u32 [%0], %1;" : : "l"(at), "r"(value) : "memory");
}

// Where a lane's two elements of an 8 x 8 block lie: the accumulators of mma.sync.
inline u32 block_row(Place at) { return at.lane % 32 / 4; }
inline u32 block_column(Place at) { return at.lane % 4 * 2; }

enum : u32 { MATRIX_K = 16 };

template <typename T, u32 TM, u32 TN> struct SimdTile {
  f32 at[TM][TN][2];
};
template <typename T, u32 TM, u32 TN>
inline f32 get(const SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e) {
  return tile.at[i][j][e];
}
template <typename T, u32 TM, u32 TN>
inline void set(SimdTile<T, TM, TN>& tile, u32 i, u32 j, u32 e, f32 value) {
  tile.at[i][j][e] = value;
}

// One mma.sync m16n8k16: rows 0-7 of the product go to `top`, rows 8-15 to `bottom`.
#define MMA(T, word)                                                                         \
  inline void mma(f32 (&top)[2], f32 (&bottom)[2], const u32 (&a)[4], const u32 (&b)[2], T) { \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." word "." word ".f32 "                       \
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
        : "+f"(top[0]), "+f"(top[1]), "+f"(bottom[0]), "+f"(bottom[1])                       \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                 \
  }
MMA(f16, "f16")
MMA(bf16, "bf16")
#undef MMA

// Four 8 x 8 blocks of half-width elements, a row of which each lane points at: as mma.sync takes
// its left operand, or turned, as it takes the right one.
inline void load_blocks(u32 (&blocks)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(blocks[0]), "=r"(blocks[1]), "=r"(blocks[2]), "=r"(blocks[3])
               : "r"(u32(__cvta_generic_to_shared(row)))
               : "memory");
}
inline void load_turned_blocks(u32 (&blocks)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(blocks[0]), "=r"(blocks[1]), "=r"(blocks[2]), "=r"(blocks[3])
               : "r"(u32(__cvta_generic_to_shared(row)))
               : "memory");
}

// multiply_packs as two mma.sync: lane q of four holds 8 neighbours along the inner size, and an
// instruction takes which four of its 16 are whose in any order that both factors share.
#define MULTIPLIES_PACKS
struct PackSums {
  f32 at[2][2];
};
template <typename T>
inline void multiply_packs(Place, PackSums& c, const Pack<u32, 4>& top, const Pack<u32, 4>& bottom,
                           const Pack<u32, 4>& right) {
  UNROLL for (u32 i = 0; i < 4; i += 2) {
    u32 left[4] = {top.at[i], bottom.at[i], top.at[i + 1], bottom.at[i + 1]};
    u32 turned[2] = {right.at[i], right.at[i + 1]};
    mma(c.at[0], c.at[1], left, turned, T());
  }
}

inline f32 absolute(f32 x) { return fabsf(x); }
// The larger and the smaller; NaN wins over everything.
inline f32 larger(f32 a, f32 b) {
  f32 value;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(value) : "f"(a), "f"(b));
  return value;
}
inline f32 smaller(f32 a, f32 b) {
  f32 value;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(value) : "f"(a), "f"(b));
  return value;
}
inline f32 exp2_fast(f32 x) {
  f32 value;
  asm("ex2.approx.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}
// Of an x of -1 ... 1.
inline f32 exp2_unit(f32 x) {
  f32 value;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}
inline f32 reciprocal_fast(f32 x) {
  f32 value;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}

// Values of f32 as a pack of T: those of half the width are rounded two at a time.
template <typename T, u32 count> struct Narrow {
  static Pack<T, count> of(const f32* from) {
    Pack<T, count> pack;
    UNROLL for (u32 i = 0; i < count; ++i) pack.at[i] = T(from[i]);
    return pack;
  }
};
#define NARROW(T, instruction)                                                        \
  template <u32 count> struct Narrow<T, count> {                                      \
    static Pack<T, count> of(const f32* from) {                                       \
      Pack<T, count> pack;                                                            \
      UNROLL for (u32 i = 0; i + 1 < count; i += 2) {                                 \
        u32 both;                                                                     \
        asm(instruction " %0, %1, %2;" : "=r"(both) : "f"(from[i + 1]), "f"(from[i])); \
        pack.at[i].bits = u16(both);                                                  \
        pack.at[i + 1].bits = u16(both >> 16);                                        \
      }                                                                               \
      if (count % 2) pack.at[count - 1] = T(from[count - 1]);                         \
      return pack;                                                                    \
    }                                                                                 \
  };
NARROW(f16, "cvt.rn.f16x2.f32")
NARROW(bf16, "cvt.rn.bf16x2.f32")
#undef NARROW
template <typename T, u32 count> inline Pack<T, count> narrow(const f32* from) {
  return Narrow<T, count>::of(from);
}

inline f32 fused(f32 a, f32 b, f32 c) { return __fmaf_rn(a, b, c); }
inline f32 sqrt_precise(f32 x) { return sqrtf(x); }
inline f32 exp_precise(f32 x) { return expf(x); }
inline f32 exp_fast(f32 x) { return __expf(x); }
inline f32 exp2_precise(f32 x) { return exp2f(x); }
inline f32 log_precise(f32 x) { return logf(x); }
inline f32 log2_precise(f32 x) { return log2f(x); }
inline f32 rsqrt_precise(f32 x) { return 1.0f / sqrtf(x); }
inline f32 sin_precise(f32 x) { return sinf(x); }
inline f32 cos_precise(f32 x) { return cosf(x); }
inline f32 tan_precise(f32 x) { return tanf(x); }
inline f32 asin_precise(f32 x) { return asinf(x); }
inline f32 acos_precise(f32 x) { return acosf(x); }
inline f32 atan_precise(f32 x) { return atanf(x); }
inline f32 atan2_precise(f32 y, f32 x) { return atan2f(y, x); }
inline f32 sinh_precise(f32 x) { return sinhf(x); }
inline f32 cosh_precise(f32 x) { return coshf(x); }
inline f32 tanh_precise(f32 x) { return tanhf(x); }
inline f32 asinh_precise(f32 x) { return asinhf(x); }
inline f32 acosh_precise(f32 x) { return acoshf(x); }
inline f32 atanh_precise(f32 x) { return atanhf(x); }
inline f32 pow_precise(f32 x, f32 y) { return powf(x, y); }
inline f32 floor_exact(f32 x) { return floorf(x); }
inline f32 ceil_exact(f32 x) { return ceilf(x); }
inline f32 trunc_exact(f32 x) { return truncf(x); }
inline f32 round_even(f32 x) { return rintf(x); }
inline f32 rem_exact(f32 x, f32 y) { return fmodf(x, y); }

}  // namespace wootz

#if defined(WOOTZ_RESIDENT)
// Resident form: whoever owns the Place hands over buffers and parameters in scratch memory. Small
// parameters are taken into registers: a kernel cannot know that it does not write them. A body is
// there twice: to be put in place, and as a function, so that many of those make a kernel that needs
// no more registers than one. What is not used is not compiled.
namespace wootz {
template <typename Params, bool small> struct Held { typedef const Params& type; };
template <typename Params> struct Held<Params, true> { typedef const Params type; };
}  // namespace wootz
#define IN(index, type)                                            \
  const type* b##index = static_cast<const type*>(buffers[index]); \
  __builtin_assume(__isGlobal(b##index));
#define OUT(index, type)                               \
  type* b##index = static_cast<type*>(buffers[index]); \
  __builtin_assume(__isGlobal(b##index));
#define ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)                       \
  __device__ __forceinline__ void name##_in_place(wootz::Place at, void* const* buffers, \
                                                  const void* given) {                   \
    BUFFERS                                                                              \
    wootz::Held<Params, sizeof(Params) <= 64>::type params =                             \
        *static_cast<const Params*>(given);                                              \
    __VA_ARGS__(at, BARE ARGUMENTS, params);                                             \
  }                                                                                      \
  extern "C" __device__ __noinline__ void name(wootz::Place at, void* const* buffers,    \
                                               const void* given) {                      \
    name##_in_place(at, buffers, given);                                                 \
  }
#else
// Launch form: buffers, then the parameters by value; scratch is the launch's dynamic memory.
namespace wootz {
// In a graph a kernel may be started while the one before it runs: before it touches memory it waits
// for that one's end. Then it lets its own successor start. Without such a launch this does nothing.
inline void follow_closely() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
}  // namespace wootz
#define IN(index, type) const type* __restrict__ b##index,
#define OUT(index, type) type* b##index,
#define LAUNCHED(ARGUMENTS, ...)                                                \
  {                                                                             \
    extern __shared__ __align__(16) unsigned char memory[];                     \
    wootz::Place at = {blockIdx.x, gridDim.x, threadIdx.x, blockDim.x, memory}; \
    wootz::follow_closely();                                                    \
    __VA_ARGS__(at, BARE ARGUMENTS, params);                                    \
  }
#define ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)  \
  extern "C" __global__ void __launch_bounds__(lanes)               \
      name(BUFFERS const __grid_constant__ Params params)           \
      LAUNCHED(ARGUMENTS, __VA_ARGS__)
// Registers for so many lanes at once that enough of the memory they wait for is on its way.
#define DENSE_ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)  \
  extern "C" __global__ void __launch_bounds__(lanes, 1024 / lanes)       \
      name(BUFFERS const __grid_constant__ Params params)                 \
      LAUNCHED(ARGUMENTS, __VA_ARGS__)
#if __CUDA_ARCH__ >= 900
#define CLUSTER_2_ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)                     \
  extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(lanes, 1024 / lanes)    \
      name(BUFFERS const __grid_constant__ Params params) LAUNCHED(ARGUMENTS, __VA_ARGS__)
#define CLUSTER_4_ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)                     \
  extern "C" __global__ void __cluster_dims__(4, 1, 1) __launch_bounds__(lanes, 1024 / lanes)    \
      name(BUFFERS const __grid_constant__ Params params) LAUNCHED(ARGUMENTS, __VA_ARGS__)
#define CLUSTER_8_ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)                     \
  extern "C" __global__ void __cluster_dims__(8, 1, 1) __launch_bounds__(lanes, 1024 / lanes)    \
      name(BUFFERS const __grid_constant__ Params params) LAUNCHED(ARGUMENTS, __VA_ARGS__)
#endif
#endif
