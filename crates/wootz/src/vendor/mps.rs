//! Metal Performance Shaders: which products they take, and in which of their two forms.
//!
//! `MPSMatrixMultiplication` takes f32 and f16 matrices as they lie, and adds to what the result holds.
//! `MPSNDArrayMatrixMultiplication` takes bf16 too, one matrix against a batch, and an addend of its
//! own, where rows lie without gaps. What is said here of either is Apple's documentation of them;
//! what a system gets wrong is left out. What MPS is given and cannot take ends the process, so that
//! nothing is tried.
//!
//! Written against the documentation: none of it has run on Apple hardware.

#[cfg(target_os = "macos")]
mod encode;

use super::shape::Shape;
use crate::DType;

#[cfg(target_os = "macos")]
pub(super) use encode::{kernel, name};

/// A system's version: its first two numbers.
type Version = (isize, isize);

/// One of the two ways of saying a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Matrix,
    Array,
}

/// Elements of an operand or a result, and bytes of a matrix, that are too many to be counted.
const TOO_MANY: u64 = 1 << 31;
/// A size or a stride past which products were wrong on systems before `LONG_SINCE`.
const LONG: u64 = 1 << 15;
const LONG_SINCE: Version = (14, 4);
/// An inner size from which on M1 and M2 add up what lies behind the operands, on every system so far
/// (Apple's FB24518264).
const DEEP: u64 = (1 << 15) - 1;
/// Arrays in memory of one's own, with rows that lie without gaps.
const ARRAYS_SINCE: Version = (15, 0);
/// Bytes that the start of an array and its rows are a multiple of.
const ALIGNED: u64 = 16;

/// The form of a product, to which something is added that is `apart` from the result or not; or why
/// it has none.
fn form(shape: &Shape, apart: bool, system: Version) -> Result<Form, String> {
    if let Some(why) = refuses(shape, system) {
        return Err(why.to_owned());
    }
    let Some(no_matrix) = refuses_matrices(shape, apart) else {
        return Ok(Form::Matrix);
    };
    match refuses_arrays(shape, system) {
        None => Ok(Form::Array),
        Some(no_array) => Err(format!("{no_matrix}; {no_array}")),
    }
}

fn refuses(shape: &Shape, system: Version) -> Option<&'static str> {
    let [m, n, k] = shape.sizes;
    let [a, b] = shape.stored();
    let count = |[rows, columns]: [u64; 2]| rows.saturating_mul(columns);
    let most = [a, b, [m, n]].map(count).into_iter().max().unwrap_or(0);
    let longest = shape.sizes.into_iter().chain(shape.leads).max();
    if shape.biased != 0 {
        Some("MPS adds no bias")
    } else if most.saturating_mul(shape.batch) >= TOO_MANY {
        Some("MPS counts elements in 31 bits")
    } else if k >= DEEP {
        Some("MPS is wrong from an inner size of 32,767 on")
    } else if longest > Some(LONG) && system < LONG_SINCE {
        Some("MPS before macOS 14.4 is wrong past 32,768")
    } else {
        None
    }
}

fn refuses_matrices(shape: &Shape, apart: bool) -> Option<&'static str> {
    let batched = shape.batch > 1;
    let [m, n, k] = shape.sizes;
    // Rows of the result that its addresses, which are signed and of 32 bits, run through: found by
    // users from where bands of NaN begin.
    let rows = m.saturating_add(k.saturating_mul(2));
    let run_through = rows.saturating_mul(n * shape.dtype().size() as u64);
    let mut operands = shape.leads.into_iter().zip(shape.steps);
    if shape.dtype() == DType::BF16 {
        Some("MPSMatrix has no bf16")
    } else if run_through >= TOO_MANY {
        Some("MPSMatrixMultiplication addresses its result in 31 bits")
    } else if apart {
        Some("MPSMatrixMultiplication adds to what its result holds")
    } else if batched && shape.steps.contains(&0) {
        Some("MPSMatrix has no batch of one matrix")
    } else if batched && operands.any(|(lead, step)| !step.is_multiple_of(lead)) {
        Some("MPSMatrix wants whole rows between matrices")
    } else {
        None
    }
}

fn refuses_arrays(shape: &Shape, system: Version) -> Option<&'static str> {
    let [a, b] = shape.stored();
    let dense = |side: usize, [rows, columns]: [u64; 2]| {
        let (lead, step) = (shape.leads[side], shape.steps[side]);
        lead == columns && (shape.batch == 1 || step == 0 || step == rows * columns)
    };
    let bytes = |columns: u64| columns * shape.dtype().size() as u64;
    let mut rows = [a[1], b[1], shape.sizes[1]].into_iter().map(bytes);
    let starts = shape
        .aligned
        .iter()
        .all(|&least| u64::from(least) >= ALIGNED);
    if system < ARRAYS_SINCE {
        Some("MPSNDArray takes memory as it lies since macOS 15")
    } else if !(dense(0, a) && dense(1, b)) {
        Some("MPSNDArray wants no gaps between rows and matrices")
    } else if shape.batch > 1 && shape.steps == [0, 0] {
        Some("MPSNDArray wants a batch on one side at least")
    } else if !rows.all(|bytes| bytes.is_multiple_of(ALIGNED)) || !starts {
        Some("MPSNDArray wants starts and rows of whole 16 bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Version = (15, 0);

    /// A product of dense matrices, `a` as it is and `b` turned, one against a batch of four.
    fn shape(dtype: DType, [m, n, k]: [u64; 3]) -> Shape {
        let element = DType::FLOATS.iter().position(|&float| float == dtype);
        Shape {
            element: element.unwrap() as u32,
            biased: 0,
            turned: [0, 1],
            sizes: [m, n, k],
            leads: [k, k],
            batch: 1,
            steps: [0, 0],
            aligned: [16; 4],
        }
    }

    fn batched(mut shape: Shape, steps: [u64; 2]) -> Shape {
        (shape.batch, shape.steps) = (4, steps);
        shape
    }

    #[test]
    fn each_product_has_its_form() {
        let plain = |dtype| shape(dtype, [32, 48, 64]);
        let whole = [32 * 64, 48 * 64];
        let cases = [
            (plain(DType::F32), false, Ok(Form::Matrix)),
            (plain(DType::F16), false, Ok(Form::Matrix)),
            (plain(DType::BF16), false, Ok(Form::Array)),
            (plain(DType::F32), true, Ok(Form::Array)),
            (batched(plain(DType::F32), whole), false, Ok(Form::Matrix)),
            (
                batched(plain(DType::F32), [whole[0], 0]),
                false,
                Ok(Form::Array),
            ),
            (
                batched(plain(DType::F32), [0, whole[1]]),
                true,
                Ok(Form::Array),
            ),
            (
                batched(plain(DType::F32), [whole[0], 32]),
                false,
                Err("whole rows"),
            ),
            (batched(plain(DType::F32), [0, 0]), false, Err("one side")),
            (
                shape(DType::BF16, [32, 48, 63]),
                false,
                Err("whole 16 bytes"),
            ),
            (
                shape(DType::BF16, [32, 47, 64]),
                false,
                Err("whole 16 bytes"),
            ),
            (
                shape(DType::F32, [1 << 16, 1 << 15, 8]),
                false,
                Err("31 bits"),
            ),
            // (13,376 + 2·13,376)·13,376 elements of 4 bytes are just below 2³¹.
            (shape(DType::F32, [13_376; 3]), false, Ok(Form::Matrix)),
            (shape(DType::F32, [13_380; 3]), false, Ok(Form::Array)),
            (shape(DType::F16, [13_380; 3]), false, Ok(Form::Matrix)),
            (
                shape(DType::F32, [32, 48, DEEP - 1]),
                false,
                Ok(Form::Matrix),
            ),
            (shape(DType::F32, [32, 48, DEEP]), false, Err("inner size")),
            (
                shape(DType::BF16, [32, 48, DEEP + 1]),
                false,
                Err("inner size"),
            ),
            (
                batched(shape(DType::F32, [1 << 15, 1 << 14, 8]), whole),
                false,
                Err("31 bits"),
            ),
        ];
        for (shape, apart, wanted) in cases {
            match (form(&shape, apart, NEW), wanted) {
                (Ok(form), Ok(wanted)) => assert_eq!(form, wanted, "{shape:?}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                (got, wanted) => panic!("{got:?}, not {wanted:?}: {shape:?}"),
            }
        }
    }

    #[test]
    fn gaps_are_for_matrices_only_and_a_bias_for_none() {
        let mut gaps = shape(DType::F32, [32, 48, 64]);
        gaps.leads[0] = 80;
        assert_eq!(form(&gaps, false, NEW), Ok(Form::Matrix));
        assert!(form(&gaps, true, NEW).unwrap_err().contains("gaps"));
        let mut biased = shape(DType::F32, [32, 48, 64]);
        biased.biased = 1;
        assert!(form(&biased, false, NEW).unwrap_err().contains("bias"));
        let mut shifted = shape(DType::BF16, [32, 48, 64]);
        shifted.aligned[1] = 2;
        assert!(form(&shifted, false, NEW).unwrap_err().contains("starts"));
        shifted.element = 0;
        assert_eq!(form(&shifted, false, NEW), Ok(Form::Matrix));
    }

    #[test]
    fn older_systems_take_less() {
        let long = shape(DType::F32, [16, LONG + 1, 64]);
        assert!(form(&long, false, (14, 3)).is_err());
        assert_eq!(form(&long, false, (14, 4)), Ok(Form::Matrix));
        let half = shape(DType::BF16, [32, 48, 64]);
        assert!(form(&half, false, (14, 4)).is_err());
        assert_eq!(form(&half, false, (26, 1)), Ok(Form::Array));
    }
}
