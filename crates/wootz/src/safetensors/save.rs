//! Writing a file: beside its place first, then under its name at once.

use super::{
    DTYPES, file_error,
    header::{Entry, LIMIT, METADATA, PREFIX},
};
use crate::{Result, Tensor};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes that are copied to the host at once.
const CHUNK: usize = 4 << 20;

/// Writes tensors and what the file is to say of itself. A reader finds the old file or the
/// whole new one under `path`, whatever happens meanwhile.
pub fn save<'a>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    // The widest elements first, so that all are aligned.
    tensors.sort_by_key(|(name, tensor)| (std::cmp::Reverse(tensor.dtype().size()), *name));
    let header = header(&tensors, metadata).map_err(|text| file_error(&name, text))?;
    let beside = Beside::create(path).map_err(|error| file_error(&name, error))?;
    write(&beside.file, &header, &tensors, &name)?;
    beside.keep(path).map_err(|error| file_error(&name, error))
}

/// The header with its length in front, and blanks after it so that the tensors are aligned.
fn header(
    tensors: &[(&str, &Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, String> {
    let mut names = serde_json::Map::new();
    if !metadata.is_empty() {
        names.insert(METADATA.to_owned(), serde_json::json!(metadata));
    }
    let mut end = 0;
    for (name, tensor) in tensors {
        let dtype = DTYPES.iter().find(|(_, dtype)| *dtype == tensor.dtype());
        let (dtype, _) = dtype.ok_or_else(|| format!("no name for {}", tensor.dtype()))?;
        let start = end;
        end += tensor.count() * tensor.dtype().size();
        let (dtype, shape) = ((*dtype).to_owned(), tensor.dims().to_vec());
        let entry = serde_json::json!(Entry {
            dtype,
            shape,
            data_offsets: (start, end)
        });
        if *name == METADATA || names.insert((*name).to_owned(), entry).is_some() {
            return Err(format!("the name {name:?} is taken"));
        }
    }
    let mut text = serde_json::Value::Object(names).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(PREFIX), b' ');
    if text.len() > LIMIT {
        return Err(format!(
            "a header of {} bytes, more than the {LIMIT} allowed",
            text.len()
        ));
    }
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

fn write(mut file: &File, header: &[u8], tensors: &[(&str, &Tensor)], path: &str) -> Result<()> {
    let failed = |error: io::Error| file_error(path, error);
    file.write_all(header).map_err(failed)?;
    let mut chunk = Vec::new();
    for (_, tensor) in tensors {
        let whole = tensor.contiguous()?;
        let start = whole.byte_offset();
        let bytes = whole.count() * whole.dtype().size();
        for from in (0..bytes).step_by(CHUNK) {
            chunk.resize(CHUNK.min(bytes - from), 0);
            whole.buffer().read(start + from, &mut chunk)?;
            file.write_all(&chunk).map_err(failed)?;
        }
    }
    // Under its name only when it is on the disk.
    file.sync_all().map_err(failed)
}

/// A file beside the one that it is to replace; removed unless it is kept.
struct Beside {
    file: File,
    path: PathBuf,
}

impl Beside {
    fn create(target: &Path) -> io::Result<Beside> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut own = name.to_owned();
        own.push(format!(".{}.{number}.part", std::process::id()));
        let path = target.with_file_name(own);
        let file = File::create_new(&path)?;
        Ok(Beside { file, path })
    }

    fn keep(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Nothing is there any more when it was kept; and what cannot be removed stays.
        let _ = fs::remove_file(&self.path);
    }
}
