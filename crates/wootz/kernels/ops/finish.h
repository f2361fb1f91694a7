// Products from their sums, where another kernel left them: [parts, batch, rows, columns].

#include "tile/epilogue.h"

namespace wootz {

// VEC neighbours of a row, from column `column` of line `line` of all products on.
template <u32 VEC, typename Part, typename T, typename Out>
inline void finish_some(u64 line, u64 column, device const Part* sums, device const T* bias,
                        device const Out* added, device Out* y, constant FinishParams& p) {
  u64 total = p.batch * p.rows * p.columns, at = line * p.columns + column;
  f32 sum[VEC];
  UNROLL for (u32 e = 0; e < VEC; ++e) sum[e] = 0.0f;
  for (u64 part = 0; part < p.parts; ++part) {
    Pack<Part, VEC> more = load<VEC>(sums + (part * total + at));
    UNROLL for (u32 e = 0; e < VEC; ++e) sum[e] += f32(more.at[e]);
  }
  u64 batch = line / p.rows, row = line - batch * p.rows;
  Pack<Out, VEC> out;
  UNROLL for (u32 e = 0; e < VEC; ++e) {
    out.at[e] = Out(finished(p.epilogue, sum[e], bias, added, batch, row, column + e));
  }
  store(y + at, out);
}

template <u32 VEC, typename Part, typename T, typename Out>
inline void finish(Place at, device const Part* sums, device const T* bias,
                   device const Out* added, device Out* y, constant FinishParams& p) {
  u64 packs = p.columns / VEC, total = p.batch * p.rows * packs;
  for (u64 i = first_of_lane<u64>(at); i < total; i += lane_stride<u64>(at)) {
    u64 line = i / packs;
    finish_some<VEC>(line, (i - line * packs) * VEC, sums, bias, added, y, p);
  }
}

}  // namespace wootz
