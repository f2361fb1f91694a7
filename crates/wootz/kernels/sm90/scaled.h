#pragma once
// Sums of products of elements of one byte, with scales, in two levels: the matrix instructions keep
// of a sum of such products only what lies above a 2^13th of the largest, so what they add up of a
// slot or two, each 128 of the inner size, is added to sums in f32.

#include "sm90/parts.h"
#include "sm90/queue.h"

namespace wootz {

// What a warpgroup's sums are: products times the scales of a's row and x's column. With `blocks`,
// each 128 of the inner size have scales of their own, for a's rows and for 128 columns of x.
template <typename T, bool blocks> struct Scaled : Even {
  // Columns that are multiplied at a time, and slots that the matrix instructions add up.
  enum : u32 { PART = 128, SLOTS_SUMMED = blocks ? 1 : 2 };
  device const f32* a;
  device const f32* x;

  // The scales of a lane's two rows for a step; of rows outside, the last one's.
  void rows(Place at, f32 (&scales)[2], Part part, u32 step, constant Sm90MatmulParams& p) const {
    UNROLL for (u32 i = 0; i < 2; ++i) {
      u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + i * 8;
      u64 at_row = row < p.rows ? row : p.rows - 1;
      scales[i] = a[at_row * p.a_scale_row + step * p.a_scale_step];
    }
  }

  template <u32 BM, u32 BN, u32 SLOTS, u32 CLUSTER, bool a_inner, bool x_inner>
  void sums(Place at, f32 (&c)[BN / 2], Slots<BM, BN, SLOTS> memory, thread Turn<SLOTS>& turn,
            u32 worker, u32 steps, Part part, constant Sm90MatmulParams& p) const {
    typedef Operand<true> Along;
    enum : u32 { WIDE = BN < PART ? BN : PART, PARTS = BN / WIDE };
    u64 lefts = Along::at(memory.a(0) + worker * (64 * ROW_BYTES), 0);
    u64 rights = Along::at(memory.x(0), 0);
    UNROLL for (u32 e = 0; e < BN / 2; ++e) c[e] = 0.0f;
    for (u32 step = 0; step < steps; step += SLOTS_SUMMED) {
      u32 count = steps - step < SLOTS_SUMMED ? steps - step : SLOTS_SUMMED;
      f32 above[2], beside[PARTS];
      if (blocks) {
        rows(at, above, part, step, p);
        UNROLL for (u32 j = 0; j < PARTS; ++j) {
          u32 column = part.column + j * WIDE;
          u32 block = (column < p.columns ? column : p.columns - 1) / 128;
          beside[j] = x[block * p.x_scale_column + step * p.x_scale_step];
        }
      }
      UNROLL for (u32 j = 0; j < PARTS; ++j) {
        f32 t[WIDE / 2];
        Turn<SLOTS> next = turn;
        UNROLL for (u32 i = 0; i < SLOTS_SUMMED; ++i) {
          if (i > 0 && i == count) break;
          if (j == 0) barrier_wait(memory.full(next.slot), next.parity);
          u32 slot = next.slot * (Slots<BM, BN, SLOTS>::SLOT >> 4);
          multiply_begin();
          UNROLL for (u32 k = 0; k < ROW_BYTES / 32; ++k) {
            u32 along = k * (Along::STEP >> 4), across = j * (WIDE * ROW_BYTES >> 4);
            Multiply<T, WIDE, true, true>::add(t, lefts + slot + along, rights + slot + across + along,
                                               i | k);
          }
          multiply_commit();
          next.next();
        }
        multiply_wait<0>();
        if (j + 1 == PARTS) {
          for (u32 i = 0; i < count; ++i) {
            give_back<CLUSTER>(at, memory.empty(turn.slot));
            turn.next();
          }
        }
        f32 scales[2] = {1.0f, 1.0f};
        if (blocks) UNROLL for (u32 i = 0; i < 2; ++i) scales[i] = above[i] * beside[j];
        UNROLL for (u32 e = 0; e < WIDE / 2; ++e) {
          thread f32& sum = c[j * (WIDE / 2) + e];
          sum = blocks ? fused(t[e], scales[e % 4 / 2], sum) : sum + t[e];
        }
      }
    }
    if (!blocks) scale(at, c, part, p);
  }

  // Each sum times the scales of its row and its column.
  template <u32 SUMS>
  void scale(Place at, f32 (&c)[SUMS], Part part, constant Sm90MatmulParams& p) const {
    f32 above[2];
    rows(at, above, part, 0, p);
    if (p.x_scale_column == 0) {
      f32 beside = x[0];
      UNROLL for (u32 e = 0; e < SUMS; ++e) c[e] *= above[e % 4 / 2] * beside;
      return;
    }
    UNROLL for (u32 j = 0; j < SUMS / 4; ++j) {
      UNROLL for (u32 e = 0; e < 2; ++e) {
        u32 column = part.column + j * 8 + at.lane % 4 * 2 + e;
        f32 beside = x[(column < p.columns ? column : p.columns - 1) * p.x_scale_column];
        c[j * 4 + e] *= above[0] * beside;
        c[j * 4 + e + 2] *= above[1] * beside;
      }
    }
  }
};

}  // namespace wootz
