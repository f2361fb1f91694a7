//! The thread's current streams.

use super::Stream;
use crate::{device::Device, error::Result};
use std::{
    cell::{Cell, RefCell},
    mem::{self, ManuallyDrop},
    ptr::NonNull,
    rc::Rc,
};

/// The innermost of the entered streams, then the thread's own.
struct Current {
    entered: Cell<Option<NonNull<Entered>>>,
    own: RefCell<Vec<Rc<Stream>>>,
}

/// A stream that the thread is in. It lies in the frame of [`enter`].
struct Entered {
    stream: NonNull<Stream>,
    outer: Option<NonNull<Entered>>,
}

thread_local! {
    /// Never destroyed: values in a thread's storage may run ops when they are dropped, in any order.
    static CURRENT: ManuallyDrop<Current> = const {
        ManuallyDrop::new(Current { entered: Cell::new(None), own: RefCell::new(Vec::new()) })
    };
    static END: End = const { End };
}

/// Gives the thread's own streams back when it ends.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        drop(CURRENT.with(|current| mem::take(&mut *current.own.borrow_mut())));
    }
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
            // SAFETY: `enter` borrows the stream until its call ends, and calls that look streams up
            // nest in it.
            Guarded::Entered(stream) => unsafe { stream.as_ref() },
            Guarded::Own(stream) => stream,
        }
    }
}

pub(super) fn get(device: Device) -> Result<Guarded> {
    if let Some(found) = CURRENT.with(|current| current.find(device)) {
        return Ok(found);
    }
    let stream = Rc::new(Stream::new(device)?);
    // A thread that is ending keeps no stream, since nobody would give it back: each call has its own.
    if END.try_with(|_| ()).is_ok() {
        CURRENT.with(|current| current.own.borrow_mut().push(stream.clone()));
    }
    Ok(Guarded::Own(stream))
}

/// Whether the current stream on `device`, if there is one, satisfies `f`.
pub(super) fn find(device: Device, f: impl FnOnce(&Stream) -> bool) -> bool {
    let found = CURRENT.with(|current| current.find(device));
    found.is_some_and(|stream| f(&stream))
}

impl Current {
    fn find(&self, device: Device) -> Option<Guarded> {
        let mut next = self.entered.get();
        while let Some(entered) = next {
            // SAFETY: `enter` keeps both until its call ends, and unlinks the frame then.
            let (entered, stream) = unsafe {
                let entered = entered.as_ref();
                (entered, entered.stream.as_ref())
            };
            if stream.device() == device {
                return Some(Guarded::Entered(entered.stream));
            }
            next = entered.outer;
        }
        // Borrowed elsewhere only while a stream is added, which drops nothing.
        let own = self.own.try_borrow().ok()?;
        let own = own.iter().find(|stream| stream.device() == device)?;
        Some(Guarded::Own(own.clone()))
    }
}

/// Calls `f` with `stream` as the thread's current one on its device.
pub(super) fn enter<R>(stream: &Stream, f: impl FnOnce() -> R) -> R {
    /// Leaves the stream, on unwinding too.
    struct Left(Option<NonNull<Entered>>);
    impl Drop for Left {
        fn drop(&mut self) {
            CURRENT.with(|current| current.entered.set(self.0));
        }
    }
    let outer = CURRENT.with(|current| current.entered.get());
    let here = Entered {
        stream: NonNull::from(stream),
        outer,
    };
    let _left = Left(outer);
    CURRENT.with(|current| current.entered.set(Some(NonNull::from(&here))));
    f()
}
