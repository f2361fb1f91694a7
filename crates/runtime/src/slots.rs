//! A registry of slots that are made when first needed, leased by one owner at a time, and
//! never removed.
//!
//! Streams live in one: a thread leases a slot, drives it, and gives it back when it is done;
//! the next thread finds the contents as they were left. Waiters of a
//! [`Timeline`](crate::timeline::Timeline) live in another.
//!
//! # Protocol
//!
//! Slots sit in chunks, each twice as long as the one before. A chunk is published once by
//! exchanging a null pointer; it never moves, so references stay good.
//!
//! A lease is a bit. Setting a bit that was clear makes the caller the slot's owner; the
//! lowest clear bit is tried first, so the registry stays as small as its busiest moment.
//! A bit carries no pointer and no history, so ABA cannot arise.
//!
//! Orderings: [`release`](Slots::release) clears the bit with `Release` and
//! [`acquire`](Slots::acquire) sets it with `Acquire`. All changes of a word of bits are
//! read-modify-writes, so the clear heads a release sequence that reaches the set even when
//! other bits changed between: the new owner sees all that the old one did. A slot's value
//! and a chunk are published with `Release` and read with `Acquire`, for those who look at
//! slots that they do not own.
//!
//! Who [visits](Slots::visit_free) free slots leases each for a moment, and must not make all
//! look taken to somebody who acquires one meanwhile. So a visit is counted before its lease is
//! taken and after it is given back, and who finds nothing looks again unless all visits that
//! have begun were over before he looked. A `SeqCst` fence stands between the first count and the
//! lease, and one between his look and his reading of that count: a lease that he saw was counted.

use std::{array, fmt, marker::PhantomData, ptr};

use crate::sync::{
    atomic::{
        AtomicPtr, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence,
    },
    thread,
};

/// Slots in the first chunk.
const FIRST: usize = if cfg!(loom) { 2 } else { 64 };
const CHUNKS: usize = if cfg!(loom) { 2 } else { 16 };

/// The index of the first slot of chunk `chunk`.
const fn start(chunk: usize) -> usize {
    FIRST * ((1 << chunk) - 1)
}

/// A registry of at most `limit` slots.
pub struct Slots<T> {
    chunks: [AtomicPtr<Chunk<T>>; CHUNKS],
    limit: usize,
    visits_begun: AtomicUsize,
    visits_over: AtomicUsize,
    owned: PhantomData<*mut T>,
}

// SAFETY: values are made, shared and dropped through any thread that reaches the registry.
unsafe impl<T: Send + Sync> Send for Slots<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Slots<T> {}

/// The right to be the one owner of a slot. It is given back with [`Slots::release`]; a
/// lease that is only dropped retires its slot.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "a slot whose lease is dropped is never leased again"]
pub struct Lease {
    index: usize,
}

impl Lease {
    /// Which slot this is: small, dense and stable.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl<T> Slots<T> {
    /// The most slots a registry can have.
    pub const MOST: usize = start(CHUNKS);

    /// An empty registry that makes at most `limit` slots.
    pub fn new(limit: usize) -> Self {
        Self {
            chunks: array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            limit: limit.min(Self::MOST),
            visits_begun: AtomicUsize::new(0),
            visits_over: AtomicUsize::new(0),
            owned: PhantomData,
        }
    }

    /// Leases a slot: one that was given back, or a new one that `make` fills, told its
    /// index. `None` when all are leased. When `make` fails or panics the slot stays unmade
    /// and free.
    pub fn acquire<E>(&self, make: impl FnOnce(usize) -> Result<T, E>) -> Result<Option<Lease>, E> {
        loop {
            let over = self.visits_over.load(Acquire);
            if let Some((slots, index, offset)) = self.lease() {
                slots.fill(offset, || make(index))?;
                return Ok(Some(Lease { index }));
            }
            fence(SeqCst);
            if self.visits_begun.load(Relaxed) == over {
                return Ok(None);
            }
            thread::yield_now();
        }
    }

    /// Leases the lowest free slot: its chunk, its index, and its place in the chunk.
    fn lease(&self) -> Option<(&Chunk<T>, usize, usize)> {
        let mut chunks = (0..CHUNKS).take_while(|&chunk| start(chunk) < self.limit);
        chunks.find_map(|chunk| {
            let slots = self.chunk_or_made(chunk);
            let offset = slots.lease(self.limit - start(chunk))?;
            Some((slots, start(chunk) + offset, offset))
        })
    }

    /// Leases each slot in turn that is made and free; `visit` sees to it that it comes back.
    pub fn visit_free(&self, mut visit: impl FnMut(Lease)) {
        /// Counts the visit as over, on unwinding too.
        struct Over<'a>(&'a AtomicUsize);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Release);
            }
        }
        for (index, _) in self.iter() {
            self.visits_begun.fetch_add(1, Relaxed);
            let _over = Over(&self.visits_over);
            fence(SeqCst);
            let (chunk, offset) = locate(index);
            if self.chunk(chunk).is_some_and(|slots| slots.claim(offset)) {
                visit(Lease { index });
            }
        }
    }

    /// Gives a slot back. Its value stays for the next owner, who sees all that happened
    /// before this call.
    ///
    /// # Panics
    ///
    /// When the lease is not from this registry and that shows.
    pub fn release(&self, lease: Lease) {
        let (chunk, offset) = locate(lease.index);
        let slots = self
            .chunk(chunk)
            .expect("a lease comes back to the registry that gave it");
        slots.free(offset);
    }

    /// The value of slot `index`, if that has been made.
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.limit {
            return None;
        }
        let (chunk, offset) = locate(index);
        self.chunk(chunk)?.value(offset)
    }

    /// The most slots that were leased at once: the lowest free one is leased, and none is removed.
    pub fn most(&self) -> usize {
        self.iter().count()
    }

    /// Every slot made so far with its index, leased or not.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let chunks = (0..CHUNKS).map_while(|chunk| Some((start(chunk), self.chunk(chunk)?)));
        chunks.flat_map(|(start, slots)| {
            let values = (0..slots.values.len()).map(move |offset| (offset, slots.value(offset)));
            values.filter_map(move |(offset, value)| Some((start + offset, value?)))
        })
    }

    fn chunk(&self, chunk: usize) -> Option<&Chunk<T>> {
        // SAFETY: the pointer is null or was published whole by `chunk_or_made`; chunks live
        // until `self` is dropped.
        unsafe { self.chunks.get(chunk)?.load(Acquire).as_ref() }
    }

    fn chunk_or_made(&self, chunk: usize) -> &Chunk<T> {
        if let Some(chunk) = self.chunk(chunk) {
            return chunk;
        }
        let made = Box::into_raw(Box::new(Chunk::new(FIRST << chunk)));
        let published = self.chunks[chunk].compare_exchange(ptr::null_mut(), made, AcqRel, Acquire);
        let winner = published.map_or_else(
            |winner| {
                // SAFETY: `made` came from a box above and was not published.
                drop(unsafe { Box::from_raw(made) });
                winner
            },
            |_| made,
        );
        // SAFETY: `winner` is published, by this thread or, seen with `Acquire`, by another;
        // chunks live until `self` is dropped.
        unsafe { &*winner }
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Relaxed);
            if !chunk.is_null() {
                // SAFETY: published once from a box, and `&mut self` says that none looks.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The chunk and the place in it of slot `index`.
fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST + 1).ilog2() as usize;
    (chunk, index - start(chunk))
}

struct Chunk<T> {
    leased: Box<[AtomicU64]>,
    values: Box<[AtomicPtr<T>]>,
}

impl<T> Chunk<T> {
    fn new(len: usize) -> Self {
        Self {
            leased: (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            values: (0..len).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
        }
    }

    /// Leases one of the first `limit` slots.
    fn lease(&self, limit: usize) -> Option<usize> {
        let len = limit.min(self.values.len());
        for (word, bits) in self.leased[..len.div_ceil(64)].iter().enumerate() {
            let here = (len - word * 64).min(64);
            let usable = u64::MAX >> (64 - here);
            let mut free = !bits.load(Relaxed) & usable;
            while free != 0 {
                let bit = free & free.wrapping_neg();
                let before = bits.fetch_or(bit, Acquire);
                if before & bit == 0 {
                    return Some(word * 64 + bit.trailing_zeros() as usize);
                }
                free = !before & usable;
            }
        }
        None
    }

    /// Leases this slot, if it is free.
    fn claim(&self, offset: usize) -> bool {
        let bit = 1 << (offset % 64);
        self.leased[offset / 64].fetch_or(bit, Acquire) & bit == 0
    }

    /// Has a leased slot filled, if it is not.
    fn fill<E>(&self, offset: usize, make: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        let value = &self.values[offset];
        // Relaxed: the lease's acquire orders this after an earlier owner's store.
        if value.load(Relaxed).is_null() {
            let unmade = Unmade {
                slots: self,
                offset,
            };
            let made = make()?;
            value.store(Box::into_raw(Box::new(made)), Release);
            std::mem::forget(unmade);
        }
        Ok(())
    }

    fn free(&self, offset: usize) {
        let bit = 1 << (offset % 64);
        let before = self.leased[offset / 64].fetch_and(!bit, Release);
        assert!(
            before & bit != 0,
            "a lease comes back to the registry that gave it"
        );
    }

    fn value(&self, offset: usize) -> Option<&T> {
        // SAFETY: null, or stored once from a box with `Release`; values live until the
        // chunk is dropped.
        unsafe { self.values[offset].load(Acquire).as_ref() }
    }
}

impl<T> Drop for Chunk<T> {
    fn drop(&mut self) {
        for value in &self.values {
            let value = value.load(Relaxed);
            if !value.is_null() {
                // SAFETY: stored once from a box, and `&mut self` says that none looks.
                drop(unsafe { Box::from_raw(value) });
            }
        }
    }
}

/// Frees a slot whose value could not be made.
struct Unmade<'a, T> {
    slots: &'a Chunk<T>,
    offset: usize,
}

impl<T> Drop for Unmade<'_, T> {
    fn drop(&mut self) {
        self.slots.free(self.offset);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{collections::HashSet, convert::Infallible, panic, sync::atomic::AtomicUsize};

    use super::*;

    fn acquire(slots: &Slots<usize>) -> Option<Lease> {
        slots
            .acquire(|index| Ok::<_, Infallible>(index * 10))
            .unwrap()
    }

    #[test]
    fn an_index_is_found_again_in_its_chunk() {
        let mut index = 0;
        for chunk in 0..8 {
            for offset in 0..FIRST << chunk {
                assert_eq!(locate(index), (chunk, offset));
                index += 1;
            }
        }
    }

    #[test]
    fn slots_are_made_once_and_leased_lowest_first() {
        let slots = Slots::new(3);
        let leases: Vec<_> = (0..3).map(|_| acquire(&slots).unwrap()).collect();
        assert_eq!(acquire(&slots), None);
        assert_eq!(
            slots.iter().collect::<Vec<_>>(),
            [(0, &0), (1, &10), (2, &20)]
        );
        for lease in leases.into_iter().skip(1) {
            slots.release(lease);
        }
        let again = slots.acquire(|_| Err("made already")).unwrap().unwrap();
        assert_eq!(again.index(), 1);
    }

    #[test]
    fn growth_passes_chunk_borders_and_keeps_addresses() {
        let slots = Slots::new(Slots::<usize>::MOST);
        let first = acquire(&slots).unwrap();
        let address = ptr::from_ref(slots.get(first.index()).unwrap());
        let indices: HashSet<_> = (1..1_000)
            .map(|_| acquire(&slots).unwrap().index())
            .collect();
        assert_eq!(indices, (1..1_000).collect());
        assert_eq!(
            slots.iter().map(|(index, _)| index).collect::<Vec<_>>(),
            Vec::from_iter(0..1_000)
        );
        assert_eq!(address, ptr::from_ref(slots.get(0).unwrap()));
        assert_eq!(slots.get(1_000), None);
        assert_eq!(slots.get(usize::MAX), None);
    }

    #[test]
    fn a_limit_inside_a_chunk_holds_and_zero_is_a_limit() {
        for limit in [0, 1, 63, 64, 65, 130] {
            let slots = Slots::new(limit);
            let leased = std::iter::from_fn(|| acquire(&slots)).count();
            assert_eq!(leased, limit);
        }
    }

    #[test]
    fn a_failed_or_panicking_make_leaves_the_slot_free() {
        let slots = Slots::<usize>::new(1);
        assert_eq!(slots.acquire(|_| Err("no device")), Err("no device"));
        let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let _ = slots.acquire(|_| -> Result<usize, ()> { panic::panic_any(1) });
        }));
        assert!(panicked.is_err());
        assert_eq!(slots.iter().count(), 0);
        assert_eq!(acquire(&slots).unwrap().index(), 0);
    }

    #[test]
    #[should_panic(expected = "a lease comes back to the registry that gave it")]
    fn a_lease_of_another_registry_is_refused() {
        let (slots, other) = (Slots::new(1), Slots::new(1));
        let lease = acquire(&slots).unwrap();
        let mine = acquire(&other).unwrap();
        other.release(mine);
        other.release(lease);
    }

    #[test]
    fn no_two_threads_own_a_slot_and_values_are_dropped_once() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Owned(std::sync::atomic::AtomicBool);
        impl Drop for Owned {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Relaxed);
            }
        }
        let slots = Slots::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let make = |_| Ok::<_, Infallible>(Owned(false.into()));
                        let Some(lease) = slots.acquire(make).unwrap() else {
                            continue;
                        };
                        let Owned(used) = slots.get(lease.index()).unwrap();
                        assert!(!used.swap(true, Relaxed));
                        used.store(false, Relaxed);
                        slots.release(lease);
                    }
                });
            }
        });
        let made = slots.iter().count();
        drop(slots);
        assert!((1..=3).contains(&made));
        assert_eq!(DROPPED.load(Relaxed), made);
    }
}
