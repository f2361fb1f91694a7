#![cfg(loom)]
//! Memory on its way home under every interleaving: from the last handle, wherever that is
//! dropped, through the return list and limbo to its next use.

use loom::{cell::UnsafeCell, sync::Arc, thread};
use wootz_runtime::{Body, Buffer, Call, Device, Grid, Kernel, Plan, Stream, null::Null};

/// What the buffer's memory holds; loom reports it if two use that without order.
struct Contents(UnsafeCell<usize>);

// SAFETY: read by users of the buffer, written by who is given its memory next: what the models
// are here to keep apart.
unsafe impl Sync for Contents {}

impl Contents {
    fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(7)))
    }

    fn read(&self) {
        // SAFETY: see `Sync`.
        assert_eq!(self.0.with(|value| unsafe { *value }), 7);
    }

    fn write(&self) {
        // SAFETY: see `Sync`.
        self.0.with_mut(|value| unsafe { *value = 8 });
    }
}

fn device() -> (Device, Null) {
    Null::device(1 << 20, false)
}

/// Allocates as often as there may be blocks at home, and uses the memory if it is `id`'s.
fn use_again(stream: &Stream, id: usize, contents: &Contents) -> usize {
    let buffers = [(); 2].map(|()| stream.allocate(100).unwrap());
    let found = buffers.iter().filter(|buffer| buffer.id() == id).count();
    if found > 0 {
        contents.write();
    }
    buffers.into_iter().for_each(std::mem::forget);
    found
}

/// Runs `away` beside an owner that uses the memory of `buffer` again, and says that the owner
/// got it once, then or later. The owner is the spawned one, which loom runs last: it looks for
/// other orders from there, and the other way round it would find too few.
fn meet(home: Stream, buffer: Buffer, contents: &Arc<Contents>, away: impl FnOnce(Buffer)) {
    let id = buffer.id();
    let owner = {
        let contents = contents.clone();
        thread::spawn(move || {
            let found = use_again(&home, id, &contents);
            (home, found)
        })
    };
    away(buffer);
    let (home, early) = owner.join().unwrap();
    let late = if early == 0 {
        use_again(&home, id, contents)
    } else {
        0
    };
    assert_eq!(early + late, 1);
}

#[test]
fn memory_comes_home_once_and_after_every_use() {
    loom::model(|| {
        let (device, _null) = device();
        let (home, contents) = (Stream::new(device).unwrap(), Contents::new());
        let buffer = home.allocate(100).unwrap();
        let other = {
            let (buffer, contents) = (buffer.clone(), contents.clone());
            thread::spawn(move || {
                contents.read();
                drop(buffer);
            })
        };
        meet(home, buffer, &contents, |buffer| {
            contents.read();
            drop(buffer);
            other.join().unwrap();
        });
    });
}

#[test]
fn memory_that_another_stream_uses_waits_for_its_work() {
    unsafe fn nothing(_: &mut Call<'_>) {}
    loom::model(|| {
        let (device, null) = device();
        let (home, away) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
        let (buffer, contents) = (home.allocate(100).unwrap(), Contents::new());
        meet(home, buffer, &contents, |buffer| {
            let kernel = Kernel {
                name: "nothing",
                body: Body::Native(nothing),
            };
            let plan = Plan::new(kernel, Grid::units(1), &0_u64).read(&buffer, 0);
            // SAFETY: the device runs nothing.
            unsafe { away.submit(&plan).unwrap() };
            drop(plan);
            drop(buffer);
            // The device runs the plan only now.
            contents.read();
            null.complete(away.index());
        });
    });
}
