//! Products into a command buffer, by MPS.

use super::{Form, Version, form};
use crate::{
    DType,
    vendor::shape::{Scaled, Shape},
};
use objc2::{AnyThread, rc::Retained, runtime::ProtocolObject};
use objc2_foundation::{NSArray, NSProcessInfo};
use objc2_metal::{MTLBuffer, MTLCommandBuffer};
use objc2_metal_performance_shaders::{
    MPSDataType, MPSMatrix, MPSMatrixDescriptor, MPSMatrixMultiplication, MPSNDArray,
    MPSNDArrayDescriptor, MPSNDArrayMatrixMultiplication,
};
use std::{
    ptr::NonNull,
    sync::{OnceLock, PoisonError},
};
use wootz_runtime::{Body, ForeignCall, Kernel, Place};

#[expect(
    clippy::disallowed_types,
    reason = "Apple lets threads encode side by side, each with objects of its own; programs that did \
              have crashed inside the framework. Held while a product is encoded, by those alone that \
              left the library's own kernels for MPS."
)]
static ENCODING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The version of this system.
fn system() -> Version {
    static SYSTEM: OnceLock<Version> = OnceLock::new();
    *SYSTEM.get_or_init(|| {
        let version = NSProcessInfo::processInfo().operatingSystemVersion();
        (version.majorVersion, version.minorVersion)
    })
}

/// What it is and of which system.
pub(in crate::vendor) fn name() -> String {
    let (major, minor) = system();
    format!("Metal Performance Shaders of macOS {major}.{minor}")
}

/// What computes a product, or why nothing does.
pub(in crate::vendor) fn kernel(shape: &Shape, apart: bool) -> Result<Kernel, String> {
    Ok(match form(shape, apart, system())? {
        Form::Matrix => Kernel {
            name: "MPSMatrixMultiplication",
            body: Body::Foreign(multiply_matrices),
        },
        Form::Array => Kernel {
            name: "MPSNDArrayMatrixMultiplication",
            body: Body::Foreign(multiply_arrays),
        },
    })
}

/// A plan of [`take`](crate::vendor::take), read.
struct Given<'a> {
    scaled: Scaled,
    command: &'a ProtocolObject<dyn MTLCommandBuffer>,
    a: Place,
    b: Place,
    added: Place,
    out: Place,
}

impl<'a> Given<'a> {
    /// # Safety
    /// The call is one of Metal's.
    unsafe fn of(call: &ForeignCall<'a>) -> Result<Given<'a>, String> {
        let &[a, b, _, added, ref rest @ ..] = call.places else {
            return Err("a plan without its operands".to_owned());
        };
        Ok(Given {
            scaled: *call.params::<Scaled>(),
            // SAFETY: on Metal the stream is a command buffer, which outlives the call.
            command: unsafe { &*call.stream.cast() },
            a,
            b,
            added,
            // What is added is bound apart, or the result itself is.
            out: rest.first().copied().unwrap_or(added),
        })
    }

    fn shape(&self) -> &Shape {
        &self.scaled.shape
    }

    fn element(&self) -> MPSDataType {
        match self.shape().dtype() {
            DType::F16 => MPSDataType::Float16,
            DType::BF16 => MPSDataType::BFloat16,
            _ => MPSDataType::Float32,
        }
    }
}

/// # Safety
/// The place is one of a call of Metal's, and lives for `'a`.
unsafe fn buffer<'a>(place: Place) -> &'a ProtocolObject<dyn MTLBuffer> {
    // SAFETY: on Metal memory is a buffer.
    unsafe { &*place.memory.cast() }
}

/// # Safety
/// As for [`ForeignFn`](wootz_runtime::ForeignFn), with a plan of [`take`](crate::vendor::take).
unsafe fn multiply_matrices(call: &ForeignCall<'_>) -> Result<(), String> {
    // SAFETY: passed on from the caller.
    let given = unsafe { Given::of(call)? };
    let (shape, element) = (given.shape(), given.element());
    let [m, n, k] = shape.sizes.map(|size| size as usize);
    let [left, right] = shape.stored();
    let bytes = shape.dtype().size();
    let matrix = |place: Place, [rows, columns]: [u64; 2], lead: u64, step: u64| {
        let matrices = shape.batch as usize;
        let row = lead as usize * bytes;
        let whole = match matrices {
            1 => rows as usize * row,
            _ => step as usize * bytes,
        };
        // SAFETY: on Metal a place is one of a call of Metal's.
        let buffer = unsafe { buffer(place) };
        // MPS ends the process where the last row's gap is not in the buffer any more.
        let end = whole
            .checked_mul(matrices)
            .and_then(|all| all.checked_add(place.offset));
        if end.is_none_or(|end| end > buffer.length()) {
            return Err("MPSMatrix wants whole rows inside the buffer".to_owned());
        }
        // SAFETY: the plan bound a matrix that lies so inside its buffer, and `form` found that MPS
        // can say it.
        Ok(unsafe {
            let descriptor = MPSMatrixDescriptor::matrixDescriptorWithRows_columns_matrices_rowBytes_matrixBytes_dataType(
                rows as usize, columns as usize, matrices, row, whole, element,
            );
            MPSMatrix::initWithBuffer_offset_descriptor(
                MPSMatrix::alloc(),
                buffer,
                place.offset,
                &descriptor,
            )
        })
    };
    let [turned_a, turned_b] = shape.turned.map(|turned| turned != 0);
    let [alpha, beta] = [given.scaled.alpha, given.scaled.beta].map(f64::from);
    let device = given.command.device();
    let _turn = ENCODING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: sizes and turns are those of the matrices; the command buffer has no open encoder.
    unsafe {
        let multiplication = MPSMatrixMultiplication::initWithDevice_transposeLeft_transposeRight_resultRows_resultColumns_interiorColumns_alpha_beta(
            MPSMatrixMultiplication::alloc(), &device, turned_a, turned_b, m, n, k, alpha, beta,
        );
        let left = matrix(given.a, left, shape.leads[0], shape.steps[0])?;
        let right = matrix(given.b, right, shape.leads[1], shape.steps[1])?;
        let [rows, columns, _] = shape.sizes;
        let out = matrix(given.out, [rows, columns], columns, rows * columns)?;
        multiplication.encodeToCommandBuffer_leftMatrix_rightMatrix_resultMatrix(
            given.command,
            &left,
            &right,
            &out,
        );
    }
    Ok(())
}

/// # Safety
/// As for [`ForeignFn`](wootz_runtime::ForeignFn), with a plan of [`take`](crate::vendor::take).
unsafe fn multiply_arrays(call: &ForeignCall<'_>) -> Result<(), String> {
    // SAFETY: passed on from the caller.
    let given = unsafe { Given::of(call)? };
    let shape = given.shape();
    let Scaled { alpha, beta, .. } = given.scaled;
    let [left, right] = shape.stored();
    let [rows, columns, _] = shape.sizes;
    let (whole, added) = ([rows, columns], beta != 0.0);
    let device = given.command.device();
    let _turn = ENCODING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: passed on from the caller; `form` found that the operands lie as arrays do. The command
    // buffer has no open encoder.
    unsafe {
        let mut sources = vec![
            array(&given, given.a, left, shape.steps[0] != 0, shape.turned[0])?,
            array(&given, given.b, right, shape.steps[1] != 0, shape.turned[1])?,
        ];
        if added {
            sources.push(array(&given, given.added, whole, true, 0)?);
        }
        let multiplication = MPSNDArrayMatrixMultiplication::initWithDevice_sourceCount(
            MPSNDArrayMatrixMultiplication::alloc(),
            &device,
            sources.len(),
        );
        multiplication.setAlpha(alpha.into());
        multiplication.setBeta(beta.into());
        let out = array(&given, given.out, whole, true, 0)?;
        let sources = NSArray::from_retained_slice(&sources);
        multiplication.encodeToCommandBuffer_sourceArrays_destinationArray(
            given.command,
            &sources,
            &out,
        );
    }
    Ok(())
}

/// Matrices of `[rows, columns]` as they lie at `place`, each a new one or all the same one, and
/// `turned` when they are used.
///
/// # Safety
/// They lie there without gaps, and the place is one of a call of Metal's.
unsafe fn array(
    given: &Given<'_>,
    place: Place,
    [rows, columns]: [u64; 2],
    each: bool,
    turned: u32,
) -> Result<Retained<MPSNDArray>, String> {
    let batch = if each { given.shape().batch } else { 1 };
    // The axis whose elements are neighbours comes first.
    let mut sizes = [columns, rows, batch].map(|size| size as usize);
    // SAFETY: there are three sizes; the caller vouches for the memory.
    let lying = unsafe {
        let descriptor = MPSNDArrayDescriptor::descriptorWithDataType_dimensionCount_dimensionSizes(
            given.element(),
            sizes.len(),
            NonNull::from(&mut sizes).cast(),
        );
        descriptor.setPreferPackedRows(true);
        let buffer = buffer(place);
        MPSNDArray::initWithBuffer_offset_descriptor(
            MPSNDArray::alloc(),
            buffer,
            place.offset,
            &descriptor,
        )
    };
    if turned == 0 {
        return Ok(lying);
    }
    // SAFETY: the array has these axes.
    let seen = unsafe {
        let descriptor = lying.descriptor();
        descriptor.transposeDimension_withDimension(0, 1);
        lying.arrayViewWithDescriptor(&descriptor)
    };
    seen.ok_or_else(|| "MPSNDArray gave no turned view".to_owned())
}
