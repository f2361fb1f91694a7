//! What was measured on this machine: for kinds of products, the faster way and the fastest tile.
//!
//! A table is a file for each device, in the folder of compiled kernels. One that cannot be read, or
//! that is another device's, counts as none, and is said once. It is written whole and then put in
//! place, so that readers and other writers never see half of one.

use crate::{
    DType,
    kernels::{Kind, Tiling},
    path::Path,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow, cell::Cell, collections::HashMap, convert::Infallible, fs, io, path::PathBuf,
    sync::OnceLock,
};
use wootz_runtime::{Caps, Device, cache_folder, kernels::KernelCache};

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

/// A tile that is faster than the one that the library picks by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faster {
    /// Its name, of a [`Tiling`].
    pub name: String,
    /// Its microseconds.
    pub us: f64,
}

/// The faster way of a kind of product, and by how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The kind.
    #[serde(flatten)]
    pub class: Class,
    /// Microseconds of the own kernels, in the tile that the library picks by itself.
    pub own_us: f64,
    /// A faster tile, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<Faster>,
    /// Microseconds of the vendor's, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_us: Option<f64>,
}

impl Entry {
    /// Microseconds of the own kernels, in their fastest tile.
    pub fn fastest_us(&self) -> f64 {
        self.tile.as_ref().map_or(self.own_us, |tile| tile.us)
    }

    /// The faster way.
    pub fn way(&self) -> Path {
        match self.vendor_us {
            Some(us) if us < self.fastest_us() => Path::Vendor,
            _ => Path::Own,
        }
    }

    /// The faster tile, or the name of one that the device does not have.
    fn tiling(&self, caps: &Caps) -> Result<Option<Tiling>, &str> {
        let Some(Faster { name, .. }) = &self.tile else {
            return Ok(None);
        };
        let found = Tiling::named(caps, self.class.dtype, name);
        found.map(Some).ok_or(name)
    }
}

/// What was measured on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    version: u32,
    /// The device it was measured on.
    product: String,
    level: String,
    /// The vendor's library, if there was one.
    pub vendor: Option<String>,
    /// The measurements.
    pub entries: Vec<Entry>,
}

/// What changes when the meaning of a table does.
const VERSION: u32 = 2;
/// More than measuring makes.
const MOST_BYTES: u64 = 16 << 20;

impl Table {
    /// A table of a device without entries.
    pub fn new(device: Device, vendor: Option<&str>) -> Table {
        Table {
            version: VERSION,
            product: device.caps().product.clone(),
            level: device.caps().level.clone(),
            vendor: vendor.map(str::to_owned),
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
        table.check(device).map_err(wrong)?;
        Ok(Some(table))
    }

    /// Whether it is of use on `device`.
    fn check(&self, device: Device) -> Result<(), String> {
        let caps = device.caps();
        if self.product != caps.product || self.level != caps.level {
            return Err(format!("measured on {} {}", self.product, self.level));
        }
        let unknown = self
            .entries
            .iter()
            .find_map(|entry| entry.tiling(caps).err());
        unknown.map_or(Ok(()), |name| {
            Err(format!("there is no tile {name:?} here"))
        })
    }

    fn parse(text: &str) -> Result<Table, String> {
        let table: Table = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match table.version {
            VERSION => Ok(table),
            other => Err(format!("version {other}, not {VERSION}")),
        }
    }

    /// Puts these entries into the table of `device`, with those that others have put there since.
    pub fn merge(&self, device: Device) -> Result<PathBuf, String> {
        let file = file_of(device).ok_or("there is no folder to keep it in: set WOOTZ_CACHE")?;
        let wrong = |error: io::Error| format!("{}: {error}", file.display());
        let mut whole = match Table::read(device) {
            Ok(Some(table)) if table.vendor == self.vendor => table,
            _ => Table::new(device, self.vendor.as_deref()),
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

/// What a process goes by for a kind of product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) way: Path,
    tiling: Option<Tiling>,
}

impl Known {
    /// Why own kernels are taken, where they are.
    pub(crate) fn why(&self) -> Cow<'static, str> {
        match self.tiling {
            Some(tiling) => format!("measured as faster, as {tiling}").into(),
            None => "measured as faster".into(),
        }
    }
}

type Kinds = HashMap<Class, Known>;

/// What this process goes by on a device, if anything was measured there.
pub(crate) fn of(device: Device) -> Option<&'static Kinds> {
    static DEVICES: OnceLock<KernelCache<Device, Option<Kinds>, Infallible>> = OnceLock::new();
    let devices = DEVICES.get_or_init(KernelCache::new);
    let read = || match Table::read(device) {
        Ok(table) => Ok(table.map(|table| {
            let known = |entry: Entry| {
                let (way, tiling) = (entry.way(), entry.tiling(device.caps()).ok().flatten());
                (entry.class, Known { way, tiling })
            };
            table.entries.into_iter().map(known).collect()
        })),
        Err(why) => {
            eprintln!("wootz: the tuning table is ignored: {why}");
            Ok(None)
        }
    };
    match devices.get_or_compile(device, read) {
        Ok(kinds) => kinds.as_ref(),
        Err(never) => match never {},
    }
}

thread_local! {
    static ASKED: Cell<Option<Option<Tiling>>> = const { Cell::new(None) };
}

/// Calls `f`, in which this thread's products on GPUs are cut as `tiling` says, where that fits them;
/// without one, as the library does where nothing was measured.
pub fn with<R>(tiling: Option<Tiling>, f: impl FnOnce() -> R) -> R {
    struct Back(Option<Option<Tiling>>);
    impl Drop for Back {
        fn drop(&mut self) {
            ASKED.set(self.0);
        }
    }
    let _back = Back(ASKED.replace(Some(tiling)));
    f()
}

/// How a product on a device is to be cut, if anybody says so: a caller, or what was measured.
pub(crate) fn tiling(device: Device, class: impl FnOnce() -> Option<Class>) -> Option<Kind> {
    let measured = || of(device)?.get(&class()?)?.tiling;
    let tiling = ASKED.get().unwrap_or_else(measured);
    tiling.map(|tiling| tiling.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(m: u64, own_us: f64, vendor_us: f64) -> Entry {
        Entry {
            class: Class::new(DType::BF16, [false, true], [m, 4096, 4096], 1),
            own_us,
            tile: None,
            vendor_us: Some(vendor_us),
        }
    }

    #[test]
    fn the_faster_way_of_the_nearest_kind_is_found() {
        let mut table = Table::new(Device::cpu(), Some("some"));
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
        assert_eq!(table.check(Device::cpu()), Ok(()));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let table = Table::new(Device::cpu(), Some("some"));
        let text = serde_json::to_string(&table).unwrap();
        assert!(Table::parse(&text[..text.len() / 2]).is_err());
        assert!(Table::parse(&text.replace("\"version\":2", "\"version\":9")).is_err());
        let foreign = Table::parse(&text.replace(&table.product, "another")).unwrap();
        let why = foreign.check(Device::cpu()).unwrap_err();
        assert!(why.contains("measured on another"), "{why}");
    }

    #[test]
    fn a_faster_tile_counts_against_the_vendor_and_must_be_there() {
        let tile = |name: &str| {
            let name = name.to_owned();
            Some(Faster { name, us: 1.0 })
        };
        let faster = Entry {
            tile: tile("64x64x16_2x2s2"),
            ..entry(32, 3.0, 2.0)
        };
        assert_eq!(faster.way(), Path::Own);
        assert_eq!(entry(32, 3.0, 2.0).way(), Path::Vendor);
        let mut table = Table::new(Device::cpu(), None);
        table.put(faster.clone());
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(Table::parse(&text).unwrap(), table);
        assert_eq!(table.check(Device::cpu()), Ok(()));
        let unknown = Entry {
            tile: tile("3x3x3"),
            ..faster
        };
        table.put(unknown);
        assert!(table.check(Device::cpu()).unwrap_err().contains("3x3x3"));
    }
}
