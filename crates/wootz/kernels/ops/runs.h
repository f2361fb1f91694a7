// Rows with one index that follow each other, as a list of parts with ROWS rows at most: its length,
// and for each part its first row and its index. Where the next part starts one ends.

#include "tile/refuse.h"

namespace wootz {

enum : u32 { NO_INDEX = 0xffffffffu };

// The most there was before this lane, or the sum, of what each lane of the group has.
template <bool sums> inline u32 before(Place at, u32 mine, scratch u32* totals) {
  u32 value = mine;
  for (u32 step = 1; step < 32; step *= 2) {
    u32 other = shuffle_up(at, value, step);
    if (at.lane % 32 >= step) value = sums ? value + other : value > other ? value : other;
  }
  if (at.lane % 32 == 31) totals[at.lane / 32] = value;
  scratch_barrier(at);
  u32 up = shuffle_up(at, value, 1), all = at.lane % 32 == 0 ? 0 : up;
  for (u32 simd = 0; simd < at.lane / 32; ++simd) {
    u32 other = totals[simd];
    all = sums ? all + other : all > other ? all : other;
  }
  scratch_barrier(at);
  return all;
}

// Whether a run of one index starts at a row.
template <typename I> inline bool starts(device const I* index, u32 row) {
  return row == 0 || index[row] != index[row - 1];
}

// One group: each lane lists the parts that start in its share of the rows. A row's run is known by
// the row after its first, so that 0 is none.
template <typename I, u32 ROWS>
inline void runs(Place at, device const I* index, device u32* list, device u32* refused,
                 constant RunsParams& p) {
  scratch u32* totals = scratch_at<u32>(at, 0);
  u32 share = (p.rows + at.lanes - 1) / at.lanes;
  u32 first = at.lane * share < p.rows ? at.lane * share : p.rows;
  u32 end = first + share < p.rows ? first + share : p.rows;
  u32 newest = 0;
  for (u32 row = first; row < end; ++row) {
    if (starts(index, row)) newest = row + 1;
  }
  u32 run = before<false>(at, newest, totals), parts = 0;
  for (u32 row = first, start = run; row < end; ++row) {
    if (starts(index, row)) start = row + 1;
    if ((row + 1 - start) % ROWS == 0) ++parts;
  }
  u32 part = before<true>(at, parts, totals);
  for (u32 row = first; row < end; ++row) {
    if (starts(index, row)) run = row + 1;
    if ((row + 1 - run) % ROWS != 0) continue;
    i64 which = i64(index[row]);
    bool inside = u64(which) < p.limit;
    if (!inside) refuse(refused, row);
    list[1 + 2 * part] = row;
    list[2 + 2 * part] = inside ? u32(which) : NO_INDEX;
    ++part;
  }
  if (at.lane == at.lanes - 1) {
    list[0] = part;
    list[1 + 2 * part] = p.rows;
  }
}

}  // namespace wootz
