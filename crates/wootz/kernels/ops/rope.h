// Rotary position embedding: pairs (a, b) of a head turn by position * frequency.
//
//   a' = a * cos - b * sin
//   b' = b * cos + a * sin
//
// x is [rows, length, heads, size], of which the first `turned` elements of a head turn. Pair i is
// (2i, 2i + 1) where neighbours pair, else (i, i + turned / 2). The tables cos and sin are f32,
// [positions, turned / 2].

#include "tile/walk.h"

namespace wootz {

template <typename T>
inline void rope(Place at, device const T* x, device const f32* cosines, device const f32* sines,
                 device T* y, constant RopeParams& p) {
  u64 turns = p.turned / 2;
  // The rest of a head is copied two by two; an odd last element is a pair with itself.
  u64 pairs = turns + (p.size - p.turned + 1) / 2;
  u64 total = p.rows * p.length * p.heads * pairs;
  for (u64 i = first_pack<u64>(at); i < total; i += pack_stride<u64>(at)) {
    u64 head = i / pairs, pair = i - head * pairs;
    u64 base = head * p.size;
    if (pair >= turns) {
      u64 first = base + p.turned + 2 * (pair - turns);
      y[first] = x[first];
      if (first + 1 < base + p.size) y[first + 1] = x[first + 1];
      continue;
    }
    u64 position = p.offset + head / p.heads % p.length;
    u64 first = base + (p.neighbours ? 2 * pair : pair);
    u64 second = first + (p.neighbours ? 1 : turns);
    f32 cosine = cosines[position * turns + pair], sine = sines[position * turns + pair];
    f32 a = f32(x[first]), b = f32(x[second]);
    y[first] = T(fused(a, cosine, -(b * sine)));
    y[second] = T(fused(b, cosine, a * sine));
  }
}

}  // namespace wootz
