//! What CUDA's driver and compiler may do wrong, by a driver and a compiler that do it when told
//! (`stand_in/`), since no machine with a GPU does it on request.

#![cfg(target_os = "linux")]

mod small;
mod stand_in;

use small::{module, plan, read, run, upload};
use stand_in::{absent, add, device, folder, stream, wait_for_the_executor, with};
use std::fs;
use wootz_runtime::{Device, Error, Stream};

#[test]
fn a_sound_one_serves() {
    let said = with("a_sound_one_serves", &[], || {
        let stream = stream();
        let x = upload(&stream, &[1.0, 2.0]).unwrap();
        assert_eq!(read(&x, 2).unwrap(), [1.0, 2.0]);
        add(&stream).unwrap().wait().unwrap();
        stream.synchronize().unwrap();
    });
    assert!(!said.contains("wootz:"), "{said}");
}

#[test]
fn one_that_writes_no_words_has_a_kernel_do_it() {
    let settings = [("DRIVER_SAYS", "122=0"), ("WOOTZ_SUBMIT", "ring")];
    let said = with(
        "one_that_writes_no_words_has_a_kernel_do_it",
        &settings,
        || {
            let stream = stream();
            wait_for_the_executor(&stream);
            add(&stream).unwrap().wait().unwrap();
        },
    );
    assert_eq!(
        said.matches("does not write and await words").count(),
        1,
        "{said}"
    );
}

#[test]
fn one_that_is_too_old_is_named() {
    let old = folder().join("old");
    let settings = [("LD_LIBRARY_PATH", old.to_str().unwrap())];
    with("one_that_is_too_old_is_named", &settings, || {
        absent("cuda: the NVIDIA driver is too old: it lacks cuMemPoolCreate");
    });
}

#[test]
fn one_that_does_not_start_is_named() {
    let settings = [("DRIVER_FAILS", "cuInit=803")];
    with("one_that_does_not_start_is_named", &settings, || {
        absent("cuda: the NVIDIA driver does not start: error 803");
    });
}

#[test]
fn one_without_devices_is_named() {
    let settings = [("DRIVER_FAILS", "cuInit=100")];
    with("one_without_devices_is_named", &settings, || {
        absent("cuda: the NVIDIA driver sees no device");
    });
}

#[test]
fn a_device_that_is_too_old_is_named() {
    let settings = [("DRIVER_SAYS", "75=7,76=5")];
    with("a_device_that_is_too_old_is_named", &settings, || {
        absent("cuda:0: No GPU has compute capability 7.5; 8.0 is needed");
    });
}

#[test]
fn a_missing_compiler_is_named() {
    let settings = [("WOOTZ_CUDA_PATH", "/nowhere")];
    with("a_missing_compiler_is_named", &settings, || {
        let error = add(&stream()).unwrap_err();
        assert!(matches!(error, Error::NoCompiler { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("cuda:0") && said.contains("WOOTZ_CUDA_PATH"),
            "{said}"
        );
    });
}

#[test]
fn a_compiler_that_gives_up_is_named() {
    let settings = [("COMPILER_FAILS", "11")];
    with("a_compiler_that_gives_up_is_named", &settings, || {
        let error = add(&stream()).unwrap_err();
        assert!(matches!(error, Error::NoCompiler { .. }), "{error}");
        assert!(error.to_string().contains("as it was told to"), "{error}");
    });
}

#[test]
fn a_kernel_that_does_not_compile_shows_its_line() {
    with("a_kernel_that_does_not_compile_shows_its_line", &[], || {
        let stream = stream();
        let out = stream.allocate(4).unwrap();
        let bad = module("inline void broken() { this is no kernel; }\n");
        for _ in 0..2 {
            // SAFETY: nothing runs.
            let outcome = unsafe { stream.submit(&plan(bad, "softmax_bf16", 1, 0, &[], &out)) };
            let error = outcome.unwrap_err().to_string();
            let words = [
                "kernel softmax_bf16 does not compile for cuda:0",
                "kernel.cu(7): error",
            ];
            assert!(words.iter().all(|words| error.contains(words)), "{error}");
        }
        add(&stream).unwrap().wait().unwrap();
    });
}

#[test]
fn a_full_device_is_an_error_of_that_request() {
    let settings = [("DRIVER_FAILS", "cuMemAllocFromPoolAsync=2+1")];
    with(
        "a_full_device_is_an_error_of_that_request",
        &settings,
        || {
            let stream = stream();
            let x = upload(&stream, &[1.0; 64]).unwrap();
            let error = stream.allocate(1 << 20).unwrap_err();
            assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("cuda:0 is out of memory: 1048576 bytes asked"),
                "{error}"
            );
            assert_eq!(read(&x, 64).unwrap(), [1.0; 64]);
            drop(x);
            upload(&stream, &[2.0; 64]).unwrap();
        },
    );
}

#[test]
fn a_lost_device_is_told_to_all() {
    let settings = [("DRIVER_FAILS", "cuLaunchKernel:small_reverse=700")];
    with("a_lost_device_is_told_to_all", &settings, || {
        let [culprit, beside] = [stream(), stream()];
        let done = add(&beside).unwrap();
        done.wait().unwrap();
        let x = upload(&culprit, &[1.0; 256]).unwrap();
        let error = run(&culprit, "small_reverse", 256, 0, &[&x]).unwrap_err();
        let is_lost =
            |error: &Error| matches!(error, Error::DeviceLost { device, .. } if device == "cuda:0");
        assert!(
            is_lost(&error) && error.to_string().contains("as it was told to"),
            "{error}"
        );
        assert!(is_lost(&add(&beside).unwrap_err()));
        assert!(is_lost(&read(&done, 1).unwrap_err()));
        assert!(
            x.wait().is_err() && culprit.synchronize().is_err() && beside.synchronize().is_err()
        );
        // The CPU goes on.
        Stream::new(Device::cpu()).unwrap().upload(&[1]).unwrap();
    });
}

#[test]
fn no_pinned_memory_is_an_error() {
    let settings = [("DRIVER_FAILS", "cuMemHostAlloc=2")];
    with("no_pinned_memory_is_an_error", &settings, || {
        let error = Stream::new(device())
            .and_then(|stream| add(&stream).map(|_| ()))
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Driver {
                    call: "cuMemHostAlloc",
                    ..
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn no_pinned_memory_for_uploads_leaves_the_stream_working() {
    let settings = [("DRIVER_FAILS", "cuMemHostAlloc=2+1")];
    with(
        "no_pinned_memory_for_uploads_leaves_the_stream_working",
        &settings,
        || {
            let stream = stream();
            let error = upload(&stream, &[1.0]).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Driver {
                        call: "cuMemHostAlloc",
                        ..
                    }
                ),
                "{error}"
            );
            add(&stream).unwrap().wait().unwrap();
            stream.synchronize().unwrap();
        },
    );
}

/// The same work in every way that an executor can be missing: launched, with one notice.
fn launched_with_one_notice(test: &str, setting: (&str, &str), notice: &str) {
    let said = with(test, &[setting, ("WOOTZ_SUBMIT", "ring")], || {
        let [one, other] = [stream(), stream()];
        wait_for_the_executor(&one);
        for _ in 0..100 {
            add(&one).unwrap().wait().unwrap();
        }
        add(&other).unwrap().wait().unwrap();
    });
    let notices: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("wootz:"))
        .collect();
    assert!(notices.len() == 1 && notices[0].contains(notice), "{said}");
}

#[test]
fn no_room_for_the_executor_is_told_once() {
    let setting = ("DRIVER_SAYS", "fitting=0");
    launched_with_one_notice(
        "no_room_for_the_executor_is_told_once",
        setting,
        "the device has no room for it",
    );
}

#[test]
fn no_pinned_memory_for_rings_is_told_once() {
    // The first is what opens the device.
    let setting = ("DRIVER_FAILS", "cuMemHostAlloc=2+1");
    launched_with_one_notice(
        "no_pinned_memory_for_rings_is_told_once",
        setting,
        "cuMemHostAlloc",
    );
}

#[test]
fn an_executor_that_does_not_start_is_told_once() {
    let setting = ("DRIVER_FAILS", "cuLaunchKernel:wootz_resident=701");
    launched_with_one_notice(
        "an_executor_that_does_not_start_is_told_once",
        setting,
        "an executor did not start",
    );
}

/// The driver takes its launch, and nothing is ever done.
#[test]
fn an_executor_that_dies_is_an_error_and_no_hang() {
    let settings = [("WOOTZ_SUBMIT", "ring")];
    with(
        "an_executor_that_dies_is_an_error_and_no_hang",
        &settings,
        || {
            let stream = stream();
            wait_for_the_executor(&stream);
            let error = (0..10).find_map(|_| add(&stream).and_then(|y| y.wait()).err());
            let error = error.expect("nothing was done").to_string();
            assert!(error.contains("stream 0 ended with work open"), "{error}");
            // What others wait for on the device is not to be had either.
            let error = stream.synchronize().unwrap_err();
            assert!(error.to_string().contains("the device is lost"), "{error}");
            let error = add(&stream).unwrap_err();
            assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        },
    );
}

/// A mark whose write is overtaken by that of the one before it tells nobody that its work is done. The
/// driver knows, and is asked.
#[test]
fn a_mark_that_is_lost_is_no_hang() {
    let settings = [("DRIVER_SAYS", "lost=2"), ("WOOTZ_SUBMIT", "launch")];
    with("a_mark_that_is_lost_is_no_hang", &settings, || {
        let stream = stream();
        for _ in 0..10 {
            add(&stream).unwrap().wait().unwrap();
        }
        for _ in 0..2 {
            let polled = add(&stream).unwrap();
            while !polled.is_ready() {}
        }
        // More than what goes through pinned memory at once.
        let bytes = vec![0; 8 << 20];
        stream.upload(&bytes).unwrap().wait().unwrap();
        stream.synchronize().unwrap();
    });
}

#[test]
fn a_cache_that_cannot_be_written_is_told_once() {
    let settings = [("WOOTZ_CACHE", "/dev/null/cache")];
    let said = with(
        "a_cache_that_cannot_be_written_is_told_once",
        &settings,
        || {
            add(&stream()).unwrap().wait().unwrap();
            let other = module("// another\n");
            let stream = stream();
            let out = stream.allocate(4).unwrap();
            // SAFETY: this driver's kernels do nothing.
            unsafe { stream.submit(&plan(other, "other", 1, 0, &[], &out)) }.unwrap();
        },
    );
    assert!(said.matches("/dev/null/cache").count() == 1, "{said}");
}

#[test]
fn a_damaged_cache_is_compiled_again_and_told_once() {
    const TEST: &str = "a_damaged_cache_is_compiled_again_and_told_once";
    fn both() {
        for entry in ["small_add", "small_reverse"] {
            let stream = stream();
            let x = stream.allocate(1024).unwrap();
            let reads = [&x, &x];
            let reads = if entry == "small_add" {
                &reads[..]
            } else {
                &reads[..1]
            };
            run(&stream, entry, 256, 0, reads).unwrap().wait().unwrap();
        }
    }
    let said = with(TEST, &[], both);
    assert!(!said.contains("wootz:"), "{said}");
    let kept: Vec<_> = fs::read_dir(folder().join(TEST).join("cuda"))
        .unwrap()
        .collect();
    assert!(!kept.is_empty());
    for file in kept {
        fs::write(file.unwrap().path(), "spoilt").unwrap();
    }
    assert_eq!(with(TEST, &[], both).matches("compiled again").count(), 1);
    assert!(!with(TEST, &[], both).contains("wootz:"));
    // Whole again: a warm start needs no compiler.
    with(TEST, &[("WOOTZ_CUDA_PATH", "/nowhere")], both);
}
