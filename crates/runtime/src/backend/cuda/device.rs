//! CUDA devices as the runtime sees them. Looking them up asks the driver only; a device is opened
//! when something is first done on it.

use super::{
    driver::{Driver, driver},
    gpu::{Gpu, Identity, LANES},
    queue::CudaQueue,
};
use crate::{
    backend::{Backend, Found, Queue},
    buffer::RawMemory,
    caps::{Caps, Family},
    device::Device,
    error::Result,
    resident::{Residence, Submission},
    stream::StreamShared,
    timeline::Ticket,
};
use cudarc::driver::sys::{CUdevice, CUdevice_attribute_enum as Attribute, CUdeviceptr};
use std::{ffi::c_char, sync::OnceLock};

/// The oldest compute capability that the kernels are written for.
const OLDEST: u32 = 80;

/// The CUDA devices of this machine, and why others are not among them. Looked up once.
pub(crate) fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Found::default();
        match driver() {
            Ok(driver) => find_all(driver, &mut found),
            Err(reason) => found.absent.push(format!("cuda: {reason}")),
        }
        found
    })
}

fn find_all(driver: &Driver, found: &mut Found) {
    let mut count = 0;
    // SAFETY: writes one number.
    if let Err(failure) = unsafe { driver.device_count(&raw mut count) } {
        found.absent.push(format!("cuda: {failure}"));
    }
    for ordinal in 0..count {
        let name = format!("cuda:{ordinal}");
        match Cuda::find(driver, ordinal, &name) {
            Ok(cuda) => found.devices.push(Device::register(&name, Box::new(cuda))),
            Err(reason) => found.absent.push(format!("{name}: {reason}")),
        }
    }
}

struct Cuda {
    caps: Caps,
    identity: Identity,
    gpu: OnceLock<Result<&'static Gpu>>,
}

impl Cuda {
    fn find(driver: &Driver, ordinal: i32, name: &str) -> Result<Cuda, String> {
        let mut device = 0;
        // SAFETY: writes one number.
        unsafe { driver.device(&raw mut device, ordinal) }
            .map_err(|failure| failure.to_string())?;
        let about = About { driver, device };
        let capability = 10 * about.get(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
            + about.get(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
        let product = about.product();
        if capability < OLDEST {
            let (major, minor) = (capability / 10, capability % 10);
            return Err(format!(
                "{product} has compute capability {major}.{minor}; 8.0 is needed"
            ));
        }
        if about.get(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED) == 0 {
            return Err(format!("{product} has no memory pools"));
        }
        let scratch =
            about.get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) as usize;
        let writes = Attribute::CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS;
        let caps = Caps {
            family: Family::Cuda,
            product,
            cores: about.get(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) as usize,
            level: format!("sm_{capability}"),
            memory: about.memory(),
            scratch,
            cluster: if capability >= 90 { 8 } else { 1 },
            host_visible: false,
            synchronous: false,
            subnormals: true,
            max_streams: LANES,
        };
        let identity = Identity {
            name: name.to_owned(),
            device,
            capability,
            scratch,
            writes_values: about.get(writes) != 0,
        };
        Ok(Cuda {
            caps,
            identity,
            gpu: OnceLock::new(),
        })
    }

    fn gpu(&self) -> Result<&'static Gpu> {
        self.gpu
            .get_or_init(|| Gpu::open(self.identity.clone()))
            .clone()
    }
}

/// What the driver tells of a device that is not open.
struct About<'a> {
    driver: &'a Driver,
    device: CUdevice,
}

impl About<'_> {
    /// An attribute; 0 where the driver does not know it.
    fn get(&self, attribute: Attribute) -> u32 {
        let mut value = 0;
        let asked = attribute as u32;
        // SAFETY: writes one number.
        match unsafe {
            self.driver
                .device_attribute(&raw mut value, asked, self.device)
        } {
            Ok(()) => u32::try_from(value).unwrap_or(0),
            Err(_) => 0,
        }
    }

    fn product(&self) -> String {
        let mut name = [0u8; 256];
        let (start, bytes) = (name.as_mut_ptr().cast::<c_char>(), name.len() as i32);
        // SAFETY: writes at most as many bytes as said, the last a zero.
        let named = unsafe { self.driver.device_name(start, bytes, self.device) };
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
        match named {
            Ok(()) => String::from_utf8_lossy(&name[..end]).into_owned(),
            Err(_) => "NVIDIA GPU".to_owned(),
        }
    }

    fn memory(&self) -> usize {
        let mut bytes = 0;
        // SAFETY: writes one number.
        match unsafe { self.driver.device_memory(&raw mut bytes, self.device) } {
            Ok(()) => bytes,
            Err(_) => 0,
        }
    }
}

impl Backend for Cuda {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn queue(&self, index: usize) -> Result<Box<dyn Queue>> {
        let gpu = self.gpu()?;
        let lane = gpu.lane_or_made(index)?;
        Ok(Box::new(CudaQueue::new(gpu, lane)?))
    }

    fn allocate(&self, stream: usize, bytes: usize) -> Result<Option<RawMemory>> {
        let gpu = self.gpu()?;
        let memory = gpu.allocate(gpu.lane_or_made(stream)?, bytes)?;
        Ok(memory.map(|address| RawMemory {
            handle: address as usize,
            host: std::ptr::null_mut(),
            bytes,
        }))
    }

    unsafe fn free(&self, stream: usize, memory: RawMemory) {
        if let Ok(gpu) = self.gpu()
            && let Some(lane) = gpu.lane(stream)
            && gpu.enter().is_ok()
        {
            // SAFETY: `allocate` made it, and its last use is on this lane or done; the lane's ring
            // is joined first. Where this fails the device is lost, and the memory with it.
            let _ = lane.join(gpu).and_then(|()| unsafe {
                gpu.driver.free(memory.handle as CUdeviceptr, lane.stream.0)
            });
        }
    }

    fn trim(&self) {
        if let Some(Ok(gpu)) = self.gpu.get()
            && gpu.enter().is_ok()
        {
            // What the driver cannot give back now it gives back later.
            let _ = gpu.trim();
        }
    }

    fn set_submission(&self, way: Submission) {
        if let Ok(gpu) = self.gpu() {
            gpu.executor.set_way(way);
        }
    }

    fn submission(&self) -> Submission {
        self.gpu()
            .map_or(Submission::Launch, |gpu| gpu.executor.way())
    }

    fn residence(&self) -> Residence {
        match self.gpu() {
            Ok(gpu) => gpu.executor.residence(),
            Err(error) => Residence::Absent(error.to_string()),
        }
    }

    unsafe fn download(&self, memory: RawMemory, offset: usize, out: &mut [u8]) -> Result<()> {
        self.gpu()?
            .download((memory.handle + offset) as CUdeviceptr, out)
    }

    fn observe(&self, stream: &StreamShared, ticket: Ticket) {
        if let Some(Ok(gpu)) = self.gpu.get()
            && let Some(lane) = gpu.lane(stream.index)
        {
            lane.observe(gpu, &stream.timeline, ticket);
        }
    }

    fn finish(&self, stream: &StreamShared, ticket: Ticket) {
        if let Some(Ok(gpu)) = self.gpu.get()
            && let Some(lane) = gpu.lane(stream.index)
        {
            lane.finish(gpu, &stream.timeline, ticket);
        }
    }

    fn watch(&self, stream: &StreamShared, ticket: Ticket) {
        if let Some(Ok(gpu)) = self.gpu.get()
            && let Some(lane) = gpu.lane(stream.index)
        {
            lane.want(gpu, &stream.timeline, ticket);
        }
    }
}
