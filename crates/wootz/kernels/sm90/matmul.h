// Matrix products on Hopper: y[b] = a[b] * x[b], of half-width elements or of f32 as tf32, and what
// becomes of it, or of elements of one byte with scales.
//
// A group computes BM x BN of one product after another. One lane, the feeder, has the copy engine
// bring tiles of a and x, 128 bytes of the inner size deep, into a queue of SLOTS slots; BM / 64
// warpgroups multiply them, 64 rows each, and write their rows of y. The groups of a cluster lie below
// each other: each brings its rows of a and its share of the columns of x, which all of them need.

#include "dialect/dialect.h"
#include "sm90/parts.h"
#include "sm90/queue.h"
#include "sm90/scaled.h"
#include "sm90/write.h"

namespace wootz {

// What a warpgroup's sums are: products, and what becomes of them.
template <typename T> struct Finished : Even {
  device const T* bias;
  device const T* added;
  template <u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
  void sums(Place at, f32 (&c)[BN / 2], Slots<BM, BN, SLOTS> memory, thread Turn<SLOTS>& turn,
            u32 worker, u32 steps, Part part, constant Sm90MatmulParams& p) const {
    multiply<T, BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(at, c, memory, turn, worker, steps);
    if (p.plain && p.epilogue.has_bias) add_bias<BN>(at, c, part, bias, p);
  }

  template <u32 BN>
  void write(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device T* y,
             constant Sm90MatmulParams& p) const {
    if (p.plain) {
      write_part<T, BN>(at, c, part, out, y, p);
    } else {
      finish_part<T, BN>(at, c, part, out, bias, added, y, p);
    }
  }
};

template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner,
          typename Y, typename Of>
inline void parts_of(Place at, Of of, device Y* y, const TensorMap& a_map, const TensorMap& x_map,
                     constant Sm90MatmulParams& p) {
  enum : u32 { WORKERS = BM / 64 };
  Slots<BM, BN, SLOTS> memory = {scratch_address(at.memory)};
  u32 place = CLUSTER == 1 ? 0 : cluster_place();
  if (at.lane == 0) make_queue<SLOTS>(memory, CLUSTER * WORKERS);
  if (at.lane == 32) know_maps(a_map, x_map);
  if (CLUSTER == 1) {
    scratch_barrier(at);
  } else {
    cluster_barrier();
  }
  follow_closely();

  u32 parts = of.count(p), steps = steps_of<T>(p.depth);
  u32 first = at.group / CLUSTER, stride = at.groups / CLUSTER, worker = uniform(at.lane / 128);
  Turn<SLOTS> turn = {0, 0};
  if (worker == WORKERS) {
    if (WORKERS == 2) fewer_registers<40>();
    if (at.lane % 128 == 0) {
      for (u32 i = first; i < parts; i += stride) {
        Part part = of.template part<BM, BN, CLUSTER>(i, place, p);
        feed<T, BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(memory, turn, a_map, x_map, part, place,
                                                          0, steps, p);
      }
    }
  } else {
    if (WORKERS == 2) more_registers<232>();
    u32 out = memory.out(uniform(at.lane / 32));
    for (u32 i = first; i < parts; i += stride) {
      Part part = of.template part<BM, BN, CLUSTER>(i, place, p);
      part.row += worker * 64;
      f32 c[BN / 2];
      of.template sums<BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(at, c, memory, turn, worker, steps,
                                                                 part, p);
      of.template write<BN>(at, c, part, out, y, p);
    }
  }
  // Nobody leaves while another's boxes or arrivals may still come.
  if (CLUSTER > 1) cluster_barrier();
}

// `a_inner` and `x_inner`: the inner size's elements are neighbours in memory.
template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
inline void sm90_matmul(Place at, device const T*, device const T*, device const T* bias,
                        device const T* added, device T* y, const TensorMap& a_map,
                        const TensorMap& x_map, constant Sm90MatmulParams& p) {
  Finished<T> of;
  of.bias = bias;
  of.added = added;
  parts_of<T, BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(at, of, y, a_map, x_map, p);
}

// `blocks`: each block of 128 along the inner size has scales of its own.
template <typename T, typename Y, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool blocks>
inline void sm90_scaled_matmul(Place at, device const T*, device const T*,
                               device const f32* a_scale, device const f32* x_scale, device Y* y,
                               const TensorMap& a_map, const TensorMap& x_map,
                               constant Sm90MatmulParams& p) {
  Scaled<T, blocks> of;
  of.a = a_scale;
  of.x = x_scale;
  parts_of<T, BM, BN, SLOTS, CLUSTER, true, true>(at, of, y, a_map, x_map, p);
}

}  // namespace wootz
