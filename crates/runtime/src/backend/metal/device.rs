//! Metal devices as the runtime sees them. Looking them up opens none; a device is opened when
//! something is first done on it.

use super::{
    cores,
    gpu::{Gpu, TRACKS},
    memory::Memory,
    queue::MetalQueue,
};
use crate::{
    backend::{Backend, Found, Queue},
    buffer::RawMemory,
    caps::{Caps, Family},
    device::Device,
    error::Result,
    stream::StreamShared,
    timeline::Ticket,
};
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::{NSOperatingSystemVersion, NSProcessInfo};
use objc2_metal::{MTLCopyAllDevices, MTLDevice, MTLGPUFamily};
use std::sync::OnceLock;

/// The families that the kernels can count on: 32 lanes in a simd, and matrices of a simd.
const FAMILIES: &[(MTLGPUFamily, &str)] = &[
    (MTLGPUFamily::Apple10, "apple10"),
    (MTLGPUFamily::Apple9, "apple9"),
    (MTLGPUFamily::Apple8, "apple8"),
    (MTLGPUFamily::Apple7, "apple7"),
];
/// The first macOS whose Metal has the kernels' language, 3.1.
const OLDEST: isize = 14;

// Metal names its default device by way of this framework, and asks to have it linked.
#[link(name = "CoreGraphics", kind = "framework")]
unsafe extern "C" {}

/// The Metal devices of this machine, and why others are not among them. Looked up once.
pub(crate) fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| autoreleasepool(|_| find_all()))
}

fn find_all() -> Found {
    let mut found = Found::default();
    let oldest = NSOperatingSystemVersion {
        majorVersion: OLDEST,
        minorVersion: 0,
        patchVersion: 0,
    };
    if !NSProcessInfo::processInfo().isOperatingSystemAtLeastVersion(oldest) {
        found
            .absent
            .push(format!("metal: macOS {OLDEST} is needed"));
        return found;
    }
    let devices = MTLCopyAllDevices();
    if devices.is_empty() {
        found
            .absent
            .push("metal: this machine has no GPU that Metal knows".to_owned());
    }
    for (ordinal, device) in devices.iter().enumerate() {
        let name = format!("metal:{ordinal}");
        match Metal::new(&name, device) {
            Ok(metal) => found.devices.push(Device::register(&name, Box::new(metal))),
            Err(reason) => found.absent.push(format!("{name}: {reason}")),
        }
    }
    found
}

struct Metal {
    name: String,
    caps: Caps,
    device: Retained<ProtocolObject<dyn MTLDevice>>,
    gpu: OnceLock<Result<&'static Gpu>>,
}

impl Metal {
    fn new(name: &str, device: Retained<ProtocolObject<dyn MTLDevice>>) -> Result<Metal, String> {
        let product = device.name().to_string();
        let family = FAMILIES
            .iter()
            .find(|(family, _)| device.supportsFamily(*family));
        let Some((_, level)) = family else {
            return Err(format!(
                "{product} is of no family that the kernels are written for: apple7 is needed"
            ));
        };
        if !device.hasUnifiedMemory() {
            return Err(format!("{product} has memory of its own"));
        }
        let caps = Caps {
            family: Family::Metal,
            product,
            cores: cores::count(device.registryID()).unwrap_or(1),
            level: (*level).to_owned(),
            memory: usize::try_from(device.recommendedMaxWorkingSetSize()).unwrap_or(usize::MAX),
            scratch: device.maxThreadgroupMemoryLength(),
            cluster: 1,
            host_visible: true,
            synchronous: false,
            subnormals: false,
            max_streams: TRACKS,
        };
        Ok(Metal {
            name: name.to_owned(),
            caps,
            device,
            gpu: OnceLock::new(),
        })
    }

    fn gpu(&self) -> Result<&'static Gpu> {
        self.gpu
            .get_or_init(|| Gpu::open(&self.name, self.device.clone()))
            .clone()
    }
}

impl Backend for Metal {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn queue(&self, index: usize) -> Result<Box<dyn Queue>> {
        let gpu = self.gpu()?;
        let track = gpu.track_or_made(index)?;
        Ok(Box::new(MetalQueue { gpu, track }))
    }

    fn allocate(&self, stream: usize, bytes: usize) -> Result<Option<RawMemory>> {
        let gpu = self.gpu()?;
        gpu.check()?;
        Ok(Memory::allocate(gpu, stream, bytes))
    }

    unsafe fn free(&self, _stream: usize, memory: RawMemory) {
        // SAFETY: `allocate` made it, and the caller gives it up; buffers that use it keep it.
        unsafe { Memory::free(memory) };
    }

    fn observe(&self, stream: &StreamShared, ticket: Ticket) {
        if let Some(Ok(gpu)) = self.gpu.get()
            && let Some(track) = gpu.track(stream.index)
        {
            track.observe(gpu, &stream.timeline, ticket);
        }
    }

    fn watch(&self, stream: &StreamShared, ticket: Ticket) {
        if let Some(Ok(gpu)) = self.gpu.get()
            && let Some(track) = gpu.track(stream.index)
        {
            // Its buffer's handler does the rest.
            track.lane.flush(ticket);
        }
    }
}
