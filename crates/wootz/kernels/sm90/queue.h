#pragma once
// The queue of a product's tiles in scratch memory: a feeder has the copy engine bring them, 128
// bytes of the inner size deep, and warpgroups multiply them.

#include "dialect/dialect.h"
#include "sm90/words.h"

namespace wootz {

enum : u32 { BOX = 64, ROW_BYTES = 128 };

// Elements of the inner size that a slot holds, and the slots' worth of all of it.
template <typename T> struct Depth { enum : u32 { value = ROW_BYTES / sizeof(T) }; };
template <typename T> inline u32 steps_of(u32 depth) {
  return (depth + Depth<T>::value - 1) / Depth<T>::value;
}

// Where a tile lies in scratch memory.
template <u32 BM, u32 BN, u32 SLOTS> struct Slots {
  enum : u32 {
    A = BM * ROW_BYTES,
    X = BN * ROW_BYTES,
    SLOT = A + X,
    // Each simd has two boxes of results, 16 rows each, on their way out.
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

// Which part of y: its first row and column, and where the rows end that are its own; and the product.
struct Part {
  u32 row;
  u32 column;
  u32 batch;
  u32 end;
};

// Has the copy engine look maps up ahead.
inline void know_maps(const TensorMap& a, const TensorMap& x) {
  know_map(a);
  know_map(x);
}

// Makes the barriers; whoever waits for one must meet the lane that does.
template <u32 SLOTS, typename Memory> inline void make_queue(Memory memory, u32 arrivals) {
  for (u32 slot = 0; slot < SLOTS; ++slot) {
    barrier_init(memory.full(slot), 1);
    barrier_init(memory.empty(slot), arrivals);
  }
  barriers_made();
}

// Brings ROWS rows of a matrix, from `first` on, for one turn.
template <u32 ROWS, bool inner, u32 CLUSTER>
inline void bring(u32 to, const TensorMap& map, u32 first, u32 k, u32 batch, u32 full) {
  u16 all = (1u << CLUSTER) - 1;
  static_assert(inner || ROWS % BOX == 0, "boxes fill what is brought");
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

// Feeds the queue with steps `first` to `end` of a part. The groups of a cluster, of which this one
// is at `place`, bring their shares of the columns of x to all.
template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
inline void feed(Slots<BM, BN, SLOTS> memory, thread Turn<SLOTS>& turn, const TensorMap& a,
                 const TensorMap& x, Part part, u32 place, u32 first, u32 end,
                 constant Sm90MatmulParams& p) {
  enum : u32 { SHARE = BN / CLUSTER };
  u32 a_batch = p.a_batched ? part.batch : 0, x_batch = p.x_batched ? part.batch : 0;
  for (u32 step = first; step < end; ++step) {
    u32 full = memory.full(turn.slot), k = step * Depth<T>::value;
    barrier_wait(memory.empty(turn.slot), turn.parity ^ 1);
    barrier_expect(full, Slots<BM, BN, SLOTS>::SLOT);
    bring<BM, a_inner, 1>(memory.a(turn.slot), a, part.row, k, a_batch, full);
    bring<SHARE, x_inner, CLUSTER>(memory.x(turn.slot) + place * (SHARE * ROW_BYTES), x,
                                   part.column + place * SHARE, k, x_batch, full);
    turn.next();
  }
}

// Gives a slot back to every group of the cluster that brings something there: a lane for each.
template <u32 CLUSTER> inline void give_back(Place at, u32 empty) {
  u32 group = at.lane % 128;
  if (CLUSTER == 1) {
    if (group == 0) barrier_arrive(empty);
  } else {
    if (group < CLUSTER) barrier_arrive_in(group, empty);
  }
}

// Multiplies so many steps of the queue: the 64 rows of a that are this warpgroup's by all of x.
template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
inline void multiply(Place at, f32 (&c)[BN / 2], Slots<BM, BN, SLOTS> memory,
                     thread Turn<SLOTS>& turn, u32 worker, u32 steps) {
  typedef Operand<a_inner> Left;
  typedef Operand<x_inner> Right;
  u64 lefts = Left::at(memory.a(0) + worker * (64 * ROW_BYTES), BOX * ROW_BYTES);
  u64 rights = Right::at(memory.x(0), BOX * ROW_BYTES);
  u32 last = 0;
  for (u32 step = 0; step < steps; ++step) {
    barrier_wait(memory.full(turn.slot), turn.parity);
    u64 left = lefts + turn.slot * (Slots<BM, BN, SLOTS>::SLOT >> 4);
    u64 right = rights + turn.slot * (Slots<BM, BN, SLOTS>::SLOT >> 4);
    multiply_begin();
    UNROLL for (u32 k = 0; k < ROW_BYTES / 32; ++k) {
      Multiply<T, BN, a_inner, x_inner>::add(c, left + k * (Left::STEP >> 4),
                                             right + k * (Right::STEP >> 4), step | k);
    }
    multiply_commit();
    // The slot before is free when only the newest products are under way.
    multiply_wait<1>();
    if (step > 0) give_back<CLUSTER>(at, last);
    last = memory.empty(turn.slot);
    turn.next();
  }
  multiply_wait<0>();
  give_back<CLUSTER>(at, last);
}

}  // namespace wootz
