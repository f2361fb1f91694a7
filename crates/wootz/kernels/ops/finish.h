// Products from their sums, where another kernel left them: [parts, batch, rows, columns].

#include "tile/epilogue.h"

namespace wootz {

template <typename Act, typename Part, typename T, typename Out>
inline void finish(Place at, device const Part* sums, device const T* bias,
                   device const Out* added, device Out* y, constant FinishParams& p) {
  u64 total = p.batch * p.rows * p.columns;
  for (u64 i = first_of_lane<u64>(at); i < total; i += lane_stride<u64>(at)) {
    f32 sum = 0.0f;
    for (u64 part = 0; part < p.parts; ++part) sum += f32(sums[part * total + i]);
    u64 line = i / p.columns, batch = line / p.rows;
    y[i] = Out(finished<Act>(p.epilogue, sum, bias, added, batch, line - batch * p.rows,
                             i - line * p.columns));
  }
}

}  // namespace wootz
