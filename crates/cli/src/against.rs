//! `wootz check --against vendor`: how far off own and vendor's products are, side by side.

use wootz::path::{self, Path};
use wootz::{DType, Device, Element, Tensor, ops, vendor, with_dtype};

use crate::failure::Failure;
use crate::output::{Align, Table, print_line};

/// m×n×k.
const SHAPES: &[[usize; 3]] = &[
    [64, 64, 64],
    [100, 75, 333],
    [16, 96, 4096],
    [128, 128, 1024],
];

/// Values of a range: its name, and one from a number in 0..1 and its place.
type Range = (&'static str, fn(f64, usize) -> f64);
const RANGES: &[Range] = &[
    ("-1..1", |x, _| 2.0 * x - 1.0),
    ("0..1", |x, _| x),
    ("2^-4..2^4", |x, i| {
        (2.0 * x - 1.0) * f64::from((i % 9) as i32 - 4).exp2()
    }),
];

/// How far off results are, in roundings of the element type: a result's error over the sum of its
/// terms' sizes and the type's unit roundoff. One rounding of an exact sum without cancellation
/// is 1 at most.
struct Errors {
    worst: f64,
    /// The median.
    typical: f64,
}

pub fn run(devices: &[Device]) -> Result<(), Failure> {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("device", left),
        ("dtype", left),
        ("m×n×k", left),
        ("values", left),
        ("own worst", right),
        ("typical", right),
        ("vendor worst", right),
        ("typical", right),
    ]);
    let mut compared = false;
    for &device in devices {
        let library = match vendor::library(device) {
            Ok(library) => library,
            Err(why) => {
                print_line(&format!("{}: no vendor's library: {why}", device.name()))?;
                continue;
            }
        };
        print_line(&format!(
            "{}: own kernels and {library}, against f64",
            device.name()
        ))?;
        compared = true;
        for &dtype in DType::FLOATS {
            for &shape in SHAPES {
                for range in RANGES {
                    let [own, vendor] = errors(device, dtype, shape, range)?;
                    let [m, n, k] = shape;
                    let figure = |error: f64| format!("{error:.3}");
                    table.row(vec![
                        device.name().to_owned(),
                        dtype.name().to_owned(),
                        format!("{m}×{n}×{k}"),
                        range.0.to_owned(),
                        figure(own.worst),
                        figure(own.typical),
                        figure(vendor.worst),
                        figure(vendor.typical),
                    ]);
                }
            }
        }
    }
    if !compared {
        return Err(Failure::Input(
            "no device has a vendor's library".to_owned(),
        ));
    }
    print_line("")?;
    table.print()?;
    print_line(
        "\nAn error is in unit roundoffs of the element type times the sum of a result's terms' sizes.\n\
         What the vendor's library does not take, such as f16 by a BLAS, own kernels compute twice.",
    )
}

fn errors(
    device: Device,
    dtype: DType,
    [m, n, k]: [usize; 3],
    (_, value): &Range,
) -> Result<[Errors; 2], Failure> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |count: usize| -> Vec<f64> {
        let mut next = |i| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let x = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64;
            with_dtype!(dtype, T => T::from_f64(value(x, i)).to_f64())
        };
        (0..count).map(&mut next).collect()
    };
    let (left, right) = (random(m * k), random(k * n));
    let tensor = |values: &[f64], dims: &[usize]| -> wootz::Result<Tensor> {
        with_dtype!(dtype, T => {
            let values: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
            Tensor::from_slice(&values, dims, device)
        })
    };
    let (a, b) = (tensor(&left, &[m, k])?, tensor(&right, &[k, n])?);
    let unit = dtype.epsilon() / 2.0;
    let off = |path: Path| -> Result<Errors, Failure> {
        let out = path::with(path, || ops::matmul(&a, &b))?;
        let got: Vec<f64> = with_dtype!(dtype, T => {
            out.to_vec::<T>()?.into_iter().map(Element::to_f64).collect()
        });
        let mut errors: Vec<f64> = got
            .iter()
            .enumerate()
            .map(|(i, got)| {
                let terms = (0..k).map(|l| left[i / n * k + l] * right[l * n + i % n]);
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size): (f64, f64), term| {
                    (sum + term, size + term.abs())
                });
                (got - sum).abs() / (unit * size)
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        Ok(Errors {
            worst: errors[errors.len() - 1],
            typical: errors[errors.len() / 2],
        })
    };
    Ok([off(Path::Own)?, off(Path::Vendor)?])
}
