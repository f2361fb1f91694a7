//! The ops that are compared, as Candle has them: each of one tensor, and that tensor.

use candle_core::{D, DType, Device, Error, Result, Tensor};
use candle_nn::ops;

type Op = Box<dyn Fn(&Tensor) -> Result<Tensor> + Send>;

pub fn find(name: &str, dtype: DType, device: &Device) -> Result<(Op, Tensor)> {
    let random = |dims: &[usize]| Tensor::randn(0f32, 1., dims, device)?.to_dtype(dtype);
    let one = || Tensor::ones(1024, dtype, device);
    let zero = || Tensor::zeros(1024, dtype, device);
    let rows = || random(&[64, 1024]);
    Ok(match name {
        "softmax" => (Box::new(ops::softmax_last_dim) as Op, rows()?),
        "log_softmax" => (
            Box::new(|x: &Tensor| ops::log_softmax(x, D::Minus1)),
            rows()?,
        ),
        "gelu" => (Box::new(Tensor::gelu_erf), rows()?),
        "rms_norm" => {
            let weight = one()?;
            (
                Box::new(move |x: &Tensor| ops::rms_norm(x, &weight, 1e-5)),
                rows()?,
            )
        }
        "layer_norm" => {
            let (weight, bias) = (one()?, zero()?);
            let op = move |x: &Tensor| ops::layer_norm(x, &weight, &bias, 1e-5);
            (Box::new(op), rows()?)
        }
        "linear" => {
            let weight = random(&[768, 768])?.t()?;
            (
                Box::new(move |x: &Tensor| x.matmul(&weight)),
                random(&[32, 768])?,
            )
        }
        "layer" => (layer(&random)?, random(&[1, 64, 384])?),
        other => return Err(Error::Msg(format!("no {other} here"))),
    })
}

/// A transformer encoder layer: 384 wide, 12 heads, 1536 in the middle, norms behind.
fn layer(random: &dyn Fn(&[usize]) -> Result<Tensor>) -> Result<Op> {
    let linear = |inputs: usize, outputs: usize| -> Result<Op> {
        let (weight, bias) = (random(&[outputs, inputs])?.t()?, random(&[outputs])?);
        let op = move |x: &Tensor| x.broadcast_matmul(&weight)?.broadcast_add(&bias);
        Ok(Box::new(op))
    };
    let norm = || -> Result<Op> {
        let (weight, bias) = (random(&[384])?, random(&[384])?);
        Ok(Box::new(move |x: &Tensor| {
            ops::layer_norm(x, &weight, &bias, 1e-5)
        }))
    };
    let (attend, out) = (linear(384, 3 * 384)?, linear(384, 384)?);
    let (first, then) = (linear(384, 1536)?, linear(1536, 384)?);
    let norms = [norm()?, norm()?];
    Ok(Box::new(move |x| {
        let all = attend(x)?.reshape((1, 64, 3, 12, 32))?;
        let part = |part| {
            all.narrow(2, part, 1)?
                .squeeze(2)?
                .transpose(1, 2)?
                .contiguous()
        };
        let scores = (part(0)?.matmul(&part(1)?.t()?)? * (1. / 32f64.sqrt()))?;
        let mixed = ops::softmax_last_dim(&scores)?.matmul(&part(2)?)?;
        let mixed = mixed.transpose(1, 2)?.reshape((1, 64, 384))?;
        let x = norms[0](&(x + out(&mixed)?)?)?;
        let hidden = first(&x)?.gelu_erf()?;
        norms[1](&(&x + then(&hidden)?)?)
    }))
}
