//! Graphs: a computation recorded once and replayed with new inputs.

use crate::{Error, Layout, Result, Shape, Stream, Tensor, dtype::DType};
use smallvec::SmallVec;
use wootz_runtime::{self as runtime, Bare, Buffer, Calls};

/// A recorded computation: what a function of tensors submitted, without the function.
///
/// ```
/// use wootz::{Device, Graph, Stream, Tensor, ops};
///
/// let stream = Stream::new(Device::cpu())?;
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3], Device::cpu())?;
/// let graph = Graph::record(&stream, &[&x], |x| Ok(vec![ops::softmax(&x[0], -1)?]))?;
/// let y = graph.replay(&stream, &[&x])?;
/// assert_eq!(y[0].to_vec::<f32>()?, ops::softmax(&x, -1)?.to_vec::<f32>()?);
/// # Ok::<(), wootz::Error>(())
/// ```
#[derive(Debug)]
pub struct Graph {
    plans: runtime::Graph,
    inputs: Vec<(DType, Shape)>,
    outputs: Vec<(DType, Layout)>,
}

impl Graph {
    /// Records what `f` does on `stream` with inputs like these. Nothing runs: the tensors that
    /// `f` gets and makes stand for those of a replay, and asking for their values is an error.
    /// Other tensors that `f` uses are constants of the graph.
    pub fn record(
        stream: &Stream,
        inputs: &[&Tensor],
        f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Graph> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|tensor| (tensor.dtype(), tensor.shape()))
            .collect();
        let bytes: Vec<usize> = inputs
            .iter()
            .map(|(dtype, shape)| shape.count() * dtype.size())
            .collect();
        let mut outputs = Vec::new();
        let plans = stream.record(&bytes, |buffers| {
            let tensors: Vec<Tensor> = buffers
                .iter()
                .zip(&inputs)
                .map(|(buffer, &(dtype, shape))| {
                    Tensor::from_parts(buffer.clone(), dtype, Layout::contiguous(shape))
                })
                .collect();
            let made = f(&tensors)?;
            outputs.extend(made.iter().map(|tensor| (tensor.dtype(), *tensor.layout())));
            Ok::<_, Error>(made.iter().map(|tensor| tensor.buffer().clone()).collect())
        })?;
        Ok(Graph {
            plans,
            inputs,
            outputs,
        })
    }

    /// Runs the recorded computation on `stream` with these inputs, which have the element types
    /// and shapes of those it was recorded with. Many threads may replay one graph at once.
    pub fn replay(&self, stream: &Stream, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let whole = self.whole(stream, inputs)?;
        let buffers: SmallVec<[&Buffer; 4]> = whole.iter().map(Tensor::buffer).collect();
        let made = self.plans.replay(stream, &buffers)?;
        Ok(made
            .into_iter()
            .zip(&self.outputs)
            .map(|(buffer, &(dtype, layout))| Tensor::from_parts(buffer, dtype, layout))
            .collect())
    }

    /// The driver's own calls for a replay with these inputs: what this library is compared with
    /// ([`runtime::Graph::bare`]). Nothing where no driver is asked.
    pub fn bare(&self, stream: &Stream, inputs: &[&Tensor], calls: Calls) -> Result<Option<Bare>> {
        let whole = self.whole(stream, inputs)?;
        let buffers: SmallVec<[&Buffer; 4]> = whole.iter().map(Tensor::buffer).collect();
        Ok(self.plans.bare(stream, &buffers, calls)?)
    }

    /// The inputs, each as its recording saw it.
    fn whole(&self, stream: &Stream, inputs: &[&Tensor]) -> Result<SmallVec<[Tensor; 4]>> {
        self.check(inputs)?;
        stream.enter(|| inputs.iter().map(|x| own(x)).collect())
    }

    /// How many plans a replay submits.
    pub fn steps(&self) -> usize {
        self.plans.steps()
    }

    fn check(&self, inputs: &[&Tensor]) -> Result<()> {
        let found = || inputs.iter().map(|x| (x.dtype(), x.shape()));
        if found().eq(self.inputs.iter().copied()) {
            return Ok(());
        }
        let found: Vec<_> = found().collect();
        let words = |inputs: &[(DType, Shape)]| {
            let inputs = inputs
                .iter()
                .map(|(dtype, shape)| format!("{dtype} {shape}"));
            inputs.collect::<Vec<_>>().join(", ")
        };
        let (found, expected) = (words(&found), words(&self.inputs));
        Err(runtime::Error::GraphInputs { expected, found }.into())
    }
}

/// The tensor as the recording saw it: contiguous from its buffer's start on.
fn own(tensor: &Tensor) -> Result<Tensor> {
    if tensor.layout().offset() == 0 && tensor.layout().is_contiguous() {
        Ok(tensor.clone())
    } else {
        crate::ops::copy(tensor)
    }
}
