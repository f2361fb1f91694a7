//! Four lanes with 64-bit Arm's Advanced SIMD.

use super::{Job, Simd};
use half::{bf16, f16};
use std::arch::aarch64::*;

const LANES: usize = 4;

/// The token of [`Level::Neon`](super::Level::Neon).
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

/// Runs `job` compiled for this level.
///
/// # Safety
/// [`Level::Neon`](super::Level::Neon) is available.
#[target_feature(enable = "neon")]
pub unsafe fn enter<J: Job>(job: J) -> J::Output {
    job.run(Neon(()))
}

/// Four f16 as four f32. By its mnemonic: the intrinsic has no stable type to take.
#[inline(always)]
fn widen_f16(a: uint16x4_t) -> float32x4_t {
    let wide;
    // SAFETY: every 64-bit Arm has `fcvtl`; it reads and writes these registers alone.
    unsafe {
        std::arch::asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

/// Four f32 as four f16, rounded to nearest even.
#[inline(always)]
fn round_f16(a: float32x4_t) -> uint16x4_t {
    let narrow;
    // SAFETY: every 64-bit Arm has `fcvtn`; it reads and writes these registers alone.
    unsafe {
        std::arch::asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) narrow, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags));
    }
    narrow
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_bf16(a: uint16x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vshll_n_u16::<16>(a))
}

/// Rounds each lane to bf16, to nearest even; a NaN becomes a quiet one.
#[inline]
#[target_feature(enable = "neon")]
fn round_bf16(a: float32x4_t) -> uint16x4_t {
    let x = vreinterpretq_u32_f32(a);
    let odd = vandq_u32(vshrq_n_u32::<16>(x), vdupq_n_u32(1));
    let up = vaddq_u32(vaddq_u32(x, vdupq_n_u32(0x7fff)), odd);
    let quiet = vorrq_u32(x, vdupq_n_u32(0x0040_0000));
    vshrn_n_u32::<16>(vbslq_u32(vceqq_f32(a, a), up, quiet))
}

/// Combines lane `i` with lane `i + 2`, then 1.
macro_rules! by_halves {
    ($a:ident, $pair:ident) => {{
        let two = $pair(vget_low_f32($a), vget_high_f32($a));
        vget_lane_f32::<0>($pair(two, vdup_lane_f32::<1>(two)))
    }};
}

macro_rules! intrinsics {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: the token's field is private, so `self` was made by `enter`, whose caller
            // has seen NEON.
            unsafe { $body }
        }
    )*};
}

/// Loads and stores of one element type; the short forms go through an array.
macro_rules! memory {
    ($t:ty, $zero:expr, $load:ident, $load_first:ident, $store:ident, $store_first:ident,
     |$p:ident| $get:expr, |$q:ident, $a:ident| $put:expr) => {
        #[inline(always)]
        fn $load(self, src: &[$t]) -> float32x4_t {
            let $p = src[..LANES].as_ptr();
            // SAFETY: the token proves NEON, the slice above LANES readable elements.
            unsafe { $get }
        }
        #[inline(always)]
        fn $load_first(self, src: &[$t], fill: f32) -> float32x4_t {
            let n = src.len().min(LANES);
            let mut lanes = [$zero; LANES];
            lanes[..n].copy_from_slice(&src[..n]);
            let here = self.gt_i32(self.splat_i32(n as i32), self.iota());
            self.select(here, self.$load(&lanes), self.splat(fill))
        }
        #[inline(always)]
        fn $store(self, dst: &mut [$t], $a: float32x4_t) {
            let $q = dst[..LANES].as_mut_ptr();
            // SAFETY: the token proves NEON, the slice above LANES writable elements.
            unsafe { $put }
        }
        #[inline(always)]
        fn $store_first(self, dst: &mut [$t], a: float32x4_t) {
            let n = dst.len().min(LANES);
            let mut lanes = [$zero; LANES];
            self.$store(&mut lanes, a);
            dst[..n].copy_from_slice(&lanes[..n]);
        }
    };
}

impl Simd for Neon {
    const LANES: usize = LANES;
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    /// All bits of a lane set or clear.
    type Mask = uint32x4_t;

    intrinsics! {
        fn splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        fn fnma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmsq_f32(c, a, b);
        fn sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        fn floor(a: float32x4_t) -> float32x4_t = vrndmq_f32(a);
        fn ceil(a: float32x4_t) -> float32x4_t = vrndpq_f32(a);
        fn trunc(a: float32x4_t) -> float32x4_t = vrndq_f32(a);
        fn round(a: float32x4_t) -> float32x4_t = vrndnq_f32(a);

        fn eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vceqq_f32(a, b);
        fn lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcltq_f32(a, b);
        fn le(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcleq_f32(a, b);
        fn select(m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(m, a, b);
        fn select_i32(m: uint32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t = vbslq_s32(m, a, b);
        fn mask_and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        fn mask_or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        fn mask_xor(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = veorq_u32(a, b);
        fn mask_not(a: uint32x4_t) -> uint32x4_t = vmvnq_u32(a);
        fn mask_bits(a: uint32x4_t) -> u32 = vaddvq_u32(vandq_u32(a, vld1q_u32([1, 2, 4, 8].as_ptr())));
        fn any(a: uint32x4_t) -> bool = vmaxvq_u32(a) != 0;
        fn all(a: uint32x4_t) -> bool = vminvq_u32(a) != 0;

        fn splat_i32(x: i32) -> int32x4_t = vdupq_n_s32(x);
        fn add_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t = vaddq_s32(a, b);
        fn sub_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t = vsubq_s32(a, b);
        fn mul_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t = vmulq_s32(a, b);
        fn and(a: int32x4_t, b: int32x4_t) -> int32x4_t = vandq_s32(a, b);
        fn or(a: int32x4_t, b: int32x4_t) -> int32x4_t = vorrq_s32(a, b);
        fn xor(a: int32x4_t, b: int32x4_t) -> int32x4_t = veorq_s32(a, b);
        fn shl(a: int32x4_t, n: u32) -> int32x4_t = vshlq_s32(a, vdupq_n_s32(n as i32));
        fn shr(a: int32x4_t, n: u32) -> int32x4_t =
            vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-(n as i32))));
        fn sar(a: int32x4_t, n: u32) -> int32x4_t = vshlq_s32(a, vdupq_n_s32(-(n as i32)));
        fn eq_i32(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vceqq_s32(a, b);
        fn gt_i32(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vcgtq_s32(a, b);
        fn iota() -> int32x4_t = vld1q_s32([0, 1, 2, 3].as_ptr());

        fn to_i32(a: float32x4_t) -> int32x4_t = vcvtq_s32_f32(a);
        fn to_f32(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
        fn entry(table: &[f32; 16], i: int32x4_t) -> float32x4_t = {
            let table = vld1q_u8_x4(table.as_ptr().cast());
            let i = vandq_s32(i, vdupq_n_s32(15));
            // Each lane's four bytes.
            let bytes = vmlaq_n_s32(vdupq_n_s32(0x0302_0100), i, 0x0404_0404);
            vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_s32(bytes)))
        };
        fn bits(a: float32x4_t) -> int32x4_t = vreinterpretq_s32_f32(a);
        fn from_bits(a: int32x4_t) -> float32x4_t = vreinterpretq_f32_s32(a);

        fn load_i32(src: &[i32]) -> int32x4_t = vld1q_s32(src[..LANES].as_ptr());
        fn sum(a: float32x4_t) -> f32 = by_halves!(a, vadd_f32);
        fn max_lane(a: float32x4_t) -> f32 = by_halves!(a, vmax_f32);
        fn min_lane(a: float32x4_t) -> f32 = by_halves!(a, vmin_f32);
    }

    memory!(
        f32,
        0.0,
        load,
        load_first,
        store,
        store_first,
        |p| vld1q_f32(p),
        |q, a| vst1q_f32(q, a)
    );
    memory!(
        f16,
        f16::ZERO,
        load_f16,
        load_first_f16,
        store_f16,
        store_first_f16,
        |p| widen_f16(vld1_u16(p.cast())),
        |q, a| vst1_u16(q.cast(), round_f16(a))
    );
    memory!(
        bf16,
        bf16::ZERO,
        load_bf16,
        load_first_bf16,
        store_bf16,
        store_first_bf16,
        |p| widen_bf16(vld1_u16(p.cast())),
        |q, a| vst1_u16(q.cast(), round_bf16(a))
    );

    #[inline(always)]
    fn store_i32(self, dst: &mut [i32], a: int32x4_t) {
        let dst = dst[..LANES].as_mut_ptr();
        // SAFETY: the token proves NEON, the slice above LANES writable elements.
        unsafe { vst1q_s32(dst, a) }
    }
}
