//! Two vectors as one: each operation is done to one, then to the other. So neighbouring
//! instructions do not wait for each other, where a long chain on one vector would fill the
//! processor's queues with instructions that do.

use super::Simd;
use half::{bf16, f16};

/// The token of vectors twice as wide as those of `S`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Twice<S>(pub(crate) S);

/// Methods of one vector's lanes each: `name(arguments) -> result;`. An argument is a pair of
/// vectors, or where it says `each` the same value for both.
macro_rules! lanes {
    ($($name:ident($($arg:ident: $ty:ident),* $(; $each:ident: $each_ty:ty)?) -> $out:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self::$ty,)* $($each: $each_ty)?) -> Self::$out {
            (
                self.0.$name($($arg.0,)* $($each)?),
                self.0.$name($($arg.1,)* $($each)?),
            )
        }
    )*};
}

/// Loads and stores of elements of a type, in the order of the trait.
macro_rules! memory {
    ($($t:ty: $load_first:ident $store_first:ident;)*) => {$(
        #[inline(always)]
        fn $load_first(self, src: &[$t], fill: f32) -> Self::F32 {
            let (low, high) = src.split_at(S::LANES.min(src.len()));
            (self.0.$load_first(low, fill), self.0.$load_first(high, fill))
        }
        #[inline(always)]
        fn $store_first(self, dst: &mut [$t], a: Self::F32) {
            let (low, high) = dst.split_at_mut(S::LANES.min(dst.len()));
            self.0.$store_first(low, a.0);
            self.0.$store_first(high, a.1);
        }
    )*};
}

/// Full loads and stores, in two parts.
macro_rules! halves {
    ($($t:ty: $load:ident $store:ident $bypass:ident;)*) => {$(
        #[inline(always)]
        fn $load(self, src: &[$t]) -> Self::F32 {
            let (low, high) = src[..Self::LANES].split_at(S::LANES);
            (self.0.$load(low), self.0.$load(high))
        }
        #[inline(always)]
        fn $store(self, dst: &mut [$t], a: Self::F32) {
            let (low, high) = dst[..Self::LANES].split_at_mut(S::LANES);
            self.0.$store(low, a.0);
            self.0.$store(high, a.1);
        }
        #[inline(always)]
        fn $bypass(self, dst: &mut [$t], a: Self::F32) {
            let (low, high) = dst[..Self::LANES].split_at_mut(S::LANES);
            self.0.$bypass(low, a.0);
            self.0.$bypass(high, a.1);
        }
    )*};
}

impl<S: Simd> Simd for Twice<S> {
    const LANES: usize = 2 * S::LANES;
    type F32 = (S::F32, S::F32);
    type I32 = (S::I32, S::I32);
    type Mask = (S::Mask, S::Mask);

    lanes! {
        splat(; x: f32) -> F32;
        add(a: F32, b: F32) -> F32;
        sub(a: F32, b: F32) -> F32;
        mul(a: F32, b: F32) -> F32;
        div(a: F32, b: F32) -> F32;
        fma(a: F32, b: F32, c: F32) -> F32;
        fnma(a: F32, b: F32, c: F32) -> F32;
        sqrt(a: F32) -> F32;
        min(a: F32, b: F32) -> F32;
        max(a: F32, b: F32) -> F32;
        floor(a: F32) -> F32;
        ceil(a: F32) -> F32;
        trunc(a: F32) -> F32;
        round(a: F32) -> F32;
        eq(a: F32, b: F32) -> Mask;
        lt(a: F32, b: F32) -> Mask;
        le(a: F32, b: F32) -> Mask;
        is_nan(a: F32) -> Mask;
        select(mask: Mask, a: F32, b: F32) -> F32;
        select_i32(mask: Mask, a: I32, b: I32) -> I32;
        mask_and(a: Mask, b: Mask) -> Mask;
        mask_or(a: Mask, b: Mask) -> Mask;
        mask_xor(a: Mask, b: Mask) -> Mask;
        mask_not(a: Mask) -> Mask;
        splat_i32(; x: i32) -> I32;
        add_i32(a: I32, b: I32) -> I32;
        sub_i32(a: I32, b: I32) -> I32;
        mul_i32(a: I32, b: I32) -> I32;
        and(a: I32, b: I32) -> I32;
        or(a: I32, b: I32) -> I32;
        xor(a: I32, b: I32) -> I32;
        shl(a: I32; n: u32) -> I32;
        shr(a: I32; n: u32) -> I32;
        sar(a: I32; n: u32) -> I32;
        eq_i32(a: I32, b: I32) -> Mask;
        gt_i32(a: I32, b: I32) -> Mask;
        to_i32(a: F32) -> I32;
        to_f32(a: I32) -> F32;
        bits(a: F32) -> I32;
        from_bits(a: I32) -> F32;
        ldexp(a: F32, n: F32) -> F32;
        min_size(a: F32, b: F32) -> F32;
        fraction(a: F32) -> F32;
        scale(a: F32, n: F32) -> F32;
        about_recip(a: F32) -> F32;
    }

    #[inline(always)]
    fn ties_away(self) -> Self {
        Twice(self.0.ties_away())
    }
    #[inline(always)]
    fn entry(self, table: &[f32; 16], i: Self::I32) -> Self::F32 {
        (self.0.entry(table, i.0), self.0.entry(table, i.1))
    }

    memory! {
        f32: load_first store_first;
        f16: load_first_f16 store_first_f16;
        bf16: load_first_bf16 store_first_bf16;
    }

    halves! {
        f32: load store bypass;
        f16: load_f16 store_f16 bypass_f16;
    }

    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> Self::F32 {
        self.0.load_pair_bf16(src)
    }

    #[inline(always)]
    fn store_bf16(self, dst: &mut [bf16], a: Self::F32) {
        self.0.store_pair_bf16(dst, a.0, a.1);
    }
    #[inline(always)]
    fn bypass_bf16(self, dst: &mut [bf16], a: Self::F32) {
        self.0.bypass_pair_bf16(dst, a.0, a.1);
    }

    #[inline(always)]
    fn mask_bits(self, a: Self::Mask) -> u32 {
        self.0.mask_bits(a.0) | self.0.mask_bits(a.1) << S::LANES
    }
    #[inline(always)]
    fn iota(self) -> Self::I32 {
        let low = self.0.iota();
        let lanes = self.0.splat_i32(S::LANES as i32);
        (low, self.0.add_i32(low, lanes))
    }
    #[inline(always)]
    fn load_i32(self, src: &[i32]) -> Self::I32 {
        let (low, high) = src[..Self::LANES].split_at(S::LANES);
        (self.0.load_i32(low), self.0.load_i32(high))
    }
    #[inline(always)]
    fn store_i32(self, dst: &mut [i32], a: Self::I32) {
        let (low, high) = dst[..Self::LANES].split_at_mut(S::LANES);
        self.0.store_i32(low, a.0);
        self.0.store_i32(high, a.1);
    }
    #[inline(always)]
    fn sum(self, a: Self::F32) -> f32 {
        self.0.sum(self.0.add(a.0, a.1))
    }
    #[inline(always)]
    fn max_lane(self, a: Self::F32) -> f32 {
        self.0.max_lane(self.0.max(a.0, a.1))
    }
    #[inline(always)]
    fn min_lane(self, a: Self::F32) -> f32 {
        self.0.min_lane(self.0.min(a.0, a.1))
    }
}
