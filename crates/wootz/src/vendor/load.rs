//! Finding a library that may be there.

use libloading::Library;
use std::{error::Error, path::PathBuf};

/// The first of the libraries `names` that can be loaded: from the file that `variable` names if it
/// is set, else from where the system looks, else from `folders`. The error says what was tried.
pub(super) fn load(
    variable: &str,
    names: &[&str],
    folders: &[PathBuf],
) -> Result<(Library, String), String> {
    let named = std::env::var_os(variable).filter(|name| !name.is_empty());
    let given = named.is_some();
    let candidates: Vec<PathBuf> = match named {
        Some(named) => vec![PathBuf::from(named)],
        None => {
            let anywhere = names.iter().map(PathBuf::from);
            let inside = folders
                .iter()
                .flat_map(|folder| names.iter().map(|name| folder.join(name)));
            anywhere
                .chain(inside.filter(|path| path.is_file()))
                .collect()
        }
    };
    let mut reasons = vec![];
    for path in &candidates {
        // SAFETY: loads a library that the user installed or named, as the loader does; its
        // initialisers are its maker's.
        match unsafe { Library::new(path) } {
            Ok(library) => return Ok((library, path.display().to_string())),
            // Of a library that is nowhere there is nothing to tell.
            Err(error) if given || path.is_file() => {
                let system = error.source().map(ToString::to_string);
                reasons.push(system.unwrap_or_else(|| error.to_string()));
            }
            Err(_) => {}
        }
    }
    Err(match reasons.is_empty() {
        true => format!(
            "{} not found; {variable} can name its file",
            names.join(", ")
        ),
        false => reasons.join("; "),
    })
}
