//! How many cores a GPU has, which Metal does not tell and the registry of devices does.

use objc2::{rc::Retained, runtime::AnyObject};
use objc2_foundation::{NSNumber, NSString, ns_string};
use std::{
    ffi::{c_int, c_void},
    ptr,
};

#[link(name = "IOKit", kind = "framework")]
unsafe extern "C" {
    fn IORegistryEntryIDMatching(entry: u64) -> *mut c_void;
    fn IOServiceGetMatchingService(port: u32, matching: *mut c_void) -> u32;
    fn IORegistryEntryCreateCFProperty(
        entry: u32,
        key: *const NSString,
        allocator: *const c_void,
        options: u32,
    ) -> *mut AnyObject;
    fn IOObjectRelease(object: u32) -> c_int;
}

/// The number of cores of the device with this identity, if the registry has it.
pub(super) fn count(registry: u64) -> Option<usize> {
    // SAFETY: the dictionary is new or null, and the next call takes it over; the default port is 0.
    // A property comes retained or null. Strings, numbers and dictionaries of the two frameworks are
    // the same objects.
    let property = unsafe {
        let matching = IORegistryEntryIDMatching(registry);
        if matching.is_null() {
            return None;
        }
        let entry = IOServiceGetMatchingService(0, matching);
        if entry == 0 {
            return None;
        }
        let key: &NSString = ns_string!("gpu-core-count");
        let property = IORegistryEntryCreateCFProperty(entry, key, ptr::null(), 0);
        IOObjectRelease(entry);
        Retained::from_raw(property)?
    };
    let number = property.downcast::<NSNumber>().ok()?;
    usize::try_from(number.as_i64())
        .ok()
        .filter(|&cores| cores > 0)
}
