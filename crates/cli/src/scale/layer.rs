//! One transformer encoder layer, built from the library's ops: what PyTorch calls
//! `nn.TransformerEncoderLayer(384, 12, 1536, activation="gelu", batch_first=True)`, in inference.

use wootz::{DType, Device, Result, Tensor, ops};

use crate::inputs;

/// The load's name.
pub const NAME: &str = "layer";
/// Batch, positions, width.
pub const SHAPE: [usize; 3] = [1, 64, WIDTH];

const WIDTH: usize = 384;
const HEADS: usize = 12;
const HIDDEN: usize = 4 * WIDTH;
const EPSILON: f64 = 1e-5;

/// The weights. Cloning shares them.
pub struct Layer {
    /// To query, key and value in one product.
    attend: Affine,
    out: Affine,
    forward: [Affine; 2],
    norms: [Affine; 2],
    /// 1/√(width of a head).
    scale: Tensor,
}

/// A weight and its bias.
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn linear(inputs: usize, outputs: usize, dtype: DType, device: Device) -> Result<Affine> {
        Affine::new(&[outputs, inputs], outputs, dtype, device)
    }

    fn norm(dtype: DType, device: Device) -> Result<Affine> {
        Affine::new(&[WIDTH], WIDTH, dtype, device)
    }

    fn new(weight: &[usize], bias: usize, dtype: DType, device: Device) -> Result<Affine> {
        Ok(Affine {
            weight: inputs::tensor(dtype, weight, device)?,
            bias: inputs::tensor(dtype, &[bias], device)?,
        })
    }

    fn project(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias))
    }

    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, 1, Some(&self.weight), Some(&self.bias), EPSILON)
    }
}

impl Layer {
    /// A layer with ordinary numbers for weights.
    pub fn new(dtype: DType, device: Device) -> Result<Layer> {
        let linear = |inputs, outputs| Affine::linear(inputs, outputs, dtype, device);
        let scale = Tensor::scalar(((WIDTH / HEADS) as f32).sqrt().recip(), device)?;
        Ok(Layer {
            attend: linear(WIDTH, 3 * WIDTH)?,
            out: linear(WIDTH, WIDTH)?,
            forward: [linear(WIDTH, HIDDEN)?, linear(HIDDEN, WIDTH)?],
            norms: [Affine::norm(dtype, device)?, Affine::norm(dtype, device)?],
            scale: ops::cast(&scale, dtype)?,
        })
    }

    /// What the layer makes of `x`, which has [`SHAPE`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.norms[0].normalize(&ops::add(x, &self.attention(x)?)?)?;
        let hidden = ops::gelu(&self.forward[0].project(&x)?)?;
        self.norms[1].normalize(&ops::add(&x, &self.forward[1].project(&hidden)?)?)
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let all = split(&self.attend.project(x)?)?;
        let [query, key, value] = [0, 1, 2].map(|part| all.narrow(0, part, 1)?.squeeze(0));
        let scores = ops::matmul(&query?, &key?.transpose(-1, -2)?)?;
        let weights = ops::softmax(&ops::mul(&scores, &self.scale)?, -1)?;
        let mixed = ops::matmul(&weights, &value?)?;
        self.out.project(&mixed.transpose(1, 2)?.reshape(&SHAPE)?)
    }
}

/// Batch × positions × (parts × width) as parts × batch × heads × positions × head width.
fn split(x: &Tensor) -> Result<Tensor> {
    let [batch, positions, width] = SHAPE;
    x.reshape(&[batch, positions, 3, HEADS, width / HEADS])?
        .permute(&[2, 0, 3, 1, 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_normalized_and_repeats_to_the_bit() {
        let device = Device::cpu();
        let layer = Layer::new(DType::F32, device).unwrap();
        let x = inputs::tensor(DType::F32, &SHAPE, device).unwrap();
        let first: Vec<f32> = layer.forward(&x).unwrap().to_vec().unwrap();
        let second: Vec<f32> = layer.forward(&x).unwrap().to_vec().unwrap();
        assert_eq!(first, second);
        assert!(first.iter().all(|value| value.is_finite()));
        // Undo the last affine step: each row then has mean 0 and variance 1.
        let weight: Vec<f32> = layer.norms[1].weight.to_vec().unwrap();
        let bias: Vec<f32> = layer.norms[1].bias.to_vec().unwrap();
        for row in first.chunks(WIDTH) {
            let plain = row
                .iter()
                .zip(&bias)
                .zip(&weight)
                .map(|((y, b), w)| f64::from((y - b) / w));
            let mean = plain.clone().sum::<f64>() / WIDTH as f64;
            let variance = plain.map(|v| (v - mean).powi(2)).sum::<f64>() / WIDTH as f64;
            assert!(
                mean.abs() < 1e-2 && (variance - 1.0).abs() < 1e-2,
                "{mean} {variance}"
            );
        }
    }
}
