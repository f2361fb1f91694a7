// Few rows through weights and, each, a low-rank adapter, in one launch on Hopper:
// y = x * transposed(w) + bias + scale * (x * transposed(a[i])) * transposed(b[i]).
//
// Groups at the front compute t = x * transposed(a[i]) and are counted; the others the base product,
// as sm90_matmul_split does with its factors turned. Those wait for the count when all their
// products are under way, and add what adapters do to their sums. Groups start in their order, so
// those in front never wait for a place.

#include "dialect/dialect.h"
#include "sm90/queue.h"
#include "sm90/split.h"
#include "tile/adapter.h"

namespace wootz {

// Where a lane's sum `e` of a warpgroup's tile lies in the turned product: row of w, row of x.
inline u32 line_of(Place at, Part part, u32 e) {
  return part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
}
inline u32 row_of(Place at, Part part, u32 e) {
  return part.column + e / 4 * 8 + at.lane % 4 * 2 + e % 2;
}

// The adapters' lines of b for a group's rows of x, asked for ahead by 96 lanes.
template <typename T, typename I>
inline void ask_lines(u32 lane, Part part, u32 rows, device const T* b, device const I* index,
                      constant LoraParams& p) {
  enum : u32 { LINE = 128 };
  u64 lines = p.columns - part.row < 64 ? p.columns - part.row : 64;
  u64 bytes = lines * p.rank * sizeof(T), pieces = (bytes + LINE - 1) / LINE;
  for (u64 i = lane; i < pieces * rows; i += 96) {
    u64 row = part.column + i / pieces;
    if (row >= p.rows) return;
    u64 adapter = adapter_of(index, row, p);
    if (adapter >= p.limit) continue;
    device const T* from = b + (adapter * p.columns + part.row) * p.rank;
    ask_ahead(reinterpret_cast<device const u8*>(from) + i % pieces * LINE);
  }
}

// The line of t of a lane's row `q`.
inline device const f32* down_at(Place at, Part part, device const f32* t, u32 q,
                                 constant LoraParams& p) {
  u32 row = row_of(at, part, q / 2 * 4 + q % 2);
  return t + u64(row < p.rows ? row : 0) * p.rank;
}

// Adds scale * t * transposed(b[i]) to a lane's sums. What has no line or no row is computed from
// others, so that nothing is in the way of loads, and thrown away. The first lines of b are on their
// way while t is waited for.
template <typename T, typename I, u32 SUMS>
inline void add_adapters(Place at, f32 (&sums)[SUMS], Part part, device const f32* t,
                         device const T* b, device const I* index, u32 known,
                         constant LoraParams& p) {
  enum : u32 { VEC = 8, ROWS = SUMS / 2, AT_ONCE = 2 };
  f32 low[SUMS];
  device const T* up[ROWS];
  u64 has = 0;
  u32 last = u32(p.columns) - 1, line = line_of(at, part, 0), below = line_of(at, part, 2);
  u64 far = u64((below < last ? below : last) - (line < last ? line : last)) * p.rank;
  UNROLL for (u32 q = 0; q < ROWS; ++q) {
    u32 row = row_of(at, part, q / 2 * 4 + q % 2);
    u64 adapter = row < p.rows ? adapter_of(index, row, p) : p.limit;
    if (adapter < p.limit) has |= u64(1) << q;
    adapter = adapter < p.limit ? adapter : 0;
    up[q] = b + (adapter * p.columns + (line < last ? line : last)) * p.rank;
  }
  UNROLL for (u32 e = 0; e < SUMS; ++e) low[e] = 0.0f;
  u64 r = 0;
  if ((p.packed & 8) == 0) {
    barrier_wait(known, 0);
  } else {
    for (; r < p.rank; r += VEC) {
      UNROLL for (u32 first = 0; first < ROWS; first += AT_ONCE) {
        // No more loads at once than leave registers for a second group beside this one.
        simd_barrier(at);
        Words lines[AT_ONCE][2];
        UNROLL for (u32 i = 0; i < AT_ONCE; ++i) {
          lines[i][0] = load_words(up[first + i] + r);
          lines[i][1] = load_words(up[first + i] + far + r);
        }
        if (first == 0 && r == 0) barrier_wait(known, 0);
        UNROLL for (u32 i = 0; i < AT_ONCE; ++i) {
          u32 q = first + i;
          device const f32* down = down_at(at, part, t, q, p) + r;
          Words values[2] = {load_words(down), load_words(down + 4)};
          UNROLL for (u32 k = 0; k < 2 * VEC; ++k) {
            u32 e = q / 2 * 4 + k / VEC * 2 + q % 2;
            f32 with = f32(element<T>(lines[i][k / VEC], k % VEC));
            low[e] = fused(element<f32>(values[k % VEC / 4], k % 4), with, low[e]);
          }
        }
      }
    }
  }
  for (; r < p.rank; ++r) {
    UNROLL for (u32 e = 0; e < SUMS; ++e) {
      u32 q = e / 4 * 2 + e % 2;
      low[e] = fused(down_at(at, part, t, q, p)[r], f32(up[q][e % 4 / 2 * far + r]), low[e]);
    }
  }
  UNROLL for (u32 e = 0; e < SUMS; ++e) {
    if (has >> (e / 4 * 2 + e % 2) & 1) sums[e] = fused(p.scale, low[e], sums[e]);
  }
}

// `marks`: what is refused, the groups in front that are done, and the others that know it; the
// last two are zero before and after.
template <typename T, typename I, u32 BM, u32 BN, u32 SLOTS, u32 SPLIT>
inline void sm90_lora(Place at, device const T* x, device const T*, device const T* bias,
                      device const T* a, device const T* b, device const I* index, device T* y,
                      device f32* t, device u32* marks, const TensorMap& w_map,
                      const TensorMap& x_map, constant Sm90LoraParams& p) {
  enum : u32 { RANKS = BN > 32 ? 8 : 4, SHARE = BN / SPLIT, SUMS = SHARE / 2 };
  static_assert(BM == 64, "one warpgroup multiplies");
  static_assert(BN * BM * 4 <= Slots<BM, BN, SLOTS>::OUT, "sums pass where slots were");
  follow_closely();
  if (at.group < p.fronts) {
    for (u64 task = at.group; task < p.tasks; task += p.fronts) {
      lora_dots<T, I, RANKS>(at, x, a, index, t, marks, task, p.lora);
    }
    scratch_barrier(at);
    if (at.lane == 0) count_up(marks + 1);
    return;
  }

  Slots<BM, BN, SLOTS> memory = {scratch_address(at.memory)};
  u32 place = SPLIT == 1 ? 0 : cluster_place(), known = memory.full(SLOTS);
  if (at.lane == 0) {
    barrier_init(known, 1);
    make_queue<SLOTS>(memory, 1);
  }
  if (at.lane == 32) {
    know_map(w_map);
    know_map(x_map);
  }
  scratch_barrier(at);

  u32 steps = steps_of<T>(p.product.depth), tile = (at.group - p.fronts) / SPLIT;
  u32 first = steps * place / SPLIT, end = steps * (place + 1) / SPLIT;
  Part part = {tile * BM, 0, 0, p.product.rows};
  Part mine = {tile * BM, place * SHARE, 0, p.product.rows};
  Turn<SLOTS> turn = {0, 0};
  if (at.lane >= 128) {
    u32 lane = at.lane - 128;
    if (lane >= 32) ask_lines(lane - 32, mine, SHARE, b, index, p.lora);
    if (lane == 0) {
      feed<T, BM, BN, SLOTS, 1, true, true>(memory, turn, w_map, x_map, part, 0, first, end,
                                            p.product);
      while (counted(marks + 1) < p.fronts) {
      }
      barrier_arrive(known);
      // The last to know leaves zeros.
      if (atomic_add(marks + 2, 1) + 1 == at.groups - p.fronts) {
        atomic_store(marks + 1, 0);
        atomic_store(marks + 2, 0);
      }
    }
    if (SPLIT > 1) {
      cluster_barrier();
      cluster_exchange();
    }
    return;
  }

  f32 c[BN / 2];
  multiply<T, BM, BN, SLOTS, 1, true, true>(at, c, memory, turn, 0, end - first);
  f32 sums[SUMS];
  if (SPLIT == 1) {
    UNROLL for (u32 e = 0; e < SUMS; ++e) sums[e] = c[e];
  } else {
    exchange<SPLIT, 128>(at, sums, c, memory.memory, place);
  }
  if (p.lora.has_bias) {
    UNROLL for (u32 e = 0; e < SUMS; ++e) {
      u32 line = line_of(at, mine, e);
      if (line < p.lora.columns) sums[e] += f32(bias[line]);
    }
  }
  add_adapters(at, sums, mine, t, b, index, known, p.lora);
  UNROLL for (u32 e = 0; e < SUMS; ++e) {
    u32 line = line_of(at, mine, e), row = row_of(at, mine, e);
    if (line < p.lora.columns && row < p.lora.rows) y[row * p.lora.columns + line] = T(sums[e]);
  }
}

}  // namespace wootz
