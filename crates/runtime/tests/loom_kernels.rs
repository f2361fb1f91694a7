#![cfg(loom)]
//! The kernel cache under every interleaving.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use wootz_runtime::kernels::KernelCache;

/// A kernel whose contents loom watches.
struct Kernel(UnsafeCell<usize>);

// SAFETY: written before it is in the cache, only read afterwards.
unsafe impl Sync for Kernel {}

impl Kernel {
    fn new(value: usize) -> Self {
        let kernel = Self(UnsafeCell::new(0));
        // SAFETY: nobody else knows the kernel yet.
        kernel.0.with_mut(|slot| unsafe { *slot = value });
        kernel
    }

    fn value(&self) -> usize {
        // SAFETY: see `Sync`.
        self.0.with(|value| unsafe { *value })
    }
}

type Cache = KernelCache<u32, Kernel, usize>;

#[test]
fn one_of_those_who_want_a_kernel_compiles_it() {
    loom::model(|| {
        let shared = Arc::new((Cache::new(), AtomicUsize::new(0)));
        let want = |shared: &(Cache, AtomicUsize)| {
            let (cache, compiled) = shared;
            let compile = || Ok(Kernel::new(10 + compiled.fetch_add(1, Relaxed)));
            cache.get_or_compile(1, compile).map(Kernel::value)
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || want(&shared))
        };
        assert_eq!(want(&shared), Ok(10));
        assert_eq!(other.join().unwrap(), Ok(10));
    });
}

#[test]
fn a_kernel_that_a_lookup_finds_is_whole() {
    loom::model(|| {
        let cache = Arc::new(Cache::new());
        let makers: Vec<_> = [1, 2]
            .into_iter()
            .map(|key| {
                let cache = cache.clone();
                thread::spawn(move || {
                    assert!(cache.get_or_compile(key, || Ok(Kernel::new(7))).is_ok());
                })
            })
            .collect();
        assert!(cache.get(&1).is_none_or(|kernel| kernel.value() == 7));
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        assert!([1, 2].iter().all(|key| cache.get(key).is_some()));
    });
}

#[test]
fn a_failure_reaches_those_who_waited_and_the_next_tries_again() {
    loom::model(|| {
        let shared = Arc::new((Cache::new(), AtomicUsize::new(0)));
        let fail = |shared: &(Cache, AtomicUsize)| {
            let (cache, attempts) = shared;
            let compile = || Err(1 + attempts.fetch_add(1, Relaxed));
            cache.get_or_compile(1, compile).map(Kernel::value)
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || fail(&shared))
        };
        let failures = [fail(&shared), other.join().unwrap()];
        let attempts = shared.1.load(Relaxed);
        // Both told of the one attempt, or each of its own.
        let mut told = failures.map(Result::unwrap_err);
        told.sort_unstable();
        assert_eq!(told, if attempts == 1 { [1, 1] } else { [1, 2] });
        assert_eq!(
            shared
                .0
                .get_or_compile(1, || Ok(Kernel::new(7)))
                .map(Kernel::value),
            Ok(7)
        );
    });
}

#[test]
fn a_panic_leaves_the_others_to_compile() {
    std::panic::set_hook(Box::new(|_| {}));
    loom::model(|| {
        let cache = Arc::new(Cache::new());
        let other = {
            let cache = cache.clone();
            thread::spawn(move || {
                cache
                    .get_or_compile(1, || Ok(Kernel::new(7)))
                    .map(Kernel::value)
            })
        };
        let panics = AssertUnwindSafe(|| {
            cache
                .get_or_compile(1, || std::panic::panic_any("compiler bug"))
                .map(Kernel::value)
        });
        // Either it panicked, or the other thread had the kernel already.
        assert_eq!(catch_unwind(panics).unwrap_or(Ok(7)), Ok(7));
        assert_eq!(other.join().unwrap(), Ok(7));
    });
    drop(std::panic::take_hook());
}
