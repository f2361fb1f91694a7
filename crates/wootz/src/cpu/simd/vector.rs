//! The operations every level has.

use half::{bf16, f16};

/// A level's vectors and what they do: 32-bit lanes, floating or integer, and masks over them.
///
/// Slices passed to a full load or store hold at least [`Simd::LANES`] elements (more is fine) and
/// the call panics otherwise. The `_first` forms take shorter slices: they touch the lanes that the
/// slice has and no memory after it.
///
/// Arithmetic rounds to nearest even, keeps denormals, and gives a NaN for a NaN.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Lanes in a vector.
    const LANES: usize;

    /// A vector of `f32`.
    type F32: Copy;
    /// A vector of 32-bit integers; operations whose result depends on the sign say which they are.
    type I32: Copy;
    /// One bit per lane.
    type Mask: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;
    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once.
    fn fnma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Square root, correctly rounded.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: with a NaN on either side, `b`.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: with a NaN on either side, `b`.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Towards −∞.
    fn floor(self, a: Self::F32) -> Self::F32;
    /// Towards +∞.
    fn ceil(self, a: Self::F32) -> Self::F32;
    /// Towards zero.
    fn trunc(self, a: Self::F32) -> Self::F32;
    /// To the nearest integer, ties to even.
    fn round(self, a: Self::F32) -> Self::F32;

    /// `a == b`.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a < b`.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a > b`.
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.lt(b, a)
    }
    /// `a >= b`.
    #[inline(always)]
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.le(b, a)
    }
    /// Lanes that hold a NaN.
    #[inline(always)]
    fn is_nan(self, a: Self::F32) -> Self::Mask {
        self.mask_not(self.eq(a, a))
    }

    /// `if mask { a } else { b }`, lane by lane.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if mask { a } else { b }`, lane by lane.
    fn select_i32(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Lanes in both.
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Lanes in either.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Lanes in exactly one.
    fn mask_xor(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Lanes not in it.
    fn mask_not(self, a: Self::Mask) -> Self::Mask;
    /// The mask as an integer, lane 0 in bit 0.
    fn mask_bits(self, a: Self::Mask) -> u32;
    /// Whether any lane is in it.
    #[inline(always)]
    fn any(self, a: Self::Mask) -> bool {
        self.mask_bits(a) != 0
    }
    /// Whether every lane is in it.
    #[inline(always)]
    fn all(self, a: Self::Mask) -> bool {
        self.mask_bits(a).count_ones() as usize == Self::LANES
    }

    /// `x` in every lane.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`, wrapping.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a * b`, wrapping.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits in both.
    fn and(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits in either.
    fn or(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bits in exactly one.
    fn xor(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a << n`, for `n < 32`.
    fn shl(self, a: Self::I32, n: u32) -> Self::I32;
    /// `a >> n` of unsigned lanes, for `n < 32`.
    fn shr(self, a: Self::I32, n: u32) -> Self::I32;
    /// `a >> n` of signed lanes, for `n < 32`.
    fn sar(self, a: Self::I32, n: u32) -> Self::I32;
    /// `a == b`.
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// `a > b` of signed lanes.
    fn gt_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// Lane `i` holds `i`.
    fn iota(self) -> Self::I32;

    /// The integer part; lanes that no `i32` can hold are unspecified.
    fn to_i32(self, a: Self::F32) -> Self::I32;
    /// The nearest `f32` to each signed lane.
    fn to_f32(self, a: Self::I32) -> Self::F32;
    /// The same bits as integers.
    fn bits(self, a: Self::F32) -> Self::I32;
    /// The same bits as floats.
    #[expect(
        clippy::wrong_self_convention,
        reason = "self is the token, not the value"
    )]
    fn from_bits(self, a: Self::I32) -> Self::F32;

    /// `-a`, by its sign bit.
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        let sign = self.splat_i32(i32::MIN);
        self.from_bits(self.xor(self.bits(a), sign))
    }
    /// `|a|`, by its sign bit.
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        let rest = self.splat_i32(i32::MAX);
        self.from_bits(self.and(self.bits(a), rest))
    }
    /// The smaller of `|a|` and `b`, which is positive; of a NaN, itself or `b`.
    #[inline(always)]
    fn min_size(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.min(b, self.abs(a))
    }
    /// `|a|` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::F32, sign: Self::F32) -> Self::F32 {
        let top = self.and(self.bits(sign), self.splat_i32(i32::MIN));
        self.from_bits(self.or(self.bits(self.abs(a)), top))
    }
    /// The smaller, or a NaN if either is one.
    #[inline(always)]
    fn minimum(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.select(self.is_nan(a), a, self.min(a, b))
    }
    /// The larger, or a NaN if either is one.
    #[inline(always)]
    fn maximum(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.select(self.is_nan(a), a, self.max(a, b))
    }

    /// `a·2^n` for an integral `n` within ±250, rounded at most once.
    #[inline(always)]
    fn ldexp(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        // In two factors, as one may be out of range where the result is not.
        let half = self.floor(self.mul(n, self.splat(0.5)));
        let rest = self.sub(n, half);
        self.mul(
            self.mul(a, power_of_two(self, half)),
            power_of_two(self, rest),
        )
    }

    /// `a - floor(a)`, and of −∞ a number in 0..=1; of +∞ it is unspecified.
    #[inline(always)]
    fn fraction(self, a: Self::F32) -> Self::F32 {
        let a = self.max(self.splat(-LARGEST_EXPONENT), a);
        self.sub(a, self.floor(a))
    }
    /// `a·2^floor(n)` for a finite `a` and any `n` but NaN, rounded at most once.
    #[inline(always)]
    fn scale(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        let most = self.splat(LARGEST_EXPONENT);
        let n = self.max(self.splat(-LARGEST_EXPONENT), self.min(most, n));
        self.ldexp(a, self.floor(n))
    }
    /// `1 / a`, off by no more than a 2¹⁴th of it.
    #[inline(always)]
    fn about_recip(self, a: Self::F32) -> Self::F32 {
        self.div(self.splat(1.0), a)
    }

    /// The table's element whose number is in the lane's low four bits.
    fn entry(self, table: &[f32; 16], i: Self::I32) -> Self::F32;

    /// Loads a vector.
    fn load(self, src: &[f32]) -> Self::F32;
    /// Loads the lanes that `src` has; the others hold `fill`.
    fn load_first(self, src: &[f32], fill: f32) -> Self::F32;
    /// Stores a vector.
    fn store(self, dst: &mut [f32], a: Self::F32);
    /// Stores the lanes that `dst` has room for.
    fn store_first(self, dst: &mut [f32], a: Self::F32);
    /// Loads a vector.
    fn load_i32(self, src: &[i32]) -> Self::I32;
    /// Stores a vector.
    fn store_i32(self, dst: &mut [i32], a: Self::I32);
    /// Loads and widens; exact.
    fn load_f16(self, src: &[f16]) -> Self::F32;
    /// Loads and widens the lanes that `src` has; the others hold `fill`.
    fn load_first_f16(self, src: &[f16], fill: f32) -> Self::F32;
    /// Rounds to nearest even and stores.
    fn store_f16(self, dst: &mut [f16], a: Self::F32);
    /// Rounds to nearest even and stores the lanes that `dst` has room for.
    fn store_first_f16(self, dst: &mut [f16], a: Self::F32);
    /// Loads and widens; exact.
    fn load_bf16(self, src: &[bf16]) -> Self::F32;
    /// Loads and widens the lanes that `src` has; the others hold `fill`.
    fn load_first_bf16(self, src: &[bf16], fill: f32) -> Self::F32;
    /// Rounds to nearest even and stores.
    fn store_bf16(self, dst: &mut [bf16], a: Self::F32);
    /// Rounds to nearest even and stores the lanes that `dst` has room for.
    fn store_first_bf16(self, dst: &mut [bf16], a: Self::F32);

    /// The same level; where it is cheaper, it rounds ties to bf16 away from zero, and takes for
    /// granted that a NaN's last digits are zeros, as those of one that comes from bf16 are.
    #[inline(always)]
    fn ties_away(self) -> Self {
        self
    }
    /// As [`Simd::store`], around the caches where the instruction set can and the place is aligned
    /// to a vector; before other threads may read, call `bypass_done`.
    #[inline(always)]
    fn bypass(self, dst: &mut [f32], a: Self::F32) {
        self.store(dst, a);
    }
    /// As [`Simd::store_f16`], and [`Simd::bypass`].
    #[inline(always)]
    fn bypass_f16(self, dst: &mut [f16], a: Self::F32) {
        self.store_f16(dst, a);
    }
    /// As [`Simd::store_bf16`], and [`Simd::bypass`].
    #[inline(always)]
    fn bypass_bf16(self, dst: &mut [bf16], a: Self::F32) {
        self.store_bf16(dst, a);
    }
    /// As [`Simd::load_bf16`], of two vectors: which elements are in which is the level's affair,
    /// and the same in each function for pairs.
    #[inline(always)]
    fn load_pair_bf16(self, src: &[bf16]) -> (Self::F32, Self::F32) {
        let (low, high) = src[..2 * Self::LANES].split_at(Self::LANES);
        (self.load_bf16(low), self.load_bf16(high))
    }
    /// As [`Simd::store_bf16`], of what [`Simd::load_pair_bf16`] gives.
    #[inline(always)]
    fn store_pair_bf16(self, dst: &mut [bf16], a: Self::F32, b: Self::F32) {
        let (low, high) = dst[..2 * Self::LANES].split_at_mut(Self::LANES);
        self.store_bf16(low, a);
        self.store_bf16(high, b);
    }
    /// As [`Simd::store_pair_bf16`], and [`Simd::bypass`].
    #[inline(always)]
    fn bypass_pair_bf16(self, dst: &mut [bf16], a: Self::F32, b: Self::F32) {
        let (low, high) = dst[..2 * Self::LANES].split_at_mut(Self::LANES);
        self.bypass_bf16(low, a);
        self.bypass_bf16(high, b);
    }

    /// The sum of the lanes, by halves: lane `i` with lane `i + LANES/2`, and again.
    fn sum(self, a: Self::F32) -> f32;
    /// The largest lane, by halves with [`Simd::max`]; NaN lanes have no defined effect.
    fn max_lane(self, a: Self::F32) -> f32;
    /// The smallest lane, by halves with [`Simd::min`]; NaN lanes have no defined effect.
    fn min_lane(self, a: Self::F32) -> f32;
}

/// Past ±this, a power of two is 0 or ∞ whatever `f32` it multiplies.
const LARGEST_EXPONENT: f32 = 250.0;

/// `2^n` for an integral `n` in −126..=127.
#[inline(always)]
fn power_of_two<S: Simd>(s: S, n: S::F32) -> S::F32 {
    let exponent = s.add_i32(s.to_i32(n), s.splat_i32(127));
    s.from_bits(s.shl(exponent, 23))
}
