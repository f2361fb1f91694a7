// Rows times weights of their own on Hopper: y[i] = x[i] * transposed(w[index[i]]).
//
// The products of sm90/matmul.h, of the parts that ops/runs.h lists.

#include "dialect/dialect.h"
#include "sm90/matmul.h"

namespace wootz {

// What a warpgroup's sums are: products with one weight.
template <typename T> struct Grouped : Runs {
  template <u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
  void sums(Place at, f32 (&c)[BN / 2], Slots<BM, BN, SLOTS> memory, thread Turn<SLOTS>& turn,
            u32 worker, u32 steps, Part, constant Sm90MatmulParams&) const {
    multiply<T, BM, BN, SLOTS, CLUSTER, a_inner, x_inner>(at, c, memory, turn, worker, steps);
  }
};

template <typename T, u32 BM, u32 BN, u32 SLOTS>
inline void sm90_grouped(Place at, device const T*, device const T*, device const u32* list,
                         device T* y, const TensorMap& x_map, const TensorMap& w_map,
                         constant Sm90MatmulParams& p) {
  Grouped<T> of;
  of.list = list;
  parts_of<T, BM, BN, SLOTS, 1, true, true>(at, of, y, x_map, w_map, p);
}

}  // namespace wootz
