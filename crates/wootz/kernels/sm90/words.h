#pragma once
// What only Hopper (compute capability 9.0) has, as words: barriers in scratch memory that count
// bytes, the copy engine that moves boxes of tensors, clusters of groups that reach each other's
// scratch memory, and the matrix instructions of a warpgroup.
//
// A kernel that uses them has an entry line of its own, CLUSTER_ENTRY, and takes its tensors' maps
// as arguments; plans hold those as plain data, and the driver encodes them for the launch. Its body
// says when it follows closely on the kernel before it: before it touches device memory.

namespace wootz {

// A tensor's map, as the driver encodes it.
struct alignas(64) TensorMap {
  u64 words[16];
};

inline u32 scratch_address(const void* at) { return u32(__cvta_generic_to_shared(at)); }

// Barriers.
inline void barrier_init(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" : : "r"(barrier), "r"(arrivals) : "memory");
}
// Makes new barriers known to the copy engine and to the cluster.
inline void barriers_made() { asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory"); }
// Arrives, and has the phase also wait for so many bytes.
inline void barrier_expect(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               : : "r"(barrier), "r"(bytes) : "memory");
}
// Arrives.
inline void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(barrier) : "memory");
}
// Arrives at the same barrier of a group of the cluster. Barriers order no more than what they are
// about, boxes and slots: with the scope of the cluster they would order all memory of the device.
inline void barrier_arrive_in(u32 group, u32 barrier) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}"
      : : "r"(barrier), "r"(group) : "memory");
}
// Waits until the phase of this parity is over.
inline void barrier_wait(u32 barrier, u32 parity) {
  u32 over;
  do {
    asm volatile(
        "{\n.reg .pred over;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n}"
        : "=r"(over) : "r"(barrier), "r"(parity) : "memory");
  } while (!over);
}

// Clusters.
inline u32 cluster_place() {
  u32 place;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(place));
  return place;
}
// All lanes of all groups of the cluster meet, with new barriers in order and no other memory.
inline void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait;" : : : "memory");
}
// The same, after which all see what any wrote to scratch memory of the cluster.
inline void cluster_exchange() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" : : : "memory");
}
// The address of the same place in another group's scratch memory, and a value to it.
inline u32 address_in(u32 group, u32 address) {
  u32 there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(group));
  return there;
}
inline void put_far(u32 address, f32 value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" : : "r"(address), "f"(value) : "memory");
}
// Groups of a launch that count each other: who has seen a count sees what was written before it.
inline void count_up(u32* counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" : : "l"(counter) : "memory");
}
inline u32 counted(const u32* counter) {
  u32 count;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(counter) : "memory");
  return count;
}
// Has the 128 bytes at an address of device memory brought near, without waiting for them.
inline void ask_ahead(const void* at) {
  asm volatile("prefetch.global.L2 [%0];" : : "l"(at) : "memory");
}

// A value that is the same for all lanes of a simd, known as such.
inline u32 uniform(u32 value) { return __shfl_sync(0xffffffffu, value, 0); }

// Where a box starts: along the elements, along the rows, and in the batch.
struct BoxAt {
  u32 column;
  u32 row;
  u32 batch;
};
inline void know_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" : : "l"(&map) : "memory");
}
// A box to scratch memory; its bytes count at the barrier.
inline void load_box(u32 to, const TensorMap& map, BoxAt at, u32 barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5}], [%2];"
      : : "r"(to), "l"(&map), "r"(barrier), "r"(at.column), "r"(at.row), "r"(at.batch) : "memory");
}
// The same to each group of the cluster in `groups`, at the same place, and to its barrier.
inline void load_box_for(u16 groups, u32 to, const TensorMap& map, BoxAt at, u32 barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3, %4, %5}], [%2], %6;"
      : : "r"(to), "l"(&map), "r"(barrier), "r"(at.column), "r"(at.row), "r"(at.batch),
        "h"(groups) : "memory");
}

// Registers that each lane of a warpgroup keeps from here on.
template <u32 count> inline void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" : : "n"(count));
}
template <u32 count> inline void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" : : "n"(count));
}

// Four 8 x 8 blocks of half-width elements to scratch memory, a row of which each lane points at.
inline void store_blocks(u32 row, u32 a, u32 b, u32 c, u32 d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
               : : "r"(row), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

// 16 bytes of scratch memory.
inline Pack<u32, 4> load_pack(u32 from) {
  Pack<u32, 4> words;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.at[0]), "=r"(words.at[1]), "=r"(words.at[2]), "=r"(words.at[3])
               : "r"(from) : "memory");
  return words;
}
// Two neighbours to scratch memory.
inline void store_two(u32 to, f32 a, f32 b) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" : : "r"(to), "f"(a), "f"(b) : "memory");
}

// The matrix instructions. An operand lies in scratch memory as boxes of 128-byte rows whose
// 16-byte chunks are swizzled, and starts at a multiple of 1024 bytes; it is known by words that say
// where. Along the inner size, a box is as wide as its rows hold; along the other, which only
// elements of 2 bytes can lie, it is 64 wide and 64 high, and `apart` is how far the next one is.
template <bool inner> struct Operand;
template <> struct Operand<true> {
  enum : u32 { STEP = 32 };  // bytes that an instruction takes of the inner size
  static u64 at(u32 address, u32) {
    return u64(address >> 4 & 0x3fff) | u64(1) << 16 | u64(64) << 32 | u64(1) << 62;
  }
};
template <> struct Operand<false> {
  enum : u32 { STEP = 2048 };
  static u64 at(u32 address, u32 apart) {
    return u64(address >> 4 & 0x3fff) | u64(apart >> 4) << 16 | u64(64) << 32 | u64(1) << 62;
  }
};

inline void multiply_begin() { asm volatile("wgmma.fence.sync.aligned;" : : : "memory"); }
inline void multiply_commit() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }
// Waits until all but the last `count` commits are done.
template <u32 count> inline void multiply_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(count) : "memory");
}

// c (+)= a * b for 64 rows, N columns and 32 bytes of the inner size. Elements of 4 bytes lose what
// tf32 lacks; of 1 byte, sums lose what lies below a 2^13th of the largest product.
template <typename T, u32 N, bool a_inner, bool b_inner> struct Multiply;

#define SUMS2(i) "+f"(c[i]), "+f"(c[i + 1])
#define SUMS8(i) SUMS2(i), SUMS2(i + 2), SUMS2(i + 4), SUMS2(i + 6)
#define SUMS16(i) SUMS8(i), SUMS8(i + 8)
#define SUMS32(i) SUMS16(i), SUMS16(i + 16)
#define SUMS48(i) SUMS32(i), SUMS16(i + 32)
#define SUMS64(i) SUMS32(i), SUMS32(i + 32)
#define SUMS80(i) SUMS64(i), SUMS16(i + 64)
#define SUMS96(i) SUMS64(i), SUMS32(i + 64)
#define SUMS128(i) SUMS64(i), SUMS64(i + 64)
#define NAMES8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define NAMES16 \
  NAMES8 ", " \
  "%8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES32 \
  NAMES16 ", " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES48 \
  NAMES32 ", " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define NAMES64 \
  NAMES32 ", " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NAMES80 \
  NAMES64 ", " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define NAMES96 \
  NAMES64 ", " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define NAMES128 \
  NAMES96 ", " \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
// The numbers are of the operands after the sums.
#define MULTIPLY(T, kinds, N, COUNT, a_words, b_words, adds, a_turned, b_turned)                 \
  template <bool a_inner, bool b_inner> struct Multiply<T, N, a_inner, b_inner> {               \
    static void add(f32 (&c)[COUNT], u64 a, u64 b, u32 add) {                                    \
      asm volatile(                                                                              \
          "{\n.reg .pred adds;\nsetp.ne.b32 adds, " adds ", 0;\n"                                \
          "wgmma.mma_async.sync.aligned.m64n" #N kinds " {" NAMES##COUNT "}, " a_words           \
          ", " b_words ", adds, 1, 1, " a_turned ", " b_turned ";\n}"                            \
          : SUMS##COUNT(0)                                                                       \
          : "l"(a), "l"(b), "r"(add), "n"(int(!a_inner)), "n"(int(!b_inner)));                   \
    }                                                                                            \
  };
#define MULTIPLY_INNER(T, kinds, N, COUNT, a_words, b_words, adds)                               \
  template <> struct Multiply<T, N, true, true> {                                                \
    static void add(f32 (&c)[COUNT], u64 a, u64 b, u32 add) {                                    \
      asm volatile(                                                                              \
          "{\n.reg .pred adds;\nsetp.ne.b32 adds, " adds ", 0;\n"                                \
          "wgmma.mma_async.sync.aligned.m64n" #N kinds " {" NAMES##COUNT "}, " a_words           \
          ", " b_words ", adds, 1, 1;\n}"                                                        \
          : SUMS##COUNT(0)                                                                       \
          : "l"(a), "l"(b), "r"(add));                                                           \
    }                                                                                            \
  };
#define MULTIPLIES(N, COUNT, a_words, b_words, adds, ...)                                        \
  MULTIPLY(f16, "k16.f32.f16.f16", N, COUNT, a_words, b_words, adds, __VA_ARGS__)                \
  MULTIPLY(bf16, "k16.f32.bf16.bf16", N, COUNT, a_words, b_words, adds, __VA_ARGS__)             \
  MULTIPLY_INNER(f32, "k8.f32.tf32.tf32", N, COUNT, a_words, b_words, adds)                      \
  MULTIPLY_INNER(f8e4m3, "k32.f32.e4m3.e4m3", N, COUNT, a_words, b_words, adds)
MULTIPLIES(16, 8, "%8", "%9", "%10", "%11", "%12")
MULTIPLIES(32, 16, "%16", "%17", "%18", "%19", "%20")
MULTIPLIES(64, 32, "%32", "%33", "%34", "%35", "%36")
MULTIPLIES(96, 48, "%48", "%49", "%50", "%51", "%52")
MULTIPLIES(128, 64, "%64", "%65", "%66", "%67", "%68")
MULTIPLIES(160, 80, "%80", "%81", "%82", "%83", "%84")
MULTIPLIES(192, 96, "%96", "%97", "%98", "%99", "%100")
MULTIPLIES(256, 128, "%128", "%129", "%130", "%131", "%132")
#undef MULTIPLIES
#undef MULTIPLY
#undef MULTIPLY_INNER
#undef NAMES8
#undef NAMES16
#undef NAMES32
#undef NAMES48
#undef NAMES64
#undef NAMES80
#undef NAMES96
#undef NAMES128
#undef SUMS2
#undef SUMS8
#undef SUMS16
#undef SUMS32
#undef SUMS48
#undef SUMS64
#undef SUMS80
#undef SUMS96
#undef SUMS128

}  // namespace wootz

// As ENTRY, for clusters of so many groups; the maps of tensors follow the buffers.
#define MAP(index) const __grid_constant__ wootz::TensorMap b##index,
#define CLUSTER_ENTRY(cluster, name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)        \
  extern "C" __global__ void __cluster_dims__(cluster, 1, 1) __launch_bounds__(lanes, 1)   \
      name(BUFFERS const __grid_constant__ Params params) {                                \
    extern __shared__ __align__(1024) unsigned char memory[];                              \
    wootz::Place at = {blockIdx.x, gridDim.x, threadIdx.x, blockDim.x, memory};            \
    __VA_ARGS__(at, BARE ARGUMENTS, params);                                               \
  }
