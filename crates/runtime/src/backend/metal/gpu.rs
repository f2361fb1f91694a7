//! One device that is open, and what all its streams share.

use super::{kernels::Kernels, track::Track};
use crate::{
    encode::{Await, Room},
    error::{Error, Result},
    timeline::{Fault, Ticket},
};
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_metal::{MTLCommandBuffer, MTLCommandBufferError, MTLCommandQueue, MTLDevice};
use std::{
    sync::{
        OnceLock,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::Duration,
};

/// Streams that a device can have at once.
pub(super) const TRACKS: usize = 512;
/// Command buffers that the queue may have before it blocks who wants another.
const QUEUE: usize = 64;
/// Command buffers that streams may have, open or under way.
const PLACES: usize = 48;
/// The pause between looks for a free place.
const PAUSE: Duration = Duration::from_micros(20);

/// An open device. It lives as long as the process.
pub(super) struct Gpu {
    pub(super) name: String,
    pub(super) device: Retained<ProtocolObject<dyn MTLDevice>>,
    pub(super) queue: Retained<ProtocolObject<dyn MTLCommandQueue>>,
    pub(super) kernels: Kernels,
    pub(super) room: Room,
    tracks: Box<[OnceLock<Track>]>,
    /// A buffer has failed, so that events may have been raised by hand.
    faulted: AtomicBool,
    lost: OnceLock<String>,
}

impl Gpu {
    pub(super) fn open(
        name: &str,
        device: Retained<ProtocolObject<dyn MTLDevice>>,
    ) -> Result<&'static Gpu> {
        let queue = autoreleasepool(|_| device.newCommandQueueWithMaxCommandBufferCount(QUEUE));
        let queue = queue.ok_or_else(|| Error::Driver {
            device: name.to_owned(),
            call: "newCommandQueueWithMaxCommandBufferCount",
            message: "it gave no queue".to_owned(),
        })?;
        Ok(Box::leak(Box::new(Gpu {
            name: name.to_owned(),
            kernels: Kernels::new(&device),
            device,
            queue,
            room: Room::new(PLACES),
            tracks: (0..TRACKS).map(|_| OnceLock::new()).collect(),
            faulted: AtomicBool::new(false),
            lost: OnceLock::new(),
        })))
    }

    /// An error if nothing can run on the device any more.
    pub(super) fn check(&self) -> Result<()> {
        match self.lost.get() {
            None => Ok(()),
            Some(message) => Err(Error::DeviceLost {
                device: self.name.clone(),
                message: message.clone(),
            }),
        }
    }

    /// What a call that gave nothing comes to.
    pub(super) fn refused(&self, call: &'static str, message: &str) -> Error {
        self.check().err().unwrap_or_else(|| Error::Driver {
            device: self.name.clone(),
            call,
            message: format!("it gave {message}"),
        })
    }

    /// Whether a buffer has failed.
    pub(super) fn faulted(&self) -> bool {
        self.faulted.load(Acquire)
    }

    /// The track of stream `index`, made now if need be. Only the stream's owner asks.
    pub(super) fn track_or_made(&'static self, index: usize) -> Result<&'static Track> {
        if let Some(track) = self.track(index) {
            return Ok(track);
        }
        let track = autoreleasepool(|_| Track::new(self, index))?;
        Ok(self.tracks[index].get_or_init(|| track))
    }

    /// The track of stream `index`, if it is made.
    pub(super) fn track(&self, index: usize) -> Option<&Track> {
        self.tracks.get(index)?.get()
    }

    fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter_map(OnceLock::get)
    }

    /// Has every stream commit, and waits a moment.
    pub(super) fn make_room(&self) {
        for track in self.tracks() {
            if let Some(timeline) = track.timeline() {
                track.lane.flush(timeline.submitted());
            }
        }
        thread::sleep(PAUSE);
    }

    /// A buffer of stream `index`, whose last ticket is `last` and which waited for `waits`, has come
    /// to its end, good or bad. `mod.rs` tells why in this order.
    pub(super) fn finished(
        &self,
        index: usize,
        last: Ticket,
        waits: &[Await],
        buffer: &ProtocolObject<dyn MTLCommandBuffer>,
    ) {
        self.room.give();
        let Some(track) = self.track(index) else {
            return;
        };
        let Some(timeline) = track.timeline() else {
            return;
        };
        match self.trouble(waits, buffer) {
            Some(fault) => {
                timeline.fail(fault);
                self.faulted.store(true, Release);
            }
            None if timeline.fault().is_none() => track.ended_well(last),
            // What came before it on this stream failed.
            None => {}
        }
        if timeline.fault().is_some() {
            track.raise();
        }
        timeline.complete(last);
    }

    /// What is wrong with what a buffer did, if anything is.
    fn trouble(
        &self,
        waits: &[Await],
        buffer: &ProtocolObject<dyn MTLCommandBuffer>,
    ) -> Option<Fault> {
        if let Some(error) = autoreleasepool(|_| buffer.error()) {
            let message = error.localizedDescription().to_string();
            let code = MTLCommandBufferError(error.code().unsigned_abs());
            if code == MTLCommandBufferError::DeviceRemoved
                || code == MTLCommandBufferError::AccessRevoked
            {
                self.lose(&message);
            }
            return Some(Fault::new(message));
        }
        waits.iter().find_map(|wait| {
            let fault = self.track(wait.stream)?.fault_of(wait.ticket)?;
            let stream = wait.stream;
            Some(Fault::new(format!(
                "it used results of stream {stream}, which failed: {fault}"
            )))
        })
    }

    /// Notes that nothing will run any more, and tells all who wait.
    fn lose(&self, message: &str) {
        self.lost.get_or_init(|| message.to_owned());
        for track in self.tracks() {
            if let Some(timeline) = track.timeline() {
                timeline.fail(Fault::new(format!("the device is lost: {message}")));
            }
        }
        self.faulted.store(true, Release);
    }
}
