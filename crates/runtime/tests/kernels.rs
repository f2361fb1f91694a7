#![cfg(not(loom))]
//! The kernel cache with real threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;
use wootz_runtime::kernels::KernelCache;

type Cache<V> = KernelCache<String, V, String>;

#[test]
fn a_kernel_is_compiled_once_and_stays_where_it_is() {
    let cache = Cache::new();
    assert_eq!(cache.get("softmax"), None);
    let first: *const i32 = cache.get_or_compile("softmax".into(), || Ok(1)).unwrap();
    for number in 0..5_000 {
        assert_eq!(
            cache.get_or_compile(format!("op {number}"), || Ok(number)),
            Ok(&number)
        );
    }
    let again: *const i32 = cache.get_or_compile("softmax".into(), || Ok(2)).unwrap();
    assert_eq!(first, again);
    assert_eq!(cache.get("softmax"), Some(&1));
    assert_eq!(cache.get("op 4999"), Some(&4999));
}

proptest! {
    #[test]
    fn it_answers_like_a_map(keys in proptest::collection::vec(0..50_u8, 0..200)) {
        let cache = KernelCache::<u8, usize, ()>::new();
        let mut model = std::collections::HashMap::new();
        for (number, key) in keys.into_iter().enumerate() {
            prop_assert_eq!(cache.get(&key), model.get(&key));
            let expected = *model.entry(key).or_insert(number);
            prop_assert_eq!(cache.get_or_compile(key, || Ok(number)), Ok(&expected));
        }
    }
}

#[test]
fn one_compile_keeps_no_other_kernel_waiting() {
    let cache = Cache::new();
    let (go, gate) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (started, begun) = mpsc::channel();
        let cache = &cache;
        let slow = scope.spawn(move || {
            cache.get_or_compile("slow".into(), || {
                started.send(()).unwrap();
                gate.recv().unwrap();
                Ok(1)
            })
        });
        begun.recv().unwrap();
        assert_eq!(cache.get("slow"), None);
        assert_eq!(cache.get_or_compile("quick".into(), || Ok(2)), Ok(&2));
        go.send(()).unwrap();
        assert_eq!(slow.join().unwrap(), Ok(&1));
    });
}

#[test]
fn all_who_want_a_kernel_at_once_get_the_same_one() {
    const THREADS: usize = 4;
    for _ in 0..200 {
        let (cache, compiled, start) = (Cache::new(), AtomicUsize::new(0), Barrier::new(THREADS));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    let kernel = cache.get_or_compile("gelu".into(), || {
                        thread::yield_now();
                        Ok(compiled.fetch_add(1, SeqCst))
                    });
                    assert_eq!(kernel, Ok(&0));
                });
            }
        });
    }
}

/// Starts a compile that ends as `end` says only after `waiters` other threads had time to
/// wait for it, and returns what those got.
fn with_waiters(
    cache: &Cache<i32>,
    end: impl FnOnce() -> Result<i32, String> + Send,
) -> Vec<Result<i32, String>> {
    let (started, begun) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            catch_unwind(AssertUnwindSafe(|| {
                cache
                    .get_or_compile("rope".into(), || {
                        started.send(()).unwrap();
                        thread::sleep(Duration::from_millis(30));
                        end()
                    })
                    .copied()
            }))
        });
        begun.recv().unwrap();
        let wait = || cache.get_or_compile("rope".into(), || Ok(7)).copied();
        let waiters: Vec<_> = (0..3).map(|_| scope.spawn(wait)).collect();
        waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .collect()
    })
}

#[test]
fn a_failure_is_told_and_the_next_call_tries_again() {
    let cache = Cache::new();
    for got in with_waiters(&cache, || Err("line 3: no such type".into())) {
        // A thread that came late tried for itself.
        assert!(
            got == Err("line 3: no such type".into()) || got == Ok(7),
            "{got:?}"
        );
    }
    assert_eq!(cache.get_or_compile("rope".into(), || Ok(7)), Ok(&7));
}

#[test]
fn a_panic_reaches_its_own_caller_only_and_others_compile() {
    let cache = Cache::new();
    let got = with_waiters(&cache, || panic!("compiler bug"));
    assert_eq!(got, [Ok(7), Ok(7), Ok(7)]);
}
