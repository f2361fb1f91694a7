//! The kernel files, carried in the binary, and the joining of a file with all it includes. Tests of
//! the runtime, which knows no kernel, include this file itself.

/// `(path, text)` of each file, by paths under `kernels/`.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../kernels/", $path)))),*]
    };
}

pub(super) const FILES: &[(&str, &str)] = files![
    "dialect/accesses.h",
    "dialect/blocks.h",
    "dialect/call.h",
    "dialect/cuda.h",
    "dialect/dialect.h",
    "dialect/emulated.h",
    "dialect/float8.h",
    "dialect/lint.h",
    "dialect/maths.h",
    "dialect/matrix.h",
    "dialect/metal.h",
    "dialect/mma.h",
    "dialect/number.h",
    "dialect/place.h",
    "ops/binary.h",
    "ops/fill.h",
    "ops/finish.h",
    "ops/grouped.h",
    "ops/index.h",
    "ops/lora.h",
    "ops/masked.h",
    "ops/matmul.h",
    "ops/matmul_lanes.h",
    "ops/norm.h",
    "ops/pointwise.h",
    "ops/reduce.h",
    "ops/rope.h",
    "ops/runs.h",
    "ops/softmax.h",
    "ops/softmax_columns.h",
    "ops/thin.h",
    "ops/transpose.h",
    "ops/unary.h",
    "sm90/grouped.h",
    "sm90/lora.h",
    "sm90/matmul.h",
    "sm90/parts.h",
    "sm90/queue.h",
    "sm90/scaled.h",
    "sm90/split.h",
    "sm90/words.h",
    "sm90/write.h",
    "tile/adapter.h",
    "tile/epilogue.h",
    "tile/fold.h",
    "tile/lines.h",
    "tile/product.h",
    "tile/reduce.h",
    "tile/refuse.h",
    "tile/row.h",
    "tile/staged.h",
    "tile/team.h",
    "tile/walk.h",
];

/// A kernel file includes something that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{from} includes {missing:?}, which is not a kernel file")]
pub struct SourceError {
    from: String,
    missing: String,
}

/// The text of `path` with each `#include "…"` replaced by the file it names, once.
/// Includes in angle brackets are the platform's and stay.
pub fn flatten(path: &str) -> Result<String, SourceError> {
    let mut joined = Joined::default();
    joined.add(path, "the request")?;
    Ok(joined.text)
}

/// The text of the dialect, then `between`, then the rest of each of `paths`.
pub(super) fn flatten_families(paths: &[&str], between: &str) -> Result<String, SourceError> {
    let mut joined = Joined::default();
    joined.add("dialect/dialect.h", "the request")?;
    joined.text.push_str(between);
    for path in paths {
        joined.add(path, "the request")?;
    }
    Ok(joined.text)
}

#[derive(Default)]
struct Joined {
    text: String,
    seen: Vec<String>,
}

impl Joined {
    fn add(&mut self, path: &str, from: &str) -> Result<(), SourceError> {
        if self.seen.iter().any(|seen| seen == path) {
            return Ok(());
        }
        self.seen.push(path.to_owned());
        let missing = || SourceError {
            from: from.to_owned(),
            missing: path.to_owned(),
        };
        let (_, text) = FILES
            .iter()
            .find(|(name, _)| *name == path)
            .ok_or_else(missing)?;
        for line in text.lines() {
            match included(line) {
                Some(other) => self.add(other, path)?,
                None if line.trim() == "#pragma once" => {}
                None => {
                    self.text.push_str(line);
                    self.text.push('\n');
                }
            }
        }
        Ok(())
    }
}

/// The path in an `#include "…"` line.
pub(super) fn included(line: &str) -> Option<&str> {
    line.trim().strip_prefix("#include \"")?.strip_suffix('"')
}
