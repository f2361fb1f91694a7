//! From a kernel's source to what a dispatch needs.
//!
//! Metal compiles in two steps: source to a library, which the system caches by itself, and the
//! library's functions to the device's code. The outcome of the second step is kept on disk as a
//! binary archive, named by all that went into it. Metal reads archives from files, so that a file's
//! soundness is proven beside it: a kept image of its fingerprint.

use super::gpu::Gpu;
use crate::{
    cache,
    compiled::Compiled,
    error::{Error, Result},
    fingerprint::fingerprint,
    kept::Kept,
    module::Source,
    plan::{MAX_PARAMS, Plan},
};
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::{NSObjectProtocol, ProtocolObject},
    sel,
};
use objc2_foundation::{NSArray, NSError, NSProcessInfo, NSString, NSURL};
use objc2_metal::{
    MTLBinaryArchive, MTLBinaryArchiveDescriptor, MTLCompileOptions, MTLComputePipelineDescriptor,
    MTLComputePipelineState, MTLDevice, MTLFunction, MTLLanguageVersion, MTLLibrary, MTLMathMode,
    MTLPipelineOption,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// What the options below amount to, for the names of what is kept.
const OPTIONS: &str = "3.1 safe";

/// The compiled kernels of one device.
pub(super) struct Kernels {
    /// The device and its system: code for one is none for another.
    target: String,
    kept: Kept,
    compiled: Compiled<Library, Pipeline>,
}

type Library = Retained<ProtocolObject<dyn MTLLibrary>>;

/// A compiled entry point, and what a dispatch of it may ask for.
pub(super) struct Pipeline {
    pub(super) state: Retained<ProtocolObject<dyn MTLComputePipelineState>>,
    lanes: usize,
    scratch: usize,
}

impl Kernels {
    pub(super) fn new(device: &ProtocolObject<dyn MTLDevice>) -> Kernels {
        autoreleasepool(|_| {
            let system = NSProcessInfo::processInfo().operatingSystemVersionString();
            Kernels {
                target: format!("{} {system}", device.name()),
                kept: Kept::new(cache::folder().map(|folder| folder.join("metal"))),
                compiled: Compiled::new(),
            }
        })
    }

    /// The compiled entry point. Compiles it if nobody has.
    pub(super) fn find(&self, gpu: &Gpu, source: Source) -> Result<&Pipeline> {
        let library = || autoreleasepool(|_| library(gpu, source));
        let pipeline = |library: &Library| autoreleasepool(|_| self.pipeline(gpu, source, library));
        self.compiled.find(source, library, pipeline)
    }

    fn pipeline(&self, gpu: &Gpu, source: Source, library: &Library) -> Result<Pipeline> {
        let refused = |log| refused(gpu, source, log);
        let function = library.newFunctionWithName(&NSString::from_str(source.entry));
        let function = function.ok_or_else(|| {
            refused(format!(
                "the compiled source has no entry point {:?}",
                source.entry
            ))
        })?;
        let state = self.state(gpu, source, &function);
        let state = state.map_err(|error| refused(words(&error)))?;
        let own = state.staticThreadgroupMemoryLength();
        Ok(Pipeline {
            lanes: state.maxTotalThreadsPerThreadgroup(),
            scratch: gpu.device.maxThreadgroupMemoryLength().saturating_sub(own),
            state,
        })
    }

    /// The function's code, from disk if it is there.
    fn state(
        &self,
        gpu: &Gpu,
        source: Source,
        function: &ProtocolObject<dyn MTLFunction>,
    ) -> Result<Retained<ProtocolObject<dyn MTLComputePipelineState>>, Retained<NSError>> {
        let parts = [source.module.text(), source.entry, &self.target, OPTIONS];
        let key = fingerprint(parts.map(str::as_bytes));
        let descriptor = MTLComputePipelineDescriptor::new();
        descriptor.setComputeFunction(Some(function));
        let make = |option| {
            gpu.device
                .newComputePipelineStateWithDescriptor_options_reflection_error(
                    &descriptor,
                    option,
                    None,
                )
        };
        if let Some(archive) = self.archive(gpu, key) {
            descriptor.setBinaryArchives(Some(&NSArray::from_retained_slice(&[archive])));
            if let Ok(state) = make(MTLPipelineOption::FailOnBinaryArchiveMiss) {
                return Ok(state);
            }
            // Of another driver than its name says.
            self.kept.forget(key);
            descriptor.setBinaryArchives(None);
        }
        let state = make(MTLPipelineOption::None)?;
        self.keep(gpu, key, &descriptor);
        Ok(state)
    }

    /// The archive of `key`, if it is there and whole.
    fn archive(
        &self,
        gpu: &Gpu,
        key: u128,
    ) -> Option<Retained<ProtocolObject<dyn MTLBinaryArchive>>> {
        let proof = self.kept.get(key)?;
        let path = self.archive_path(key)?;
        let whole = fs::read(&path).is_ok_and(|archive| proof == print_of(&archive));
        let descriptor = MTLBinaryArchiveDescriptor::new();
        descriptor.setUrl(Some(&url(&path)));
        let archive = whole
            .then(|| gpu.device.newBinaryArchiveWithDescriptor_error(&descriptor))
            .and_then(Result::ok);
        if archive.is_none() {
            self.kept.tell(&path, "damaged; it is compiled again");
            self.kept.forget(key);
        }
        archive
    }

    /// Keeps the code that `descriptor` asks for, if that is possible.
    fn keep(&self, gpu: &Gpu, key: u128, descriptor: &MTLComputePipelineDescriptor) {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let Some(path) = self.archive_path(key) else {
            return;
        };
        let count = COUNTER.fetch_add(1, Relaxed);
        // A name that no other thread or process uses.
        let draft = path.with_extension(format!("{}-{count}", std::process::id()));
        let written = write(gpu, descriptor, &draft).and_then(|proof| {
            let moved = fs::rename(&draft, &path);
            moved.map(|()| proof).map_err(|error| error.to_string())
        });
        match written {
            // Last, since it vouches for the archive.
            Ok(proof) => self.kept.put(key, &proof),
            Err(trouble) => {
                self.kept.tell(&path, &trouble);
                // It may not even have been made.
                let _ = fs::remove_file(&draft);
            }
        }
    }

    fn archive_path(&self, key: u128) -> Option<PathBuf> {
        Some(self.kept.path(key)?.with_extension("archive"))
    }
}

fn library(gpu: &Gpu, source: Source) -> Result<Library> {
    let (device, text) = (&gpu.device, NSString::from_str(source.module.text()));
    let library = device.newLibraryWithSource_options_error(&text, Some(&options()));
    library.map_err(|error| refused(gpu, source, words(&error)))
}

fn refused(gpu: &Gpu, source: Source, log: String) -> Error {
    Error::Compile {
        device: gpu.name.clone(),
        kernel: source.entry,
        log,
    }
}

/// Writes an archive to `draft`, and gives its proof.
fn write(
    gpu: &Gpu,
    descriptor: &MTLComputePipelineDescriptor,
    draft: &Path,
) -> Result<Vec<u8>, String> {
    if let Some(folder) = draft.parent() {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    let empty = MTLBinaryArchiveDescriptor::new();
    let archive = gpu.device.newBinaryArchiveWithDescriptor_error(&empty);
    let archive = archive.map_err(|error| words(&error))?;
    archive
        .addComputePipelineFunctionsWithDescriptor_error(descriptor)
        .and_then(|()| archive.serializeToURL_error(&url(draft)))
        .map_err(|error| words(&error))?;
    let bytes = fs::read(draft).map_err(|error| error.to_string())?;
    Ok(print_of(&bytes))
}

fn print_of(archive: &[u8]) -> Vec<u8> {
    fingerprint([archive]).to_le_bytes().to_vec()
}

fn url(path: &Path) -> Retained<NSURL> {
    NSURL::fileURLWithPath(&NSString::from_str(&path.to_string_lossy()))
}

fn words(error: &NSError) -> String {
    error.localizedDescription().to_string()
}

/// The kernels' language, and arithmetic that means what it says.
fn options() -> Retained<MTLCompileOptions> {
    let options = MTLCompileOptions::new();
    options.setLanguageVersion(MTLLanguageVersion::Version3_1);
    if options.respondsToSelector(sel!(setMathMode:)) {
        options.setMathMode(MTLMathMode::Safe);
    } else {
        #[expect(deprecated, reason = "macOS 14 has no other word for it")]
        options.setFastMathEnabled(false);
    }
    options
}

impl Pipeline {
    /// The number of groups, if the device can run the plan's.
    pub(super) fn groups(&self, gpu: &Gpu, plan: &Plan<'_>) -> Result<usize> {
        /// Buffers of a dispatch; the parameters are one.
        const MOST_BUFFERS: usize = 31;
        // They travel with the dispatch, which takes so many bytes.
        const { assert!(MAX_PARAMS <= 4096) };
        let (lanes, groups) = (plan.grid.lanes as usize, plan.grid.units);
        let reason = if plan.bindings.len() >= MOST_BUFFERS {
            let buffers = plan.bindings.len();
            format!("{buffers} buffers: the limit is {}", MOST_BUFFERS - 1)
        } else if lanes == 0 || lanes > self.lanes {
            format!(
                "{lanes} lanes in a group: this kernel has 1 to {}",
                self.lanes
            )
        } else if plan.scratch > self.scratch {
            format!(
                "{} bytes of scratch: the limit is {}",
                plan.scratch, self.scratch
            )
        } else if u32::try_from(groups).is_err() {
            format!("{groups} groups: the limit is {}", u32::MAX)
        } else {
            return Ok(groups);
        };
        Err(Error::LaunchLimit {
            device: gpu.name.clone(),
            kernel: plan.kernel.name,
            reason,
        })
    }
}
