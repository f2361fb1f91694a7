// gather, index_select, embedding and scatter along an axis, for any strides.
//
// p.wholes: 0 the size of the axis, which indices must lie under. An index outside of it is left
// out and refused.

#include "ops/binary.h"
#include "tile/refuse.h"
#include "tile/walk.h"

namespace wootz {

// y = x at the lane of the place, p.wholes[1] elements further for each step of the index there.
// Operands are y, the lanes of x, and the indices. Elements are only moved.
template <typename T, typename I, u32 VEC, typename Index>
inline void pick(Place at, device const T* x, device const I* index, device T* y,
                 device u32* refused, constant WalkParams& p) {
  // A lane asks for the elements of all its packs before it stores one.
  i64 step = inner_stride(p, 1);
  for (u64 first = first_flat(at); first < p.total; first += flat_stride(at)) {
    Spot<3> spot[PACKS_AHEAD];
    Pack<T, VEC> pack[PACKS_AHEAD];
    bool there[PACKS_AHEAD];
    UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
      u64 n = first + j * at.lanes;
      there[j] = n < p.total;
      spot[j] = locate<3, VEC>(Index(there[j] ? n : first), p);
      // One index for the whole pack.
      i64 picked = i64(index[spot[j].offset[2]]);
      bool refuses = u64(picked) >= u64(p.wholes[0]);
      if (refuses && there[j]) refuse(refused, n);
      there[j] = there[j] && !refuses;
      if (there[j]) {
        pack[j] = fetch<VEC>(x + (spot[j].offset[1] + picked * p.wholes[1]), step, spot[j].count);
      }
    }
    UNROLL for (u32 j = 0; j < PACKS_AHEAD; ++j) {
      if (there[j]) put_pack(y + spot[j].offset[0], pack[j], spot[j].count);
    }
  }
}

// What becomes of what is there when another comes.
struct Replace {
  template <typename T> static T of(T, T x) { return x; }
};

// Lets elements of `x` meet those of `y`. Operands are the lanes of y, the indices and x, all at
// the first index of the axis, along which there are p.wholes[1] indices; p.wholes 2, 3 and 4 are
// the steps of y, the indices and x there. A lane of the grid goes through a whole lane of the
// indices, so that what meets in one place does so in order.
template <typename Meet, typename T, typename I, typename Index>
inline void scatter(Place at, device const T* x, device const I* index, device T* y,
                    device u32* refused, constant WalkParams& p) {
  for (Index n = first_of_lane<Index>(at); n < Index(p.total); n += lane_stride<Index>(at)) {
    Spot<3> spot = locate<3, 1>(n, p);
    for (i64 j = 0; j < p.wholes[1]; ++j) {
      i64 to = i64(index[spot.offset[1] + j * p.wholes[3]]);
      if (u64(to) >= u64(p.wholes[0])) {
        refuse(refused, u64(n) * u64(p.wholes[1]) + u64(j));
        continue;
      }
      device T* there = y + (spot.offset[0] + to * p.wholes[2]);
      *there = Meet::of(*there, x[spot.offset[2] + j * p.wholes[4]]);
    }
  }
}

}  // namespace wootz
