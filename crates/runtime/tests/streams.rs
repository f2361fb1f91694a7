#![cfg(not(loom))]
//! Streams, pools and graphs on null devices, whose work is done when a test says so.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
};
use wootz_runtime::{
    Body, Buffer, Call, Device, Error, Grid, Kernel, Plan, Stream,
    null::{Entry, Null},
};

unsafe fn nothing(_: &mut Call<'_>) {}

const KERNEL: Kernel = Kernel {
    name: "nothing",
    body: Body::Native(nothing),
};

/// A device whose work stays running until it is completed.
fn running(memory: usize) -> (Device, Null) {
    Null::device(memory, false)
}

/// Submits a plan that reads `inputs` and writes `out`.
fn submit(stream: &Stream, inputs: &[&Buffer], out: &Buffer) -> Result<(), Error> {
    let plan = Plan::new(KERNEL, Grid::units(1), &0u64).write(out, 0);
    let plan = inputs.iter().fold(plan, |plan, input| plan.read(input, 0));
    // SAFETY: the device runs nothing.
    unsafe { stream.submit(&plan) }
}

/// A new buffer that `stream` writes from `inputs`.
fn made(stream: &Stream, inputs: &[&Buffer]) -> Buffer {
    let out = stream.allocate(1000).unwrap();
    submit(stream, inputs, &out).unwrap();
    out
}

/// The waits in the log, as stream, producer and ticket.
fn waits(null: &Null) -> Vec<(usize, usize, u64)> {
    let wait = |entry: Entry| match entry {
        Entry::Wait {
            stream,
            producer,
            ticket,
        } => Some((stream, producer, ticket)),
        _ => None,
    };
    null.take_log().into_iter().filter_map(wait).collect()
}

#[test]
fn a_stream_waits_for_a_producer_elsewhere_once() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let first = made(&a, &[]);
    let second = made(&a, &[]);
    let third = made(&a, &[]);
    made(&b, &[&second]);
    // What is known to come before what was waited for needs no wait of its own.
    made(&b, &[&second, &first]);
    assert_eq!(waits(&null), [(b.index(), a.index(), 2)]);
    made(&b, &[&third]);
    assert_eq!(waits(&null), [(b.index(), a.index(), 3)]);
    null.complete(a.index());
    null.complete(b.index());
}

#[test]
fn a_wait_stands_before_the_plan_that_needs_it() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let x = made(&a, &[]);
    null.take_log();
    made(&b, &[&x]);
    assert!(matches!(
        null.take_log()[..],
        [Entry::Wait { .. }, Entry::Plan { .. }]
    ));
}

#[test]
fn nobody_waits_for_what_is_done_or_his_own() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let x = made(&a, &[]);
    made(&a, &[&x]);
    null.complete(a.index());
    assert!(x.is_ready());
    made(&b, &[&x]);
    let uploaded = b.upload(&[1, 2, 3]).unwrap();
    made(&a, &[&uploaded]);
    assert!(waits(&null).is_empty());
}

#[test]
fn events_order_streams() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let start = a.event();
    made(&a, &[]);
    let event = a.event();
    assert!(start.is_done() && !event.is_done());
    for event in [start, event, event] {
        b.wait_for(&event).unwrap();
        a.wait_for(&event).unwrap();
    }
    assert_eq!(waits(&null), [(b.index(), a.index(), 1)]);
    null.complete(a.index());
    event.wait().unwrap();
}

#[test]
fn freed_memory_is_used_again_at_once_at_home() {
    let (device, _null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    stream.enter(|| {
        let x = made(&stream, &[]);
        let (id, used) = (x.id(), device.memory_used());
        drop(x);
        assert_eq!(stream.held(), used);
        for _ in 0..10 {
            assert_eq!(made(&stream, &[]).id(), id);
        }
        assert_eq!(device.memory_used(), used);
    });
}

#[test]
fn a_drop_on_another_thread_comes_home() {
    let (device, _null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let x = stream.allocate(1000).unwrap();
    let id = x.id();
    std::thread::spawn(move || drop(x)).join().unwrap();
    assert_eq!(stream.allocate(1000).unwrap().id(), id);
}

#[test]
fn a_clone_keeps_memory_from_its_home() {
    let (device, _null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let x = stream.allocate(1000).unwrap();
    let clone = x.clone();
    drop(x);
    let other = stream.allocate(1000).unwrap();
    assert_ne!(other.id(), clone.id());
}

#[test]
fn shared_memory_stays_in_limbo_until_pending_work_is_done() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let x = made(&a, &[]);
    let id = x.id();
    null.complete(a.index());
    made(&b, &[&x]);
    drop(x);
    let meanwhile = a.allocate(1000).unwrap();
    assert_ne!(
        meanwhile.id(),
        id,
        "the other stream may still be reading it"
    );
    null.complete(b.index());
    assert_eq!(a.allocate(1000).unwrap().id(), id);
}

#[test]
fn shared_memory_is_free_at_once_when_nothing_is_pending() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let x = made(&a, &[]);
    let id = x.id();
    made(&b, &[&x]);
    null.complete(a.index());
    null.complete(b.index());
    drop(x);
    assert_eq!(a.allocate(1000).unwrap().id(), id);
}

#[test]
fn a_fault_surfaces_on_its_own_stream() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let (x, y) = (made(&a, &[]), made(&b, &[]));
    null.fail(a.index(), "the card fell off");
    null.complete(b.index());
    for error in [a.synchronize().unwrap_err(), x.wait().unwrap_err()] {
        let Error::Fault { stream, message } = error else {
            panic!("{error}")
        };
        assert_eq!(
            (stream.index, &message[..]),
            (a.index(), "the card fell off")
        );
    }
    y.wait().unwrap();
    b.synchronize().unwrap();
    assert!(device.synchronize().is_err());
}

/// The backend completes the tickets of failed work too, so that memory comes free.
#[test]
fn a_fault_is_told_however_one_asks() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let (x, event) = (made(&a, &[]), a.event());
    null.fail(a.index(), "the card fell off");
    assert!(x.is_ready(), "a wait would end at once");
    let out = b.allocate(10).unwrap();
    for told in [x.wait(), submit(&b, &[&x], &out), b.wait_for(&event)] {
        assert!(matches!(told, Err(Error::Fault { .. })), "{told:?}");
    }
}

#[test]
fn a_broken_stream_is_nobodys_next() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    made(&stream, &[]);
    let broken = stream.index();
    drop(stream);
    null.fail(broken, "the card fell off");
    let next = Stream::new(device).unwrap();
    assert_ne!(next.index(), broken);
    next.synchronize().unwrap();
}

#[test]
fn a_stream_writes_its_own_buffers_only() {
    let (device, _null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let x = a.allocate(10).unwrap();
    assert!(matches!(
        submit(&b, &[], &x),
        Err(Error::WrongStream { .. })
    ));
    submit(&a, &[], &x).unwrap();
}

/// Values in a thread's storage may run ops when they are dropped, after the thread's current
/// streams are gone, and enter streams.
#[test]
fn an_ending_thread_still_has_streams() {
    struct Last(Device, Sender<Result<bool, Error>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let current = || {
                Stream::with_current(self.0, |stream| {
                    made(stream, &[]);
                    Ok(stream.index())
                })
            };
            let entered = current().and_then(|_| {
                let stream = Stream::new(self.0)?;
                Ok(stream.enter(current)? == stream.index())
            });
            self.1.send(entered).unwrap();
        }
    }
    thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
    let (device, _null) = running(1 << 20);
    let (sender, used) = channel();
    let current = move || Stream::with_current(device, |stream| Ok::<_, Error>(stream.index()));
    // Storage is dropped in an order of its own: one of the two threads ends with no stream.
    for before in [true, false] {
        let sender = sender.clone();
        let thread = std::thread::spawn(move || {
            if before {
                current().unwrap();
            }
            LAST.set(Some(Last(device, sender)));
            if !before {
                current().unwrap();
            }
        });
        thread.join().unwrap();
        assert!(used.recv().unwrap().unwrap());
    }
    // All are back: the next is the first.
    assert_eq!(Stream::new(device).unwrap().index(), 0);
}

#[test]
fn a_waiting_thread_wakes() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let x = made(&stream, &[]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| x.wait());
        null.complete(stream.index());
        waiting.join().unwrap().unwrap();
    });
    assert!(x.is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_task_wakes_and_a_cancelled_one_leaves_nothing() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let (x, index) = (made(&stream, &[]), stream.index());
    drop(stream);
    let cancelled = tokio::spawn({
        let x = x.clone();
        async move { x.ready().await }
    });
    tokio::task::yield_now().await;
    cancelled.abort();
    let waiting = tokio::spawn({
        let x = x.clone();
        async move { x.ready().await }
    });
    tokio::task::yield_now().await;
    null.complete(index);
    waiting.await.unwrap().unwrap();
    x.ready().await.unwrap();
}

#[test]
fn the_limit_holds_and_spares_other_streams() {
    let (device, _null) = running(16 << 10);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let kept = b.allocate(4 << 10).unwrap();
    let error = a.allocate(14 << 10).unwrap_err();
    let Error::OutOfMemory {
        requested,
        used,
        limit,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(requested >= 14 << 10);
    assert_eq!((used, limit), (device.memory_used(), 16 << 10));
    assert_eq!(device.memory_used(), kept.bytes());
    let smaller = a.allocate(8 << 10).unwrap();
    drop((kept, smaller));
    // Each serves itself from what it keeps, though the device would give no more.
    device.set_memory_limit(0);
    let (_a, _b) = (a.allocate(8 << 10).unwrap(), b.allocate(4 << 10).unwrap());
    assert!(a.allocate(64).is_err());
}

#[test]
fn a_full_device_takes_back_what_idle_streams_keep() {
    let (device, _null) = running(16 << 10);
    let stream = Stream::new(device).unwrap();
    let idle = Stream::new(device).unwrap();
    drop(idle.allocate(14 << 10).unwrap());
    drop(idle);
    assert!(device.memory_used() > 0);
    assert!(stream.allocate(12 << 10).is_ok());
}

#[test]
fn trimming_gives_memory_back() {
    let (device, null) = running(1 << 20);
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let (x, y) = (made(&a, &[]), a.allocate(5000).unwrap());
    made(&b, &[&x]);
    drop((x, y));
    a.trim();
    b.trim();
    let limbo = a.held();
    assert!(limbo > 0, "work of the other stream is pending");
    assert_eq!(device.memory_used(), limbo);
    null.complete(a.index());
    null.complete(b.index());
    a.trim();
    assert_eq!((a.held(), device.memory_used()), (0, 0));
}

#[test]
fn sizes_that_overflow_are_out_of_memory() {
    let (device, _null) = running(usize::MAX);
    let stream = Stream::new(device).unwrap();
    for bytes in [usize::MAX, isize::MAX as usize, isize::MAX as usize + 1] {
        assert!(
            matches!(stream.allocate(bytes), Err(Error::OutOfMemory { .. })),
            "{bytes}"
        );
    }
    assert_eq!(device.memory_used(), 0);
}

#[test]
fn streams_are_bounded_and_come_back() {
    let (device, _null) = running(1 << 20);
    let limit = device.caps().max_streams;
    let mut streams: Vec<_> = (0..limit).map(|_| Stream::new(device).unwrap()).collect();
    assert!(matches!(
        Stream::new(device),
        Err(Error::TooManyStreams { .. })
    ));
    let last = streams.pop().map(|stream| stream.index());
    assert_eq!(Some(Stream::new(device).unwrap().index()), last);
}

#[test]
fn buffers_outlive_their_stream_and_serve_its_next_owner() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let (x, index) = (made(&stream, &[]), stream.index());
    let id = x.id();
    drop(stream);
    null.complete(index);
    x.wait().unwrap();
    drop(x);
    let next = Stream::new(device).unwrap();
    assert_eq!(
        (next.index(), next.allocate(1000).unwrap().id()),
        (index, id)
    );
}

#[test]
fn buffers_of_another_device_are_refused() {
    let ((here, _), (there, _)) = (running(1 << 20), running(1 << 20));
    let (a, b) = (Stream::new(here).unwrap(), Stream::new(there).unwrap());
    let (x, out) = (a.allocate(10).unwrap(), b.allocate(10).unwrap());
    assert!(matches!(
        submit(&b, &[&x], &out),
        Err(Error::WrongDevice { .. })
    ));
}

#[test]
fn entered_streams_nest_and_are_left_on_unwinding() {
    let (device, _null) = running(1 << 20);
    let current = || Stream::with_current(device, |stream| Ok::<_, Error>(stream.index())).unwrap();
    let own = current();
    let (a, b) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    a.enter(|| {
        assert_eq!(current(), a.index());
        b.enter(|| assert_eq!(current(), b.index()));
        let panicked = catch_unwind(AssertUnwindSafe(|| b.enter(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert_eq!(current(), a.index());
    });
    assert_eq!(current(), own);
}

#[test]
fn a_graph_replays_with_new_inputs() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let weight = stream.upload(&[1; 100]).unwrap();
    null.take_log();
    let graph = stream.record(&[100], |inputs| {
        let middle = made(&stream, &[&inputs[0], &weight]);
        let out = made(&stream, &[&middle]);
        assert!(matches!(out.wait(), Err(Error::Recorded)));
        Ok::<_, Error>(vec![out])
    });
    let graph = graph.unwrap();
    assert_eq!(
        (graph.steps(), null.take_log()),
        (2, vec![]),
        "nothing runs while recording"
    );

    let other = Stream::new(device).unwrap();
    let input = other.upload(&[2; 100]).unwrap();
    null.take_log();
    let out = graph.replay(&other, &[&input]).unwrap();
    let log = null.take_log();
    let plans: Vec<_> = log
        .iter()
        .map(|entry| match entry {
            Entry::Plan { stream, plan, .. } => (*stream, plan),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(plans.iter().all(|(stream, _)| *stream == other.index()));
    let bound: Vec<Vec<usize>> = plans
        .iter()
        .map(|(_, plan)| {
            plan.bindings
                .iter()
                .map(|(memory, ..)| memory.handle)
                .collect()
        })
        .collect();
    let handle = |buffer: &Buffer| buffer.memory().handle;
    assert_eq!(bound[0][1..], [handle(&input), handle(&weight)]);
    assert_eq!(bound[1], [handle(&out[0]), bound[0][0]]);
    null.complete(other.index());
    out[0].wait().unwrap();

    let short = other.upload(&[2]).unwrap();
    for inputs in [&[][..], &[&input, &input], &[&short]] {
        assert!(matches!(
            graph.replay(&other, inputs),
            Err(Error::GraphInputs { .. })
        ));
    }
}

#[test]
fn temporaries_of_a_replay_are_reused() {
    let (device, _null) = Null::device(1 << 20, true);
    let stream = Stream::new(device).unwrap();
    let graph = stream.record(&[1000], |inputs| {
        let chain = |x, _| made(&stream, &[&x]);
        Ok::<_, Error>(vec![(0..50).fold(inputs[0].clone(), chain)])
    });
    let graph = graph.unwrap();
    let input = stream.upload(&[0; 1000]).unwrap();
    let before = device.memory_used();
    stream.enter(|| graph.replay(&stream, &[&input])).unwrap();
    assert!(device.memory_used() <= before + 2 * input.bytes());
}

#[test]
fn recordings_do_not_nest_and_do_not_outlive_a_failure() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let nothing = |_: &[Buffer]| Ok::<_, Error>(vec![]);
    let nested = stream.record(&[], |_| stream.record(&[], nothing).map(|_| vec![]));
    assert!(matches!(nested, Err(Error::Recording { .. })));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        stream.record::<Error>(&[], |_| panic!("on purpose"))
    }));
    assert!(panicked.is_err());
    let index = stream.index();
    drop(stream);
    let next = Stream::new(device).unwrap();
    assert_eq!(next.index(), index);
    made(&next, &[]);
    assert!(
        matches!(null.take_log()[..], [Entry::Plan { .. }]),
        "it runs, and is not recorded"
    );
}

#[test]
fn a_placeholder_means_nothing_outside_its_recording() {
    let (device, _null) = running(1 << 20);
    let (stream, other) = (Stream::new(device).unwrap(), Stream::new(device).unwrap());
    let mut kept = None;
    let recorded = stream.record(&[8], |inputs| {
        kept = Some(made(&stream, &[&inputs[0]]));
        Ok::<_, Error>(vec![])
    });
    assert_eq!(recorded.unwrap().steps(), 1);
    let (kept, out) = (kept.unwrap(), other.allocate(10).unwrap());
    assert!(matches!(
        submit(&other, &[&kept], &out),
        Err(Error::Recorded)
    ));
    assert!(matches!(kept.read(0, &mut [0]), Err(Error::Recorded)));
    // Nor in another one, where nothing would write it.
    let read = stream.record(&[], |_| Ok::<_, Error>(vec![made(&stream, &[])]));
    assert!(read.is_ok());
    let read = stream.record(&[], |_| {
        let out = stream.allocate(10)?;
        submit(&stream, &[&kept], &out)?;
        Ok::<_, Error>(vec![out])
    });
    assert!(matches!(read, Err(Error::Recorded)));
    let given = stream.record(&[], |_| Ok::<_, Error>(vec![kept.clone()]));
    assert!(matches!(given, Err(Error::Recorded)));
}

#[test]
fn what_is_uploaded_in_a_recording_is_its_constant() {
    let (device, null) = running(1 << 20);
    let stream = Stream::new(device).unwrap();
    let graph = stream.record(&[], |_| {
        let constant = stream.upload(&[1, 2, 3])?;
        let mut came = [0; 3];
        constant.read(0, &mut came)?;
        Ok::<_, Error>(vec![made(&stream, &[&constant])])
    });
    let graph = graph.unwrap();
    null.take_log();
    graph.replay(&stream, &[]).unwrap();
    assert!(matches!(null.take_log()[..], [Entry::Plan { .. }]));
}
