#pragma once
// One language over three: Metal, CUDA C++ and plain C++ (the emulator).
//
// A file that includes only this header and uses only its words compiles for each. The words:
//
//   types       f32 f16 bf16 f8e4m3 i32 u32 i64 u64 u8 u16; arithmetic is done in wide<T>
//   spaces      device, scratch, constant, thread: every pointer and reference names one
//   place       Place: where a body runs; a body gets it as an argument, never from the hardware
//   simd        32 lanes in step: shuffle, shuffle_xor, shuffle_up, simd_any, simd_barrier
//   group       the lanes that share scratch: scratch_barrier, device_barrier
//   cluster     groups that see each other's: member, scratch_of, cluster_barrier
//   memory      load, store, narrow (packs), put, get, put_packed, get_packed (scratch), keep, kept
//               (device), atomic_add, atomic_max, atomic_load, atomic_store; bring, bring_pack,
//               bring_one (device to scratch), asked_for, arrived, arrived_but
//   matrices    SimdTile, get, set: a simd's accumulator of 8 x 8 blocks; Staged, Blocks, take_blocks,
//               multiply_blocks: its factors, from tiles in scratch; multiply_add_turned: likewise;
//               PackSums, multiply_packs: of 16 x 8, from packs that lanes hold
//   maths       exp_precise, exp_fast, ...: never a bare name whose meaning differs
//   bits        bits_as<T>(x)
//   constants   FIXED for class-scope constants
//   loops       UNROLL before a loop with constant bounds; ROLLED before one that shall stay one
//   entries     ENTRY(name, lanes, count, Params, buffers, arguments, body): one generated line
//               per kernel; buffers is a run of IN(index, type) and OUT(index, type), arguments
//               names them as (b0, b1, ...), body may hold commas; DENSE_ENTRY and CLUSTER_n_ENTRY
//               likewise, where that means something
//
// The language is C++14 without lambdas, recursion, virtual functions or globals: what the
// strictest of the three takes. A pointer to group memory comes only from Place.

#if defined(__METAL_VERSION__)
#include "dialect/metal.h"
#elif defined(__CUDACC__)
#include "dialect/cuda.h"
#elif defined(WOOTZ_LINT)
#include "dialect/lint.h"
#else
#include "dialect/emulated.h"
#endif

#define BARE(...) __VA_ARGS__
#if defined(CALLED)
#include "dialect/call.h"
#endif

#if !defined(DENSE_ENTRY)
#define DENSE_ENTRY ENTRY
#endif
#if !defined(CLUSTER_2_ENTRY)
#define CLUSTER_2_ENTRY ENTRY
#define CLUSTER_4_ENTRY ENTRY
#define CLUSTER_8_ENTRY ENTRY
#endif

#include "dialect/float8.h"
#include "dialect/number.h"
#include "dialect/place.h"
#include "dialect/maths.h"
#include "dialect/matrix.h"
