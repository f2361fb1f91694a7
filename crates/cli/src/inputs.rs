//! Inputs for measurements: ordinary numbers, the same on every run.

use wootz::{DType, Device, Element, Result, Tensor, with_dtype};

/// A tensor of these sizes on the current stream, its floats spread over -1..1.
pub fn tensor(dtype: DType, dims: &[usize], device: Device) -> Result<Tensor> {
    let count = dims.iter().product();
    with_dtype!(dtype, T => {
        let values: Vec<T> = (0..count).map(|i| T::from_f64(value(dtype, i))).collect();
        Tensor::from_slice(&values, dims, device)
    })
}

/// Well mixed, without a period that an axis could meet. Small positive integers: valid as
/// indices and shift counts too.
fn value(dtype: DType, i: usize) -> f64 {
    let mixed = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match dtype.is_float() {
        true => mixed as f64 / f64::from(1 << 23) - 1.0,
        false => (mixed % 7 + 1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_spread_evenly_and_stay_in_range() {
        let floats: Vec<f64> = (0..10_000).map(|i| value(DType::F32, i)).collect();
        assert!(floats.iter().all(|value| (-1.0..1.0).contains(value)));
        // Evenly spread numbers have a mean within a few standard errors of 0: 0.577 / √10⁴ each.
        assert!((floats.iter().sum::<f64>() / 1e4).abs() < 0.03);
        assert!(
            (0..1000)
                .map(|i| value(DType::U8, i))
                .all(|value| (1.0..8.0).contains(&value))
        );
    }
}
