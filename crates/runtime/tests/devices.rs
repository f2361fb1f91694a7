//! The devices of this machine by name, whatever it has.

mod small;

use small::{read, run, upload};
use wootz_runtime::{Device, Error, Family, Stream};

#[test]
fn every_listed_device_opens_by_its_name() {
    let devices = Device::list();
    assert!(devices.contains(&Device::cpu()) && devices.contains(&Device::best()));
    for device in devices {
        assert_eq!(Device::open(device.name()).unwrap(), device);
    }
}

#[test]
fn a_gpu_that_is_not_listed_has_its_reason() {
    for (family, built) in [
        ("cuda", cfg!(any(target_os = "linux", windows))),
        ("metal", cfg!(target_os = "macos")),
    ] {
        let first = format!("{family}:0");
        match Device::open(family) {
            Ok(device) => assert_eq!(device.name(), first),
            Err(Error::UnknownDevice { name, available }) => {
                assert_eq!(name, first);
                assert!(available.iter().any(|device| device == "cpu"));
                let said = Device::absent().iter().any(|why| why.starts_with(family));
                assert_eq!(said, built, "{:?}", Device::absent());
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Runs on each device that takes kernel source, of which a machine may have none.
#[test]
fn devices_for_kernel_source_run_it() {
    for device in Device::list() {
        let stream = Stream::new(device).unwrap();
        let x = upload(&stream, &[1.0, 2.0, 3.0]).unwrap();
        let sum = run(&stream, "small_add", 3, 0, &[&x, &x]);
        match device.caps().family {
            Family::Cpu => assert!(matches!(sum, Err(Error::NoKernel { .. }))),
            _ => assert_eq!(read(&sum.unwrap(), 3).unwrap(), [2.0, 4.0, 6.0]),
        }
    }
}
