//! Every op of the table, in every element type, against its reference on every device.

use wootz::{Device, conformance, table};

/// The checks are shared out among as many threads as there are cores.
#[test]
fn every_op_conforms() {
    #[cfg(feature = "emulated")]
    wootz::kernels::compile_for_emulator().unwrap_or_else(|error| panic!("{error}"));
    let mut checks = vec![];
    for device in Device::list() {
        for row in table::rows() {
            let dtypes = row.dtypes_on(device).iter();
            checks.extend(dtypes.map(|&dtype| (device, row, dtype)));
        }
    }
    assert!(checks.len() >= table::rows().count());
    let outcomes = conformance::check_all(&checks, |_| ());
    assert_eq!(outcomes.len(), checks.len());
    let mut failures = vec![];
    for outcome in outcomes {
        let what = format!("{} {} on {}", outcome.op, outcome.dtype, outcome.device);
        assert!(outcome.cases > 0, "{what} has no cases");
        failures.extend(outcome.failure.map(|failure| format!("{what}: {failure}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
