#pragma once
// What becomes of a product's sums, in the kernel that has them: see EpilogueParams.

#include "dialect/dialect.h"
#include "ops/unary.h"

namespace wootz {

// Activations, in the order of the library's. Which one it is is the same for all sums of a plan, so
// a branch that all lanes take alike costs less than a kernel for each.
enum : u32 { RELU = 1, GELU, GELU_TANH, SILU };

// Activates sums that will be rounded to Out: each as soon as it can be, not one after the other.
template <typename Op, typename Out, u32 COUNT> inline void each_of(thread f32 (&x)[COUNT]) {
  UNROLL for (u32 i = 0; i < COUNT; ++i) x[i] = Widened<Op, Out>::of(x[i]);
}
template <typename Out, u32 COUNT> inline void activate(u32 activation, thread f32 (&x)[COUNT]) {
  switch (activation) {
    case RELU: each_of<Relu, Out>(x); break;
    case GELU: each_of<Gelu, Out>(x); break;
    case GELU_TANH: each_of<GeluTanh, Out>(x); break;
    case SILU: each_of<Silu, Out>(x); break;
    default: break;
  }
}

// activation(alpha * sum + bias) + beta * added, of the sum at a row and a column of one of the
// products; to be rounded to Out, once. The bias has a value for each column. A factor of zero adds
// nothing, whatever is there.
template <typename Out, typename T>
inline f32 finished(constant EpilogueParams& p, f32 sum, device const T* bias,
                    device const Out* added, u64 batch, u64 row, u64 column) {
  f32 inner = p.has_bias ? fused(p.alpha, sum, f32(bias[column])) : p.alpha * sum;
  f32 values[1] = {inner};
  activate<Out>(p.activation, values);
  f32 value = values[0];
  if (p.beta == 0.0f) return value;
  i64 place = i64(batch) * p.added_batch + i64(row) * p.added_row + i64(column) * p.added_column;
  return fused(p.beta, f32(added[place]), value);
}

}  // namespace wootz
