//! Tensors in files, in the safetensors format: a header in JSON, then the bytes of the tensors.
//!
//! ```no_run
//! use wootz::{Device, safetensors::SafeTensors};
//!
//! let file = SafeTensors::open("model.safetensors")?;
//! let weight = file.tensor("weight", Device::cpu())?;
//! # Ok::<(), wootz::Error>(())
//! ```

mod header;
mod save;

pub use save::save;

use crate::{DType, Device, Error, Layout, Result, Shape, Tensor};
use header::{Entry, Header};
use memmap2::Mmap;
use std::{collections::BTreeMap, fmt, fs, path::Path, sync::Arc};
use wootz_runtime::{Buffer, Family, Stream};

/// The element types of the format that tensors can have, and what they are called in files.
/// Truth values are bytes here, so `BOOL` is read and not written.
const DTYPES: &[(&str, DType)] = &[
    ("F32", DType::F32),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("I32", DType::I32),
    ("U32", DType::U32),
    ("I64", DType::I64),
    ("U8", DType::U8),
    ("F8_E4M3", DType::F8E4M3),
    ("BOOL", DType::U8),
];

/// An open file of tensors. It and its tensors can go to any thread.
///
/// # Files that change
/// [`open`](SafeTensors::open) maps the file: nothing is copied, and a page is read when it is
/// first touched. On the CPU the tensors are views of the mapping, which lives as long as the
/// last of them. So the file must stay as it is meanwhile: who writes to it changes elements of
/// tensors that should be immutable, and who truncates it ends the process when a missing page is
/// touched. No change can make a tensor reach outside the mapping, since the header is checked
/// once, in a copy. [`save`] never changes a file in place: it puts a new file under the name,
/// and tensors of the old one keep its bytes. Of a file that others may change make a copy in
/// memory: `SafeTensors::from_bytes(std::fs::read(path)?)`.
pub struct SafeTensors {
    path: String,
    bytes: Arc<Bytes>,
    /// Where the tensors' bytes begin.
    start: usize,
    header: Header,
}

/// Where the bytes are.
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl SafeTensors {
    /// Maps the file at `path` and checks its header.
    pub fn open(path: impl AsRef<Path>) -> Result<SafeTensors> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let failed = |error: std::io::Error| file_error(&name, error);
        let about = fs::metadata(path).map_err(failed)?;
        // Opening a pipe would wait for a writer.
        if !about.is_file() {
            return Err(file_error(&name, "not a regular file"));
        }
        let file = fs::File::open(path).map_err(failed)?;
        // SAFETY: the type's documentation asks that the file stays as it is; if it does not,
        // elements change, but nothing that was checked is read again.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        SafeTensors::new(name, Bytes::Mapped(map))
    }

    /// A file that is in memory already.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<SafeTensors> {
        SafeTensors::new("safetensors in memory".to_owned(), Bytes::Owned(bytes))
    }

    fn new(path: String, bytes: Bytes) -> Result<SafeTensors> {
        let (header, start) = Header::parse(&bytes).map_err(|text| file_error(&path, text))?;
        Ok(SafeTensors {
            path,
            bytes: Arc::new(bytes),
            start,
            header,
        })
    }

    /// The names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.entries.keys().map(String::as_str)
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The sizes of a tensor's axes, and its element type as files call it.
    pub fn describe(&self, name: &str) -> Result<(&[usize], &str)> {
        let entry = self.entry(name)?;
        Ok((entry.shape.as_slice(), entry.dtype.as_str()))
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let entry = self.header.entries.get(name);
        entry.ok_or_else(|| file_error(&self.path, format!("no tensor is named {name:?}")))
    }

    /// The tensor of this name on `device`. On the CPU it shares the file's memory, unless it
    /// lies there at an address that its element type does not allow.
    pub fn tensor(&self, name: &str, device: Device) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let wrong = |text: String| file_error(&self.path, format!("tensor {name:?}: {text}"));
        let dtype = DTYPES.iter().find(|(name, _)| *name == entry.dtype);
        let dtype = dtype
            .ok_or_else(|| wrong(format!("unknown dtype {:?}", entry.dtype)))?
            .1;
        let shape = Shape::new(&entry.shape)
            .ok_or_else(|| wrong(format!("{} axes are too many", entry.shape.len())))?;
        if !shape.fits(dtype.size()) {
            return Err(wrong(format!("shape {shape} is too large")));
        }
        let (from, to) = entry.data_offsets;
        let bytes = &self.bytes[self.start + from..self.start + to];
        let aligned = bytes.as_ptr().addr().is_multiple_of(dtype.size());
        let buffer = if aligned && device.caps().family == Family::Cpu {
            // SAFETY: the owner keeps these bytes where they are, and the type's documentation
            // asks that nobody writes them. The CPU is host-visible.
            unsafe {
                let owner = Box::new(self.bytes.clone());
                Buffer::foreign(device, bytes.as_ptr(), bytes.len(), owner)
            }
        } else {
            Stream::with_current(device, |stream| stream.upload(bytes))?
        };
        Ok(Tensor::from_parts(buffer, dtype, Layout::contiguous(shape)))
    }

    /// All tensors by name.
    pub fn tensors(&self, device: Device) -> Result<BTreeMap<String, Tensor>> {
        let tensor = |name: &str| Ok((name.to_owned(), self.tensor(name, device)?));
        self.names().map(tensor).collect()
    }
}

impl fmt::Debug for SafeTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SafeTensors({}, {} tensors)",
            self.path,
            self.header.entries.len()
        )
    }
}

fn file_error(path: &str, reason: impl fmt::Display) -> Error {
    Error::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
