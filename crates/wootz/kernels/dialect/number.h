#pragma once

namespace wootz {

// The type an element is computed in: half-width floats widen, the rest stay.
template <typename T> struct Wide { typedef T type; };
template <> struct Wide<f16> { typedef f32 type; };
template <> struct Wide<bf16> { typedef f32 type; };
template <typename T> using wide = typename Wide<T>::type;

template <typename T> struct IsFloat { enum : bool { value = false }; };
template <> struct IsFloat<f32> { enum : bool { value = true }; };
template <> struct IsFloat<f16> { enum : bool { value = true }; };
template <> struct IsFloat<bf16> { enum : bool { value = true }; };

inline f32 infinity() { return bits_as<f32>(0x7f800000u); }
inline f32 not_a_number() { return bits_as<f32>(0x7fc00000u); }
inline bool is_nan(f32 x) { return x != x; }
inline bool is_inf(f32 x) { return (bits_as<u32>(x) & 0x7fffffffu) == 0x7f800000u; }

// 2 to a power of -126 ... 127
inline f32 power_of_two(i32 power) { return bits_as<f32>(u32(power + 127) << 23); }

// The ends of a type: what max and min start from.
template <typename T> struct Ends;
template <> struct Ends<f32> {
  static f32 least() { return -infinity(); }
  static f32 greatest() { return infinity(); }
};
template <> struct Ends<i32> {
  static i32 least() { return -2147483647 - 1; }
  static i32 greatest() { return 2147483647; }
};
template <> struct Ends<u32> {
  static u32 least() { return 0u; }
  static u32 greatest() { return 0xffffffffu; }
};
template <> struct Ends<i64> {
  static i64 least() { return -0x7fffffffffffffffL - 1; }
  static i64 greatest() { return 0x7fffffffffffffffL; }
};
template <> struct Ends<u64> {
  static u64 least() { return 0u; }
  static u64 greatest() { return ~u64(0); }
};
template <> struct Ends<u8> {
  static u8 least() { return 0; }
  static u8 greatest() { return 255; }
};

// Floats to integers as Rust's `as` does it: truncated, clamped to the range, NaN to 0.
template <typename To> struct FromFloat {
  static To cast(f32 x) { return To(x); }
};
template <> struct FromFloat<i32> {
  static i32 cast(f32 x) {
    if (is_nan(x)) return 0;
    if (x >= 2147483648.0f) return Ends<i32>::greatest();
    if (x < -2147483648.0f) return Ends<i32>::least();
    return i32(x);
  }
};
template <> struct FromFloat<u32> {
  static u32 cast(f32 x) {
    if (!(x > 0.0f)) return 0;
    if (x >= 4294967296.0f) return Ends<u32>::greatest();
    return u32(x);
  }
};
template <> struct FromFloat<i64> {
  static i64 cast(f32 x) {
    if (is_nan(x)) return 0;
    if (x >= 9223372036854775808.0f) return Ends<i64>::greatest();
    if (x < -9223372036854775808.0f) return Ends<i64>::least();
    return i64(x);
  }
};
template <> struct FromFloat<u8> {
  static u8 cast(f32 x) {
    if (!(x > 0.0f)) return 0;
    if (x >= 255.0f) return 255;
    return u8(x);
  }
};

// convert<To>(x): any element type to any other; integers wrap, as Rust's `as` does.
template <typename To, typename From, bool from_float> struct Convert {
  static To cast(From x) { return To(x); }
};
template <typename To, typename From> struct Convert<To, From, true> {
  static To cast(From x) { return FromFloat<To>::cast(f32(x)); }
};
template <typename From> struct Convert<f16, From, false> {
  static f16 cast(From x) { return f16(f32(x)); }
};
template <typename From> struct Convert<bf16, From, false> {
  static bf16 cast(From x) { return bf16(f32(x)); }
};
template <typename To, typename From>
inline To convert(From x) {
  return Convert<To, From, IsFloat<From>::value>::cast(x);
}

template <typename T>
inline wide<T> widen(T x) { return wide<T>(x); }

// One value in all places of a pack.
template <u32 count, typename T> inline Pack<T, count> splat(T value) {
  Pack<T, count> pack;
  UNROLL for (u32 i = 0; i < count; ++i) pack.at[i] = value;
  return pack;
}

// 16 bytes of neighbours as words. A load of elements is only over when they are taken apart; one
// of words can be on its way while others are asked for.
typedef Pack<u32, 4> Words;
template <typename T, u32 bytes> struct InWords;
template <typename T> struct InWords<T, 2> {
  static T get(thread const Words& words, u32 i) {
    return bits_as<T>(u16(words.at[i / 2] >> (i % 2 * 16)));
  }
  static void set(thread Words& words, u32 i, T value) {
    u32 bits = u32(bits_as<u16>(value)) << (i % 2 * 16);
    words.at[i / 2] = i % 2 == 0 ? bits : words.at[i / 2] | bits;
  }
};
template <typename T> struct InWords<T, 4> {
  static T get(thread const Words& words, u32 i) { return bits_as<T>(words.at[i]); }
  static void set(thread Words& words, u32 i, T value) { words.at[i] = bits_as<u32>(value); }
};
template <typename T> inline Words load_words(device const T* from) {
  return load<4>(reinterpret_cast<device const u32*>(from));
}
// Element i; elements are set in their order.
template <typename T> inline T element(thread const Words& words, u32 i) {
  return InWords<T, sizeof(T)>::get(words, i);
}
template <typename T> inline void set_element(thread Words& words, u32 i, T value) {
  InWords<T, sizeof(T)>::set(words, i, value);
}

// Element i, widened; and once more, worked out anew rather than kept from the first time.
template <typename T> inline wide<T> widened(thread const Words& words, u32 i) {
  return widen(element<T>(words, i));
}
template <typename T> struct Anew {
  static wide<T> of(thread const Words& words, u32 i) { return widened<T>(words, i); }
};
#if defined(HAS_ANEW)
template <> struct Anew<bf16> {
  static f32 of(thread const Words& words, u32 i) {
    return i % 2 == 0 ? low_anew(words.at[i / 2]) : high_anew(words.at[i / 2]);
  }
};
#endif

}  // namespace wootz
