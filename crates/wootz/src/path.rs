//! Which way a matrix product takes: the library's own kernels, or those of a library that is there
//! when the program runs.
//!
//! `WOOTZ_PATH` says it for the process, [`set`] and [`with`] say it in a program. Left to
//! [`Path::Auto`], a measured table decides, and where there is none, the library's own kernels do.
//! `WOOTZ_LOG=path` tells, once for each kind of product, which way it went and why.

use crate::setting::{self, Setting};
use std::{cell::Cell, fmt, sync::OnceLock};

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// The faster of both, as measured.
    Auto,
    /// The library's own kernels.
    Own,
    /// Another library, where there is one and it can compute the product.
    Vendor,
    /// Of the library's own kernels, those that are not for one machine alone: what other machines run
    /// can be checked and measured on it.
    Portable,
}

impl Path {
    /// Each way by its name.
    pub const NAMES: [(&'static str, Path); 4] = [
        ("auto", Path::Auto),
        ("own", Path::Own),
        ("vendor", Path::Vendor),
        ("portable", Path::Portable),
    ];
    /// The variable that says which way the process takes.
    pub const VARIABLE: &'static str = "WOOTZ_PATH";

    /// The way of this name.
    pub fn named(name: &str) -> Option<Path> {
        setting::named(&Path::NAMES, name)
    }

    /// The way's name.
    pub fn name(self) -> &'static str {
        Path::NAMES[self as usize].0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

thread_local! {
    static THREAD: Cell<Option<Path>> = const { Cell::new(None) };
}
static PATH: Setting<Path> = Setting::new(Path::VARIABLE, &Path::NAMES, &THREAD);

/// The way that this thread's products take.
pub fn current() -> Path {
    PATH.current()
}

/// Sets the way for the process.
pub fn set(path: Path) {
    PATH.set(path);
}

/// Calls `f`, in which this thread's products take `path`.
pub fn with<R>(path: Path, f: impl FnOnce() -> R) -> R {
    PATH.with(path, f)
}

/// Whether `WOOTZ_LOG` asks for ways.
pub(crate) fn is_logged() -> bool {
    static LOGGED: OnceLock<bool> = OnceLock::new();
    *LOGGED.get_or_init(|| {
        let asked = std::env::var("WOOTZ_LOG").unwrap_or_default();
        asked.split(',').any(|topic| topic == "path")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_ways() {
        for (name, path) in Path::NAMES {
            assert_eq!((path.name(), Path::named(name)), (name, Some(path)));
        }
        assert_eq!(Path::named("mine"), None);
    }

    #[test]
    fn a_thread_has_its_own_way_for_a_while() {
        let before = current();
        with(Path::Vendor, || {
            assert_eq!(current(), Path::Vendor);
            with(Path::Own, || assert_eq!(current(), Path::Own));
            assert_eq!(current(), Path::Vendor);
        });
        assert_eq!(current(), before);
    }
}
