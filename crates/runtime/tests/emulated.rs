//! The emulator as a device: results, faults, limits, and threads with a stream each.

#[expect(dead_code, reason = "what only the example needs")]
#[path = "../examples/ring/rows.rs"]
mod rows;
mod small;

use small::{LANES, plan, read, run, small, upload};
use wootz_runtime::{
    Body, Buffer, Call, Device, Error, Grid, Kernel, Module, Plan, Source, Stream, emulated,
};

fn stream() -> Stream {
    Stream::new(Device::emulated()).unwrap()
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

#[test]
fn it_is_listed_and_opened_but_never_best() {
    let device = Device::open("emulated").unwrap();
    assert!(Device::list().contains(&device));
    assert_ne!(Device::best(), device);
}

#[test]
fn kernels_give_their_results() {
    let stream = stream();
    let count = 1000;
    let (x, y) = (ramp(count), vec![0.5; count]);
    let (a, b) = (upload(&stream, &x).unwrap(), upload(&stream, &y).unwrap());
    let sum = run(&stream, "small_add", count, 0, &[&a, &b]).unwrap();
    let expected: Vec<f32> = x.iter().map(|x| x + 0.5).collect();
    assert_eq!(read(&sum, count).unwrap(), expected);

    let count = 2 * LANES as usize;
    let out = run(&stream, "small_reverse", count, 0, &[&a]).unwrap();
    let lanes = LANES as usize;
    let expected: Vec<f32> = (0..count)
        .map(|i| (i / lanes * lanes + lanes - 1 - i % lanes) as f32)
        .collect();
    assert_eq!(read(&out, count).unwrap(), expected);
}

#[test]
fn the_row_kernel_of_the_ring_example_still_compiles() {
    let stream = stream();
    let x = upload(&stream, &vec![1.0; 2 * rows::LENGTH]).unwrap();
    let y = rows::submit(&stream, &x, 2).unwrap();
    let even = 1.0 / rows::LENGTH as f32;
    let y = read(&y, 2 * rows::LENGTH).unwrap();
    assert!(y.iter().all(|y| (y - even).abs() < 1e-9), "{}", y[0]);
}

#[test]
fn a_fault_is_an_error_of_its_submission_alone() {
    let stream = stream();
    let count = 300;
    let x = upload(&stream, &ramp(count)).unwrap();
    let error = run(&stream, "small_stray", count, 0, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::KernelFault { device, report } if device == "emulated"
            && report.starts_with("kernel small_stray, group 0, lane 0 writes 4 bytes out of range")),
        "{error}"
    );
    let y = run(&stream, "small_count_up", count, 3, &[&x]).unwrap();
    assert_eq!(read(&y, count).unwrap()[299], 302.0);
    stream.synchronize().unwrap();
}

#[test]
fn source_that_does_not_compile_is_an_error_with_the_compilers_words() {
    let stream = stream();
    let bad = small::module("inline void broken() { this is no kernel; }\n");
    let out = stream.allocate(4).unwrap();
    for _ in 0..2 {
        // SAFETY: nothing runs.
        let error = unsafe { stream.submit(&plan(bad, "broken", 1, 0, &[], &out)) }.unwrap_err();
        assert!(
            matches!(&error, Error::Compile { kernel: "broken", log, .. } if log.contains("error")),
            "{error}"
        );
    }
    // SAFETY: nothing runs.
    let error = unsafe { stream.submit(&plan(small(), "absent", 1, 0, &[], &out)) }.unwrap_err();
    assert!(
        matches!(&error, Error::Compile { log, .. } if log.contains("no entry point \"absent\"")),
        "{error}"
    );
}

/// The modules themselves could not be compiled, so what runs came from the text they share.
#[test]
fn kernels_compiled_together_are_found_by_each_plan() {
    let stream = stream();
    let module = |number: u32| -> &'static Module {
        Box::leak(Box::new(Module::new(format!("#error {number} alone\n"))))
    };
    let sources = [(module(1), "small_add"), (module(2), "small_count_up")];
    let sources = sources.map(|(module, entry)| Source { module, entry });
    emulated::compile_together(small().text(), &sources).unwrap();
    let count = 300;
    let x = upload(&stream, &ramp(count)).unwrap();
    for (source, params, inputs) in [(sources[0], 0, &[&x, &x][..]), (sources[1], 5, &[&x])] {
        let out = stream.allocate(4 * count).unwrap();
        let plan = plan(source.module, source.entry, count, params, inputs, &out);
        // SAFETY: as `run` does it.
        unsafe { stream.submit(&plan) }.unwrap();
        let sum = read(&out, count).unwrap();
        assert_eq!(sum[299], if params == 5 { 304.0 } else { 598.0 });
    }
    let absent = Source {
        module: module(3),
        entry: "absent",
    };
    let error = emulated::compile_together(small().text(), &[absent]).unwrap_err();
    assert!(error.to_string().contains("no entry point"), "{error}");
}

#[test]
fn a_form_that_the_device_cannot_run_is_an_error() {
    unsafe fn nothing(_: &mut Call<'_>) {}
    let native = Kernel {
        name: "nothing",
        body: Body::Native(nothing),
    };
    // SAFETY: the plan touches no memory.
    let error = unsafe { stream().submit(&Plan::new(native, Grid::units(1), &0u64)) }.unwrap_err();
    assert!(matches!(error, Error::NoKernel { device, .. } if device == "emulated"));

    let cpu = Stream::new(Device::cpu()).unwrap();
    let error = run(&cpu, "small_add", 1, 0, &[]).unwrap_err();
    assert!(matches!(error, Error::NoKernel { device, .. } if device == "cpu"));
}

#[test]
fn groups_that_do_not_fit_are_refused() {
    let stream = stream();
    let out = stream.allocate(4).unwrap();
    let valid = plan(small(), "small_stray", 1, 0, &[], &out);
    let mut cases = vec![];
    for lanes in [0, 33, 2048] {
        let mut plan = valid.clone();
        plan.grid.lanes = lanes;
        cases.push(plan);
    }
    cases.push(valid.clone().scratch(64 << 10));
    let mut many = valid.clone();
    many.grid.units = 1 << 33;
    cases.push(many);
    for plan in cases {
        // SAFETY: the device refuses the plan.
        let error = unsafe { stream.submit(&plan) }.unwrap_err();
        assert!(matches!(error, Error::LaunchLimit { .. }), "{error}");
    }
    let mut none = valid;
    none.grid.units = 0;
    // SAFETY: no group runs.
    unsafe { stream.submit(&none) }.unwrap();
}

#[test]
fn threads_with_a_stream_each_pass_buffers_on() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 3;
    let count = 100;
    let first = upload(&stream(), &ramp(count)).unwrap();
    let results: Vec<Buffer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let first = &first;
                scope.spawn(move || {
                    let (here, there) = (stream(), stream());
                    let mut x = first.clone();
                    for round in 0..ROUNDS {
                        let stream = if round % 2 == 0 { &here } else { &there };
                        x = run(stream, "small_count_up", count, thread as u64, &[&x]).unwrap();
                    }
                    x
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (thread, result) in results.iter().enumerate() {
        let expected: Vec<f32> = (0..count).map(|i| (i + ROUNDS * thread) as f32).collect();
        assert_eq!(read(result, count).unwrap(), expected);
    }
}

#[test]
fn what_a_kernel_refused_is_told_once_and_to_its_own_stream() {
    // A kernel that notes: any bits but zero are one.
    let refuse = |stream: &Stream| {
        let mark = stream.refusals("small_count_up").unwrap();
        let x = upload(stream, &[1.0]).unwrap();
        let plan = plan(small(), "small_count_up", 1, 1, &[&x], &mark);
        // SAFETY: the mark has room for the one element that the kernel writes.
        unsafe { stream.submit(&plan) }.unwrap();
    };
    let first = stream();
    refuse(&first);
    let told = first.synchronize();
    assert!(
        matches!(
            told,
            Err(Error::Refused {
                kernel: "small_count_up",
                ..
            })
        ),
        "{told:?}"
    );
    first.synchronize().unwrap();

    refuse(&first);
    let index = first.index();
    drop(first);
    // Whoever drives the stream next has done nothing wrong.
    let mut others = vec![];
    let next = loop {
        let stream = stream();
        match stream.index() == index {
            true => break stream,
            false => others.push(stream),
        }
    };
    next.synchronize().unwrap();
}

#[test]
fn a_graph_replays() {
    let stream = stream();
    let count = 300;
    let graph = stream.record::<Error>(&[4 * count], |inputs| {
        let y = run(&stream, "small_count_up", count, 2, &[&inputs[0]])?;
        Ok(vec![run(
            &stream,
            "small_add",
            count,
            0,
            &[&inputs[0], &y],
        )?])
    });
    let graph = graph.unwrap();
    for start in [0.0, 7.0] {
        let values: Vec<f32> = ramp(count).iter().map(|x| x + start).collect();
        let input = upload(&stream, &values).unwrap();
        let outputs = graph.replay(&stream, &[&input]).unwrap();
        let expected: Vec<f32> = values.iter().map(|x| 2.0 * x + 2.0).collect();
        assert_eq!(read(&outputs[0], count).unwrap(), expected);
    }
}
