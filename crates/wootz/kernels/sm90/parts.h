#pragma once
// Which parts of a product there are, and in which order groups take them.

#include "sm90/queue.h"
#include "sm90/write.h"

namespace wootz {

// Part `i` of `rows` by p.column_tiles, of each of a batch: its row, its column and the product.
// `band` rows go through all columns before the next ones do, so that what runs at the same time
// shares tiles of a and x.
struct PartAt {
  u32 row;
  u32 column;
  u32 batch;
};
inline PartAt part_at(u32 i, u32 rows, constant Sm90MatmulParams& p) {
  u32 columns = p.column_tiles;
  u32 batch = i / (rows * columns), rest = i - batch * (rows * columns);
  u32 band = rest / (p.band * columns), first = band * p.band;
  u32 high = rows - first < p.band ? rows - first : p.band;
  u32 within = rest - first * columns;
  PartAt at = {first + within % high, within / high, batch};
  return at;
}

// Rows cut evenly.
struct Even {
  u32 count(constant Sm90MatmulParams& p) const { return p.row_tiles * p.column_tiles * p.batch; }

  // Of a group at `place` in its cluster.
  template <u32 BM, u32 BN, u32 CLUSTER>
  Part part(u32 i, u32 place, constant Sm90MatmulParams& p) const {
    PartAt at = part_at(i, p.row_tiles, p);
    Part part = {(at.row * CLUSTER + place) * BM, at.column * BN, at.batch, p.rows};
    return part;
  }

  template <u32 BN, typename Y>
  void write(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device Y* y,
             constant Sm90MatmulParams& p) const {
    write_part<Y, BN>(at, c, part, out, y, p);
  }
};

// Runs of rows with weights of their own, as ops/runs.h lists them. A part without weights is outside
// of them, and its products are zeros.
struct Runs {
  device const u32* list;

  u32 count(constant Sm90MatmulParams& p) const { return list[0] * p.column_tiles; }

  template <u32 BM, u32 BN, u32 CLUSTER>
  Part part(u32 i, u32, constant Sm90MatmulParams& p) const {
    PartAt at = part_at(i, list[0], p);
    device const u32* run = list + 1 + 2 * at.row;
    Part part = {run[0], at.column * BN, run[1], run[2]};
    return part;
  }

  // The same rows of one product.
  template <u32 BN, typename Y>
  void write(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device Y* y,
             constant Sm90MatmulParams& p) const {
    part.batch = 0;
    write_part<Y, BN>(at, c, part, out, y, p);
  }
};

}  // namespace wootz
