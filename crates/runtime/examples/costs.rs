//! What the runtime's lock-free parts cost on this machine: nanoseconds for each call, the
//! best of many rounds.
//!
//! `cargo run --release -p wootz-runtime --example costs`

use std::{
    convert::Infallible,
    hint::black_box,
    num::NonZeroUsize,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use wootz_runtime::{
    Access,
    crew::Crew,
    hazard::{Hazards, Use},
    kernels::KernelCache,
    returns::{Linked, ReturnList},
    slots::Slots,
    timeline::Timeline,
};

/// Prints the cost of one call, the least of many rounds of `calls` calls.
fn report(name: &str, calls: u32, mut call: impl FnMut()) {
    let round = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    let best = (0..500)
        .map(|_| round(&mut call))
        .fold(f64::INFINITY, f64::min);
    println!("{name:<46} {best:>9.1} ns");
}

struct Node(AtomicPtr<Node>);

// SAFETY: one field, which only the list touches.
unsafe impl Linked for Node {
    fn next(&self) -> &AtomicPtr<Node> {
        &self.0
    }
}

fn main() {
    report("nothing (the loop itself)", 1000, || _ = black_box(0));
    timelines();
    tables();
    crews();
}

fn timelines() {
    let timeline = Timeline::new();
    report("advance", 1000, || {
        _ = black_box(black_box(&timeline).advance())
    });
    report("issue, complete", 1000, || {
        let ticket = black_box(&timeline).issue();
        timeline.complete(ticket);
    });
    let last = timeline.submitted();
    report("is_done", 1000, || {
        _ = black_box(black_box(&timeline).is_done(last))
    });
    report("wait for what is done", 1000, || {
        _ = black_box(black_box(&timeline).wait(last))
    });
}

fn tables() {
    let cache = KernelCache::<(u32, u8), u64, ()>::new();
    for op in 0..500 {
        let _ = cache.get_or_compile((op, 1), || Ok(u64::from(op)));
    }
    report("kernel lookup, 500 in the cache", 1000, || {
        _ = black_box(cache.get(black_box(&(77, 1))));
    });
    let slots = Slots::new(1024);
    report("slot acquire, release", 1000, || {
        let Ok(lease) = slots.acquire(Ok::<_, Infallible>);
        slots.release(lease.expect("one of many"));
    });
    let (list, node) = (ReturnList::new(), Node(AtomicPtr::new(ptr::null_mut())));
    report("return list push, take", 1000, || {
        // SAFETY: the node outlives the list's use of it, and is taken right after.
        unsafe { list.push(NonNull::from(&node)) };
        black_box(list.take_all().count());
    });
    let mut hazards = Hazards::new();
    let mut buffer = 0;
    report("hazards of a plan with 3 uses", 1000, || {
        buffer += 1;
        let touch = |buffer, access| Use {
            buffer,
            start: 0,
            end: 4096,
            access,
        };
        let uses = [
            touch(buffer, Access::Read),
            touch(7, Access::Read),
            touch(buffer + 1, Access::Write),
        ];
        black_box(hazards.plan(&uses));
    });
}

fn crews() {
    let crew = Crew::new(NonZeroUsize::new(2).expect("two"));
    report("2 empty units, alone", 100, || {
        _ = crew.run(2, 1, &|range, _| _ = black_box(range))
    });
    report("2 empty units, helper awake", 100, || {
        _ = crew.run(2, 2, &|range, _| _ = black_box(range));
    });
    // Each worker's unit waits for the other's, so the time is that of a full meeting.
    let meet = || {
        let met = AtomicUsize::new(0);
        let _ = crew.run(2, 2, &|_, _| {
            met.fetch_add(1, Relaxed);
            while met.load(Relaxed) < 2 {
                std::hint::spin_loop();
            }
        });
    };
    report("2 units that meet, helper awake", 100, meet);
    let asleep = (0..300).map(|_| {
        thread::sleep(Duration::from_micros(300));
        let start = Instant::now();
        meet();
        start.elapsed()
    });
    let best = asleep.min().unwrap_or_default().as_nanos();
    println!("{:<46} {best:>9} ns", "2 units that meet, helper asleep");
}
