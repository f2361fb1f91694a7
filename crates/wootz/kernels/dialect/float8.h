#pragma once

namespace wootz {

// 8-bit float with 4 bits of exponent and 3 of fraction, without infinities: the largest is 448, and
// what is beyond becomes that. Stored and converted, never computed in.
struct f8e4m3 {
  u8 bits;
  f8e4m3() = default;
  explicit f8e4m3(f32 value) {
    u32 all = bits_as<u32>(value), size = all & 0x7fffffffu, code;
    if (size > 0x7f800000u) {
      code = 0x7f;
    } else if (size < 0x3c800000u) {
      // Below 2^-6 the step is 2^-9, which is that of 2^14 in f32; a carry makes it the least of the
      // others.
      code = bits_as<u32>(bits_as<f32>(size) + 16384.0f) - 0x46800000u;
    } else {
      u32 rounded = (size + 0x7ffffu + (size >> 20 & 1u)) >> 20;
      code = rounded > 1086u ? 126u : rounded - 960u;
    }
    bits = u8(all >> 24 & 0x80u | code);
  }
  explicit operator f32() const {
    u32 sign = u32(bits & 0x80u) << 24, size = bits & 0x7fu;
    if (size == 0x7fu) return bits_as<f32>(sign | 0x7fc00000u);
    if (size < 8u) return bits_as<f32>(sign | bits_as<u32>(f32(size) * 0.001953125f));
    return bits_as<f32>(sign | (size + 960u) << 20);
  }
};

}  // namespace wootz
