//! How precisely products of `f32` are computed: as `f32` says, or faster, of factors with the 10 bits
//! of tf32.
//!
//! `WOOTZ_PRECISION` says it for the process, [`set`] and [`with`] say it in a program. It is leave to
//! be less precise, not an order: where tf32 would be no faster, products stay whole. With it, factors
//! are rounded to tf32, so that a product of two is off by a 2¹⁰th of itself; some devices cut bits
//! off instead, which is twice as much. Sums are in `f32` either way.
//! [`matmul`](crate::ops::matmul()) and all that is made of it take leave; other types never lose bits.

use crate::setting::{self, Setting};
use std::{cell::Cell, fmt};

/// How precisely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As `f32`.
    Full,
    /// With the 10 bits of tf32 where that is faster.
    Tf32,
}

impl Precision {
    /// Each by its name.
    pub const NAMES: [(&'static str, Precision); 2] =
        [("f32", Precision::Full), ("tf32", Precision::Tf32)];
    /// The variable that says it for the process.
    pub const VARIABLE: &'static str = "WOOTZ_PRECISION";
    /// The most that a product of two elements may be off, as a share of it.
    pub(crate) const TF32_ERROR: f64 = 1.0 / 512.0;

    /// The precision of this name.
    pub fn named(name: &str) -> Option<Precision> {
        setting::named(&Precision::NAMES, name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Precision::NAMES[self as usize].0
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

thread_local! {
    static THREAD: Cell<Option<Precision>> = const { Cell::new(None) };
}
static PRECISION: Setting<Precision> =
    Setting::new(Precision::VARIABLE, &Precision::NAMES, &THREAD);

/// How precise this thread's products are.
pub fn current() -> Precision {
    PRECISION.current()
}

/// Says it for the process.
pub fn set(precision: Precision) {
    PRECISION.set(precision);
}

/// Calls `f`, in which this thread's products are as precise.
pub fn with<R>(precision: Precision, f: impl FnOnce() -> R) -> R {
    PRECISION.with(precision, f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_precisions() {
        for (name, precision) in Precision::NAMES {
            let named = Precision::named(name);
            assert_eq!((precision.name(), named), (name, Some(precision)));
        }
        assert_eq!(Precision::named("f16"), None);
    }

    #[test]
    fn a_thread_has_its_own_for_a_while() {
        let before = current();
        with(Precision::Tf32, || {
            let others = std::thread::spawn(current).join().unwrap();
            assert_eq!((current(), others), (Precision::Tf32, before));
            with(Precision::Full, || assert_eq!(current(), Precision::Full));
        });
        assert_eq!(current(), before);
    }
}
