//! Opening devices by name, and what an error of the library means for the command.

use wootz::Device;
use wootz::runtime::Error as RuntimeError;

use crate::failure::Failure;
use crate::names::unknown;

/// The device of this name; `best` is the most capable one.
pub fn open(name: &str) -> Result<Device, Failure> {
    Device::open(name).map_err(|error| match error {
        RuntimeError::UnknownDevice { available, .. } => {
            let known = available.iter().map(String::as_str).chain(["best"]);
            let why = absent().find(|(device, _)| family(device) == family(name));
            Failure::Input(match why {
                Some((_, reason)) => format!("no device named '{name}': {reason}"),
                None => unknown("device", name, known),
            })
        }
        other => Failure::Device(other.to_string()),
    })
}

/// Devices that this build could use and this machine lacks, and why.
pub fn absent() -> impl Iterator<Item = (&'static str, &'static str)> {
    let reasons = Device::absent().iter();
    reasons.map(|text| text.split_once(": ").unwrap_or(("", text)))
}

/// `cuda` of `cuda:1`.
fn family(name: &str) -> &str {
    name.split_once(':').map_or(name, |(family, _)| family)
}

/// The named device, or every device.
pub fn open_or_all(name: Option<&str>) -> Result<Vec<Device>, Failure> {
    name.map_or_else(|| Ok(Device::list()), |name| Ok(vec![open(name)?]))
}

/// The device in words: `cpu (Xeon …, 16 cores)`.
pub fn describe(device: Device) -> String {
    let caps = device.caps();
    format!("{} ({}, {} cores)", device.name(), caps.product, caps.cores)
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Failure {
        Failure::Device(error.to_string())
    }
}

/// What the device did is the device's; everything else was asked for.
impl From<wootz::Error> for Failure {
    fn from(error: wootz::Error) -> Failure {
        match error {
            wootz::Error::Runtime(error) => error.into(),
            other => Failure::Input(other.to_string()),
        }
    }
}
