//! Every op on a device that has no memory left: an error, and afterwards all works again.

use wootz::{DType, Device, Element, Error, Stream, Tensor, table, with_dtype};

/// Larger than what pools keep in their smallest blocks.
const SHAPE: [usize; 4] = [8, 32, 9, 70];

fn tensor(dtype: DType, dims: &[usize]) -> Tensor {
    let count = dims.iter().product();
    with_dtype!(dtype, T => {
        let values: Vec<T> = (0..count)
            .map(|i| T::from_f64((i % (table::INDICES - 1) + 1) as f64))
            .collect();
        Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
    })
}

// The limit is the device's, so this is the one test of its process.
#[test]
fn every_op_says_so_and_works_again() {
    let device = Device::cpu();
    let limit = device.memory_limit();
    for row in table::rows() {
        let dtype = row.dtypes[0];
        let bench = row
            .bench(dtype, &SHAPE)
            .or_else(|_| row.bench(dtype, &[1 << 17]))
            .unwrap();
        let inputs: Vec<Tensor> = bench
            .inputs
            .iter()
            .map(|(dtype, dims)| tensor(*dtype, dims))
            .collect();
        let stream = Stream::new(device).unwrap();
        let run = || stream.enter(|| (bench.run)(&inputs));
        let wanted = run().unwrap();
        let bytes = |x: &Tensor| with_dtype!(x.dtype(), T => bytemuck::cast_slice::<T, u8>(&x.to_vec::<T>().unwrap()).to_vec());

        device.trim();
        stream.trim();
        device.set_memory_limit(device.memory_used());
        let error = run();
        device.set_memory_limit(limit);
        match error {
            Err(Error::Runtime(error)) => {
                let text = error.to_string();
                assert!(
                    text.contains("cpu is out of memory"),
                    "{}: {text}",
                    row.name
                );
            }
            other => panic!("{}: {other:?}", row.name),
        }
        assert_eq!(bytes(&run().unwrap()), bytes(&wanted), "{}", row.name);
    }
}
