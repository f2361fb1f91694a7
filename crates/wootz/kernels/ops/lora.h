// Few rows through weights and, each, a low-rank adapter:
// y = x * transposed(w) + bias + scale * (x * transposed(a[i])) * transposed(b[i]).
//
// One kernel computes all that reads x: groups at the front x * transposed(a), the others the base
// product, its inner size cut into parts to keep a device busy. Another adds it all up. Where there
// are many rows the base product is another kernel's, and these do the rest. An index outside the
// adapters is left out and noted.

#include "tile/adapter.h"
#include "tile/lines.h"

namespace wootz {

// sums, [parts, rows, columns], of the base product, and t, [rows, rank].
template <typename T, typename I, u32 BM, u32 BN, u32 WM, u32 WN,
          u32 AHEAD>
inline void lora_parts(Place at, device const T* x, device const T* w, device const T* a,
                       device const I* index, device f32* sums, device f32* t,
                       device u32* refused, constant LoraParams& p) {
  enum : u32 { RANKS = 4 };
  typedef Cut<T, BM, BN, WM, WN, AHEAD> Of;
  u32 high = simd_index(at) / WN * (8 * Of::TM), wide = simd_index(at) % WN * (8 * Of::TN);
  u64 fronts = (p.rank + RANKS - 1) / RANKS * p.rows;
  u64 tiles = p.row_tiles * p.column_tiles;
  for (u64 unit = at.group; unit < fronts + tiles * p.parts; unit += at.groups) {
    if (unit < fronts) {
      lora_dots<T, I, RANKS>(at, x, a, index, t, refused, unit, p);
      continue;
    }
    u64 part = (unit - fronts) / tiles, tile = (unit - fronts) % tiles;
    u64 row = tile % p.row_tiles * BM, column = tile / p.row_tiles * BN;
    u64 first = part * p.part, end = first + p.part < p.depth ? first + p.part : p.depth;
    Lines<T> left = {x, p.rows, end, p.depth, (p.packed & 1) != 0};
    Lines<T> right = {w, p.columns, end, p.depth, (p.packed & 2) != 0};
    typename Of::Tile c;
    lines_product<T, BM, BN, WM, WN, AHEAD>(at, c, left, right, row, column, first);
    UNROLL for (u32 i = 0; i < Of::TM; ++i) {
      UNROLL for (u32 j = 0; j < Of::TN; ++j) {
        UNROLL for (u32 e = 0; e < 2; ++e) {
          u64 r = row + high + 8 * i + block_row(at);
          u64 n = column + wide + 8 * j + block_column(at) + e;
          if (r < p.rows && n < p.columns) {
            sums[(part * p.rows + r) * p.columns + n] = get(c, i, j, e);
          }
        }
      }
    }
  }
}

// y = the sum of the parts + bias + scale * t * transposed(b). Parts are f32, or one whole T.
template <typename T, typename I, typename Part>
inline void lora_join(Place at, device const Part* sums, device const T* bias, device const f32* t,
                      device const T* b, device const I* index, device T* y,
                      constant LoraParams& p) {
  enum : u32 { VEC = 16 / sizeof(T) };
  u64 total = p.rows * p.columns;
  for (u64 i = first_of_lane<u64>(at); i < total; i += lane_stride<u64>(at)) {
    u64 row = i / p.columns, n = i - row * p.columns;
    f32 value = 0.0f;
    for (u64 part = 0; part < p.parts; ++part) value += f32(sums[part * total + i]);
    if (p.has_bias) value += f32(bias[n]);
    u64 adapter = adapter_of(index, row, p);
    f32 low = 0.0f;
    if (adapter < p.limit) {
      device const f32* left = t + row * p.rank;
      device const T* right = b + (adapter * p.columns + n) * p.rank;
      u64 r = 0;
      if ((p.packed & 8) != 0) {
        for (; r < p.rank; r += VEC) {
          Words words = load_words(right + r);
          UNROLL for (u32 e = 0; e < VEC; ++e) {
            low = fused(left[r + e], f32(element<T>(words, e)), low);
          }
        }
      }
      for (; r < p.rank; ++r) low = fused(left[r], f32(right[r]), low);
    }
    y[i] = T(fused(p.scale, low, value));
  }
}

}  // namespace wootz
