//! The ring with a driver whose executors are threads (`stand_in/executor.c`): who may wait for whom,
//! and that nobody waits for ever.

#![cfg(target_os = "linux")]

mod small;
mod stand_in;

use small::{read, run, upload};
use stand_in::{add, device, provide, stream, wait_for_the_executor, with};
use std::{
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Buffer, Error, Residence};

/// An add of what another stream's ring has in hand.
fn add_across() -> wootz_runtime::Result<()> {
    let [one, other] = [stream(), stream()];
    // It has memory then, and nothing in its CUDA stream: so its next plans take the ring.
    add(&other)?.wait()?;
    wait_for_the_executor(&one);
    let x = add(&one)?;
    run(&other, "small_add", 64, 0, &[&x, &x]).map(|_| ())
}

/// What makes a wait in a CUDA stream an error, and so shows it.
const NO_WAIT: (&str, &str) = ("DRIVER_FAILS", "cuStreamWaitValue64_v2=1");

#[test]
fn an_executor_does_not_wait_for_one_that_has_not_come() {
    let settings = [("WOOTZ_SUBMIT", "ring"), NO_WAIT];
    with(
        "an_executor_does_not_wait_for_one_that_has_not_come",
        &settings,
        || {
            let error = add_across().unwrap_err().to_string();
            assert!(error.contains("cuStreamWaitValue64"), "{error}");
        },
    );
}

#[test]
fn an_executor_waits_for_one_that_has_come() {
    let says = ("DRIVER_SAYS", "executor=3");
    let settings = [("WOOTZ_SUBMIT", "ring"), says, NO_WAIT];
    with("an_executor_waits_for_one_that_has_come", &settings, || {
        add_across().unwrap();
    });
}

/// A compile takes a core for most of a minute, so a program that runs few plans does without one;
/// what is on disk comes with the first.
#[test]
fn few_plans_are_not_worth_a_compile() {
    for (way, comes) in [("auto", "0"), ("ring", "1"), ("auto", "1")] {
        let settings = [
            ("WOOTZ_SUBMIT", way),
            ("DRIVER_SAYS", "executor=1"),
            ("WOOTZ_TEST_COMES", comes),
        ];
        with("few_plans_are_not_worth_a_compile", &settings, || {
            let comes = std::env::var("WOOTZ_TEST_COMES").unwrap() == "1";
            let longest = Duration::from_millis(if comes { 10_000 } else { 100 });
            let (stream, start) = (stream(), Instant::now());
            provide();
            let is_coming = || device().residence() == Residence::Coming;
            while is_coming() && start.elapsed() < longest {
                add(&stream).unwrap().wait().unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(is_coming(), !comes);
        });
    }
}

/// An executor that has left when its work was published, and none can be started: what is launched
/// instead waits as the ring would have.
#[test]
fn a_launch_in_place_of_the_ring_waits_for_what_the_ring_would_have() {
    let says = ("DRIVER_SAYS", "executor=2");
    // One for the first add, one when that is published, and one for the other.
    let fails = "cuStreamWaitValue64_v2=1,cuLaunchKernel:wootz_resident=701+3";
    let settings = [("WOOTZ_SUBMIT", "ring"), says, ("DRIVER_FAILS", fails)];
    with(
        "a_launch_in_place_of_the_ring_waits_for_what_the_ring_would_have",
        &settings,
        || {
            let error = add_across().unwrap_err().to_string();
            assert!(error.contains("cuStreamWaitValue64"), "{error}");
        },
    );
}

/// Its first instance stays for four milliseconds, and the second does not start.
#[test]
fn one_whose_ring_is_always_full_is_asked_to_leave() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=1,work=2000"),
        ("DRIVER_FAILS", "cuLaunchKernel:wootz_resident=701+1"),
    ];
    let said = with(
        "one_whose_ring_is_always_full_is_asked_to_leave",
        &settings,
        || {
            let stream = stream();
            wait_for_the_executor(&stream);
            // More than a ring holds.
            for _ in 0..80 {
                add(&stream).unwrap();
            }
        },
    );
    assert!(said.contains("an executor did not start"), "{said}");
}

#[test]
fn one_that_stands_still_is_an_error_and_no_hang() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=3"),
        ("WOOTZ_PATIENCE", "0.3"),
        ("WOOTZ_LOG", "ring"),
    ];
    let said = with(
        "one_that_stands_still_is_an_error_and_no_hang",
        &settings,
        || {
            let stream = stream();
            wait_for_the_executor(&stream);
            let error = add(&stream).unwrap().wait().unwrap_err().to_string();
            let words =
                "the device is lost: an executor stands still: stream 0 has 1 of 2 done, in seat 0";
            assert!(error.contains(words), "{error}");
            let error = add(&stream).unwrap_err();
            assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        },
    );
    assert!(said.contains("cuda:0 stands still: stream 0"), "{said}");
}

/// A seat is free when its instance has left, also when the next of the same ring sits elsewhere.
#[test]
fn seats_that_rings_change_are_free_again() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=1"),
        // One before the executor is there, and one behind which the second stream has memory.
        ("DRIVER_FAILS", "cuLaunchKernel:small_add=701+2"),
    ];
    with("seats_that_rings_change_are_free_again", &settings, || {
        let mut streams = [stream(), stream()];
        wait_for_the_executor(&streams[0]);
        for _ in 0..40 {
            for stream in &streams {
                add(stream).unwrap().wait().unwrap();
            }
            // They leave after one, and the first to come back takes the first seat.
            thread::sleep(Duration::from_millis(8));
            streams.reverse();
        }
    });
}

/// Work in a ring whose stream is dropped, and one whose thread panics, is done all the same; who comes
/// next to that ring finds it in order.
#[test]
fn streams_that_are_dropped_with_work_in_hand_leave_nothing_undone() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=1,work=200"),
    ];
    with(
        "streams_that_are_dropped_with_work_in_hand_leave_nothing_undone",
        &settings,
        || {
            wait_for_the_executor(&stream());
            // The sum of a number of twos.
            let twos = |count: usize| {
                let stream = stream();
                let two = upload(&stream, &[2.0; 64]).unwrap();
                two.wait().unwrap();
                let add = |sum: Buffer, _| run(&stream, "small_add", 64, 0, &[&sum, &two]).unwrap();
                (1..count).fold(two.clone(), add)
            };
            for round in 0..4 {
                let dropped = twos(20 + round);
                let panics = thread::spawn(move || {
                    let sum = twos(30 + round);
                    assert!(read(&sum, 64).is_err(), "as it should");
                });
                panics.join().unwrap_err();
                assert_eq!(read(&dropped, 64).unwrap(), [40.0 + 2.0 * round as f32; 64]);
            }
        },
    );
}

/// Memory that another stream still reads is waited for before a request is refused.
#[test]
fn memory_that_others_still_use_is_waited_for() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=1,work=20000"),
    ];
    with(
        "memory_that_others_still_use_is_waited_for",
        &settings,
        || {
            let [home, other] = [stream(), stream()];
            add(&other).unwrap().wait().unwrap();
            wait_for_the_executor(&home);
            let x = upload(&home, &[1.0; 3000]).unwrap();
            x.wait().unwrap();
            let sum = run(&other, "small_add", 64, 0, &[&x, &x]).unwrap();
            drop(x);
            let device = home.device();
            device.set_memory_limit(device.memory_used());
            home.allocate(4 * 2000).unwrap();
            assert!(sum.is_ready(), "the memory was free before it was done");
            home.allocate(4 * 4000).unwrap_err();
        },
    );
}

/// A forked child, which nobody would wake.
#[test]
fn a_child_does_not_wait_for_the_ring_of_its_parent() {
    let settings = [("WOOTZ_SUBMIT", "ring"), ("DRIVER_SAYS", "executor=3")];
    with(
        "a_child_does_not_wait_for_the_ring_of_its_parent",
        &settings,
        || {
            let stream = stream();
            wait_for_the_executor(&stream);
            let sum = add(&stream).unwrap();
            // SAFETY: the child uses no lock that a thread of the parent may hold: it waits and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: ends a child that waits for ever.
                unsafe { libc::alarm(10) };
                let error = sum.wait().err().map(|error| error.to_string());
                let is_told = error.is_some_and(|error| error.contains("forked"));
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!is_told)) };
            }
            let mut status = 0;
            // SAFETY: waits for the child made above.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert!(libc::WIFEXITED(status), "it waited, and was ended");
            assert_eq!(libc::WEXITSTATUS(status), 0);
        },
    );
}

/// Values that go from thread to thread, each of which has two streams.
fn cross() {
    const THREADS: usize = 6;
    wait_for_the_executor(&stream());
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let start = Instant::now();
    thread::scope(|scope| {
        for (index, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(index + 1) % THREADS].clone();
            scope.spawn(move || {
                let streams = [stream(), stream()];
                let one = upload(&streams[0], &[1.0; 64]).unwrap();
                let mut held = (one.clone(), 1.0);
                for round in 0.. {
                    let stream = &streams[round / 7 % 2];
                    held.0 = run(stream, "small_add", 64, 0, &[&held.0, &one]).unwrap();
                    held.1 += 1.0;
                    if round % 5 == index % 5 {
                        // Those that are over receive nothing.
                        let _ = next.send(held.clone());
                    }
                    if let Ok((buffer, value)) = receiver.try_recv() {
                        let sum = run(stream, "small_add", 64, 0, &[&held.0, &buffer]);
                        held = (sum.unwrap(), held.1 + value);
                    }
                    if held.1 > 1e6 || round % 97 == 0 {
                        assert_eq!(read(&held.0, 64).unwrap(), [held.1; 64]);
                        held = (one.clone(), 1.0);
                    }
                    if round % 41 == index {
                        thread::sleep(Duration::from_micros(1500));
                    }
                    if start.elapsed() > Duration::from_millis(500) {
                        break;
                    }
                }
            });
        }
    });
}

/// While instances come late, leave and are replaced, and words overtake each other on their way to the
/// host.
#[test]
fn values_that_cross_rings_are_right() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=1,start=300,overtaken=3"),
    ];
    with("values_that_cross_rings_are_right", &settings, cross);
}

/// An instance that waited for one behind it in a queue would stand still.
#[test]
fn executors_in_few_queues_do_not_wait_for_each_other_in_a_circle() {
    let settings = [
        ("WOOTZ_SUBMIT", "ring"),
        ("DRIVER_SAYS", "executor=1,queues=2"),
        ("WOOTZ_PATIENCE", "20"),
    ];
    with(
        "executors_in_few_queues_do_not_wait_for_each_other_in_a_circle",
        &settings,
        cross,
    );
}
