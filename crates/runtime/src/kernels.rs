//! The kernel cache: finding a kernel takes no lock, and compiling one keeps nobody waiting
//! but those who want that very kernel.
//!
//! # Protocol
//!
//! A fixed table of buckets, each the head of a list that only grows at its front. An entry
//! is published with `Release` and found with `Acquire`; its key and link never change after
//! that, so a search walks plain memory. An entry is never removed.
//!
//! An entry's `value` is null until a compile succeeds, and then never changes: stored with
//! `Release`, read with `Acquire`.
//!
//! An entry's `queue` is one word in three states: `idle`, nobody compiles; null or a
//! pointer, somebody compiles and this is the list of those who wait. The exchange from idle
//! to null picks the one compiler. A waiter's node lies on its own stack; it exchanges itself
//! onto the list, which fails if the compile ended meanwhile. The compiler stores the value,
//! swaps the queue back to idle, and hands every waiter on the list its own copy of the
//! outcome. So each failure reaches exactly those who waited for that attempt, and a later
//! caller tries again. When the compiler panics, a guard hands out `Outcome::Abandoned`,
//! and the waiters race to compile in its place.
//!
//! Orderings on `queue`: a waiter joins with `Release` and the compiler takes the list with
//! `Acquire`, so it sees the nodes. It returns the queue to idle with `Release` and the next
//! compiler takes it with `Acquire`; since the value is stored before, the next compiler sees
//! it and does not compile again. The outcome travels by `served`, `Release` to `Acquire`.

use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash},
    marker::PhantomData,
    ptr,
};

use rustc_hash::FxHasher;

use crate::sync::{
    UnsafeCell,
    atomic::{
        AtomicBool, AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    thread, unpark,
};

/// Heads of lists. A model has some hundred kernels, so a list has rarely more than one.
const BUCKETS: usize = if cfg!(loom) { 1 } else { 1024 };

/// Compiled kernels by key.
pub struct KernelCache<K, V, E> {
    buckets: Box<[AtomicPtr<Entry<K, V, E>>]>,
    owned: PhantomData<(*mut K, *mut V, *mut E)>,
}

// SAFETY: keys and values are made, shared and dropped through any thread that reaches the
// cache; errors only travel from one thread to another.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send> Send for KernelCache<K, V, E> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send> Sync for KernelCache<K, V, E> {}

struct Entry<K, V, E> {
    key: K,
    value: AtomicPtr<V>,
    queue: AtomicPtr<Waiter<E>>,
    next: *mut Entry<K, V, E>,
}

/// One who waits for a compile; lies on the waiting thread's stack.
struct Waiter<E> {
    next: AtomicPtr<Waiter<E>>,
    thread: thread::Thread,
    outcome: UnsafeCell<Outcome<E>>,
    served: AtomicBool,
}

/// How a compile ended.
#[derive(Clone)]
enum Outcome<E> {
    /// The entry has its value.
    Compiled,
    Failed(E),
    /// The compiler panicked.
    Abandoned,
}

/// The queue's word while nobody compiles: the address of something that is no waiter.
fn idle<E>() -> *mut Waiter<E> {
    static IDLE: u8 = 0;
    ptr::from_ref(&IDLE).cast_mut().cast()
}

impl<K: Hash + Eq, V, E: Clone> KernelCache<K, V, E> {
    /// An empty cache.
    pub fn new() -> Self {
        let buckets = (0..BUCKETS)
            .map(|_| AtomicPtr::new(ptr::null_mut()))
            .collect();
        Self {
            buckets,
            owned: PhantomData,
        }
    }

    /// The kernel of `key`, if it has been compiled. Never waits.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let head = self.bucket(key).load(Acquire);
        // SAFETY: `head` is null or was published in this cache's bucket.
        unsafe { find(head, ptr::null_mut(), key) }?.value()
    }

    /// The kernel of `key`, which `compile` makes if nobody has. Waits only while another
    /// thread compiles the same kernel. `compile` must not ask this cache for a kernel.
    ///
    /// # Errors
    ///
    /// What `compile` returns, or what another thread's did that this call waited for. A
    /// later call tries again.
    pub fn get_or_compile(&self, key: K, compile: impl FnOnce() -> Result<V, E>) -> Result<&V, E> {
        let entry = self.entry(key);
        loop {
            if let Some(value) = entry.value() {
                return Ok(value);
            }
            if entry
                .queue
                .compare_exchange(idle(), ptr::null_mut(), AcqRel, Relaxed)
                .is_ok()
            {
                return entry.compile(compile);
            }
            if let Outcome::Failed(error) = entry.join() {
                return Err(error);
            }
        }
    }

    fn bucket<Q: Hash + ?Sized>(&self, key: &Q) -> &AtomicPtr<Entry<K, V, E>> {
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(key);
        &self.buckets[hash as usize % BUCKETS]
    }

    /// The entry of `key`, added if there is none.
    fn entry(&self, key: K) -> &Entry<K, V, E> {
        let bucket = self.bucket(&key);
        let mut head = bucket.load(Acquire);
        // SAFETY: `head` is null or was published in this bucket.
        if let Some(entry) = unsafe { find(head, ptr::null_mut(), &key) } {
            return entry;
        }
        let (value, queue) = (AtomicPtr::new(ptr::null_mut()), AtomicPtr::new(idle()));
        let new = Box::into_raw(Box::new(Entry {
            key,
            value,
            queue,
            next: head,
        }));
        loop {
            match bucket.compare_exchange(head, new, AcqRel, Acquire) {
                // SAFETY: just published from a box; it lives as long as the cache.
                Ok(_) => return unsafe { &*new },
                Err(now) => {
                    // SAFETY: `new` is still this thread's own; `now` and `head` are this
                    // bucket's, and between them is what others added.
                    if let Some(entry) = unsafe { find(now, head, &(*new).key) } {
                        // SAFETY: from the box above, and not published.
                        drop(unsafe { Box::from_raw(new) });
                        return entry;
                    }
                    // SAFETY: `new` is still this thread's own.
                    unsafe { (*new).next = now };
                    head = now;
                }
            }
        }
    }
}

/// Looks for `key` from `head` on, up to but without `end`.
///
/// # Safety
///
/// `head` is null or was read with `Acquire` from a bucket that outlives `'a`.
unsafe fn find<'a, K: Borrow<Q>, V, E, Q: Eq + ?Sized>(
    mut head: *mut Entry<K, V, E>,
    end: *mut Entry<K, V, E>,
    key: &Q,
) -> Option<&'a Entry<K, V, E>> {
    while head != end {
        // SAFETY: entries are published whole, with their link to older ones, and live as
        // long as the cache; `end` is null or further down the same list.
        let entry = unsafe { &*head };
        if entry.key.borrow() == key {
            return Some(entry);
        }
        head = entry.next;
    }
    None
}

impl<K, V, E: Clone> Entry<K, V, E> {
    fn value(&self) -> Option<&V> {
        // SAFETY: null, or stored once from a box by `compile`; it lives as long as the entry.
        unsafe { self.value.load(Acquire).as_ref() }
    }

    /// Compiles as the only one. The caller has taken the queue from idle.
    fn compile(&self, compile: impl FnOnce() -> Result<V, E>) -> Result<&V, E> {
        if let Some(value) = self.value() {
            self.finish(&Outcome::Compiled);
            return Ok(value);
        }
        let abandoned = Abandoned(self);
        let compiled = compile();
        std::mem::forget(abandoned);
        match compiled {
            Ok(value) => {
                let value = Box::into_raw(Box::new(value));
                self.value.store(value, Release);
                self.finish(&Outcome::Compiled);
                // SAFETY: just stored, and it lives as long as the entry.
                Ok(unsafe { &*value })
            }
            Err(error) => {
                self.finish(&Outcome::Failed(error.clone()));
                Err(error)
            }
        }
    }

    /// Returns the queue to idle and gives every waiter the outcome.
    fn finish(&self, outcome: &Outcome<E>) {
        let mut waiter = self.queue.swap(idle(), AcqRel);
        while !waiter.is_null() {
            // SAFETY: a node on the list lies on the stack of a thread that stays in `join`
            // until `served`; the swap made this thread the only one that serves it. What is
            // used after `served` is copied out before.
            let thread = unsafe {
                let node = &*waiter;
                waiter = node.next.load(Relaxed);
                let thread = node.thread.clone();
                node.outcome.with_mut(|slot| *slot = outcome.clone());
                node.served.store(true, Release);
                thread
            };
            unpark(&thread);
        }
    }

    /// Waits for the compile that is under way. If it ends first, that is as good as seeing
    /// it abandoned: the caller looks again.
    fn join(&self) -> Outcome<E> {
        let node = Waiter {
            next: AtomicPtr::new(ptr::null_mut()),
            thread: thread::current(),
            outcome: UnsafeCell::new(Outcome::Abandoned),
            served: AtomicBool::new(false),
        };
        let mut head = self.queue.load(Relaxed);
        loop {
            if head == idle() {
                return Outcome::Abandoned;
            }
            node.next.store(head, Relaxed);
            let this = ptr::from_ref(&node).cast_mut();
            match self.queue.compare_exchange(head, this, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        while !node.served.load(Acquire) {
            thread::park();
        }
        // SAFETY: `served`, seen with `Acquire`, is the server's last touch of the node.
        node.outcome.with(|outcome| unsafe { (*outcome).clone() })
    }
}

/// Ends a compile that panicked.
struct Abandoned<'a, K, V, E: Clone>(&'a Entry<K, V, E>);

impl<K, V, E: Clone> Drop for Abandoned<'_, K, V, E> {
    fn drop(&mut self) {
        self.0.finish(&Outcome::Abandoned);
    }
}

impl<K, V, E> Drop for KernelCache<K, V, E> {
    fn drop(&mut self) {
        for bucket in &self.buckets {
            let mut head = bucket.load(Relaxed);
            while !head.is_null() {
                // SAFETY: published once from a box, and `&mut self` says that none looks.
                head = unsafe { Box::from_raw(head) }.next;
            }
        }
    }
}

impl<K, V, E> Drop for Entry<K, V, E> {
    fn drop(&mut self) {
        let value = self.value.load(Relaxed);
        if !value.is_null() {
            // SAFETY: stored once from a box, and `&mut self` says that none looks.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

impl<K: Hash + Eq, V, E: Clone> Default for KernelCache<K, V, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, E> fmt::Debug for KernelCache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelCache").finish_non_exhaustive()
    }
}
