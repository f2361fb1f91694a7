//! From a kernel's source to what a launch needs.

use super::{
    driver::{Failure, Handle},
    gpu::Gpu,
    nvrtc::{OPTIONS, Refusal, nvrtc},
};
use crate::{
    cache,
    compiled::Compiled,
    error::{Error, Result},
    fingerprint::fingerprint,
    kept::Kept,
    module::Source,
    plan::Grid,
};
use cudarc::driver::sys::{CUfunc_st, CUmod_st};
use std::{ffi::CString, ptr};

/// The compiled kernels of one device.
pub(super) struct Kernels {
    /// Compute capability, 90 for 9.0.
    capability: u32,
    kept: Kept,
    compiled: Compiled<Handle<CUmod_st>, Function>,
}

/// A compiled entry point, and what a launch of it may ask for.
pub(super) struct Function {
    pub(super) handle: Handle<CUfunc_st>,
    lanes: u32,
    scratch: usize,
}

impl Kernels {
    pub(super) fn new(capability: u32) -> Kernels {
        Kernels {
            capability,
            kept: Kept::new(cache::folder().map(|folder| folder.join("cuda"))),
            compiled: Compiled::new(),
        }
    }

    /// The compiled entry point. Compiles its module if nobody has.
    pub(super) fn find(&self, gpu: &Gpu, source: Source) -> Result<&Function> {
        let (text, entry) = (source.module.text(), source.entry);
        let compile = || {
            let wanted = Wanted::new(self, text, entry, &[]);
            let kept = wanted.kept(gpu)?;
            kept.map_or_else(|| wanted.compile(gpu), Ok)
        };
        self.compiled.find(source, compile, |module| {
            let handle = find(gpu, *module, entry)?;
            gpu.attempt(Function::new(gpu, handle))
        })
    }

    /// A kernel that is no plan's. One that is not on disk is compiled if that is `worth` it.
    pub(super) fn own(
        &self,
        gpu: &Gpu,
        text: &str,
        entry: &'static str,
        options: &[&'static str],
        worth: bool,
    ) -> Result<Option<Handle<CUfunc_st>>> {
        let wanted = Wanted::new(self, text, entry, options);
        let module = match wanted.kept(gpu)? {
            None if worth => Some(wanted.compile(gpu)?),
            kept => kept,
        };
        module.map(|module| find(gpu, module, entry)).transpose()
    }
}

/// A module to be had: from disk, or from the compiler.
struct Wanted<'a> {
    kernels: &'a Kernels,
    text: &'a str,
    /// What it is compiled for.
    entry: &'static str,
    /// Those of the dialect, and others.
    options: Vec<&'static str>,
    key: u128,
}

impl<'a> Wanted<'a> {
    fn new(
        kernels: &'a Kernels,
        text: &'a str,
        entry: &'static str,
        options: &[&'static str],
    ) -> Wanted<'a> {
        let target = format!("sm_{}", kernels.capability);
        let options = [OPTIONS, options].concat();
        let parts = [text, &target, &options.join(" ")];
        let key = fingerprint(parts.map(str::as_bytes));
        Wanted {
            kernels,
            text,
            entry,
            options,
            key,
        }
    }

    /// What is on disk, if the driver takes it.
    fn kept(&self, gpu: &Gpu) -> Result<Option<Handle<CUmod_st>>> {
        let kept = &self.kernels.kept;
        let Some(image) = kept.get(self.key) else {
            return Ok(None);
        };
        match load(gpu, &image) {
            Err(failure) if !failure.is_final() => {
                kept.forget(self.key);
                Ok(None)
            }
            outcome => gpu.attempt(outcome).map(Some),
        }
    }

    /// Compiles it, and keeps it.
    fn compile(&self, gpu: &Gpu) -> Result<Handle<CUmod_st>> {
        let image = self.image(gpu)?;
        let module = gpu.attempt(load(gpu, &image))?;
        self.kernels.kept.put(self.key, &image);
        Ok(module)
    }

    fn image(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        let device = || gpu.identity.name.clone();
        let no_compiler = |reason| Error::NoCompiler {
            device: device(),
            reason,
        };
        let major = super::driver::version(gpu.driver) / 1000;
        let nvrtc = nvrtc(major.unsigned_abs()).map_err(no_compiler)?;
        let compiled = nvrtc.compile(self.text, self.kernels.capability, &self.options);
        compiled.map_err(|refusal| match refusal {
            Refusal::Compiler(reason) => no_compiler(reason),
            Refusal::Source(log) => Error::Compile {
                device: device(),
                kernel: self.entry,
                log,
            },
        })
    }
}

fn load(gpu: &Gpu, image: &[u8]) -> Result<Handle<CUmod_st>, Failure> {
    let mut module = ptr::null_mut();
    // A compile on this thread may have taken long; the context was set before it and still is.
    // SAFETY: writes one handle; the image is whole (`Kept`) or fresh from the compiler.
    unsafe {
        gpu.driver
            .load_module(&raw mut module, image.as_ptr().cast())?
    };
    Ok(Handle(module))
}

/// The entry point of this name.
fn find(gpu: &Gpu, module: Handle<CUmod_st>, entry: &'static str) -> Result<Handle<CUfunc_st>> {
    let missing = || Error::Compile {
        device: gpu.identity.name.clone(),
        kernel: entry,
        log: format!("the compiled source has no entry point {entry:?}"),
    };
    let name = CString::new(entry).map_err(|_| missing())?;
    let mut handle = ptr::null_mut();
    // SAFETY: writes one handle; the module lives.
    let found = unsafe {
        gpu.driver
            .find_function(&raw mut handle, module.0, name.as_ptr())
    };
    match found {
        Err(failure) if failure.code == Failure::NOT_FOUND => Err(missing()),
        outcome => gpu.attempt(outcome).map(|()| Handle(handle)),
    }
}

/// What the driver tells of a function.
pub(super) fn attribute(
    gpu: &Gpu,
    function: Handle<CUfunc_st>,
    attribute: u32,
) -> Result<u32, Failure> {
    let mut value = 0;
    // SAFETY: writes one number; the function lives.
    unsafe {
        gpu.driver
            .function_attribute(&raw mut value, attribute, function.0)?
    };
    Ok(value.unsigned_abs())
}

impl Function {
    fn new(gpu: &Gpu, handle: Handle<CUfunc_st>) -> Result<Function, Failure> {
        const MOST_LANES: u32 = 0;
        const OWN_SCRATCH: u32 = 1;
        const MOST_SCRATCH: u32 = 8;
        let attribute = |asked| attribute(gpu, handle, asked);
        let own = attribute(OWN_SCRATCH)? as usize;
        let scratch = gpu.identity.scratch.saturating_sub(own);
        let limit = i32::try_from(scratch).unwrap_or(i32::MAX);
        // SAFETY: the function lives; without this the limit is lower than the device's.
        unsafe { gpu.driver.set_function(handle.0, MOST_SCRATCH, limit)? };
        Ok(Function {
            handle,
            lanes: attribute(MOST_LANES)?,
            scratch,
        })
    }

    /// The number of groups, if the device can run such a launch of kernel `name`.
    pub(super) fn groups(
        &self,
        gpu: &Gpu,
        name: &'static str,
        grid: Grid,
        scratch: usize,
    ) -> Result<u32> {
        const MOST_GROUPS: u32 = i32::MAX as u32;
        let (lanes, groups) = (grid.lanes, grid.units);
        let reason = if lanes == 0 || lanes > self.lanes {
            format!(
                "{lanes} lanes in a group: this kernel has 1 to {}",
                self.lanes
            )
        } else if scratch > self.scratch {
            let limit = self.scratch;
            format!("{scratch} bytes of scratch: the limit is {limit}")
        } else {
            match u32::try_from(groups) {
                Ok(groups) if groups <= MOST_GROUPS => return Ok(groups),
                _ => format!("{groups} groups: the limit is {MOST_GROUPS}"),
            }
        };
        Err(Error::LaunchLimit {
            device: gpu.identity.name.clone(),
            kernel: name,
            reason,
        })
    }
}
