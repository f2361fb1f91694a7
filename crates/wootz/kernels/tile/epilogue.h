#pragma once
// What becomes of a product's sums, in the kernel that has them: see EpilogueParams.

#include "dialect/dialect.h"
#include "ops/unary.h"

namespace wootz {

// Activations, in the order of the library's. Which one it is is the same for all sums of a plan, so
// a branch that all lanes take alike costs less than a kernel for each.
enum : u32 { RELU = 1, GELU, GELU_TANH, SILU };

// An activation of a sum that will be rounded to Out.
template <typename Out> inline f32 activated(u32 activation, f32 x) {
  switch (activation) {
    case RELU: return Widened<Relu, Out>::of(x);
    case GELU: return Widened<Gelu, Out>::of(x);
    case GELU_TANH: return Widened<GeluTanh, Out>::of(x);
    case SILU: return Widened<Silu, Out>::of(x);
    default: return x;
  }
}

// activation(alpha * sum + bias) + beta * added, of the sum at a row and a column of one of the
// products; to be rounded to Out, once. The bias has a value for each column. A factor of zero adds
// nothing, whatever is there.
template <typename Out, typename T>
inline f32 finished(constant EpilogueParams& p, f32 sum, device const T* bias,
                    device const Out* added, u64 batch, u64 row, u64 column) {
  f32 inner = p.has_bias ? fused(p.alpha, sum, f32(bias[column])) : p.alpha * sum;
  f32 value = activated<Out>(p.activation, inner);
  if (p.beta == 0.0f) return value;
  i64 place = i64(batch) * p.added_batch + i64(row) * p.added_row + i64(column) * p.added_column;
  return fused(p.beta, f32(added[place]), value);
}

}  // namespace wootz
