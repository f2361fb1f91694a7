// Matrix products of few tiles on Hopper: the groups of a cluster share out the inner size of one tile
// of y. Then each gets the others' sums of its share of the columns, adds them up in the order of
// the groups, and writes them. Where rows are few, the factors change places, so that the matrix
// instructions, which take 64 rows at least, take those of the weights; y is then written turned.

#include "dialect/dialect.h"
#include "sm90/queue.h"
#include "sm90/write.h"

namespace wootz {

// Gives each group its share of the columns, summed over the groups.
template <u32 SPLIT, u32 LANES, u32 SUMS>
inline void exchange(Place at, f32 (&sums)[SUMS], const f32 (&c)[SPLIT * SUMS], u32 memory,
                     u32 place) {
  // Nobody reads slots any more.
  cluster_barrier();
  u32 mine = memory + (place * SUMS * LANES + at.lane) * 4;
  UNROLL for (u32 other = 0; other < SPLIT; ++other) {
    u32 there = address_in(other, mine);
    UNROLL for (u32 e = 0; e < SUMS; ++e) put_far(there + e * (LANES * 4), c[other * SUMS + e]);
  }
  cluster_exchange();
  scratch const f32* given = scratch_at<f32>(at, 0) + at.lane;
  UNROLL for (u32 e = 0; e < SUMS; ++e) {
    sums[e] = given[e * LANES];
    UNROLL for (u32 other = 1; other < SPLIT; ++other) {
      sums[e] += given[(other * SUMS + e) * LANES];
    }
  }
}

// A group's sums on their way out, turned or not.
template <typename T, u32 BN, bool turned> struct Written;
template <typename T, u32 BN> struct Written<T, BN, true> {
  static void write(Place at, f32 (&c)[BN / 2], Part part, u32, device const T* bias,
                    device const T* added, device T* y, constant Sm90MatmulParams& p) {
    if (p.plain) {
      write_turned<T, BN>(at, c, part, bias, y, p);
    } else {
      finish_turned<T, BN>(at, c, part, bias, added, y, p);
    }
  }
};
template <typename T, u32 BN> struct Written<T, BN, false> {
  static void write(Place at, f32 (&c)[BN / 2], Part part, u32 out, device const T* bias,
                    device const T* added, device T* y, constant Sm90MatmulParams& p) {
    if (!p.plain) {
      finish_part<T, BN>(at, c, part, out, bias, added, y, p);
      return;
    }
    if (p.epilogue.has_bias) add_bias<BN>(at, c, part, bias, p);
    write_part<T, BN>(at, c, part, out, y, p);
  }
};

// There is a step of the inner size for each group. The sums, BM x BN f32, pass where the slots were.
template <typename T, u32 BM, u32 BN, u32 SLOTS, u32 SPLIT, bool a_inner, bool x_inner,
          bool turned>
inline void sm90_matmul_split(Place at, device const T*, device const T*, device const T* bias,
                              device const T* added, device T* y, const TensorMap& a_map, const TensorMap& x_map,
                              constant Sm90MatmulParams& p) {
  enum : u32 { WORKERS = BM / 64, SHARE = BN / SPLIT, SUMS = SHARE / 2 };
  static_assert(BN * BM * 4 <= Slots<BM, BN, SLOTS>::OUT, "sums pass where slots were");
  Slots<BM, BN, SLOTS> memory = {scratch_address(at.memory)};
  u32 place = SPLIT == 1 ? 0 : cluster_place();
  if (at.lane == 0) make_queue<SLOTS>(memory, WORKERS);
  if (at.lane == 32) know_maps(a_map, x_map);
  scratch_barrier(at);
  follow_closely();

  u32 steps = steps_of<T>(p.depth), tile = at.group / SPLIT, worker = uniform(at.lane / 128);
  u32 first = steps * place / SPLIT, end = steps * (place + 1) / SPLIT;
  u32 row = tile % p.row_tiles, column = tile / p.row_tiles % p.column_tiles;
  Part part = {row * BM, column * BN, tile / (p.row_tiles * p.column_tiles), p.rows};
  Turn<SLOTS> turn = {0, 0};
  if (worker == WORKERS) {
    if (at.lane % 128 == 0) {
      feed<T, BM, BN, SLOTS, 1, a_inner, x_inner>(memory, turn, a_map, x_map, part, 0, first, end, p);
    }
    if (SPLIT > 1) {
      cluster_barrier();
      cluster_exchange();
    }
    return;
  }

  f32 c[BN / 2];
  multiply<T, BM, BN, SLOTS, 1, a_inner, x_inner>(at, c, memory, turn, worker, end - first);
  f32 sums[SUMS];
  if (SPLIT == 1) {
    UNROLL for (u32 e = 0; e < SUMS; ++e) sums[e] = c[e];
  } else {
    exchange<SPLIT, WORKERS * 128>(at, sums, c, memory.memory, place);
  }

  part.row += worker * 64;
  part.column += place * SHARE;
  Written<T, SHARE, turned>::write(at, sums, part, memory.out(uniform(at.lane / 32)), bias, added,
                                   y, p);
}

}  // namespace wootz
