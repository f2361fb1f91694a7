//! Ops of one operand, element by element.

use super::check;
use super::elementwise::{
    Floats, Gives, Integer, Integers, Names, errors, floats, integer_kernel, run, wrap_number,
};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    cpu::{
        math,
        rows::{inlined, map, map_parts},
        simd::{Float, Simd},
    },
    reference,
    table::{Bench, Benches, Row},
};

/// An op on floats: its function, the vector body, the `f64` reference, the error in ulps of `f32`
/// that its arithmetic allows at `x`, the inputs that cases spread over, and where there is one, the
/// body for bf16, in parts, with its error.
macro_rules! floats {
    ($($name:ident $op:ident $gives:ident, $summary:literal, $low:literal..$high:literal,
       |$s:ident, $x:ident| $body:expr, $reference:expr, |$at:ident| $ulps:expr
       $(, rough $rough:ty = $rough_ulps:expr)?;)*) => {
        $(
            #[doc = $summary]
            pub fn $name(x: &Tensor) -> Result<Tensor> {
                check::dtype(stringify!($name), "x", x, DType::FLOATS)?;
                run(Names { op: stringify!($name), source: stringify!($op) }, [("x", x)], Gives::$gives, |_| floats::<$op, 1>)
            }

            struct $op;
            impl Floats<1> for $op {
                #[inline(always)]
                fn lanes<S: Simd>($s: S, [$x]: [S::F32; 1]) -> S::F32 {
                    $body
                }
                $(
                    #[inline(always)]
                    fn write<S: Simd, T: Float>(s: S, [x]: [&[T]; 1], out: &mut [T], bypass: bool) {
                        if T::COARSE {
                            return map_parts::<_, _, $rough>(s, x, out, bypass);
                        }
                        let each = inlined(
                            #[inline(always)]
                            |[x]: [_; 1]| Self::lanes(s, [x]),
                        );
                        map(s, [x], out, bypass, each);
                    }
                )?
            }
        )*

        /// The rows of ops on floats.
        pub const FLOAT_ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            family: "unary",
            summary: $summary,
            dtypes: DType::FLOATS,
            cases: |cases| {
                let ulps: fn(f64) -> f64 = |$at| $ulps;
                $(let ulps = if cases.dtype() == DType::BF16 { |_| $rough_ulps } else { ulps };)?
                float_cases(cases, $name, Gives::$gives, $reference, ulps, $low..$high)
            },
            benches: Benches::of_tables(|dtype, dims| bench(dtype, dims, $name)),
        }),*];
    };
}

floats! {
    exp Exp Same, "eˣ", -20.0..20.0, |s, x| math::exp(s, x), f64::exp, |_x| 1.0,
        rough math::rough::Exp = math::rough::ULPS;
    exp2 Exp2 Same, "2ˣ", -30.0..30.0, |s, x| math::exp2(s, x), f64::exp2, |_x| 1.0;
    expm1 Expm1 Same, "eˣ − 1, exact near zero", -3.0..3.0,
        |s, x| math::expm1(s, x), f64::exp_m1, |_x| 1.5;
    log Log Same, "natural logarithm", 0.0..9.0, |s, x| math::log(s, x), f64::ln, |_x| 1.0;
    log2 Log2 Same, "logarithm to base 2", 0.0..9.0, |s, x| math::log2(s, x), f64::log2, |_x| 1.5;
    log1p Log1p Same, "ln(1 + x), exact near zero", -1.0..3.0,
        |s, x| math::log1p(s, x), f64::ln_1p, |_x| 1.5;
    sqrt Sqrt Same, "square root", 0.0..99.0, |s, x| s.sqrt(x), f64::sqrt, |_x| 0.0;
    rsqrt Rsqrt Same, "1 / √x", 0.0..99.0,
        |s, x| s.div(s.splat(1.0), s.sqrt(x)), |x: f64| 1.0 / x.sqrt(), |_x| 1.5;
    recip Recip Same, "1 / x", -9.0..9.0,
        |s, x| s.div(s.splat(1.0), x), f64::recip, |_x| 0.0;
    sin Sin Same, "sine", -20.0..20.0, |s, x| math::sin(s, x), f64::sin, |_x| 1.5;
    cos Cos Same, "cosine", -20.0..20.0, |s, x| math::cos(s, x), f64::cos, |_x| 1.5;
    tan Tan Same, "tangent", -20.0..20.0, |s, x| math::tan(s, x), f64::tan, |_x| 4.0;
    asin Asin Same, "arcsine", -1.0..1.0, |s, x| math::asin(s, x), f64::asin, |_x| 3.0;
    acos Acos Same, "arccosine", -1.0..1.0, |s, x| math::acos(s, x), f64::acos, |_x| 3.0;
    atan Atan Same, "arctangent", -9.0..9.0, |s, x| math::atan(s, x), f64::atan, |_x| 2.0;
    sinh Sinh Same, "hyperbolic sine", -9.0..9.0, |s, x| math::sinh(s, x), f64::sinh, |_x| 3.0;
    cosh Cosh Same, "hyperbolic cosine", -9.0..9.0, |s, x| math::cosh(s, x), f64::cosh, |_x| 2.5;
    tanh Tanh Same, "hyperbolic tangent", -4.0..4.0, |s, x| math::tanh(s, x), f64::tanh, |_x| 2.5;
    asinh Asinh Same, "inverse hyperbolic sine", -9.0..9.0,
        |s, x| math::asinh(s, x), reference::asinh, |_x| 4.0;
    acosh Acosh Same, "inverse hyperbolic cosine", 1.0..9.0,
        |s, x| math::acosh(s, x), f64::acosh, |_x| 4.0;
    atanh Atanh Same, "inverse hyperbolic tangent", -1.0..1.0,
        |s, x| math::atanh(s, x), f64::atanh, |_x| 4.0;
    sigmoid Sigmoid Same, "1 / (1 + e⁻ˣ)", -20.0..20.0,
        |s, x| math::sigmoid(s, x), reference::sigmoid, |_x| 3.0,
        rough math::rough::Sigmoid = math::rough::ULPS;
    silu Silu Same, "x·sigmoid(x)", -20.0..20.0,
        |s, x| math::silu(s, x), reference::silu, |_x| 3.5,
        rough math::rough::Silu = math::rough::ULPS;
    softplus Softplus Same, "ln(1 + eˣ)", -20.0..20.0,
        |s, x| math::softplus(s, x), reference::softplus, |_x| 2.5;
    erf Erf Same, "error function", -4.0..4.0, |s, x| math::erf(s, x), reference::erf, |_x| 2.0;
    gelu Gelu Same, "x·Φ(x), with the normal distribution's Φ", -9.0..9.0,
        |s, x| math::gelu(s, x), reference::gelu,
        // Of each of the two sums of positive terms about one, of the exponential two, one each for
        // two products, the quotient and what they leave of x.
        |_x| 8.0,
        rough math::rough::Gelu = math::rough::ULPS;
    gelu_tanh GeluTanh Same, "gelu by its tanh approximation", -9.0..9.0,
        |s, x| math::gelu_tanh(s, x), reference::gelu_tanh,
        // The exponential magnifies the roundings of its argument, which stays below 92.
        |x| 4.0 + 3.0 * (1.6 * x + 0.0714 * x.powi(3)).abs().min(92.0),
        rough math::rough::GeluTanh = math::rough::ULPS;
    floor Floor Same, "the integer below", -9.0..9.0, |s, x| s.floor(x), f64::floor, |_x| 0.0;
    ceil Ceil Same, "the integer above", -9.0..9.0, |s, x| s.ceil(x), f64::ceil, |_x| 0.0;
    round Round Same, "the nearest integer, ties to even", -9.0..9.0,
        |s, x| s.round(x), f64::round_ties_even, |_x| 0.0;
    trunc Trunc Same, "the integer part", -9.0..9.0, |s, x| s.trunc(x), f64::trunc, |_x| 0.0;
    isnan IsNan Truth, "whether x is NaN", -9.0..9.0,
        |s, x| s.select(s.is_nan(x), s.splat(1.0), s.splat(0.0)),
        |x: f64| f64::from(u8::from(x.is_nan())), |_x| 0.0;
    isinf IsInf Truth, "whether x is an infinity", -9.0..9.0,
        |s, x| s.select(s.eq(s.abs(x), s.splat(f32::INFINITY)), s.splat(1.0), s.splat(0.0)),
        |x: f64| f64::from(u8::from(x.is_infinite())), |_x| 0.0;
}

/// An op that integers have too: the vector body, the integer body and the reference.
macro_rules! numbers {
    ($($name:ident $op:ident $gives:ident $dtypes:ident, $summary:literal,
       |$s:ident, $x:ident| $body:expr, |$i:ident: $T:ident| $integer:expr, $reference:expr;)*) => {
        $(
            #[doc = $summary]
            pub fn $name(x: &Tensor) -> Result<Tensor> {
                check::dtype(stringify!($name), "x", x, DType::$dtypes)?;
                run(Names { op: stringify!($name), source: stringify!($op) }, [("x", x)], Gives::$gives, |dtype| match dtype.is_float() {
                    true => floats::<$op, 1>,
                    false => integer_kernel::<$op, 1>(dtype, Gives::$gives),
                })
            }

            struct $op;
            impl Floats<1> for $op {
                #[inline(always)]
                fn lanes<S: Simd>($s: S, [$x]: [S::F32; 1]) -> S::F32 {
                    $body
                }
            }
            impl Integers<1> for $op {
                #[inline(always)]
                fn element<$T: Integer>([$i]: [$T; 1]) -> $T {
                    $integer
                }
            }
        )*

        /// The rows of ops on all numbers.
        pub const NUMBER_ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            family: "unary",
            summary: $summary,
            dtypes: DType::$dtypes,
            cases: |cases| number_cases(cases, $name, Gives::$gives, $reference),
            benches: Benches::of_tables(|dtype, dims| bench(dtype, dims, $name)),
        }),*];
    };
}

numbers! {
    abs Abs Same NUMBERS, "|x|; the least integer keeps its sign",
        |s, x| s.abs(x),
        |x: T| if x < T::ZERO { T::ZERO.sub(x) } else { x },
        |dtype, x: f64| wrap_number(dtype, x.abs());
    neg Neg Same NUMBERS, "−x; of integers modulo their range",
        |s, x| s.neg(x), |x: T| T::ZERO.sub(x), |dtype, x: f64| wrap_number(dtype, -x);
    sign Sign Same NUMBERS, "−1, 0 or 1 by the sign of x; a NaN stays one",
        |s, x| {
            let zero = s.splat(0.0);
            let unit = s.copysign(s.splat(1.0), x);
            s.select(s.mask_or(s.lt(x, zero), s.gt(x, zero)), unit, x)
        },
        |x: T| if x < T::ZERO { T::ONES } else if x > T::ZERO { T::ONE } else { x },
        |_, x: f64| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x };
    relu Relu Same NUMBERS, "max(x, 0); a NaN stays one",
        |s, x| math::relu(s, x), |x: T| if x > T::ZERO { x } else { T::ZERO },
        |_, x: f64| if x.is_nan() { x } else { x.max(0.0) };
    logical_not LogicalNot Truth NUMBERS, "whether x is 0",
        |s, x| s.select(s.eq(x, s.splat(0.0)), s.splat(1.0), s.splat(0.0)),
        |x: T| if x == T::ZERO { T::ONE } else { T::ZERO },
        |_, x: f64| f64::from(u8::from(x == 0.0));
}

/// Every bit of x flipped.
pub fn bitwise_not(x: &Tensor) -> Result<Tensor> {
    check::dtype("bitwise_not", "x", x, DType::INTEGERS)?;
    run(
        Names {
            op: "bitwise_not",
            source: "BitwiseNot",
        },
        [("x", x)],
        Gives::Same,
        |dtype| integer_kernel::<BitwiseNot, 1>(dtype, Gives::Same),
    )
}

struct BitwiseNot;
impl Integers<1> for BitwiseNot {
    #[inline(always)]
    fn element<T: Integer>([x]: [T; 1]) -> T {
        x.xor(T::ONES)
    }
}

/// The row of the op on bits.
pub const BITWISE_ROWS: &[Row] = &[Row {
    name: "bitwise_not",
    family: "unary",
    summary: "every bit of x flipped",
    dtypes: DType::INTEGERS,
    cases: |cases| {
        number_cases(cases, bitwise_not, Gives::Same, |dtype, x| {
            wrap_number(dtype, -1.0 - x)
        })
    },
    benches: Benches::of_tables(|dtype, dims| bench(dtype, dims, bitwise_not)),
}];

type Op = fn(&Tensor) -> Result<Tensor>;

/// Shapes around vector and block widths.
const SHAPES: &[&[usize]] = &[
    &[],
    &[0],
    &[1],
    &[7],
    &[33],
    &[3, 0, 2],
    &[5, 17],
    &[3, 1, 1100],
];

fn float_cases(
    cases: &mut Cases,
    op: Op,
    gives: Gives,
    reference: fn(f64) -> f64,
    ulps: fn(f64) -> f64,
    range: std::ops::Range<f64>,
) {
    let from = cases.dtype();
    let mut inputs = vec![("specials".to_owned(), cases.specials())];
    for dims in SHAPES {
        inputs.push((
            format!("{dims:?}"),
            cases.input(dims, range.start, range.end),
        ));
    }
    let dtype = if gives == Gives::Truth {
        DType::U8
    } else {
        from
    };
    for (label, input) in inputs {
        cases.add(
            label,
            vec![input],
            move |x| op(&x[0]),
            move |x| {
                let exact = x[0].map(reference);
                let errors = errors(from, &exact.values, |i| ulps(x[0].values[i]));
                Expected::within(dtype, exact, errors)
            },
        );
    }
}

fn number_cases(cases: &mut Cases, op: Op, gives: Gives, reference: fn(DType, f64) -> f64) {
    let from = cases.dtype();
    let mut inputs = vec![("specials".to_owned(), cases.specials())];
    for dims in SHAPES {
        inputs.push((format!("{dims:?}"), cases.input(dims, -3.0, 9.0)));
    }
    let dtype = if gives == Gives::Truth {
        DType::U8
    } else {
        from
    };
    for (label, input) in inputs {
        cases.add(
            label,
            vec![input],
            move |x| op(&x[0]),
            move |x| Expected::exact(dtype, x[0].map(|x| reference(from, x))),
        );
    }
}

fn bench(dtype: DType, dims: &[usize], op: Op) -> Option<Bench> {
    Some(Bench::passes(dtype, dims, 2, move |x| op(&x[0])))
}
