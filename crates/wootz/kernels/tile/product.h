#pragma once
#include "tile/epilogue.h"

// What the kernels of matrix products share: which tile a unit of work is, where its matrices are, and
// the ways out.

namespace wootz {

// A tile of one product, or of a part of it.
struct Unit {
  u64 product;  // counted over the parts
  u64 batch;
  u64 row;
  u64 column;
  u64 first;  // of the inner size
  u64 end;
};

// Tiles that run at the same time make a block of about as many rows as columns, so that they share
// what they read: bands of 2,048 rows are gone through column by column. There are less than 2^32
// units.
template <u32 BM, u32 BN> inline Unit unit_at(u32 t, constant MatmulParams& p) {
  enum : u32 { BAND = 2048 / BM };
  u32 high = u32(p.row_tiles), wide = u32(p.column_tiles), batch = u32(p.batch);
  u32 product = t / (high * wide), tile = t - product * (high * wide), part = product / batch;
  u32 whole = high < BAND ? high : BAND, band = tile / (whole * wide);
  u32 rest = tile - band * (whole * wide), left = high - band * whole;
  u32 rows = left < whole ? left : whole, column = rest / rows;
  u64 first = part * p.part, end = first + p.part < p.depth ? first + p.part : p.depth;
  Unit unit = {product, product - part * batch, u64(band * whole + rest - column * rows) * BM,
               u64(column) * BN, first, end};
  return unit;
}

// The tiles of a unit, BK deep, that are to come, and how deep the last one is.
struct Progress {
  u32 tiles;
  u32 last;
};
template <u32 BK> inline Progress progress_of(Unit unit) {
  u32 depth = u32(unit.end - unit.first), tiles = (depth + BK - 1) / BK;
  Progress progress = {tiles, depth + BK - tiles * BK};
  return progress;
}
// How deep the next one is; nothing after the last.
template <u32 BK> inline u32 depth_of_next(thread Progress& to_come) {
  u32 deep = to_come.tiles > 1 ? BK : to_come.tiles == 1 ? to_come.last : 0;
  if (to_come.tiles > 0) --to_come.tiles;
  return deep;
}

// A matrix of a batch, the right or the left one.
template <typename T>
inline device const T* matrix_at(device const T* from, u64 batch, constant MatmulParams& p,
                                 bool right) {
  u64 rest = batch;
  for (u32 axis = p.batch_rank; axis > 0; --axis) {
    u64 outer = rest / p.batch_shape[axis - 1];
    i64 index = i64(rest - outer * p.batch_shape[axis - 1]);
    from += index * (right ? p.x_batch[axis - 1] : p.a_batch[axis - 1]);
    rest = outer;
  }
  return from;
}

// Writes neighbours in a row of a unit's product as they are.
template <u32 RUN, typename Out>
inline void write_run(constant MatmulParams& p, device Out* y, thread const f32* run, Unit unit,
                      u64 row, u64 column) {
  if (row >= p.rows) return;
  device Out* to = y + ((unit.product * p.rows + row) * p.columns + column);
  if (p.runs) {
    Pack<Out, RUN> pack = narrow<Out, RUN>(run);
    if (column < p.columns) store(to, pack);
    return;
  }
  UNROLL for (u32 e = 0; e < RUN; ++e) {
    if (column + e < p.columns) to[e] = Out(run[e]);
  }
}

// Eight rows of a simd's sums, WIDE columns, in scratch memory: on their way to what becomes of them,
// whose code is there once for all of them then, and not for each register.
template <u32 WIDE> struct Strip {
  enum : u32 { STEP = WIDE + 4, SIZE = 8 * STEP };
};
// That of a simd.
template <u32 WIDE> inline scratch f32* strip_at(Place at) {
  return scratch_at<f32>(at, simd_index(at) * (Strip<WIDE>::SIZE * u32(sizeof(f32))));
}

// Finishes and writes one: rows `apart` from each other from `row` on, columns from `column` on.
template <u32 WIDE, typename Out, typename T>
inline void write_strip(Place at, constant MatmulParams& p, scratch const f32* strip,
                        device const T* bias, device const Out* added, device Out* y, Unit unit,
                        u64 row, u32 apart, u64 column) {
  simd_barrier(at);
  ROLLED for (u32 i = simd_lane(at); i < 8 * WIDE; i += SIMD_LANES) {
    u64 r = row + i / WIDE * apart, n = column + i % WIDE;
    if (r >= p.rows || n >= p.columns) continue;
    f32 sum = get(strip + (i / WIDE * Strip<WIDE>::STEP + i % WIDE));
    f32 value = finished(p.epilogue, sum, bias, added, unit.batch, r, n);
    y[(unit.product * p.rows + r) * p.columns + n] = Out(value);
  }
  simd_barrier(at);
}

}  // namespace wootz
