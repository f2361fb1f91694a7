#pragma once
// From a warpgroup's sums, 64 rows by BN columns, to the result.

#include "sm90/queue.h"
#include "tile/epilogue.h"

namespace wootz {

// What a lane adds to its sums of a row of y. All are loaded, columns outside as the last one, so that
// no load waits for another.
template <u32 BN, typename T>
inline void add_bias(Place at, f32 (&c)[BN / 2], Part part, device const T* bias,
                     constant Sm90MatmulParams& p) {
  UNROLL for (u32 j = 0; j < BN / 8; ++j) {
    UNROLL for (u32 e = 0; e < 2; ++e) {
      u32 column = part.column + j * 8 + at.lane % 4 * 2 + e;
      f32 value = f32(bias[column < p.columns ? column : p.columns - 1]);
      c[j * 4 + e] += value;
      c[j * 4 + e + 2] += value;
    }
  }
}

// Writes what a warpgroup has of y, 64 rows by BN columns, from the registers: where rows of y do not
// start at multiples of 16 bytes. Columns before FIRST are written already.
template <typename T, u32 BN, u32 FIRST = 0>
inline void write_each(Place at, const f32 (&c)[BN / 2], Part part, device T* y,
                       constant Sm90MatmulParams& p) {
  UNROLL for (u32 e = FIRST / 2; e < BN / 2; e += 2) {
    u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
    u32 column = part.column + e / 4 * 8 + at.lane % 4 * 2;
    if (row >= part.end || column >= p.columns) continue;
    device T* to = y + (u64(part.batch) * p.rows + row) * p.columns + column;
    if (p.columns % 2 == 0) {
      store(to, narrow<T, 2>(c + e));
      continue;
    }
    to[0] = T(c[e]);
    if (column + 1 < p.columns) to[1] = T(c[e + 1]);
  }
}

// The same where the result lies turned, and its bias with it.
template <typename T, u32 BN>
inline void write_turned(Place at, const f32 (&c)[BN / 2], Part part, device const T* bias,
                         device T* y, constant Sm90MatmulParams& p) {
  UNROLL for (u32 e = 0; e < BN / 2; ++e) {
    u32 row = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4 + e % 4 / 2 * 8;
    u32 column = part.column + e / 4 * 8 + at.lane % 4 * 2 + e % 2;
    if (row >= part.end || column >= p.columns) continue;
    f32 value = p.epilogue.has_bias ? c[e] + f32(bias[row]) : c[e];
    y[(u64(part.batch) * p.columns + column) * p.rows + row] = T(value);
  }
}

template <typename T>
inline u32 pair(f32 first, f32 second) {
  f32 both[2] = {first, second};
  return bits_as<u32>(narrow<T, 2>(both));
}

// A box of results: 16 rows of so many columns, which fill 128 bytes.
template <typename T> struct BoxColumns { enum : u32 { value = ROW_BYTES / sizeof(T) }; };

// Sums as they are to a box, of COLUMNS columns, that holds 32; and where a box has a chunk of 16
// bytes.
template <u32 COLUMNS> inline void fill_box(u32 lane, u32 out, const f32* sums) {
  u32 row = lane / 4;
  UNROLL for (u32 j = 0; j < COLUMNS / 8; ++j) {
    u32 chunk = (j * 2 + lane % 4 / 2) ^ row;
    u32 to = out + row * ROW_BYTES + chunk * 16 + lane % 2 * 8;
    store_two(to, sums[j * 4], sums[j * 4 + 1]);
    store_two(to + 8 * ROW_BYTES, sums[j * 4 + 2], sums[j * 4 + 3]);
  }
}
inline u32 chunk_in(u32 out, u32 row, u32 chunk) {
  return out + row * ROW_BYTES + (chunk ^ row % 8) * 16;
}

// A simd's part of a box to scratch memory, of the sums of its columns. A row's packs of 16 bytes lie
// in an order that depends on the row, so that neither rows nor columns meet in one bank.
template <typename T, u32 bytes> struct FillBox;
template <typename T> struct FillBox<T, 2> {
  static void fill(u32 lane, u32 out, const f32* sums) {
    u32 row = lane % 16;
    UNROLL for (u32 j = 0; j < BoxColumns<T>::value / 16; ++j) {
      const f32* from = sums + j * 8;
      u32 chunk = (j * 2 + lane / 16) ^ (row % 8);
      store_blocks(out + row * ROW_BYTES + chunk * 16, pair<T>(from[0], from[1]),
                   pair<T>(from[2], from[3]), pair<T>(from[4], from[5]), pair<T>(from[6], from[7]));
    }
  }
};
template <typename T> struct FillBox<T, 4> {
  static void fill(u32 lane, u32 out, const f32* sums) {
    fill_box<BoxColumns<T>::value>(lane, out, sums);
  }
};

// The same by packs of 16 bytes, a box at a time by way of scratch memory at `out`, which has room
// for two. What fills no box goes from the registers.
template <typename T, u32 BN>
inline void write_packs(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device T* y,
                        constant Sm90MatmulParams& p) {
  enum : u32 { COLUMNS = BoxColumns<T>::value, PACK = 16 / sizeof(T) };
  u32 lane = at.lane % 32, chunk = lane % 8;
  u32 row = part.row + at.lane % 128 / 32 * 16 + lane / 8, column = part.column + chunk * PACK;
  device T* to = y + (u64(part.batch) * p.rows + row) * p.columns + column;
  UNROLL for (u32 box = 0; (box + 1) * COLUMNS <= BN; ++box) {
    u32 half = out + box % 2 * (16 * ROW_BYTES);
    FillBox<T, sizeof(T)>::fill(lane, half, c + box * (COLUMNS / 2));
    simd_barrier(at);
    UNROLL for (u32 i = 0; i < 16; i += 4) {
      Pack<u32, 4> words = load_pack(chunk_in(half, lane / 8 + i, chunk));
      bool inside = row + i < part.end && column + box * COLUMNS < p.columns;
      if (inside) store(reinterpret_cast<device u32*>(to + u64(i) * p.columns + box * COLUMNS), words);
    }
  }
  if (BN % COLUMNS != 0) write_each<T, BN, BN / COLUMNS * COLUMNS>(at, c, part, y, p);
  // Nobody fills a box anew before it is read.
  simd_barrier(at);
}

// Writes a part by the way that its rows allow.
template <typename T, u32 BN>
inline void write_part(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device T* y,
                       constant Sm90MatmulParams& p) {
  if (BN >= BoxColumns<T>::value && p.packs) {
    write_packs<T, BN>(at, c, part, out, y, p);
  } else {
    write_each<T, BN>(at, c, part, y, p);
  }
}

// What a lane reads for a box: its columns' biases, and what is added to its sums. It lies in packs as
// the result does, or anywhere.
template <typename T> struct Beside {
  enum : u32 { ROWS = 4, WIDE = 4 };
  f32 bias[WIDE];
  Pack<T, WIDE> added[ROWS];

  // From a row on, and those 4, 8 and 12 below.
  void ask(u32 row, u32 column, u32 batch, u32 end, device const T* from, device const T* more,
           constant Sm90MatmulParams& p) {
    constant EpilogueParams& of = p.epilogue;
    if (of.has_bias) {
      UNROLL for (u32 e = 0; e < WIDE; ++e) {
        bias[e] = f32(from[column + e < p.columns ? column + e : p.columns - 1]);
      }
    }
    if (of.beta == 0.0f || column >= p.columns) return;
    UNROLL for (u32 i = 0; i < ROWS; ++i) {
      u32 line = row + 4 * i < end ? row + 4 * i : end - 1;
      device const T* at = more + (i64(batch) * of.added_batch + i64(line) * of.added_row);
      if (p.added_packs) {
        added[i] = load<WIDE>(at + column);
        continue;
      }
      UNROLL for (u32 e = 0; e < WIDE; ++e) {
        u32 inside = column + e < p.columns ? column + e : p.columns - 1;
        added[i].at[e] = at[i64(inside) * of.added_column];
      }
    }
  }
};

// Finishes and writes a part, a box of sums at a time by way of scratch memory at `out`: what becomes
// of them is there once, and not for each register. What a box needs of device memory is asked for
// while the one before it is finished.
template <typename T, u32 BN>
inline void finish_part(Place at, const f32 (&c)[BN / 2], Part part, u32 out, device const T* bias,
                        device const T* more, device T* y, constant Sm90MatmulParams& p) {
  enum : u32 { COLUMNS = 32, BOXES = BN / COLUMNS, ROWS = 4, WIDE = 4 };
  static_assert(BN % COLUMNS == 0, "boxes fill a part");
  u32 lane = at.lane % 32, chunk = lane % 8, first = at.lane % 128 / 32 * 16 + lane / 8;
  u32 row = part.row + first, column = part.column + chunk * WIDE;
  device T* to = y + (u64(part.batch) * p.rows + row) * p.columns + column;
  Beside<T> next;
  next.ask(row, column, part.batch, part.end, bias, more, p);
  ROLLED for (u32 box = 0; box < BOXES; ++box) {
    u32 half = out + box % 2 * (16 * ROW_BYTES);
    UNROLL for (u32 i = 0; i < BOXES; ++i) {
      if (i == box) fill_box<COLUMNS>(lane, half, c + i * (COLUMNS / 2));
    }
    Beside<T> beside = next;
    u32 ahead = column + COLUMNS;
    if (box + 1 < BOXES) next.ask(row, ahead, part.batch, part.end, bias, more, p);
    simd_barrier(at);
    f32 values[ROWS * WIDE];
    UNROLL for (u32 i = 0; i < ROWS; ++i) {
      Pack<u32, 4> words = load_pack(chunk_in(half, lane / 8 + 4 * i, chunk));
      UNROLL for (u32 e = 0; e < WIDE; ++e) {
        f32 sum = bits_as<f32>(words.at[e]);
        bool has = p.epilogue.has_bias;
        values[i * WIDE + e] = has ? fused(p.epilogue.alpha, sum, beside.bias[e]) : p.epilogue.alpha * sum;
      }
    }
    activate<T>(p.epilogue.activation, values);
    if (p.epilogue.beta != 0.0f) {
      UNROLL for (u32 i = 0; i < ROWS * WIDE; ++i) {
        values[i] = fused(p.epilogue.beta, f32(beside.added[i / WIDE].at[i % WIDE]), values[i]);
      }
    }
    UNROLL for (u32 i = 0; i < ROWS; ++i) {
      if (row + 4 * i >= part.end || column >= p.columns) continue;
      device T* there = to + u64(4 * i) * p.columns;
      if (p.packs) {
        store(there, narrow<T, WIDE>(values + i * WIDE));
        continue;
      }
      UNROLL for (u32 e = 0; e < WIDE; ++e) {
        if (column + e < p.columns) there[e] = T(values[i * WIDE + e]);
      }
    }
    column = ahead;
    to += COLUMNS;
  }
  // Nobody fills a box anew before it is read.
  simd_barrier(at);
}

// The same where the result lies turned, of so few sums that they stay where they are.
template <typename T, u32 BN>
inline void finish_turned(Place at, f32 (&c)[BN / 2], Part part, device const T* bias,
                          device const T* more, device T* y, constant Sm90MatmulParams& p) {
  constant EpilogueParams& of = p.epilogue;
  u32 line = part.row + at.lane % 128 / 32 * 16 + at.lane % 32 / 4, last = p.rows - 1;
  f32 beside[2] = {0.0f, 0.0f};
  if (of.has_bias) {
    UNROLL for (u32 i = 0; i < 2; ++i) beside[i] = f32(bias[line + 8 * i < last ? line + 8 * i : last]);
  }
  UNROLL for (u32 e = 0; e < BN / 2; ++e) {
    c[e] = of.has_bias ? fused(of.alpha, c[e], beside[e % 4 / 2]) : of.alpha * c[e];
  }
  activate<T>(of.activation, c);
  UNROLL for (u32 e = 0; e < BN / 2; ++e) {
    u32 row = part.column + e / 4 * 8 + at.lane % 4 * 2 + e % 2, column = line + e % 4 / 2 * 8;
    if (row >= p.columns || column > last) continue;
    i64 place = i64(part.batch) * of.added_batch + i64(row) * of.added_row + i64(column) * of.added_column;
    f32 value = of.beta == 0.0f ? c[e] : fused(of.beta, f32(more[place]), c[e]);
    y[(u64(part.batch) * p.columns + row) * p.rows + column] = T(value);
  }
}

}  // namespace wootz
