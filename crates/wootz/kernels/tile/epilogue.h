#pragma once
// What becomes of a product's sums, in the kernel that has them: see EpilogueParams.

#include "dialect/dialect.h"
#include "ops/unary.h"

namespace wootz {

// Act(alpha * sum + bias) + beta * added, of the sum at a row and a column of one of the products;
// to be rounded to Out, once. Act is an op of ops/unary.h, Copy for none. The bias has a value for
// each column.
template <typename Act, typename Out, typename T>
inline f32 finished(constant EpilogueParams& p, f32 sum, device const T* bias,
                    device const Out* added, u64 batch, u64 row, u64 column) {
  f32 inner = p.has_bias ? fused(p.alpha, sum, f32(bias[column])) : p.alpha * sum;
  f32 value = Widened<Act, Out>::of(inner);
  if (!p.has_added) return value;
  i64 place = i64(batch) * p.added_batch + i64(row) * p.added_row + i64(column) * p.added_column;
  return fused(p.beta, f32(added[place]), value);
}

// A sum on its way out: finished, or as it is where nothing becomes of it.
struct Bare;
template <typename Act, typename Out, typename T> struct End {
  static f32 of(constant EpilogueParams& p, f32 sum, device const T* bias, device const Out* added,
                u64 batch, u64 row, u64 column) {
    return finished<Act>(p, sum, bias, added, batch, row, column);
  }
};
template <typename Out, typename T> struct End<Bare, Out, T> {
  static f32 of(constant EpilogueParams&, f32 sum, device const T*, device const Out*, u64, u64,
                u64) {
    return sum;
  }
};

}  // namespace wootz
