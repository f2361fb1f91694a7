//! What every op of the table does with inputs that are not its own: another device, element type,
//! number of axes or size. It may take them or refuse them with an error that names it; it may not
//! panic, and what it takes must not depend on how a tensor lies in memory.

use wootz::{
    DType, Device, Element, Error, Result, Tensor,
    runtime::null::Null,
    table::{self, Bench, Row},
    with_dtype,
};

const SHAPE: [usize; 4] = [8, 32, 9, 10];

/// Small positive numbers, which are indices too.
fn tensor(dtype: DType, dims: &[usize], device: Device) -> Tensor {
    let count = dims.iter().product();
    with_dtype!(dtype, T => {
        let values: Vec<T> = (0..count)
            .map(|i| T::from_f64((i % (table::INDICES - 1) + 1) as f64))
            .collect();
        Tensor::from_slice(&values, dims, device).unwrap()
    })
}

/// A benchmark of each op in each element type, and the inputs that it is for.
fn each(mut visit: impl FnMut(&'static Row, &Bench, &[Tensor])) {
    for row in table::rows() {
        for &dtype in row.dtypes {
            let bench = row
                .bench(dtype, &SHAPE)
                .or_else(|_| row.bench(dtype, &[9]))
                .unwrap();
            let inputs = bench.inputs.iter();
            let inputs: Vec<_> = inputs
                .map(|(dtype, dims)| tensor(*dtype, dims, Device::cpu()))
                .collect();
            assert!((bench.run)(&inputs).is_ok(), "{} {dtype}", row.name);
            visit(row, &bench, &inputs);
        }
    }
}

/// The inputs with another in place of one of them.
fn replaced(inputs: &[Tensor], place: usize, other: Tensor) -> Vec<Tensor> {
    let mut inputs = inputs.to_vec();
    inputs[place] = other;
    inputs
}

/// The op whose error this is.
fn op(error: &Error) -> &'static str {
    match error {
        Error::Shape { op, .. }
        | Error::Shapes { op, .. }
        | Error::DType { op, .. }
        | Error::Device { op, .. }
        | Error::Value { op, .. }
        | Error::Index { op, .. }
        | Error::TooLarge { op, .. } => op,
        other => panic!("{other}"),
    }
}

/// Taken, or refused by the op itself. A row's op may be one of a family: `index_select` is also
/// what `embedding` calls.
#[track_caller]
fn refused_or_taken(row: &Row, result: Result<Tensor>) -> bool {
    if let Err(error) = &result {
        assert_eq!(op(error), row.name, "{error}");
    }
    result.is_err()
}

#[test]
fn an_input_on_another_device_is_refused() {
    let elsewhere = Null::device(1 << 30, true).0;
    let mut refused = 0;
    each(|row, bench, inputs| {
        for place in (0..inputs.len()).filter(|_| inputs.len() > 1) {
            let other = tensor(inputs[place].dtype(), inputs[place].dims(), elsewhere);
            let error = (bench.run)(&replaced(inputs, place, other)).unwrap_err();
            assert!(matches!(error, Error::Device { .. }), "{error}");
            assert_eq!(op(&error), row.name, "{error}");
            refused += 1;
        }
    });
    assert!(refused > 100, "{refused}");
}

#[test]
fn an_input_of_another_type_is_taken_or_named() {
    let (mut refused, mut taken) = (0, 0);
    each(|row, bench, inputs| {
        for place in 0..inputs.len() {
            for &dtype in DType::ALL {
                let other = tensor(dtype, inputs[place].dims(), Device::cpu());
                match refused_or_taken(row, (bench.run)(&replaced(inputs, place, other))) {
                    true => refused += 1,
                    false => taken += 1,
                }
            }
        }
    });
    assert!(refused > 1000 && taken > 1000, "{refused} {taken}");
}

#[test]
fn an_input_of_another_shape_is_taken_or_named() {
    let shapes: [&[usize]; 8] = [
        &[],
        &[0],
        &[1],
        &[9],
        &[10, 9],
        &[8, 0, 9, 10],
        &[8, 32, 9, 11],
        &[1, 2, 1, 2, 1, 2, 1, 2],
    ];
    let (mut refused, mut taken) = (0, 0);
    each(|row, bench, inputs| {
        for place in 0..inputs.len() {
            for dims in shapes {
                let other = tensor(inputs[place].dtype(), dims, Device::cpu());
                match refused_or_taken(row, (bench.run)(&replaced(inputs, place, other))) {
                    true => refused += 1,
                    false => taken += 1,
                }
            }
        }
    });
    assert!(refused > 300 && taken > 1000, "{refused} {taken}");
}

/// A size that is a view only: its product overflows in whoever multiplies without looking.
#[test]
fn an_input_larger_than_memory_is_refused() {
    let mut refused = 0;
    each(|row, bench, inputs| {
        for (place, input) in inputs.iter().enumerate() {
            if input.dims().is_empty() {
                continue;
            }
            let one = tensor(input.dtype(), &vec![1; input.dims().len()], Device::cpu());
            let mut dims = input.dims().to_vec();
            dims[0] = 1 << 44;
            let Ok(huge) = one.broadcast_to(&dims) else {
                continue;
            };
            match (bench.run)(&replaced(inputs, place, huge)) {
                Err(Error::Runtime(error)) => assert!(error.to_string().contains("out of memory")),
                Err(error) => assert_eq!(op(&error), row.name, "{error}"),
                // It looks at a part: `gather` at what the index asks for.
                Ok(out) => assert!(out.count() < 1 << 20, "{} took it", row.name),
            }
            refused += 1;
        }
    });
    assert!(refused > 300, "{refused}");
}

/// Strides of zero: all elements along an axis are one.
#[test]
fn a_broadcast_input_is_as_good_as_its_copy() {
    fn bits(tensor: &Tensor) -> Vec<u8> {
        with_dtype!(tensor.dtype(), T => {
            bytemuck::cast_slice::<T, u8>(&tensor.to_vec::<T>().unwrap()).to_vec()
        })
    }
    let mut compared = 0;
    each(|row, bench, inputs| {
        let axes = inputs.iter().map(|x| x.dims().len()).max().unwrap_or(0);
        for axis in 0..axes {
            let wide = |x: &Tensor| {
                let thin = x.narrow(axis as isize, 0, 1);
                thin.map_or_else(|_| x.clone(), |thin| thin.broadcast_to(x.dims()).unwrap())
            };
            let views: Vec<Tensor> = inputs.iter().map(wide).collect();
            let copies: Vec<Tensor> = views.iter().map(|x| wootz::ops::copy(x).unwrap()).collect();
            let name = format!("{} {} axis {axis}", row.name, inputs[0].dtype());
            let [view, copy] = [views, copies].map(|inputs| (bench.run)(&inputs).unwrap());
            assert_eq!(
                (view.dims(), view.dtype()),
                (copy.dims(), copy.dtype()),
                "{name}"
            );
            assert!(close(&view, &copy) || bits(&view) == bits(&copy), "{name}");
            compared += 1;
        }
    });
    assert!(compared > 1000, "{compared}");
}

/// The same but for the order of additions, which may follow the memory.
fn close(a: &Tensor, b: &Tensor) -> bool {
    with_dtype!(a.dtype(), T => {
        let (a, b) = (a.to_vec::<T>().unwrap(), b.to_vec::<T>().unwrap());
        let unit = a.first().map_or(0.0, |a| a.to_f64().abs().max(1.0)) * T::DTYPE.epsilon();
        a.iter().zip(&b).all(|(a, b)| {
            let (a, b) = (a.to_f64(), b.to_f64());
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 4.0 * unit.max(a.abs() * T::DTYPE.epsilon())
        })
    })
}
