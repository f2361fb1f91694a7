//! The header: what is in a file and where. It is data from a stranger, so everything is checked
//! here, once, and nothing later needs to be.

use super::DTYPES;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::{collections::BTreeMap, fmt};

/// The most bytes that a header may take.
pub(super) const LIMIT: usize = 100_000_000;
/// Bytes of the number in front that says how long the header is.
pub(super) const PREFIX: usize = 8;
/// The one name that is not a tensor's.
pub(super) const METADATA: &str = "__metadata__";

/// The contents of a file by name.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// One tensor.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Entry {
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// Its first byte and the one after its last, from where the tensors begin.
    pub(super) data_offsets: (usize, usize),
}

impl Header {
    /// The header of a whole file and where its tensors begin, or what is wrong with it.
    pub(super) fn parse(file: &[u8]) -> Result<(Header, usize), String> {
        let prefix = file
            .first_chunk::<PREFIX>()
            .ok_or("too short for a header")?;
        let length = usize::try_from(u64::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > LIMIT {
            return Err(format!(
                "a header of {length} bytes, more than the {LIMIT} allowed"
            ));
        }
        let rest = &file[PREFIX..];
        let text = rest
            .get(..length)
            .ok_or_else(|| format!("a header of {length} bytes in a file of {}", file.len()))?;
        if text.first() != Some(&b'{') {
            return Err("the header does not begin with {".to_owned());
        }
        let header: Header =
            serde_json::from_slice(text).map_err(|error| format!("the header: {error}"))?;
        header.check(rest.len() - length)?;
        Ok((header, PREFIX + length))
    }

    /// The tensors fill all of `bytes` bytes, one after another, each as long as its shape says.
    fn check(&self, bytes: usize) -> Result<(), String> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.data_offsets);
        let mut end = 0;
        for (name, entry) in entries {
            let (from, to) = entry.data_offsets;
            if from != end || to < from || to > bytes {
                return Err(format!(
                    "tensor {name:?} takes bytes {from}..{to} of {bytes}, and the ones before it end at {end}"
                ));
            }
            entry
                .check()
                .map_err(|text| format!("tensor {name:?}: {text}"))?;
            end = to;
        }
        if end == bytes {
            Ok(())
        } else {
            Err(format!("{} bytes belong to no tensor", bytes - end))
        }
    }
}

impl Entry {
    /// As long as its shape says. The size of an unknown type's elements is not known.
    fn check(&self) -> Result<(), String> {
        let Some((_, dtype)) = DTYPES.iter().find(|(name, _)| *name == self.dtype) else {
            return Ok(());
        };
        let (from, to) = self.data_offsets;
        // Each product is checked, also where a later size is 0.
        let size = self
            .shape
            .iter()
            .try_fold(dtype.size(), |size, &dim| size.checked_mul(dim));
        if size == Some(to - from) {
            return Ok(());
        }
        Err(format!(
            "{} of shape {:?} does not take {} bytes",
            self.dtype,
            self.shape,
            to - from
        ))
    }
}

/// By hand, since a name that stands twice is an error and not the last one's.
impl<'de> de::Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut described = false;
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == METADATA {
                header.metadata = map.next_value()?;
                std::mem::replace(&mut described, true)
            } else {
                let entry = map.next_value()?;
                header.entries.insert(name.clone(), entry).is_some()
            };
            if twice {
                return Err(de::Error::custom(format!("{name:?} stands twice")));
            }
        }
        Ok(header)
    }
}
