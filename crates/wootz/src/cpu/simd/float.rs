//! Floating element types as memory holds them; lanes always hold `f32`.

use super::Simd;
use half::{bf16, f16};

/// A floating element type that vectors load from and store to memory.
pub trait Float: Copy + Send + Sync + PartialEq + std::fmt::Debug + 'static {
    /// Positive zero.
    const ZERO: Self;
    /// Whether so few digits are kept that the functions of `math::rough` serve.
    const COARSE: bool;

    /// Rounds to nearest even.
    fn from_f32(x: f32) -> Self;
    /// Widens; exact.
    fn to_f32(self) -> f32;
    /// Loads `S::LANES` elements.
    fn load<S: Simd>(s: S, src: &[Self]) -> S::F32;
    /// Loads the lanes that `src` has; the others hold `fill`.
    fn load_first<S: Simd>(s: S, src: &[Self], fill: f32) -> S::F32;
    /// Stores `S::LANES` elements.
    fn store<S: Simd>(s: S, dst: &mut [Self], a: S::F32);
    /// Stores the lanes that `dst` has room for.
    fn store_first<S: Simd>(s: S, dst: &mut [Self], a: S::F32);
    /// Stores `S::LANES` elements around the caches, as [`Simd::bypass`].
    fn bypass<S: Simd>(s: S, dst: &mut [Self], a: S::F32);
}

macro_rules! float {
    ($t:ty, $zero:expr, $coarse:expr, $from:expr, $to:expr, $load:ident, $load_first:ident, $store:ident, $store_first:ident, $bypass:ident) => {
        impl Float for $t {
            const ZERO: Self = $zero;
            const COARSE: bool = $coarse;
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                $from(x)
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self)
            }
            #[inline(always)]
            fn load<S: Simd>(s: S, src: &[Self]) -> S::F32 {
                s.$load(src)
            }
            #[inline(always)]
            fn load_first<S: Simd>(s: S, src: &[Self], fill: f32) -> S::F32 {
                s.$load_first(src, fill)
            }
            #[inline(always)]
            fn store<S: Simd>(s: S, dst: &mut [Self], a: S::F32) {
                s.$store(dst, a)
            }
            #[inline(always)]
            fn store_first<S: Simd>(s: S, dst: &mut [Self], a: S::F32) {
                s.$store_first(dst, a)
            }
            #[inline(always)]
            fn bypass<S: Simd>(s: S, dst: &mut [Self], a: S::F32) {
                s.$bypass(dst, a)
            }
        }
    };
}

float!(
    f32,
    0.0,
    false,
    std::convert::identity,
    std::convert::identity,
    load,
    load_first,
    store,
    store_first,
    bypass
);
float!(
    f16,
    f16::ZERO,
    false,
    f16::from_f32,
    f16::to_f32,
    load_f16,
    load_first_f16,
    store_f16,
    store_first_f16,
    bypass_f16
);
float!(
    bf16,
    bf16::ZERO,
    true,
    bf16::from_f32,
    bf16::to_f32,
    load_bf16,
    load_first_bf16,
    store_bf16,
    store_first_bf16,
    bypass_bf16
);
