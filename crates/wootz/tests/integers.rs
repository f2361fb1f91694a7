//! Whole quotients and remainders, which the CPU takes from floats where those have the digits, and
//! bytes out of floats.

use wootz::{DType, Device, Element, Result, Tensor, ops};

fn tensor<T: Element>(values: &[T]) -> Result<Tensor> {
    Tensor::from_slice(values, &[values.len()], Device::cpu())
}

macro_rules! divides {
    ($name:ident, $type:ty, $values:expr) => {
        #[test]
        fn $name() -> Result<()> {
            let values = $values;
            let pairs = values
                .iter()
                .flat_map(|&a| values.iter().map(move |&b| (a, b)));
            let (a, b): (Vec<$type>, Vec<$type>) = pairs.unzip();
            let (x, y) = (tensor(&a)?, tensor(&b)?);
            let quotients = ops::div(&x, &y)?.to_vec::<$type>()?;
            let rests = ops::rem(&x, &y)?.to_vec::<$type>()?;
            for (((a, b), quotient), rest) in a.into_iter().zip(b).zip(quotients).zip(rests) {
                let expected = match b {
                    0 => (0, 0),
                    _ => (a.wrapping_div(b), a.wrapping_rem(b)),
                };
                assert_eq!((quotient, rest), expected, "{a} by {b}");
            }
            Ok(())
        }
    };
}

/// Numbers beside powers of two, where quotients come nearest to whole numbers.
fn near_powers(bits: u32) -> impl Iterator<Item = i64> {
    (0..bits).flat_map(|bit| (-2..3).map(move |by| (1i64 << bit) + by))
}

divides!(bytes_divide, u8, (0..=255).collect::<Vec<_>>());
divides!(
    signed_numbers_divide,
    i32,
    near_powers(32)
        .flat_map(|x| [x as i32, (x as i32).wrapping_neg(), (x * 3) as i32])
        .collect::<Vec<_>>()
);
divides!(
    unsigned_numbers_divide,
    u32,
    near_powers(32)
        .flat_map(|x| [x as u32, (x * 3) as u32, !(x as u32)])
        .collect::<Vec<_>>()
);
divides!(
    long_numbers_divide,
    i64,
    near_powers(63)
        .flat_map(|x| [x, x.wrapping_neg()])
        .collect::<Vec<_>>()
);

#[test]
fn floats_become_the_nearest_byte_that_is_not_larger() -> Result<()> {
    let x = [
        0.0,
        -0.0,
        0.99,
        1.0,
        254.9,
        255.0,
        255.9,
        256.0,
        1e30,
        -1e-9,
        -7.0,
        f32::NAN,
    ];
    let more = [f32::INFINITY, f32::NEG_INFINITY, 1e-45, 17.5, 99.0];
    let x = [&x[..], &more].concat();
    let bytes = ops::cast(
        &Tensor::from_slice(&x, &[x.len()], Device::cpu())?,
        DType::U8,
    )?;
    let expected: Vec<u8> = x.iter().map(|&x| x as u8).collect();
    assert_eq!(bytes.to_vec::<u8>()?, expected);
    Ok(())
}
