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
  for (Index n = first_of_lane<Index>(at); n < Index(p.total); n += lane_stride<Index>(at)) {
    Spot<3> spot = locate<3, VEC>(n, p);
    i64 step = inner_stride(p, 1);
    if (VEC > 1) {
      // One index for the whole pack.
      i64 picked = i64(index[spot.offset[2]]);
      if (u64(picked) >= u64(p.wholes[0])) {
        refuse(refused, u64(n));
        continue;
      }
      Pack<T, VEC> pack = fetch<VEC>(x + (spot.offset[1] + picked * p.wholes[1]), step, spot.count);
      put_pack(y + spot.offset[0], pack, spot.count);
      continue;
    }
    i64 picked = i64(index[spot.offset[2]]);
    if (u64(picked) >= u64(p.wholes[0])) {
      refuse(refused, u64(n));
    } else {
      y[spot.offset[0]] = x[spot.offset[1] + picked * p.wholes[1]];
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
