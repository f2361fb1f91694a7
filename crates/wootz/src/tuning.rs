//! What was measured on this machine: for kinds of products, the faster way.
//!
//! A table is a file for each device, in the folder of compiled kernels. One that cannot be read, or
//! that is another device's, counts as none, and is said once. It is written whole and then put in
//! place, so that readers and other writers never see half of one.

use crate::{DType, path::Path};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, convert::Infallible, fs, io, path::PathBuf, sync::OnceLock};
use wootz_runtime::{Device, cache_folder, kernels::KernelCache};

/// A kind of product: sizes to the nearest power of two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Class {
    /// The element type.
    #[serde(with = "by_name")]
    pub dtype: DType,
    /// Whether columns of the operands lie in memory, and not rows.
    pub turned: [bool; 2],
    /// Powers of two nearest to m, n and k.
    pub sizes: [u32; 3],
    /// That nearest to the number of matrices.
    pub batch: u32,
}

impl Class {
    /// The kind of a product of m×n×k.
    pub fn new(dtype: DType, turned: [bool; 2], sizes: [u64; 3], batch: u64) -> Class {
        let nearest = |size: u64| (size.max(1) as f64).log2().round() as u32;
        Class {
            dtype,
            turned,
            sizes: sizes.map(nearest),
            batch: nearest(batch),
        }
    }
}

/// Element types as their names.
mod by_name {
    use crate::DType;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(dtype: &DType, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(dtype.name())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<DType, D::Error> {
        let name = String::deserialize(from)?;
        let found = DType::ALL.iter().find(|dtype| dtype.name() == name);
        found
            .copied()
            .ok_or_else(|| D::Error::custom(format!("no element type {name:?}")))
    }
}

/// The faster way of a kind of product, and by how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The kind.
    #[serde(flatten)]
    pub class: Class,
    /// Microseconds of the own kernels.
    pub own_us: f64,
    /// Microseconds of the vendor's.
    pub vendor_us: f64,
}

impl Entry {
    /// The faster way.
    pub fn way(&self) -> Path {
        match self.vendor_us < self.own_us {
            true => Path::Vendor,
            false => Path::Own,
        }
    }
}

/// What was measured on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    version: u32,
    /// The device it was measured on.
    product: String,
    level: String,
    /// The vendor's library.
    pub vendor: String,
    /// The measurements.
    pub entries: Vec<Entry>,
}

/// What changes when the meaning of a table does.
const VERSION: u32 = 1;
/// More than measuring makes.
const MOST_BYTES: u64 = 16 << 20;

impl Table {
    /// A table of a device without entries.
    pub fn new(device: Device, vendor: &str) -> Table {
        Table {
            version: VERSION,
            product: device.caps().product.clone(),
            level: device.caps().level.clone(),
            vendor: vendor.to_owned(),
            entries: vec![],
        }
    }

    /// The faster way of a kind of product, if it was measured.
    pub fn way(&self, class: &Class) -> Option<Path> {
        let entry = self.entries.iter().find(|entry| entry.class == *class);
        entry.map(Entry::way)
    }

    /// Adds an entry, in place of one of its kind.
    pub fn put(&mut self, entry: Entry) {
        self.entries.retain(|other| other.class != entry.class);
        self.entries.push(entry);
    }

    /// The table of `device` on this machine, or why it is of no use. No file is no table.
    pub fn read(device: Device) -> Result<Option<Table>, String> {
        let Some(file) = file_of(device) else {
            return Ok(None);
        };
        let wrong = |why: String| format!("{}: {why}", file.display());
        match fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
            Ok(found) if found.len() > MOST_BYTES => return Err(wrong("too large".to_owned())),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        let table = Table::parse(&text).map_err(wrong)?;
        match table.is_of(device) {
            true => Ok(Some(table)),
            false => Err(wrong(format!(
                "measured on {} {}",
                table.product, table.level
            ))),
        }
    }

    fn parse(text: &str) -> Result<Table, String> {
        let table: Table = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match table.version {
            VERSION => Ok(table),
            other => Err(format!("version {other}, not {VERSION}")),
        }
    }

    fn is_of(&self, device: Device) -> bool {
        let caps = device.caps();
        self.product == caps.product && self.level == caps.level
    }

    /// Puts these entries into the table of `device`, with those that others have put there since.
    pub fn merge(&self, device: Device) -> Result<PathBuf, String> {
        let file = file_of(device).ok_or("there is no folder to keep it in: set WOOTZ_CACHE")?;
        let wrong = |error: io::Error| format!("{}: {error}", file.display());
        let mut whole = match Table::read(device) {
            Ok(Some(table)) if table.vendor == self.vendor => table,
            _ => Table::new(device, &self.vendor),
        };
        for entry in &self.entries {
            whole.put(entry.clone());
        }
        let text = serde_json::to_string_pretty(&whole).map_err(|error| error.to_string())?;
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(wrong)?;
        }
        let part = file.with_extension(format!("{}.part", std::process::id()));
        fs::write(&part, text).map_err(wrong)?;
        fs::rename(&part, &file).map_err(wrong)?;
        Ok(file)
    }
}

/// Where the table of a device is.
pub fn file_of(device: Device) -> Option<PathBuf> {
    let caps = device.caps();
    let name = format!("{}-{}", caps.product, caps.level).to_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    Some(cache_folder()?.join("tuning").join(format!("{name}.json")))
}

type Ways = HashMap<Class, Path>;

/// The ways that this process goes by on a device, if anything was measured there.
pub(crate) fn of(device: Device) -> Option<&'static Ways> {
    static DEVICES: OnceLock<KernelCache<Device, Option<Ways>, Infallible>> = OnceLock::new();
    let devices = DEVICES.get_or_init(KernelCache::new);
    let read = || match Table::read(device) {
        Ok(table) => Ok(table.map(|table| {
            let entries = table.entries.into_iter();
            let ways = entries.map(|entry| (entry.class.clone(), entry.way()));
            ways.collect()
        })),
        Err(why) => {
            eprintln!("wootz: the tuning table is ignored: {why}");
            Ok(None)
        }
    };
    match devices.get_or_compile(device, read) {
        Ok(ways) => ways.as_ref(),
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(m: u64, own_us: f64, vendor_us: f64) -> Entry {
        Entry {
            class: Class::new(DType::BF16, [false, true], [m, 4096, 4096], 1),
            own_us,
            vendor_us,
        }
    }

    #[test]
    fn the_faster_way_of_the_nearest_kind_is_found() {
        let mut table = Table::new(Device::cpu(), "some");
        table.put(entry(1024, 2.0, 1.0));
        table.put(entry(32, 1.0, 2.0));
        let way = |table: &Table, m| table.way(&entry(m, 0.0, 0.0).class);
        assert_eq!(way(&table, 1000), Some(Path::Vendor));
        assert_eq!(way(&table, 30), Some(Path::Own));
        assert_eq!(way(&table, 200), None);
        table.put(entry(1024, 1.0, 2.0));
        assert_eq!(
            (way(&table, 1024), table.entries.len()),
            (Some(Path::Own), 2)
        );
        // What comes out is what went in.
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(Table::parse(&text).unwrap(), table);
        assert!(table.is_of(Device::cpu()));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let table = Table::new(Device::cpu(), "some");
        let text = serde_json::to_string(&table).unwrap();
        assert!(Table::parse(&text[..text.len() / 2]).is_err());
        assert!(Table::parse(&text.replace("\"version\":1", "\"version\":9")).is_err());
        let foreign = Table::parse(&text.replace(&table.product, "another")).unwrap();
        assert!(!foreign.is_of(Device::cpu()));
    }
}
