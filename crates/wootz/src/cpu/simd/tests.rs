//! Each operation at each level this machine has, against scalar Rust.

#![expect(
    clippy::manual_clamp,
    reason = "a NaN becomes a bound here, which `clamp` would keep"
)]

use super::*;
use half::{bf16, f16};

/// Values around everything that rounding, signs and special cases care about.
const EDGES: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.999_999_8,
    1e-40,
    -1e-45,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    8_388_607.5,
    -8_388_609.0,
    65_504.0,
    65_520.0,
    1.003_906_3,
    1.011_718_8,
];

/// Two floats that hold the same number; any NaN equals any other.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// One operation on vectors with its scalar meaning, over one to three inputs.
macro_rules! agree {
    ($($test:ident($($x:ident),+): |$s:ident| $vector:expr => $scalar:expr;)*) => {$(
        #[test]
        fn $test() {
            struct Run;
            impl Job for Run {
                type Output = ();
                #[inline(always)]
                fn run<S: Simd>(self, $s: S) {
                    agree!(@loops $s [$($x)+] {
                        let got = { $(let $x = $s.splat($x);)+ $vector };
                        let mut out = [f32::NAN; 64];
                        $s.store(&mut out, got);
                        let want: f32 = $scalar;
                        for lane in &out[..S::LANES] {
                            assert!(same(*lane, want), "{lane} is not {want} for {:?}", ($($x,)+));
                        }
                    });
                }
            }
            every_level(|| dispatch(Run));
        }
    )*};
    (@loops $s:ident [] $body:block) => { $body };
    (@loops $s:ident [$x:ident $($rest:ident)*] $body:block) => {
        for $x in EDGES { agree!(@loops $s [$($rest)*] $body) }
    };
}

fn every_level(body: impl Fn()) {
    let ran = Level::ALL
        .into_iter()
        .filter_map(|level| level.scoped(&body))
        .count();
    assert!(ran >= 1);
}

agree! {
    add(a, b): |s| s.add(a, b) => a + b;
    sub(a, b): |s| s.sub(a, b) => a - b;
    mul(a, b): |s| s.mul(a, b) => a * b;
    div(a, b): |s| s.div(a, b) => a / b;
    fma(a, b, c): |s| s.fma(a, b, c) => a.mul_add(b, c);
    fnma(a, b, c): |s| s.fnma(a, b, c) => (-a).mul_add(b, c);
    sqrt(a): |s| s.sqrt(a) => a.sqrt();
    neg(a): |s| s.neg(a) => -a;
    abs(a): |s| s.abs(a) => a.abs();
    copysign(a, b): |s| s.copysign(a, b) => a.copysign(b);
    min(a, b): |s| s.min(a, b) => if a < b { a } else { b };
    max(a, b): |s| s.max(a, b) => if a > b { a } else { b };
    minimum(a, b): |s| s.minimum(a, b) => if a.is_nan() || a < b { a } else { b };
    maximum(a, b): |s| s.maximum(a, b) => if a.is_nan() || a > b { a } else { b };
    min_size(a): |s| {
        // A NaN may give either.
        let y = s.min_size(a, s.splat(2.5));
        s.select(s.is_nan(a), a, y)
    } => if a.is_nan() { a } else { a.abs().min(2.5) };
    fraction(a): |s| {
        // Rounded either way.
        let (x, y) = (s.sub(a, s.floor(a)), s.abs(s.fraction(a)));
        let near = s.lt(s.abs(s.sub(x, y)), s.splat(1e-7));
        s.select(s.mask_or(near, s.eq(a, s.splat(f32::INFINITY))), x, y)
    } => if a == f32::NEG_INFINITY { 0.0 } else { a - a.floor() };
    scale(a): |s| {
        let n = s.select(s.is_nan(a), s.splat(0.5), a);
        s.scale(s.splat(1.5), n)
    } => if a.is_nan() { 1.5 } else { (1.5 * f64::from(a).floor().exp2()) as f32 };
    about_recip(a): |s| {
        let y = s.mul(s.about_recip(a), a);
        s.select(s.lt(s.abs(s.sub(y, s.splat(1.0))), s.splat(1.0 / 16384.0)), s.splat(1.0), y)
    } => {
        // Of a denormal it may be ∞, and ∞ of 0.
        let y = 1.0 / a * a;
        if y.is_nan() || y.is_infinite() { y } else if y == 0.0 { 0.0 * a } else { 1.0 }
    };
    floor(a): |s| s.floor(a) => a.floor();
    ceil(a): |s| s.ceil(a) => a.ceil();
    trunc(a): |s| s.trunc(a) => a.trunc();
    round(a): |s| s.round(a) => a.round_ties_even();
    eq(a, b): |s| s.select(s.eq(a, b), a, s.splat(7.0)) => if a == b { a } else { 7.0 };
    lt(a, b): |s| s.select(s.lt(a, b), a, b) => if a < b { a } else { b };
    le(a, b): |s| s.select(s.le(a, b), a, b) => if a <= b { a } else { b };
    gt(a, b): |s| s.select(s.gt(a, b), a, b) => if a > b { a } else { b };
    ge(a, b): |s| s.select(s.ge(a, b), a, b) => if a >= b { a } else { b };
    masks(a, b): |s| {
        let (m, n) = (s.lt(a, b), s.is_nan(a));
        let both = s.mask_xor(s.mask_or(m, n), s.mask_and(m, s.mask_not(n)));
        s.select(both, a, b)
    } => if (a < b || a.is_nan()) ^ (a < b && !a.is_nan()) { a } else { b };
    integers(a, b): |s| {
        let (x, y) = (s.bits(a), s.bits(b));
        let x = s.sub_i32(s.mul_i32(x, y), s.add_i32(x, s.splat_i32(12_345)));
        let x = s.xor(s.or(s.shl(x, 3), s.shr(x, 7)), s.sar(y, 5));
        s.to_f32(s.select_i32(s.gt_i32(x, y), x, s.and(x, y)))
    } => {
        let (x, y) = (a.to_bits() as i32, b.to_bits() as i32);
        let x = x.wrapping_mul(y).wrapping_sub(x.wrapping_add(12_345));
        let x = ((x << 3) | (x as u32 >> 7) as i32) ^ (y >> 5);
        (if x > y { x } else { x & y }) as f32
    };
    equal_integers(a, b): |s| s.select(s.eq_i32(s.bits(a), s.bits(b)), a, s.splat(7.0))
        => if a.to_bits() == b.to_bits() { a } else { 7.0 };
    convert(a): |s| s.to_f32(s.to_i32(s.min(s.splat(1e9), s.max(a, s.splat(-1e9)))))
        => (a.max(-1e9).min(1e9) as i32) as f32;
}

/// Every length around a vector's width keeps what it should and touches nothing after it.
fn first_lanes<T: Float>() {
    struct Run<T>(std::marker::PhantomData<T>);
    impl<T: Float> Job for Run<T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let src: Vec<T> = EDGES.iter().map(|x| T::from_f32(*x)).collect();
            let (guard, fill) = (T::from_f32(-77.0), 9.0f32);
            for n in 0..S::LANES + 2 {
                let have = n.min(S::LANES);
                let mut lanes = [0.0; 64];
                s.store(&mut lanes, T::load_first(s, &src[..n], fill));
                for i in 0..S::LANES {
                    let want = if i < have { src[i].to_f32() } else { fill };
                    assert!(
                        same(lanes[i], want),
                        "lane {i} of {n}: {} is not {want}",
                        lanes[i]
                    );
                }
                let mut out = [guard; 64];
                T::store_first(s, &mut out[..n], T::load(s, &src));
                for i in 0..64 {
                    let want = if i < have { src[i] } else { guard };
                    assert!(same(out[i].to_f32(), want.to_f32()), "element {i} of {n}");
                }
            }
        }
    }
    every_level(|| dispatch(Run::<T>(std::marker::PhantomData)));
}

#[test]
fn first_lanes_of_each_type() {
    first_lanes::<f32>();
    first_lanes::<f16>();
    first_lanes::<bf16>();
}

/// Narrowing agrees with the scalar conversion for a dense sample of all `f32`.
#[test]
fn narrow_stores_round_to_nearest_even() {
    struct Run;
    impl Job for Run {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for start in (0..u32::MAX - 64 * 997).step_by(64 * 997) {
                let x: [f32; 64] = std::array::from_fn(|i| f32::from_bits(start + i as u32 * 997));
                let (mut h, mut b) = ([f16::ZERO; 64], [bf16::ZERO; 64]);
                s.store_f16(&mut h, s.load(&x));
                s.store_bf16(&mut b, s.load(&x));
                for i in 0..S::LANES {
                    assert_eq!(
                        h[i].to_bits(),
                        f16::from_f32(x[i]).to_bits(),
                        "f16 of {}",
                        x[i]
                    );
                    assert_eq!(
                        b[i].to_bits(),
                        bf16::from_f32(x[i]).to_bits(),
                        "bf16 of {}",
                        x[i]
                    );
                }
            }
        }
    }
    every_level(|| dispatch(Run));
}

/// Whatever elements a pair of vectors holds where, they return to their places, rounded.
#[test]
fn pairs_keep_their_elements() {
    struct Run;
    impl Job for Run {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (s, lanes) = (Twice(s), 2 * S::LANES);
            for start in (0..=u16::MAX).step_by(lanes) {
                let x: [bf16; 64] =
                    std::array::from_fn(|i| bf16::from_bits(start + i as u16 % lanes as u16));
                let (mut y, mut z) = ([bf16::ZERO; 64], [bf16::ZERO; 64]);
                let product = s.mul(s.load_bf16(&x), s.splat(1.3));
                s.store_bf16(&mut y, product);
                s.bypass_bf16(&mut z, product);
                for i in 0..lanes {
                    let want = bf16::from_f32(x[i].to_f32() * 1.3).to_f32();
                    assert!(
                        same(y[i].to_f32(), want) && same(z[i].to_f32(), want),
                        "{}",
                        x[i]
                    );
                }
            }
        }
    }
    every_level(|| dispatch(Run));
}

/// Where ties may go either way, all else is rounded as ever, whole vectors and parts alike.
#[test]
fn ties_alone_are_rounded_away() {
    struct Run;
    impl Job for Run {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (one, two) = (s.ties_away(), Twice(s).ties_away());
            for start in (0..u32::MAX - 64 * 997).step_by(64 * 997) {
                // A NaN has no low digits here.
                let digits = if f32::from_bits(start).is_nan() {
                    0xffff_0000
                } else {
                    u32::MAX
                };
                let x: [f32; 64] =
                    std::array::from_fn(|i| f32::from_bits((start + i as u32 * 997) & digits));
                let [mut a, mut b, mut c] = [[bf16::ZERO; 64]; 3];
                one.store_bf16(&mut a, one.load(&x));
                one.store_first_bf16(&mut b[..S::LANES], one.load(&x));
                let pair = std::array::from_fn::<_, 64, _>(|i| bf16::from_f32(x[i]));
                two.store_bf16(&mut c, two.load_bf16(&pair));
                for i in 0..S::LANES {
                    let even = bf16::from_f32(x[i]);
                    let tie = x[i].to_bits() & 0xffff == 0x8000;
                    let near = even.to_bits() | u16::from(tie);
                    for got in [a[i], b[i]] {
                        let (got, want) = (got.to_bits() | u16::from(tie), near);
                        let nan = bf16::from_bits(got).is_nan() && even.is_nan();
                        assert!(nan || got == want, "{:e}: {got:x} is not {want:x}", x[i]);
                    }
                    assert!(same(c[i].to_f32(), pair[i].to_f32()), "{:e}", x[i]);
                }
            }
        }
    }
    every_level(|| dispatch(Run));
}

#[test]
fn entries_are_those_of_the_low_four_bits() {
    struct Run;
    impl Job for Run {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let table: [f32; 16] = std::array::from_fn(|i| (i * i) as f32 - 7.5);
            for start in -40..40 {
                let mut got = [0.0; 64];
                s.store(
                    &mut got,
                    s.entry(&table, s.add_i32(s.iota(), s.splat_i32(start))),
                );
                for (i, got) in got[..S::LANES].iter().enumerate() {
                    assert_eq!(*got, table[(start + i as i32).rem_euclid(16) as usize]);
                }
            }
        }
    }
    every_level(|| dispatch(Run));
}

#[test]
fn lanes_combine_by_halves() {
    struct Run;
    impl Job for Run {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            // Terms of such different sizes that another order gives another sum.
            let x: [f32; 64] =
                std::array::from_fn(|i| (i as f32 * 5.3).sin() * 10f32.powi(i as i32 % 7));
            let mut want = x;
            let mut n = S::LANES;
            while n > 1 {
                n /= 2;
                for i in 0..n {
                    want[i] += want[i + n];
                }
            }
            let v = s.load(&x);
            assert_eq!(s.sum(v), want[0]);
            let lanes = x[..S::LANES].iter().copied();
            assert_eq!(s.max_lane(v), lanes.clone().fold(f32::MIN, f32::max));
            assert_eq!(s.min_lane(v), lanes.fold(f32::MAX, f32::min));
            let mut order = [0; 64];
            s.store_i32(&mut order, s.iota());
            assert!(order.iter().take(S::LANES).copied().eq(0..S::LANES as i32));
            assert_eq!(
                s.mask_bits(s.gt_i32(s.load_i32(&order), s.splat_i32(0))),
                (1 << S::LANES) - 2
            );
            assert!(s.all(s.eq(v, v)) && s.any(s.eq(v, v)) && !s.any(s.lt(v, v)));
        }
    }
    every_level(|| dispatch(Run));
}

#[test]
#[should_panic]
fn full_load_of_a_short_slice_panics() {
    struct Run;
    impl Job for Run {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            s.load(&EDGES[..S::LANES - 1]);
        }
    }
    dispatch(Run);
}
