//! Every op of the table, in every element type, against its reference on every device.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use wootz::{Device, conformance, table};

/// The checks are shared out among as many threads as there are cores.
#[test]
fn every_op_conforms() {
    #[cfg(feature = "emulated")]
    wootz::kernels::compile_for_emulator().unwrap_or_else(|error| panic!("{error}"));
    let checks: Vec<_> = Device::list()
        .into_iter()
        .flat_map(|device| table::rows().map(move |row| (device, row)))
        .flat_map(|(device, row)| {
            row.dtypes_on(device)
                .iter()
                .map(move |&dtype| (device, row, dtype))
        })
        .collect();
    assert!(checks.len() >= table::rows().count());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(&(device, row, dtype)) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = conformance::check(device, row, dtype);
            assert!(outcome.cases > 0, "{} has no cases for {dtype}", row.name);
            if let Some(failure) = outcome.failure {
                failures.push(format!("{} {dtype} on {device}: {failure}", row.name));
            }
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let failures = threads
            .into_iter()
            .map(|thread| thread.join().expect("no check panics"));
        failures.flatten().collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
