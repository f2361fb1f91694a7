//! Matrix products by libraries that may be there when the program runs: cuBLASLt on CUDA devices, a
//! BLAS on the CPU. Nothing is linked; what is missing is said, and the library's own kernels run.

mod blas;
mod cublaslt;
mod load;
mod shape;

use crate::{
    Error, Layout, Result, Tensor,
    path::{self, Path},
    tuning,
};
use shape::Shape;
use std::{borrow::Cow, fmt, sync::Once};
use wootz_runtime::{Body, Device, Family, Grid, Kernel, Plan, Stream, kernels::KernelCache};

/// `alpha·a·b + beta·added + bias`: layouts `[…, m, k]` and `[…, k, n]` over one batch shape.
pub(crate) struct Product<'a> {
    pub(crate) a: (&'a Tensor, &'a Layout),
    pub(crate) b: (&'a Tensor, &'a Layout),
    pub(crate) bias: Option<&'a Tensor>,
    pub(crate) alpha: f32,
    /// Contiguous, of the result's shape.
    pub(crate) added: Option<(f32, &'a Tensor)>,
    /// Contiguous, not empty.
    pub(crate) out: &'a Tensor,
}

/// What plans of a GPU and of the CPU are called.
const NAMES: [&str; 2] = ["cublasLtMatmul", "cblas_sgemm"];

/// What a vendor's library is on a device: its name and version, or why there is none.
pub fn library(device: Device) -> Result<String, String> {
    match device.caps().family {
        Family::Cuda => cublaslt::library().map(|library| library.name()),
        Family::Cpu => blas::library().map(|library| library.name()),
        _ => Err("no vendor's library is known for this device".to_owned()),
    }
}

/// Whether no product on `device` is the vendor's, nor is anyone told which way it goes.
pub(crate) fn is_left_out(device: Device) -> bool {
    let possible = match path::current() {
        Path::Own | Path::Portable => false,
        Path::Vendor => true,
        Path::Auto => tuning::of(device).is_some(),
    };
    !possible && !path::is_logged()
}

/// Computes the product the vendor's way, if that is the way to take; else does nothing.
pub(crate) fn take(op: &'static str, stream: &Stream, product: &Product<'_>) -> Result<bool> {
    let device = stream.device();
    if is_left_out(device) {
        return Ok(false);
    }
    let choice = choose(device, path::current(), product);
    if path::is_logged() {
        log(op, device, product, &choice);
    }
    let Choice::Vendor(shape, _) = choice else {
        return Ok(false);
    };
    let room = match device.caps().family {
        Family::Cuda => Some(stream.allocate(cublaslt::ROOM)?),
        _ => None,
    };
    let ((a, _), (b, _), out) = (product.a, product.b, product.out);
    let bias = product.bias.unwrap_or(b);
    let (_, added) = product.added.unwrap_or((0.0, out));
    let body = match &room {
        Some(_) => Body::Foreign(cublaslt::multiply),
        None => Body::Native(blas::multiply),
    };
    let kernel = Kernel {
        name: NAMES[usize::from(room.is_none())],
        body,
    };
    let beta = product.added.map_or(0.0, |(beta, _)| beta);
    let params = shape.scaled([product.alpha, beta], cublaslt::ordinal(device));
    let plan = Plan::new(kernel, Grid::units(1), &params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset())
        .read(bias.buffer(), bias.byte_offset());
    let plan = match std::ptr::eq(added, out) {
        // Read only where the factor is not zero.
        true => plan.update(out.buffer(), out.byte_offset()),
        false => plan
            .read(added.buffer(), added.byte_offset())
            .write(out.buffer(), out.byte_offset()),
    };
    let plan = match &room {
        Some(room) => plan.write(room, 0),
        None => plan,
    };
    let plan = plan.cost(shape.bytes(), shape.flops());
    // SAFETY: `shape` describes the operands, which lie inside their tensors.
    let done = unsafe { crate::ops::submit(stream, &plan) };
    drop(plan);
    match done {
        // The library would not: nothing was written, and the own kernels will.
        Err(Error::Runtime(wootz_runtime::Error::Driver { call, message, .. }))
            if call == NAMES[0] =>
        {
            let say = || eprintln!("wootz: {op} stays with own kernels: {message}");
            if path::is_logged() {
                say();
            }
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

/// A way and the reason for it.
enum Choice {
    Own(Cow<'static, str>),
    Vendor(Shape, &'static str),
}

fn choose(device: Device, wanted: Path, product: &Product<'_>) -> Choice {
    let own = |why| Choice::Own(Cow::Borrowed(why));
    let ways = match wanted {
        Path::Own | Path::Portable => return own("asked for"),
        Path::Vendor => None,
        Path::Auto => match tuning::of(device) {
            None => return own("nothing was measured here"),
            ways => ways,
        },
    };
    let Some(shape) = Shape::of(product) else {
        return own("no vendor's call takes these strides");
    };
    let why = match ways.map(|ways| ways.get(&shape.class())) {
        Some(None) => return own("its like was not measured"),
        Some(Some(Path::Vendor)) => "measured as faster",
        Some(Some(_)) => return own("measured as faster"),
        None => "asked for",
    };
    if let Some(why) = missing(device) {
        static SAID: Once = Once::new();
        SAID.call_once(|| eprintln!("wootz: no vendor's products on {}: {why}", device.name()));
        return Choice::Own(why.into());
    }
    let refusal = match device.caps().family {
        Family::Cpu => blas::refuses(&shape),
        _ => None,
    };
    match refusal {
        Some(why) => Choice::Own(why.into()),
        None => Choice::Vendor(shape, why),
    }
}

/// Why a device has no vendor's library.
fn missing(device: Device) -> Option<String> {
    match device.caps().family {
        Family::Cuda => cublaslt::library().err(),
        Family::Cpu => blas::library().err(),
        _ => Some("no vendor's library is known for this device".to_owned()),
    }
}

/// Says which way a product goes, once for each kind and way.
fn log(op: &'static str, device: Device, product: &Product<'_>, choice: &Choice) {
    #[expect(
        clippy::disallowed_types,
        reason = "only asked for by those who want a log"
    )]
    static SAID: std::sync::LazyLock<KernelCache<String, (), ()>> =
        std::sync::LazyLock::new(KernelCache::new);
    let (a, b) = (product.a.1.shape(), product.b.1.shape());
    let line = format!(
        "wootz: {op} {} {a}·{b} on {}: {choice}",
        product.out.dtype(),
        device.name()
    );
    let say = || {
        eprintln!("{line}");
        Ok(())
    };
    let _ = SAID.get_or_compile(line.clone(), say);
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Own(why) => write!(f, "own ({why})"),
            Choice::Vendor(_, why) => write!(f, "vendor ({why})"),
        }
    }
}
