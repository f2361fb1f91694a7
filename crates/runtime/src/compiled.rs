//! What a device has compiled: modules by their text, and the entry points that plans asked for.

use crate::{
    error::{Error, Result},
    kernels::KernelCache,
    module::Source,
};

/// Compiled modules `M`, and their entry points `E`.
#[derive(Debug)]
pub(crate) struct Compiled<M, E> {
    modules: KernelCache<u128, M, Error>,
    entries: KernelCache<(u128, &'static str), E, Error>,
}

impl<M, E> Compiled<M, E> {
    pub(crate) fn new() -> Self {
        Compiled {
            modules: KernelCache::new(),
            entries: KernelCache::new(),
        }
    }

    /// The entry point of `source`. The first who wants it looks it up by `find`, in a module that
    /// the first who wants anything of it makes by `compile`.
    pub(crate) fn find(
        &self,
        source: Source,
        compile: impl FnOnce() -> Result<M>,
        find: impl FnOnce(&M) -> Result<E>,
    ) -> Result<&E> {
        let hash = source.module.hash();
        if let Some(entry) = self.entries.get(&(hash, source.entry)) {
            return Ok(entry);
        }
        self.keep(source, || find(self.modules.get_or_compile(hash, compile)?))
    }

    /// The entry point of `source`, which `find` has from elsewhere if nobody had it before.
    pub(crate) fn keep(&self, source: Source, find: impl FnOnce() -> Result<E>) -> Result<&E> {
        let key = (source.module.hash(), source.entry);
        self.entries.get_or_compile(key, find)
    }
}
