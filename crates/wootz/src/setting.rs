//! A choice among a few, which a variable makes for the process, and a program for the process or for
//! a while of one thread.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    thread::LocalKey,
};

/// A choice and where it is kept.
pub(crate) struct Setting<T: 'static> {
    /// The variable that says it for the process.
    variable: &'static str,
    /// All there are by their names; the first unless somebody says another.
    names: &'static [(&'static str, T)],
    /// The place of the process's choice among them; `UNKNOWN` until somebody asks.
    process: AtomicU8,
    thread: &'static LocalKey<Cell<Option<T>>>,
}

const UNKNOWN: u8 = u8::MAX;

impl<T: Copy + PartialEq> Setting<T> {
    pub(crate) const fn new(
        variable: &'static str,
        names: &'static [(&'static str, T)],
        thread: &'static LocalKey<Cell<Option<T>>>,
    ) -> Setting<T> {
        Setting {
            variable,
            names,
            process: AtomicU8::new(UNKNOWN),
            thread,
        }
    }

    /// This thread's choice, or else the process's.
    #[inline]
    pub(crate) fn current(&self) -> T {
        if let Some(choice) = self.thread.get() {
            return choice;
        }
        match self.process.load(Relaxed) {
            UNKNOWN => self.ask(),
            known => self.names[usize::from(known)].1,
        }
    }

    /// What the variable says.
    fn ask(&self) -> T {
        let said = std::env::var(self.variable).ok();
        let choice = said.and_then(|said| named(self.names, &said));
        let choice = choice.unwrap_or(self.names[0].1);
        self.set(choice);
        choice
    }

    /// Makes the process's choice.
    pub(crate) fn set(&self, choice: T) {
        let place = self.names.iter().position(|&(_, known)| known == choice);
        self.process.store(place.unwrap_or(0) as u8, Relaxed);
    }

    /// Calls `f`, in which this thread has this choice.
    pub(crate) fn with<R>(&self, choice: T, f: impl FnOnce() -> R) -> R {
        /// Takes the thread's choice back, on unwinding too.
        struct Before<T: 'static>(&'static LocalKey<Cell<Option<T>>>, Option<T>);
        impl<T> Drop for Before<T> {
            fn drop(&mut self) {
                self.0.set(self.1.take());
            }
        }
        let _before = Before(self.thread, self.thread.replace(Some(choice)));
        f()
    }
}

/// The one of this name.
pub(crate) fn named<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    let found = names.iter().find(|(known, _)| *known == name);
    found.map(|&(_, choice)| choice)
}
