//! Every op of the table, in every element type, against its reference on every device.

use wootz::{Device, conformance, table};

#[test]
fn every_op_conforms() {
    let mut failures = Vec::new();
    for device in Device::list() {
        for row in table::rows() {
            for &dtype in row.dtypes {
                let outcome = conformance::check(device, row, dtype);
                assert!(outcome.cases > 0, "{} has no cases for {dtype}", row.name);
                if let Some(failure) = outcome.failure {
                    failures.push(format!("{} {dtype} on {device}: {failure}", row.name));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
