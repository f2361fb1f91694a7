//! Kernels in source form: what every GPU compiles, and the emulator.
//!
//! A [`Module`] is one self-contained text in the kernel dialect, the same bytes for each compiler.
//! A device compiles it when a plan first asks for one of its entry points, and finds the outcome
//! again by the text's hash. How many lanes a group has and how much scratch memory is the plan's
//! to say ([`crate::Grid::lanes`], [`crate::Plan::scratch`]), so a plan means the same everywhere.

use crate::fingerprint::fingerprint;
use std::fmt;

/// The text that a compiler gets, known by its hash.
pub struct Module {
    text: String,
    hash: u128,
}

impl Module {
    /// A module of this text, in which every include is already resolved.
    pub fn new(text: impl Into<String>) -> Module {
        let text = text.into();
        let hash = fingerprint([text.as_bytes()]);
        Module { text, hash }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text's hash: modules with the same one are the same to a device.
    pub fn hash(&self) -> u128 {
        self.hash
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({:032x})", self.hash)
    }
}

/// An entry point of a module. Modules live as long as the process, so this is a plain reference.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The module.
    pub module: &'static Module,
    /// The entry point's name in it, unique among all kernels.
    pub entry: &'static str,
}
