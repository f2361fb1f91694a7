//! cuBLASLt, loaded when first wanted.
//!
//! Its matrices are column-major, ours row-major: it computes Cᵀ = Bᵀ·Aᵀ, so b comes first. What it
//! takes to describe a product, and the algorithm that it picks, are made once for each shape.

use super::{
    load,
    shape::{Scaled, Shape},
};
use crate::DType;
use libloading::Library;
use std::{
    ffi::{c_int, c_void},
    path::PathBuf,
    ptr,
    sync::OnceLock,
};
use wootz_runtime::{Body, Device, ForeignCall, Kernel, kernels::KernelCache};

/// Device memory that a product may use meanwhile: what NVIDIA recommends for Hopper.
pub(super) const ROOM: usize = 32 << 20;

type Handle = *mut c_void;
type Status = c_int;

macro_rules! functions {
    ($($name:ident $symbol:literal ($($type:ty),*);)*) => {
        /// The library's functions.
        pub(super) struct CublasLt {
            path: String,
            version: unsafe extern "C" fn() -> usize,
            $($name: unsafe extern "C" fn($($type),*) -> Status,)*
            prepared: KernelCache<Key, Prepared, String>,
        }

        impl CublasLt {
            fn load() -> Result<CublasLt, String> {
                let names: &[&str] = if cfg!(windows) {
                    &["cublasLt64_13.dll", "cublasLt64_12.dll"]
                } else {
                    &["libcublasLt.so.13", "libcublasLt.so.12"]
                };
                let (library, path) = load::load("WOOTZ_CUBLASLT", names, &folders())?;
                // It stays loaded: its functions are kept.
                let library: &'static Library = Box::leak(Box::new(library));
                // SAFETY: the library's manual gives its functions these signatures.
                unsafe {
                    Ok(CublasLt {
                        version: symbol(library, &path, "cublasLtGetVersion")?,
                        $($name: symbol(library, &path, $symbol)?,)*
                        path,
                        prepared: KernelCache::new(),
                    })
                }
            }
        }
    };
}

functions! {
    create "cublasLtCreate" (*mut Handle);
    make_product "cublasLtMatmulDescCreate" (*mut Handle, c_int, c_int);
    set_product "cublasLtMatmulDescSetAttribute" (Handle, c_int, *const c_void, usize);
    drop_product "cublasLtMatmulDescDestroy" (Handle);
    make_layout "cublasLtMatrixLayoutCreate" (*mut Handle, c_int, u64, u64, i64);
    set_layout "cublasLtMatrixLayoutSetAttribute" (Handle, c_int, *const c_void, usize);
    make_preference "cublasLtMatmulPreferenceCreate" (*mut Handle);
    set_preference "cublasLtMatmulPreferenceSetAttribute" (Handle, c_int, *const c_void, usize);
    drop_preference "cublasLtMatmulPreferenceDestroy" (Handle);
    choose "cublasLtMatmulAlgoGetHeuristic" (
        Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Found, *mut c_int
    );
    multiply "cublasLtMatmul" (
        Handle, Handle, *const c_void, *const c_void, Handle, *const c_void, Handle,
        *const c_void, *const c_void, Handle, *mut c_void, Handle, *const Algorithm, *mut c_void,
        usize, Handle
    );
}

/// # Safety
/// The symbol has the type `F`.
unsafe fn symbol<F: Copy>(library: &'static Library, path: &str, name: &str) -> Result<F, String> {
    // SAFETY: passed on from the caller.
    let found = unsafe { library.get::<F>(name) };
    found
        .map(|found| *found)
        .map_err(|_| format!("{path} lacks {name}"))
}

/// Where a toolkit has its libraries.
fn folders() -> Vec<PathBuf> {
    let named = ["WOOTZ_CUDA_PATH", "CUDA_PATH", "CUDA_HOME"];
    let named = named
        .into_iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    let usual = ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from);
    named
        .chain(usual)
        .flat_map(|root| ["lib64", "lib", "bin/x64", "bin"].map(|inside| root.join(inside)))
        .collect()
}

/// The library, or why there is none.
pub(super) fn library() -> Result<&'static CublasLt, String> {
    static LIBRARY: OnceLock<Result<CublasLt, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(CublasLt::load)
        .as_ref()
        .map_err(Clone::clone)
}

impl CublasLt {
    /// Its version and where it is.
    pub(super) fn name(&self) -> String {
        // SAFETY: takes nothing.
        let version = unsafe { (self.version)() };
        let [major, minor, patch] = [version / 10_000, version / 100 % 100, version % 100];
        format!("cuBLASLt {major}.{minor}.{patch} ({})", self.path)
    }
}

/// The algorithm that the library picked.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Algorithm([u64; 8]);

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Found {
    algorithm: Algorithm,
    room: usize,
    status: Status,
    waves: f32,
    reserved: [c_int; 4],
}

/// A shape on a device.
type Key = (Shape, u32);

/// A product described, but for where its bias is.
struct Prepared {
    library: Handle,
    /// Of b, a and the result.
    layouts: [Handle; 3],
    algorithm: Algorithm,
}

// SAFETY: names of the library's objects, which are not written after they are made; it lets any
// thread multiply with them.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}

/// The numbers of the library's interface.
mod number {
    use std::ffi::c_int;
    pub(super) const R_32F: c_int = 0;
    pub(super) const R_16F: c_int = 2;
    pub(super) const R_16BF: c_int = 14;
    pub(super) const COMPUTE_32F: c_int = 68;
    pub(super) const TRANSPOSE_A: c_int = 3;
    pub(super) const TRANSPOSE_B: c_int = 4;
    pub(super) const EPILOGUE: c_int = 7;
    pub(super) const BIAS_POINTER: c_int = 8;
    pub(super) const TRANSPOSED: c_int = 1;
    pub(super) const EPILOGUE_BIAS: c_int = 4;
    pub(super) const BATCH_COUNT: c_int = 5;
    pub(super) const BATCH_STEP: c_int = 6;
    pub(super) const MOST_ROOM: c_int = 1;
    /// Of the four operands, one after another.
    pub(super) const LEAST_ALIGNMENT: c_int = 5;
}

fn checked(call: &str, status: Status) -> Result<(), String> {
    match status {
        0 => Ok(()),
        status => Err(format!("{call} gave status {status}")),
    }
}

/// Sets an attribute of one of the library's objects.
///
/// # Safety
/// `set` sets attributes of objects like this one, and the attribute is a `T`.
unsafe fn attribute<T>(
    set: unsafe extern "C" fn(Handle, c_int, *const c_void, usize) -> Status,
    object: Handle,
    number: c_int,
    value: &T,
) -> Result<(), String> {
    // SAFETY: passed on from the caller.
    let status = unsafe { set(object, number, ptr::from_ref(value).cast(), size_of::<T>()) };
    checked("setting an attribute", status)
}

impl CublasLt {
    /// Calls `f` with a description of the product, whose bias is at the address, if it has one.
    ///
    /// # Safety
    /// The address is the bias's, or `f` does not multiply.
    unsafe fn describe<R>(
        &self,
        shape: &Shape,
        bias: u64,
        f: impl FnOnce(Handle) -> Result<R, String>,
    ) -> Result<R, String> {
        let mut product = ptr::null_mut();
        // SAFETY: makes an object of the library's, and sets attributes that it has.
        unsafe {
            let made = (self.make_product)(&raw mut product, number::COMPUTE_32F, number::R_32F);
            checked("cublasLtMatmulDescCreate", made)?;
            let set = |number, value: &c_int| attribute(self.set_product, product, number, value);
            // Rows in memory are its columns.
            let turned = [
                (
                    number::TRANSPOSE_A,
                    shape.turned[1] != 0,
                    number::TRANSPOSED,
                ),
                (
                    number::TRANSPOSE_B,
                    shape.turned[0] != 0,
                    number::TRANSPOSED,
                ),
                (number::EPILOGUE, shape.biased != 0, number::EPILOGUE_BIAS),
            ];
            let mut wanted = turned.into_iter().filter(|&(_, wanted, _)| wanted);
            let described = wanted
                .try_for_each(|(number, _, value)| set(number, &value))
                .and_then(|()| match shape.biased {
                    0 => Ok(()),
                    _ => attribute(self.set_product, product, number::BIAS_POINTER, &bias),
                })
                .and_then(|()| f(product));
            (self.drop_product)(product);
            described
        }
    }

    /// Describes the operands, and picks an algorithm. The device is current on this thread.
    fn prepare(&self, shape: &Shape) -> Result<Prepared, String> {
        let element = match shape.dtype() {
            DType::F16 => number::R_16F,
            DType::BF16 => number::R_16BF,
            _ => number::R_32F,
        };
        let [m, n, _] = shape.sizes;
        let batch = c_int::try_from(shape.batch).map_err(|_| "too large a batch".to_owned())?;
        let mut library = ptr::null_mut();
        let mut layouts = [ptr::null_mut(); 3];
        // What is a row to us is a column to it.
        let [right, left] = shape.stored().map(|[rows, columns]| [columns, rows]);
        // SAFETY: the calls are those of the library's manual: each makes an object that the next
        // ones are given, and attributes are of the types that the manual gives them.
        unsafe {
            checked("cublasLtCreate", (self.create)(&raw mut library))?;
            for (layout, ([rows, columns], lead, step)) in layouts.iter_mut().zip([
                (left, shape.leads[1], shape.steps[1]),
                (right, shape.leads[0], shape.steps[0]),
                ([n, m], n, m * n),
            ]) {
                let made =
                    (self.make_layout)(&raw mut *layout, element, rows, columns, lead as i64);
                checked("cublasLtMatrixLayoutCreate", made)?;
                attribute(self.set_layout, *layout, number::BATCH_COUNT, &batch)?;
                attribute(self.set_layout, *layout, number::BATCH_STEP, &(step as i64))?;
            }
            // Nothing is at this address: the product is described, not computed.
            let somewhere = 16;
            let pick = |product| self.pick(shape, library, product, layouts);
            Ok(Prepared {
                library,
                layouts,
                algorithm: self.describe(shape, somewhere, pick)?,
            })
        }
    }

    /// The algorithm that the library thinks best.
    ///
    /// # Safety
    /// The objects are the library's, described in full.
    unsafe fn pick(
        &self,
        shape: &Shape,
        library: Handle,
        product: Handle,
        [b, a, c]: [Handle; 3],
    ) -> Result<Algorithm, String> {
        let mut preference = ptr::null_mut();
        let mut found = Found {
            algorithm: Algorithm([0; 8]),
            room: 0,
            status: 0,
            waves: 0.0,
            reserved: [0; 4],
        };
        let mut count = 0;
        let [of_a, of_b, of_added, of_out] = shape.aligned;
        // SAFETY: passed on from the caller; there is room for one algorithm.
        unsafe {
            checked(
                "cublasLtMatmulPreferenceCreate",
                (self.make_preference)(&raw mut preference),
            )?;
            attribute(self.set_preference, preference, number::MOST_ROOM, &ROOM)?;
            for (number, aligned) in (number::LEAST_ALIGNMENT..).zip([of_b, of_a, of_added, of_out])
            {
                attribute(self.set_preference, preference, number, &aligned)?;
            }
            let found = &raw mut found;
            let count = &raw mut count;
            let chosen = (self.choose)(library, product, b, a, c, c, preference, 1, found, count);
            (self.drop_preference)(preference);
            checked("cublasLtMatmulAlgoGetHeuristic", chosen)?;
        }
        checked("cublasLtMatmulAlgoGetHeuristic", found.status)?;
        match count {
            0 => Err("it has no algorithm for this product".to_owned()),
            _ => Ok(found.algorithm),
        }
    }
}

/// The number in a device's name.
pub(super) fn ordinal(device: Device) -> u32 {
    let name = device.name();
    name.rsplit(':')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// What computes a product: it may still refuse one, when it is asked for an algorithm.
pub(super) fn kernel(_: &Shape, _: bool) -> Result<Kernel, String> {
    Ok(Kernel {
        name: "cublasLtMatmul",
        body: Body::Foreign(multiply),
    })
}

/// # Safety
/// As for [`ForeignFn`](wootz_runtime::ForeignFn), with a plan of [`super::take`].
unsafe fn multiply(call: &ForeignCall<'_>) -> Result<(), String> {
    let lt = library()?;
    let Scaled {
        shape,
        alpha,
        beta,
        device,
        ..
    } = *call.params::<Scaled>();
    let key = (shape, device);
    let prepared = match lt.prepared.get(&key) {
        Some(prepared) => prepared,
        None => lt.prepared.get_or_compile(key, || lt.prepare(&shape))?,
    };
    let [a, b, bias, rest @ ..] = call.places else {
        return Err("a plan without its operands".to_owned());
    };
    // What is added is bound apart, or the result itself is.
    let (added, out, room) = match rest {
        [added, out, room] => (added, out, room),
        [out, room] => (out, out, room),
        _ => return Err("a plan without its result".to_owned()),
    };
    let [layout_b, layout_a, layout_c] = prepared.layouts;
    let multiply = |product| {
        // SAFETY: the plan bound operands, result and room that the shape describes; the stream is
        // the current device's.
        let status = unsafe {
            (lt.multiply)(
                prepared.library,
                product,
                ptr::from_ref(&alpha).cast(),
                b.memory,
                layout_b,
                a.memory,
                layout_a,
                ptr::from_ref(&beta).cast(),
                added.memory,
                layout_c,
                out.memory,
                layout_c,
                &raw const prepared.algorithm,
                room.memory,
                ROOM,
                call.stream,
            )
        };
        checked("cublasLtMatmul", status)
    };
    // SAFETY: the plan bound the bias there.
    unsafe { lt.describe(&shape, bias.memory as u64, multiply) }
}
