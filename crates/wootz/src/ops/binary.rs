//! Ops of two operands of one element type, broadcast to one shape, element by element.

use super::check;
use super::elementwise::{
    Floats, Gives, Integer, Integers, Names, errors, floats, integer_kernel, run, wrap, wrap_number,
};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    cpu::{math, simd::Simd},
    table::{Bench, Benches, Row},
};

/// Lane-wise truth as a number.
macro_rules! truth {
    ($s:ident, $mask:expr) => {
        $s.select($mask, $s.splat(1.0), $s.splat(0.0))
    };
}

/// As [`truth`], of one integer.
macro_rules! integer_truth {
    ($T:ident, $condition:expr) => {
        if $condition { $T::ONE } else { $T::ZERO }
    };
}

/// An op on all numbers: the vector body, the integer body, the `f64` reference, and the error in
/// ulps of `f32` that its arithmetic allows.
macro_rules! numbers {
    ($($name:ident $op:ident $gives:ident, $summary:literal,
       |$s:ident, $a:ident, $b:ident| $body:expr,
       |$i:ident: $T:ident, $j:ident| $integer:expr, $reference:expr, $ulps:literal;)*) => {
        $(
            #[doc = $summary]
            pub fn $name(a: &Tensor, b: &Tensor) -> Result<Tensor> {
                check::dtype(stringify!($name), "a", a, DType::NUMBERS)?;
                run(Names { op: stringify!($name), source: stringify!($op) }, [("a", a), ("b", b)], Gives::$gives, |dtype| {
                    match dtype.is_float() {
                        true => floats::<$op, 2>,
                        false => integer_kernel::<$op, 2>(dtype, Gives::$gives),
                    }
                })
            }

            struct $op;
            impl Floats<2> for $op {
                #[inline(always)]
                fn lanes<S: Simd>($s: S, [$a, $b]: [S::F32; 2]) -> S::F32 {
                    $body
                }
            }
            impl Integers<2> for $op {
                #[inline(always)]
                fn element<$T: Integer>([$i, $j]: [$T; 2]) -> $T {
                    $integer
                }
            }
        )*

        /// The rows of ops on all numbers.
        pub const NUMBER_ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            family: "binary",
            summary: $summary,
            dtypes: DType::NUMBERS,
            cases: |cases| add_cases(cases, $name, Gives::$gives, $reference, $ulps),
            benches: Benches::of_tables(|dtype, dims| bench(dtype, dims, $name)),
        }),*];
    };
}

numbers! {
    add Add Same, "a + b; of integers modulo their range",
        |s, a, b| s.add(a, b), |a: T, b| a.add(b), |dtype, a, b| wrap_number(dtype, a + b), 0.0;
    sub Sub Same, "a − b; of integers modulo their range",
        |s, a, b| s.sub(a, b), |a: T, b| a.sub(b), |dtype, a, b| wrap_number(dtype, a - b), 0.0;
    mul Mul Same, "a·b; of integers modulo their range",
        |s, a, b| s.mul(a, b), |a: T, b| a.mul(b), product, 0.0;
    div Div Same, "a / b; of integers towards zero, and 0 for a division by 0",
        |s, a, b| s.div(a, b), |a: T, b| a.div(b), quotient, 0.0;
    rem Rem Same, "a − b·trunc(a / b), with the sign of a; of integers 0 for a division by 0",
        |s, a, b| math::rem(s, a, b), |a: T, b| a.rem(b), remainder, 0.0;
    pow Pow Same, "aᵇ; of integers modulo their range, and for b < 0 what is left of 1 / aᵇ",
        |s, a, b| math::pow(s, a, b), |a: T, b| power_of(a, b), power, 4.0;
    minimum Minimum Same, "the smaller; a NaN on either side is the result",
        |s, a, b| s.minimum(a, b), |a: T, b| if a < b { a } else { b },
        |_, a, b| if a.is_nan() || a < b { a } else { b }, 0.0;
    maximum Maximum Same, "the larger; a NaN on either side is the result",
        |s, a, b| s.maximum(a, b), |a: T, b| if a > b { a } else { b },
        |_, a, b| if a.is_nan() || a > b { a } else { b }, 0.0;
    eq Eq Truth, "whether a = b",
        |s, a, b| truth!(s, s.eq(a, b)), |a: T, b| integer_truth!(T, a == b),
        |_, a, b| number(a == b), 0.0;
    ne Ne Truth, "whether a ≠ b",
        |s, a, b| truth!(s, s.mask_not(s.eq(a, b))), |a: T, b| integer_truth!(T, a != b),
        |_, a, b| number(a != b), 0.0;
    lt Lt Truth, "whether a < b",
        |s, a, b| truth!(s, s.lt(a, b)), |a: T, b| integer_truth!(T, a < b),
        |_, a, b| number(a < b), 0.0;
    le Le Truth, "whether a ≤ b",
        |s, a, b| truth!(s, s.le(a, b)), |a: T, b| integer_truth!(T, a <= b),
        |_, a, b| number(a <= b), 0.0;
    gt Gt Truth, "whether a > b",
        |s, a, b| truth!(s, s.gt(a, b)), |a: T, b| integer_truth!(T, a > b),
        |_, a, b| number(a > b), 0.0;
    ge Ge Truth, "whether a ≥ b",
        |s, a, b| truth!(s, s.ge(a, b)), |a: T, b| integer_truth!(T, a >= b),
        |_, a, b| number(a >= b), 0.0;
    logical_and LogicalAnd Truth, "whether neither is 0",
        |s, a, b| {
            let zero = s.splat(0.0);
            truth!(s, s.mask_not(s.mask_or(s.eq(a, zero), s.eq(b, zero))))
        },
        |a: T, b| integer_truth!(T, a != T::ZERO && b != T::ZERO),
        |_, a, b| number(a != 0.0 && b != 0.0), 0.0;
    logical_or LogicalOr Truth, "whether either is not 0",
        |s, a, b| {
            let zero = s.splat(0.0);
            truth!(s, s.mask_not(s.mask_and(s.eq(a, zero), s.eq(b, zero))))
        },
        |a: T, b| integer_truth!(T, a != T::ZERO || b != T::ZERO),
        |_, a, b| number(a != 0.0 || b != 0.0), 0.0;
    logical_xor LogicalXor Truth, "whether just one is not 0",
        |s, a, b| {
            let zero = s.splat(0.0);
            truth!(s, s.mask_xor(s.eq(a, zero), s.eq(b, zero)))
        },
        |a: T, b| integer_truth!(T, (a != T::ZERO) != (b != T::ZERO)),
        |_, a, b| number((a != 0.0) != (b != 0.0)), 0.0;
}

/// The angle of the point (b, a), in −π..π
pub fn atan2(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check::dtype("atan2", "a", a, DType::FLOATS)?;
    run(
        Names {
            op: "atan2",
            source: "Atan2",
        },
        [("a", a), ("b", b)],
        Gives::Same,
        |_| floats::<Atan2, 2>,
    )
}

struct Atan2;
impl Floats<2> for Atan2 {
    #[inline(always)]
    fn lanes<S: Simd>(s: S, [a, b]: [S::F32; 2]) -> S::F32 {
        math::atan2(s, a, b)
    }
}

/// The rows of ops on floats.
pub const FLOAT_ROWS: &[Row] = &[Row {
    name: "atan2",
    family: "binary",
    summary: "the angle of the point (b, a), in −π..π",
    dtypes: DType::FLOATS,
    cases: |cases| add_cases(cases, atan2, Gives::Same, |_, a, b| a.atan2(b), 3.0),
    benches: Benches::of_tables(|dtype, dims| bench(dtype, dims, atan2)),
}];

/// An op on the bits of integers.
macro_rules! bits {
    ($($name:ident $op:ident, $summary:literal,
       |$i:ident: $T:ident, $j:ident| $integer:expr, $reference:expr;)*) => {
        $(
            #[doc = $summary]
            pub fn $name(a: &Tensor, b: &Tensor) -> Result<Tensor> {
                check::dtype(stringify!($name), "a", a, DType::INTEGERS)?;
                run(Names { op: stringify!($name), source: stringify!($op) }, [("a", a), ("b", b)], Gives::Same, |dtype| {
                    integer_kernel::<$op, 2>(dtype, Gives::Same)
                })
            }

            struct $op;
            impl Integers<2> for $op {
                #[inline(always)]
                fn element<$T: Integer>([$i, $j]: [$T; 2]) -> $T {
                    $integer
                }
            }
        )*

        /// The rows of ops on bits.
        pub const BITWISE_ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            family: "binary",
            summary: $summary,
            dtypes: DType::INTEGERS,
            cases: |cases| add_cases(cases, $name, Gives::Same, |dtype, a, b| {
                let reference: fn(i64, i64, u32) -> i64 = $reference;
                let width = 8 * dtype.size() as u32;
                wrap(dtype, reference(a as i64, b as i64, width))
            }, 0.0),
            benches: Benches::of_tables(|dtype, dims| bench(dtype, dims, $name)),
        }),*];
    };
}

bits! {
    bitwise_and BitwiseAnd, "bits set in both", |a: T, b| a.and(b), |a, b, _| a & b;
    bitwise_or BitwiseOr, "bits set in either", |a: T, b| a.or(b), |a, b, _| a | b;
    bitwise_xor BitwiseXor, "bits set in just one", |a: T, b| a.xor(b), |a, b, _| a ^ b;
    shl Shl, "a·2ᵇ modulo its range; 0 for a b below 0 or past the width",
        |a: T, b| if b.count() < T::WIDTH { a.shift_left(b.count()) } else { T::ZERO },
        |a, b, width| if (0..width.into()).contains(&b) { a << b } else { 0 };
    shr Shr, "a / 2ᵇ, rounded down; 0 or −1 by the sign of a for a b below 0 or past the width",
        |a: T, b| {
            let most = T::WIDTH - 1;
            let shifted = a.shift_right(b.count().min(most));
            if b.count() > most { shifted.shift_right(1) } else { shifted }
        },
        |a, b, width| a >> if (0..width.into()).contains(&b) { b } else { 63 };
}

/// `a` to the power `b` by squaring.
#[inline(always)]
fn power_of<T: Integer>(a: T, b: T) -> T {
    if b < T::ZERO {
        // 1/aᵇ is whole for 1 and −1 only.
        let odd = b.and(T::ONE) == T::ONE;
        return match a {
            a if a == T::ONE => T::ONE,
            a if a == T::ONES => {
                if odd {
                    a
                } else {
                    T::ONE
                }
            }
            _ => T::ZERO,
        };
    }
    let (mut result, mut base, mut left) = (T::ONE, a, b);
    while left > T::ZERO {
        if left.and(T::ONE) == T::ONE {
            result = result.mul(base);
        }
        base = base.mul(base);
        left = left.shift_right(1);
    }
    result
}

type Op = fn(&Tensor, &Tensor) -> Result<Tensor>;
type Reference = fn(DType, f64, f64) -> f64;

fn number(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

fn product(dtype: DType, a: f64, b: f64) -> f64 {
    match dtype.is_float() {
        true => a * b,
        // 64 bits hold the product's low ones, which are all that counts.
        false => wrap(dtype, (a as i64).wrapping_mul(b as i64)),
    }
}

fn quotient(dtype: DType, a: f64, b: f64) -> f64 {
    match dtype.is_float() {
        true => a / b,
        false if b == 0.0 => 0.0,
        false => wrap(dtype, (a as i64) / (b as i64)),
    }
}

fn remainder(dtype: DType, a: f64, b: f64) -> f64 {
    match dtype.is_float() {
        false if b == 0.0 => 0.0,
        _ => a % b,
    }
}

fn power(dtype: DType, a: f64, b: f64) -> f64 {
    if dtype.is_float() {
        return a.powf(b);
    }
    let (a, b) = (a as i64, b as i64);
    let whole = if b >= 0 || a.abs() == 1 {
        b.unsigned_abs()
    } else {
        return 0.0;
    };
    let low_bits = (0..64).rev().fold(1i64, |result, bit| {
        let square = result.wrapping_mul(result);
        if whole >> bit & 1 == 1 {
            square.wrapping_mul(a)
        } else {
            square
        }
    });
    wrap(dtype, low_bits)
}

/// Pairs that broadcast, around vector and block widths.
const SHAPES: &[(&[usize], &[usize])] = &[
    (&[], &[]),
    (&[7], &[]),
    (&[0], &[1]),
    (&[33], &[33]),
    (&[3, 0, 2], &[2]),
    (&[5, 17], &[5, 1]),
    (&[3, 1100], &[1100]),
    (&[3, 1, 5], &[4, 1]),
    (&[2, 1100], &[2, 1100]),
];

fn add_cases(cases: &mut Cases, op: Op, gives: Gives, reference: Reference, ulps: f64) {
    let from = cases.dtype();
    let dtype = if gives == Gives::Truth {
        DType::U8
    } else {
        from
    };
    let specials = cases.specials();
    let (mut across, mut down) = (specials.clone(), specials);
    let count = across.array.values.len();
    across.array.dims = vec![1, count];
    down.array.dims = vec![count, 1];
    let mut pairs = vec![("specials".to_owned(), down, across)];
    for &(a, b) in SHAPES {
        let label = format!("{a:?} {b:?}");
        pairs.push((label, cases.input(a, -3.0, 9.0), cases.input(b, -3.0, 9.0)));
    }
    for (label, a, b) in pairs {
        cases.add(
            label,
            vec![a, b],
            move |x| op(&x[0], &x[1]),
            move |x| {
                let exact = x[0].zip(&x[1], |a, b| reference(from, a, b));
                let errors = errors(from, &exact.values, |_| ulps);
                Expected::within(dtype, exact, errors)
            },
        );
    }
}

fn bench(dtype: DType, dims: &[usize], op: Op) -> Option<Bench> {
    let inputs = vec![(dtype, dims.to_vec()); 2];
    let run = move |x: &[Tensor]| op(&x[0], &x[1]);
    Some(Bench::memory(dims, inputs, 3 * dtype.size(), run))
}
