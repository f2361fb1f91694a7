//! Kernels by what plans ask for: the text of each is made when it is first wanted.

use super::{Id, module, resident::resident};
use std::convert::Infallible;
use wootz_runtime::{Module, Resident, Source, kernels::KernelCache};

#[expect(
    clippy::disallowed_types,
    reason = "filled once, by the first plan for a GPU; after that it is a load"
)]
static KERNELS: std::sync::LazyLock<KernelCache<Id, (Source, u32), Infallible>> =
    std::sync::LazyLock::new(KernelCache::new);

/// The kernel in source form, and the lanes of its groups. It is a module of its own, so that a
/// device compiles no more than what somebody runs. Both live as long as the process, as the devices' compiled kernels do.
pub(super) fn source(id: Id) -> (Source, u32) {
    if let Some(source) = KERNELS.get(&id) {
        return *source;
    }
    let make = || {
        Resident::provide(resident);
        let instance = id.instance();
        let text = module(std::slice::from_ref(&instance));
        let source = Source {
            module: Box::leak(Box::new(Module::new(text))),
            entry: instance.name.leak(),
        };
        Ok((source, instance.lanes))
    };
    match KERNELS.get_or_compile(id, make) {
        Ok(source) => *source,
        Err(never) => match never {},
    }
}

/// Compiles every kernel for the emulator, on all cores and many at a time: what runs all of them
/// would wait ten times as long for one after the other.
#[cfg(feature = "emulated")]
pub fn compile_for_emulator() -> wootz_runtime::Result<()> {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };
    /// Kernels in a text: enough that its headers weigh little, few enough to share out.
    const TOGETHER: usize = 64;
    let families = super::modules();
    let texts: Vec<&[Id]> = families
        .iter()
        .flat_map(|ids| ids.chunks(TOGETHER))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(ids) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let instances: Vec<_> = ids.iter().map(|id| id.instance()).collect();
            let sources: Vec<Source> = ids.iter().map(|&id| source(id).0).collect();
            wootz_runtime::emulated::compile_together(&module(&instances), &sources)?;
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut done = threads.into_iter();
        done.try_for_each(|thread| thread.join().expect("compiling does not panic"))
    })
}
