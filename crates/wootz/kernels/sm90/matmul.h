// Matrix products on Hopper: y[b] = a[b] * x[b] (+ bias), of half-width elements.
//
// A group computes BM x BN of one product after another. One lane, the feeder, has the copy engine
// bring tiles of a and x, 64 of the inner size deep, into a queue of SLOTS slots; BM / 64 warpgroups
// multiply them, 64 rows each, and send their rows of y off by the copy engine again. The groups of
// a cluster lie below each other: each brings its rows of a and its share of the columns of x,
// which all of them need.

#include "dialect/dialect.h"
#include "sm90/words.h"

namespace wootz {

enum : u32 { DEPTH = 64, BOX = 64, ROW_BYTES = 128 };

// Where a tile lies in scratch memory.
template <u32 BM, u32 BN, u32 SLOTS> struct Slots {
  enum : u32 {
    A = BM * ROW_BYTES,
    X = BN * ROW_BYTES,
    SLOT = A + X,
    // Each simd has two boxes of 16 rows and 64 columns on their way out.
    OUT = SLOTS * SLOT,
    BARRIERS = OUT + BM / 16 * 2 * 16 * ROW_BYTES,
  };
  u32 memory;
  u32 a(u32 slot) const { return memory + slot * SLOT; }
  u32 x(u32 slot) const { return memory + slot * SLOT + A; }
  u32 out(u32 simd) const { return memory + OUT + simd * (2 * 16 * ROW_BYTES); }
  u32 full(u32 slot) const { return memory + BARRIERS + slot * 16; }
  u32 empty(u32 slot) const { return memory + BARRIERS + slot * 16 + 8; }
};

// A place in the queue, and the parity of its turn.
template <u32 SLOTS> struct Turn {
  u32 slot;
  u32 parity;
  void next() {
    if (++slot == SLOTS) {
      slot = 0;
      parity ^= 1;
    }
  }
};

// Which part of y: its first row and column, and the product.
struct Part {
  u32 row;
  u32 column;
  u32 batch;
};

// Part `i`, of a group at `place` in its cluster. `band` rows of clusters go through all columns
// before the next ones do, so that what runs at the same time shares tiles of a and x.
template <u32 BM, u32 BN, u32 CLUSTER>
inline Part part_of(u32 i, u32 place, constant Sm90MatmulParams& p) {
  u32 rows = p.row_tiles, columns = p.column_tiles;
  u32 batch = i / (rows * columns), rest = i - batch * (rows * columns);
  u32 band = rest / (p.band * columns), first = band * p.band;
  u32 high = rows - first < p.band ? rows - first : p.band;
  u32 within = rest - first * columns;
  Part part = {((first + within % high) * CLUSTER + place) * BM, within / high * BN, batch};
  return part;
}

// Brings ROWS rows of a matrix, from `first` on, for one turn.
template <u32 ROWS, bool inner, u32 CLUSTER>
inline void feed(u32 to, const TensorMap& map, u32 first, u32 k, u32 batch, u32 full) {
  u16 all = (1u << CLUSTER) - 1;
  enum : u32 { BOXES = inner ? 1 : ROWS / BOX, BYTES = BOX * ROW_BYTES };
  UNROLL for (u32 i = 0; i < BOXES; ++i) {
    BoxAt along = {k, first, batch}, across = {first + i * BOX, k, batch};
    BoxAt at = inner ? along : across;
    if (CLUSTER == 1) {
      load_box(to + i * BYTES, map, at, full);
    } else {
      load_box_for(all, to + i * BYTES, map, at, full);
    }
  }
}

// Writes what a warpgroup has of y, 64 rows by BN columns, without the copy engine: rows of y whose
// bytes are no multiple of 16 are out of its reach.
template <typename T, u32 BN>
inline void write_each(Place at, const f32 (&c)[BN / 2], Part part, device T* y,
                       constant Sm90MatmulParams& p) {
  UNROLL for (u32 e = 0; e < BN / 2; ++e) {
    u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
    u32 column = part.column + e / 4 * 8 + at.lane % 4 * 2 + e % 2;
    if (row < p.rows && column < p.columns) {
      y[(part.batch * p.rows + row) * p.columns + column] = T(c[e]);
    }
  }
}

template <typename T>
inline u32 pair(f32 first, f32 second) {
  f32 both[2] = {first, second};
  return bits_as<u32>(narrow<T, 2>(both));
}

// The same by the copy engine: each simd sends its 16 rows, 64 columns at a time.
template <typename T, u32 BN>
inline void write_boxes(Place at, const f32 (&c)[BN / 2], Part part, const TensorMap& y, u32 out) {
  u32 lane = at.lane % 32, row = lane % 16;
  u32 mine = out + row * ROW_BYTES;
  UNROLL for (u32 box = 0; box < BN / BOX; ++box) {
    u32 half = box % 2 * (16 * ROW_BYTES);
    if (lane == 0) stores_read<1>();
    simd_barrier(at);
    UNROLL for (u32 j = 0; j < BOX / 16; ++j) {
      const f32* from = c + (box * 32 + j * 8);
      u32 chunk = (j * 2 + lane / 16) ^ (row % 8);
      store_blocks(mine + half + chunk * 16, pair<T>(from[0], from[1]), pair<T>(from[2], from[3]),
                   pair<T>(from[4], from[5]), pair<T>(from[6], from[7]));
    }
    boxes_written();
    simd_barrier(at);
    BoxAt to = {part.column + box * BOX, part.row + at.lane % 128 / 32 * 16, part.batch};
    if (lane == 0) store_box(y, to, out + half);
  }
}

// `a_inner` and `x_inner`: the inner size's elements are neighbours in memory.
template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
inline void sm90_matmul(Place at, device const T*, device const T*, device const T* bias, device T* y,
                   const TensorMap& a_map, const TensorMap& x_map, const TensorMap& y_map,
                   constant Sm90MatmulParams& p) {
  enum : u32 { WORKERS = BM / 64, SHARE = BN / CLUSTER };
  typedef Operand<a_inner> Left;
  typedef Operand<x_inner> Right;
  typedef Slots<BM, BN, SLOTS> Memory;
  Memory memory = {scratch_address(at.memory)};
  u32 place = CLUSTER == 1 ? 0 : cluster_place();
  if (at.lane == 0) {
    know_map(a_map);
    know_map(x_map);
    know_map(y_map);
    for (u32 slot = 0; slot < SLOTS; ++slot) {
      barrier_init(memory.full(slot), 1);
      barrier_init(memory.empty(slot), CLUSTER * WORKERS);
    }
    barriers_made();
  }
  if (CLUSTER == 1) {
    scratch_barrier(at);
  } else {
    cluster_barrier();
  }

  u32 parts = p.row_tiles * p.column_tiles * p.batch;
  u32 steps = (p.depth + DEPTH - 1) / DEPTH;
  Turn<SLOTS> turn = {0, 0};
  if (uniform(at.lane / 128) == WORKERS) {
    if (WORKERS == 2) fewer_registers<40>();
    if (at.lane % 128 == 0) {
      for (u32 i = at.group / CLUSTER; i < parts; i += at.groups / CLUSTER) {
        Part part = part_of<BM, BN, CLUSTER>(i, place, p);
        u32 a_batch = p.a_batched ? part.batch : 0, x_batch = p.x_batched ? part.batch : 0;
        for (u32 step = 0; step < steps; ++step) {
          u32 full = memory.full(turn.slot);
          barrier_wait(memory.empty(turn.slot), turn.parity ^ 1);
          barrier_expect(full, Memory::SLOT);
          u32 k = step * DEPTH;
          feed<BM, a_inner, 1>(memory.a(turn.slot), a_map, part.row, k, a_batch, full);
          feed<SHARE, x_inner, CLUSTER>(memory.x(turn.slot) + place * (SHARE * ROW_BYTES), x_map,
                                        part.column + place * SHARE, k, x_batch, full);
          turn.next();
        }
      }
    }
  } else {
    if (WORKERS == 2) more_registers<232>();
    u32 worker = uniform(at.lane / 128);
    u32 out = memory.out(uniform(at.lane / 32));
    u64 left_words = Left::at(memory.a(0) + worker * (64 * ROW_BYTES), BOX * ROW_BYTES);
    u64 right_words = Right::at(memory.x(0), BOX * ROW_BYTES);
    for (u32 i = at.group / CLUSTER; i < parts; i += at.groups / CLUSTER) {
      Part part = part_of<BM, BN, CLUSTER>(i, place, p);
      part.row += worker * 64;
      f32 c[BN / 2];
      u32 last = 0;
      for (u32 step = 0; step < steps; ++step) {
        barrier_wait(memory.full(turn.slot), turn.parity);
        u64 left = left_words + turn.slot * (Memory::SLOT >> 4);
        u64 right = right_words + turn.slot * (Memory::SLOT >> 4);
        multiply_begin();
        UNROLL for (u32 k = 0; k < DEPTH / 16; ++k) {
          Multiply<T, BN, a_inner, x_inner>::add(c, left + k * (Left::STEP >> 4),
                                                 right + k * (Right::STEP >> 4), step | k);
        }
        multiply_commit();
        // The slot before is free when only the newest products are under way.
        multiply_wait<1>();
        if (step > 0 && at.lane % 128 < CLUSTER) barrier_arrive(last, at.lane % 128);
        last = memory.empty(turn.slot);
        turn.next();
      }
      multiply_wait<0>();
      if (at.lane % 128 < CLUSTER) barrier_arrive(last, at.lane % 128);

      if (p.has_bias) {
        UNROLL for (u32 j = 0; j < BN / 8; ++j) {
          UNROLL for (u32 e = 0; e < 2; ++e) {
            u32 column = part.column + j * 8 + at.lane % 4 * 2 + e;
            f32 value = column < p.columns ? f32(bias[column]) : 0.0f;
            c[j * 4 + e] += value;
            c[j * 4 + e + 2] += value;
          }
        }
      }
      if (p.boxes) {
        write_boxes<T, BN>(at, c, part, y_map, out);
      } else {
        write_each<T, BN>(at, c, part, y, p);
      }
    }
    if (at.lane % 32 == 0) stores_read<0>();
  }
  // Nobody leaves while another's boxes or arrivals may still come.
  if (CLUSTER > 1) cluster_barrier();
}

}  // namespace wootz
