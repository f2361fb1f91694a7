//! Matrix products by libraries that may be there when the program runs: cuBLASLt on CUDA devices, a
//! BLAS on the CPU, Metal Performance Shaders on Apple's GPUs. Nothing is linked but the last, which is
//! part of macOS; what is missing is said, and the library's own kernels run.

mod blas;
mod cublaslt;
mod load;
#[cfg(any(target_os = "macos", test))]
mod mps;
mod shape;

use crate::{
    Error, Layout, Result, Tensor,
    path::{self, Path},
    tuning,
};
use shape::Shape;
use std::{borrow::Cow, fmt, sync::Once};
use wootz_runtime::{Device, Family, Grid, Kernel, Plan, Stream, kernels::KernelCache};

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

/// A vendor's library.
struct Vendor {
    /// The devices that it is for.
    family: Family,
    /// Its name and version, or why it is not there.
    name: fn() -> Result<String, String>,
    /// Why it is not there, if it is not.
    missing: fn() -> Option<String>,
    /// What computes a product, to which something is added that is `apart` from the result or not; or
    /// why nothing does.
    kernel: fn(&Shape, apart: bool) -> Result<Kernel, String>,
    /// Device memory that a product may use meanwhile.
    room: usize,
    /// Whether all threads that call it take one lock: then it is no way for several streams.
    locked: bool,
}

const VENDORS: &[Vendor] = &[
    Vendor {
        family: Family::Cuda,
        name: || cublaslt::library().map(|library| library.name()),
        missing: || cublaslt::library().err(),
        kernel: cublaslt::kernel,
        room: cublaslt::ROOM,
        locked: false,
    },
    Vendor {
        family: Family::Cpu,
        name: || blas::library().map(|library| library.name()),
        missing: || blas::library().err(),
        kernel: blas::kernel,
        room: 0,
        locked: false,
    },
    #[cfg(target_os = "macos")]
    Vendor {
        family: Family::Metal,
        name: || Ok(mps::name()),
        missing: || None,
        kernel: mps::kernel,
        room: 0,
        locked: true,
    },
];

impl Vendor {
    fn of(device: Device) -> Result<&'static Vendor, String> {
        let family = device.caps().family;
        let found = VENDORS.iter().find(|vendor| vendor.family == family);
        found.ok_or_else(|| "no vendor's library is known for this device".to_owned())
    }

    /// Whether `auto` leaves it on this device, whatever was measured: when more than one stream has
    /// been at work there at once. It stays left, so that results change their digits once at most.
    fn is_left(&self, wanted: Path, device: Device) -> bool {
        self.locked && wanted == Path::Auto && device.streams() > 1
    }
}

/// What a vendor's library is on a device: its name and version, or why there is none.
pub fn library(device: Device) -> Result<String, String> {
    Vendor::of(device).and_then(|vendor| (vendor.name)())
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
    let Choice::Vendor(vendor, kernel, shape, _) = choice else {
        return Ok(false);
    };
    let room = match vendor.room {
        0 => None,
        bytes => Some(stream.allocate(bytes)?),
    };
    let ((a, _), (b, _), out) = (product.a, product.b, product.out);
    let bias = product.bias.unwrap_or(b);
    let (_, added) = product.added.unwrap_or((0.0, out));
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
            if call == kernel.name =>
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
    Vendor(&'static Vendor, Kernel, Shape, &'static str),
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
        Some(Some(known)) if known.way == Path::Vendor => "measured as faster",
        Some(Some(known)) => return Choice::Own(known.why()),
        None => "asked for",
    };
    let there = Vendor::of(device).and_then(|vendor| (vendor.missing)().map_or(Ok(vendor), Err));
    let vendor = match there {
        Ok(vendor) => vendor,
        Err(why) => {
            static SAID: Once = Once::new();
            SAID.call_once(|| eprintln!("wootz: no vendor's products on {}: {why}", device.name()));
            return Choice::Own(why.into());
        }
    };
    if vendor.is_left(wanted, device) {
        return own("the vendor's calls take one lock, and there is more than one stream");
    }
    let apart = product
        .added
        .is_some_and(|(_, added)| !std::ptr::eq(added, product.out));
    match (vendor.kernel)(&shape, apart) {
        Ok(kernel) => Choice::Vendor(vendor, kernel, shape, why),
        Err(why) => Choice::Own(why.into()),
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
            Choice::Vendor(_, kernel, _, why) => write!(f, "vendor, {} ({why})", kernel.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wootz_runtime::null::Null;

    #[test]
    fn auto_leaves_calls_behind_a_lock_with_the_second_stream_for_good() {
        let device = Null::device(1 << 20, true).0;
        let vendor = |locked| Vendor {
            family: Family::Null,
            name: || Ok("one".to_owned()),
            missing: || None,
            kernel: |_, _| Err("none".to_owned()),
            room: 0,
            locked,
        };
        let left = |locked, wanted| vendor(locked).is_left(wanted, device);
        let first = Stream::new(device).unwrap();
        assert!(!left(true, Path::Auto));
        let second = Stream::new(device).unwrap();
        assert!(left(true, Path::Auto));
        assert!(!left(true, Path::Vendor), "who asks for it gets it");
        assert!(!left(false, Path::Auto), "no lock, no reason");
        drop((first, second));
        assert!(left(true, Path::Auto), "it does not come back");
    }
}
