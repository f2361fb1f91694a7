//! What each caller does over and over: an op of the table, or a whole model layer.

use wootz::{DType, Device, Result, Tensor, table};

use crate::failure::Failure;
use crate::inputs;

use super::layer::{self, Layer};

/// An operation for many callers: its inputs and its call are each caller's own.
pub struct Load {
    pub op: &'static str,
    /// Shape and element type, for headings.
    pub shape: String,
    prepare: Box<Prepare>,
}

/// Makes one caller's inputs on its current stream, and the call that uses them.
type Prepare = dyn Fn(Device) -> Result<Submit> + Send + Sync;
/// Submits one operation to the current stream and returns its result, which may still be on its way.
pub type Submit = Box<dyn Fn() -> Result<Tensor>>;

impl Load {
    /// The load of this name; an op is measured at its first benchmark's shape.
    pub fn find(op: &'static str, dtype: DType) -> Result<Load, Failure> {
        if op == layer::NAME {
            return Load::layer(dtype);
        }
        let row = table::find(op).expect("names come from the table");
        let none = || Failure::Input(format!("{op} has no benchmark in {dtype}"));
        let taken = row.dtypes.contains(&dtype);
        let bench = row
            .benches(dtype)
            .into_iter()
            .next()
            .filter(|_| taken)
            .ok_or_else(none)?;
        let sizes: Vec<String> = bench.dims.iter().map(usize::to_string).collect();
        let shape = format!("{} {dtype}", sizes.join("×"));
        let (specs, run) = (bench.inputs, std::sync::Arc::new(bench.run));
        let prepare = move |device| {
            let inputs: Result<Vec<Tensor>> = specs
                .iter()
                .map(|(dtype, dims)| inputs::tensor(*dtype, dims, device))
                .collect();
            let (inputs, run) = (inputs?, run.clone());
            Ok(Box::new(move || run(&inputs)) as Submit)
        };
        Ok(Load {
            op,
            shape,
            prepare: Box::new(prepare),
        })
    }

    /// The model layer.
    fn layer(dtype: DType) -> Result<Load, Failure> {
        if !dtype.is_float() {
            return Err(Failure::Input(format!(
                "{} is not for {dtype}, but for floats",
                layer::NAME
            )));
        }
        let prepare = move |device| {
            let layer = Layer::new(dtype, device)?;
            let x = inputs::tensor(dtype, &layer::SHAPE, device)?;
            Ok(Box::new(move || layer.forward(&x)) as Submit)
        };
        Ok(Load {
            op: layer::NAME,
            shape: format!(
                "{} {dtype}",
                layer::SHAPE.map(|size| size.to_string()).join("×")
            ),
            prepare: Box::new(prepare),
        })
    }

    /// One caller's own copy of the work.
    pub fn prepare(&self, device: Device) -> Result<Submit> {
        (self.prepare)(device)
    }
}

/// Every load there is.
pub fn names() -> Vec<&'static str> {
    let ops = table::rows().map(|row| row.name);
    ops.chain([layer::NAME]).collect()
}
