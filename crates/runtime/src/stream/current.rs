//! The thread's current streams.

use super::Stream;
use crate::{device::Device, error::Result};
use std::{cell::RefCell, marker::PhantomData, ptr::NonNull, rc::Rc};

/// Entered streams, innermost last, then the thread's own.
#[derive(Default)]
struct Current {
    entered: Vec<NonNull<Stream>>,
    own: Vec<Rc<Stream>>,
}

thread_local! {
    static CURRENT: RefCell<Current> = RefCell::default();
}

/// A stream that stays alive while this is held.
pub(super) enum Guarded {
    Entered(NonNull<Stream>),
    Own(Rc<Stream>),
}

impl std::ops::Deref for Guarded {
    type Target = Stream;
    fn deref(&self) -> &Stream {
        match self {
            // SAFETY: `enter` borrows the stream until its guard drops, and guards nest with
            // the calls that look streams up.
            Guarded::Entered(stream) => unsafe { stream.as_ref() },
            Guarded::Own(stream) => stream,
        }
    }
}

pub(super) fn get(device: Device) -> Result<Guarded> {
    let found = CURRENT.try_with(|current| {
        let current = &mut *current.borrow_mut();
        if let Some(found) = current.find(device) {
            return Ok(found);
        }
        let stream = Rc::new(Stream::new(device)?);
        current.own.push(stream.clone());
        Ok(Guarded::Own(stream))
    });
    // A thread that is ending keeps no stream: each call has its own.
    found.unwrap_or_else(|_| Ok(Guarded::Own(Rc::new(Stream::new(device)?))))
}

/// Whether the current stream on `device`, if there is one, satisfies `f`.
pub(super) fn find(device: Device, f: impl FnOnce(&Stream) -> bool) -> bool {
    // A thread that is ending has no current stream.
    let found = CURRENT.try_with(|current| current.try_borrow().ok()?.find(device));
    found.ok().flatten().is_some_and(|stream| f(&stream))
}

impl Current {
    fn find(&self, device: Device) -> Option<Guarded> {
        for stream in self.entered.iter().rev() {
            // SAFETY: as in `Guarded::deref`.
            if unsafe { stream.as_ref() }.device() == device {
                return Some(Guarded::Entered(*stream));
            }
        }
        let own = self.own.iter().find(|stream| stream.device() == device)?;
        Some(Guarded::Own(own.clone()))
    }
}

/// Leaves the stream, on unwinding too.
pub(super) struct Guard<'a>(PhantomData<&'a Stream>);

pub(super) fn enter(stream: &Stream) -> Guard<'_> {
    CURRENT.with(|current| current.borrow_mut().entered.push(NonNull::from(stream)));
    Guard(PhantomData)
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| current.borrow_mut().entered.pop());
    }
}
