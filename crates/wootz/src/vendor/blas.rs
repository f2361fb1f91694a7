//! A BLAS on the CPU: OpenBLAS, MKL, BLIS or Accelerate, whichever the user has.
//!
//! It decides itself on how many threads a product runs.

use super::{
    load,
    shape::{Scaled, Shape},
};
use crate::DType;
use libloading::Library;
use std::{ffi::c_int, path::PathBuf, ptr, sync::OnceLock};
use wootz_runtime::{Body, Call, Kernel};

type Sgemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);

/// The library.
pub(super) struct Blas {
    sgemm: Sgemm,
    path: String,
}

const NAMES: &[&str] = if cfg!(target_os = "macos") {
    &["/System/Library/Frameworks/Accelerate.framework/Accelerate"]
} else if cfg!(windows) {
    &["mkl_rt.2.dll", "mkl_rt.dll", "libopenblas.dll"]
} else {
    &[
        "libmkl_rt.so.2",
        "libmkl_rt.so",
        "libopenblas.so.0",
        "libopenblas.so",
        "libblis.so.4",
    ]
};

/// The library, or why there is none.
pub(super) fn library() -> Result<&'static Blas, String> {
    static LIBRARY: OnceLock<Result<Blas, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(Blas::load)
        .as_ref()
        .map_err(Clone::clone)
}

impl Blas {
    fn load() -> Result<Blas, String> {
        let folders = [
            "/usr/lib/x86_64-linux-gnu",
            "/opt/intel/oneapi/mkl/latest/lib",
        ];
        let (library, path) = load::load("WOOTZ_BLAS", NAMES, &folders.map(PathBuf::from))?;
        // It stays loaded: its function is kept.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the C interface to the BLAS gives the function this signature, with 32-bit sizes
        // in libraries of these names.
        let sgemm = unsafe { library.get::<Sgemm>("cblas_sgemm") };
        let sgemm = *sgemm.map_err(|_| format!("{path} lacks cblas_sgemm"))?;
        Ok(Blas { sgemm, path })
    }

    /// Where it is.
    pub(super) fn name(&self) -> String {
        format!("BLAS ({})", self.path)
    }
}

/// What computes a product, or why nothing does.
pub(super) fn kernel(shape: &Shape, _: bool) -> Result<Kernel, String> {
    let mut sizes = shape.sizes.into_iter().chain(shape.leads);
    if shape.dtype() != DType::F32 {
        Err(format!("the BLAS has no product in {}", shape.dtype()))
    } else if !sizes.all(|size| c_int::try_from(size).is_ok()) {
        Err("the BLAS counts in 32 bits".to_owned())
    } else {
        Ok(Kernel {
            name: "cblas_sgemm",
            body: Body::Native(multiply),
        })
    }
}

/// # Safety
/// As for [`NativeFn`](wootz_runtime::NativeFn), with a plan of [`super::take`].
unsafe fn multiply(call: &mut Call<'_>) {
    const ROWS: c_int = 101;
    const TRANSPOSES: [c_int; 2] = [111, 112];
    let Ok(blas) = library() else { return };
    let Scaled {
        shape, alpha, beta, ..
    } = *call.params::<Scaled>();
    let [m, n, k] = shape.sizes.map(|size| size as c_int);
    let (room, count) = ((m as usize) * (n as usize), shape.batch as usize);
    let [a, b, bias] = [0, 1, 2].map(|binding| call.pointer::<f32>(binding).cast_const());
    let [middle, last] = [3, call.pointers.len() - 1].map(|binding| call.pointer::<f32>(binding));
    let [left, right] = shape.turned.map(|turned| TRANSPOSES[turned as usize]);
    let mut factor = beta;
    // SAFETY: the plan bound a result of so many elements, what is added, of as many, and a bias
    // for each column.
    unsafe {
        if beta != 0.0 && middle != last {
            ptr::copy_nonoverlapping(middle, last, room * count);
        }
        if shape.biased != 0 {
            for row in 0..m as usize * count {
                for column in 0..n as usize {
                    let to = last.add(row * n as usize + column);
                    let held = if beta == 0.0 { 0.0 } else { beta * *to };
                    *to = held + *bias.add(column);
                }
            }
            factor = 1.0;
        }
        for matrix in 0..count {
            let [a, b] = [(a, 0), (b, 1)]
                .map(|(from, side)| from.wrapping_add(matrix * shape.steps[side] as usize));
            let [first, second] = shape.leads.map(|lead| lead as c_int);
            let c = last.add(matrix * room);
            (blas.sgemm)(
                ROWS, left, right, m, n, k, alpha, a, first, b, second, factor, c, n,
            );
        }
    }
}
