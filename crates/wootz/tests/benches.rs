//! Every op is measured at any shape that it can take, and says so of any other.

use wootz::{DType, Device, Error, Tensor, table, with_dtype};

const SHAPES: &[&[usize]] = &[
    &[],
    &[9],
    &[1, 1],
    &[3, 10],
    &[2, 3, 8],
    &[8, 32, 9, 8],
    &[1, 1, 2, 1, 2, 1, 2, 8],
    &[0, 8],
];

/// Small positive numbers, which are indices too.
fn tensor(dtype: DType, dims: &[usize]) -> Tensor {
    let count = dims.iter().product();
    with_dtype!(dtype, T => {
        let values: Vec<T> = (0..count)
            .map(|i| <T as wootz::Element>::from_f64((i % (table::INDICES - 1) + 1) as f64))
            .collect();
        Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
    })
}

/// A quarter of what a thread has by itself, also where nothing is optimized.
const STACK: usize = 512 << 10;

#[test]
fn a_shape_is_taken_and_runs_or_is_named() {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let thread = thread.spawn(every_shape_is_taken_and_runs_or_is_named);
    thread.unwrap().join().unwrap();
}

fn every_shape_is_taken_and_runs_or_is_named() {
    for row in table::rows() {
        let mut taken = 0;
        for &dtype in row.dtypes {
            for dims in SHAPES {
                match row.bench(dtype, dims) {
                    Ok(bench) => {
                        let inputs = bench.inputs.iter();
                        let inputs: Vec<_> =
                            inputs.map(|(dtype, dims)| tensor(*dtype, dims)).collect();
                        let name = format!("{} {dtype} {dims:?}", row.name);
                        let out = (bench.run)(&inputs);
                        let out = out.unwrap_or_else(|error| panic!("{name}: {error}"));
                        assert!(bench.bytes > 0 || dims.contains(&0), "{name}");
                        assert!(out.count() > 0 || dims.contains(&0), "{name}");
                        taken += 1;
                    }
                    Err(Error::Value { op, expected, .. }) => {
                        assert_eq!((op, &expected[..]), (row.name, row.benches.takes));
                    }
                    // The result would have an axis too many.
                    Err(other) => panic!("{}: {other}", row.name),
                }
            }
        }
        assert!(taken > 0, "{} takes none of these", row.name);
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    for row in table::rows() {
        for dims in [
            &[usize::MAX][..],
            &[usize::MAX, 0],
            &[1 << 40, 1 << 40, 32],
            &[1; 9],
        ] {
            let error = row.bench(row.dtypes[0], dims).unwrap_err();
            assert!(
                matches!(error, Error::TooLarge { op, .. } if op == row.name),
                "{error}"
            );
        }
    }
}

#[test]
fn the_usual_shapes_have_benchmarks() {
    for row in table::rows() {
        for &dtype in row.dtypes {
            let benches = row.benches(dtype);
            assert_eq!(benches.len(), row.benches.shapes.len());
            for (bench, dims) in benches.iter().zip(row.benches.shapes) {
                assert_eq!(&bench.dims, dims, "{}", row.name);
            }
        }
    }
}
