// Matrix products on Hopper: y[b] = a[b] * x[b] (+ bias), of half-width elements.
//
// A group computes BM x BN of one product after another. One lane, the feeder, has the copy engine
// bring tiles of a and x, 64 of the inner size deep, into a queue of SLOTS slots; BM / 64 warpgroups
// multiply them, 64 rows each, and send their rows of y off by the copy engine again. The groups of
// a cluster lie below each other: each brings its rows of a and its share of the columns of x,
// which all of them need.

#include "dialect/dialect.h"
#include "sm90/queue.h"
#include "sm90/write.h"

namespace wootz {

// Part `i`, of a group at `place` in its cluster. `band` rows of clusters go through all columns
// before the next ones do, so that what runs at the same time shares tiles of a and x.
template <u32 BM, u32 BN, u32 CLUSTER>
inline Part part_of(u32 i, u32 place, constant Sm90MatmulParams& p) {
  u32 rows = p.row_tiles, columns = p.column_tiles;
  u32 batch = i / (rows * columns), rest = i - batch * (rows * columns);
  u32 band = rest / (p.band * columns), first = band * p.band;
  u32 high = rows - first < p.band ? rows - first : p.band;
  u32 within = rest - first * columns;
  Part part = {((first + within % high) * CLUSTER + place) * BM, within / high * BN, batch};
  return part;
}

// `a_inner` and `x_inner`: the inner size's elements are neighbours in memory.
template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
inline void sm90_matmul(Place at, device const T*, device const T*, device const T* bias,
                        device T* y, const TensorMap& a_map, const TensorMap& x_map,
                        const TensorMap& y_map, constant Sm90MatmulParams& p) {
  enum : u32 { WORKERS = BM / 64 };
  Slots<BM, BN, SLOTS> memory = {scratch_address(at.memory)};
  u32 place = CLUSTER == 1 ? 0 : cluster_place();
  if (at.lane == 0) make_queue<SLOTS>(memory, CLUSTER * WORKERS);
  if (at.lane == 32) know_maps(a_map, x_map, y_map);
  if (CLUSTER == 1) {
    scratch_barrier(at);
  } else {
    cluster_barrier();
  }

  u32 parts = p.row_tiles * p.column_tiles * p.batch, steps = (p.depth + DEPTH - 1) / DEPTH;
  u32 first = at.group / CLUSTER, stride = at.groups / CLUSTER, worker = uniform(at.lane / 128);
  Turn<SLOTS> turn = {0, 0};
  if (worker == WORKERS) {
    if (WORKERS == 2) fewer_registers<40>();
    if (at.lane % 128 == 0) {
      for (u32 i = first; i < parts; i += stride) {
        Part part = part_of<BM, BN, CLUSTER>(i, place, p);
        feed<BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(memory, turn, a_map, x_map, part, place, 0,
                                                       steps, p);
      }
    }
  } else {
    if (WORKERS == 2) more_registers<232>();
    u32 out = memory.out(uniform(at.lane / 32));
    for (u32 i = first; i < parts; i += stride) {
      Part part = part_of<BM, BN, CLUSTER>(i, place, p);
      part.row += worker * 64;
      f32 c[BN / 2];
      multiply<T, BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(at, c, memory, turn, worker, steps);
      if (p.has_bias) add_bias<BN>(at, c, part, bias, p);
      if (p.boxes) {
        write_boxes<T, BN>(at, c, part, y_map, out);
      } else {
        write_each<T, BN>(at, c, part, y, p);
      }
    }
    if (at.lane % 32 == 0) stores_read<0>();
  }
  // Nobody leaves while another's boxes or arrivals may still come.
  if (CLUSTER > 1) cluster_barrier();
}

}  // namespace wootz
