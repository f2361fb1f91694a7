//! What each caller does over and over: an op of the table, or a whole model layer.

use std::sync::Arc;

use wootz::{DType, Device, Graph, Result, Stream, Tensor, table};

use crate::failure::Failure;
use crate::inputs;

use super::layer::{self, Layer};

/// An operation for many callers: its inputs and its call are each caller's own.
pub struct Load {
    pub op: &'static str,
    /// Shape and element type, for headings.
    pub shape: String,
    /// Ops of a call, each of the last one's result.
    pub chain: usize,
    prepare: Box<Prepare>,
}

/// Makes one caller's inputs on its current stream, and the op that uses them.
type Prepare = dyn Fn(Device) -> Result<(Vec<Tensor>, Arc<Op>)> + Send + Sync;
type Op = dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync;

/// One caller's work.
#[derive(Clone)]
pub struct Work {
    inputs: Vec<Tensor>,
    op: Arc<Op>,
    chain: usize,
}

impl Load {
    /// The load of this name, `chain` ops a call; an op is measured at its first benchmark's shape.
    pub fn find(op: &'static str, dtype: DType, chain: usize) -> Result<Load, Failure> {
        if op == layer::NAME {
            return Load::layer(dtype, chain);
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
        let (specs, run) = (bench.inputs, bench.run);
        let op_of_table: Arc<Op> = Arc::new(move |inputs: &[Tensor]| run(inputs));
        let prepare = move |device| {
            let inputs: Result<Vec<Tensor>> = specs
                .iter()
                .map(|(dtype, dims)| inputs::tensor(*dtype, dims, device))
                .collect();
            Ok((inputs?, op_of_table.clone()))
        };
        Ok(Load {
            op,
            shape,
            chain,
            prepare: Box::new(prepare),
        })
    }

    /// The model layer.
    fn layer(dtype: DType, chain: usize) -> Result<Load, Failure> {
        if !dtype.is_float() {
            return Err(Failure::Input(format!(
                "{} is not for {dtype}, but for floats",
                layer::NAME
            )));
        }
        let prepare = move |device| {
            let layer = Layer::new(dtype, device)?;
            let x = inputs::tensor(dtype, &layer::SHAPE, device)?;
            let op: Arc<Op> = Arc::new(move |inputs: &[Tensor]| layer.forward(&inputs[0]));
            Ok((vec![x], op))
        };
        let sizes = layer::SHAPE.map(|size| size.to_string());
        Ok(Load {
            op: layer::NAME,
            shape: format!("{} {dtype}", sizes.join("×")),
            chain,
            prepare: Box::new(prepare),
        })
    }

    /// One caller's own copy of the work.
    pub fn prepare(&self, device: Device) -> Result<Work> {
        let (inputs, op) = (self.prepare)(device)?;
        Ok(Work {
            inputs,
            op,
            chain: self.chain,
        })
    }

    /// Whether the op takes its own result for its first input.
    pub fn chains(&self, device: Device) -> Result<bool> {
        let (inputs, op) = (self.prepare)(device)?;
        let Some(first) = inputs.first() else {
            return Ok(false);
        };
        let result = op(&inputs)?;
        Ok(result.dtype() == first.dtype() && result.dims() == first.dims())
    }
}

impl Work {
    /// Submits one call's ops to the current stream; the result may still be on its way.
    pub fn submit(&self) -> Result<Tensor> {
        self.on(&self.inputs)
    }

    /// The same, of another result.
    pub fn submit_after(&self, x: &Tensor) -> Result<Tensor> {
        let mut inputs = self.inputs.clone();
        inputs[0] = x.clone();
        self.on(&inputs)
    }

    fn on(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let mut x = (self.op)(inputs)?;
        if self.chain > 1 {
            let mut inputs = inputs.to_vec();
            for _ in 1..self.chain {
                inputs[0] = x;
                x = (self.op)(&inputs)?;
            }
        }
        Ok(x)
    }

    /// `times` calls as a graph, each with a result of its own.
    pub fn record(&self, stream: &Stream, times: usize) -> Result<Graph> {
        Graph::record(stream, &self.inputs(), |inputs| {
            (0..times).map(|_| self.on(inputs)).collect()
        })
    }

    /// What a recorded graph is replayed with.
    pub fn inputs(&self) -> Vec<&Tensor> {
        self.inputs.iter().collect()
    }
}

/// Every load there is.
pub fn names() -> Vec<&'static str> {
    let ops = table::rows().map(|row| row.name);
    ops.chain([layer::NAME]).collect()
}
