// index_select, gather and scatter along an axis.
//
// Tensors are seen as [outer, axis, inner]. An index outside its axis reads as zero and writes
// nowhere; the caller is told through `bad`, which counts them.

#include "ops/binary.h"
#include "tile/walk.h"

namespace wootz {

// The position that an index names, or -1. A negative index counts from the end.
inline i64 position(i64 index, u64 size) {
  if (index < 0) index += i64(size);
  return index >= 0 && u64(index) < size ? index : -1;
}

// y[o, j, i] = x[o, index[j], i]: whole rows of `inner` elements (an embedding's, say).
template <typename T, typename I, u32 VEC>
inline void index_select(Place at, device const T* x, device const I* index, device T* y,
                         device u32* bad, constant IndexParams& p) {
  u64 packs = p.inner / VEC;
  u64 total = p.outer * p.indices * packs;
  for (u64 n = first_pack<u64>(at); n < total; n += pack_stride<u64>(at)) {
    u64 row = n / packs, inner = (n - row * packs) * VEC;
    u64 outer = row / p.indices, j = row - outer * p.indices;
    i64 from = position(i64(index[j]), p.size);
    Pack<T, VEC> pack;
    if (from >= 0) {
      pack = load<VEC>(x + ((outer * p.size + u64(from)) * p.inner + inner));
    } else {
      UNROLL for (u32 k = 0; k < VEC; ++k) pack.at[k] = T(0.0f);
      if (inner == 0) atomic_add(bad, 1u);
    }
    store(y + (row * p.inner + inner), pack);
  }
}

// y[o, j, i] = x[o, index[o, j, i], i]
template <typename T, typename I>
inline void gather(Place at, device const T* x, device const I* index, device T* y,
                   device u32* bad, constant IndexParams& p) {
  u64 total = p.outer * p.indices * p.inner;
  for (u64 n = first_pack<u64>(at); n < total; n += pack_stride<u64>(at)) {
    u64 row = n / p.inner, inner = n - row * p.inner;
    u64 outer = row / p.indices;
    i64 from = position(i64(index[n]), p.size);
    if (from < 0) atomic_add(bad, 1u);
    y[n] = from < 0 ? T(0.0f) : x[(outer * p.size + u64(from)) * p.inner + inner];
  }
}

// y[o, index[o, j, i], i] = Op(that, x[o, j, i]) for j in order, y holding the base at first.
// A lane owns a column (o, i) of y and goes through its indices, so that the sum of many updates
// to one element has the same bits every time.
template <typename Op, typename T, typename I>
inline void scatter(Place at, device const T* x, device const I* index, device T* y,
                    device u32* bad, constant IndexParams& p) {
  u64 columns = p.outer * p.inner;
  for (u64 n = first_pack<u64>(at); n < columns; n += pack_stride<u64>(at)) {
    u64 outer = n / p.inner, inner = n - outer * p.inner;
    for (u64 j = 0; j < p.indices; ++j) {
      u64 from = (outer * p.indices + j) * p.inner + inner;
      i64 to = position(i64(index[from]), p.size);
      if (to < 0) {
        atomic_add(bad, 1u);
        continue;
      }
      u64 place = (outer * p.size + u64(to)) * p.inner + inner;
      y[place] = Op::of(y[place], x[from]);
    }
  }
}

}  // namespace wootz
