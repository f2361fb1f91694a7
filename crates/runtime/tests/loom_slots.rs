#![cfg(loom)]
//! Slots under every interleaving.

use std::convert::Infallible;

use loom::{cell::UnsafeCell, sync::Arc, thread};
use wootz_runtime::slots::{Lease, Slots};

/// Contents that only the owner touches; loom reports two who do so without order.
struct Owned(UnsafeCell<usize>);

// SAFETY: only the holder of the slot's lease reaches the cell, in `count`.
unsafe impl Sync for Owned {}

fn acquire(slots: &Slots<Owned>) -> Option<Lease> {
    let Ok(lease) = slots.acquire(|_| Ok::<_, Infallible>(Owned(UnsafeCell::new(0))));
    lease
}

/// Counts one use of a leased slot and says how many there were.
fn count(slots: &Slots<Owned>, lease: &Lease) -> usize {
    let Owned(cell) = slots.get(lease.index()).unwrap();
    // SAFETY: the lease is held.
    cell.with_mut(|uses| unsafe {
        *uses += 1;
        *uses
    })
}

#[test]
fn contents_pass_whole_from_owner_to_owner() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(1));
        let use_once = |slots: &Slots<Owned>| {
            let lease = loop {
                match acquire(slots) {
                    Some(lease) => break lease,
                    None => thread::yield_now(),
                }
            };
            let uses = count(slots, &lease);
            slots.release(lease);
            uses
        };
        let other = {
            let slots = slots.clone();
            thread::spawn(move || use_once(&slots))
        };
        let mine = use_once(&slots);
        let mut uses = [mine, other.join().unwrap()];
        uses.sort_unstable();
        assert_eq!(uses, [1, 2]);
    });
}

#[test]
fn no_two_threads_hold_one_slot_across_chunks() {
    loom::model(|| {
        // Three slots are one chunk and part of the next.
        let slots = Arc::new(Slots::new(3));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let slots = slots.clone();
                thread::spawn(move || {
                    let lease = acquire(&slots).unwrap();
                    count(&slots, &lease);
                    lease.index()
                })
            })
            .collect();
        let lease = acquire(&slots).unwrap();
        count(&slots, &lease);
        let mut indices = vec![lease.index()];
        indices.extend(others.into_iter().map(|other| other.join().unwrap()));
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2]);
    });
}

#[test]
fn a_slot_that_shows_in_iteration_is_whole() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(2));
        // SAFETY: nobody writes what is made; loom checks that this is so.
        let read = |Owned(cell): &Owned| cell.with(|value| unsafe { *value });
        // The reader is the spawned one, which loom runs last: it looks for other orders from
        // there, and from a load on it would find too few.
        let reader = {
            let slots = slots.clone();
            thread::spawn(move || {
                let mut made = slots.iter();
                assert!(made.all(|(index, owned)| (index, read(owned)) == (0, 42)));
            })
        };
        let Ok(lease) = slots.acquire(|_| {
            let made = Owned(UnsafeCell::new(0));
            // SAFETY: nobody else knows it yet.
            made.0.with_mut(|value| unsafe { *value = 42 });
            Ok::<_, Infallible>(made)
        });
        slots.release(lease.unwrap());
        reader.join().unwrap();
        assert_eq!(slots.iter().count(), 1);
    });
}

#[test]
fn a_visit_never_makes_all_look_taken() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(1));
        let lease = acquire(&slots).unwrap();
        count(&slots, &lease);
        slots.release(lease);
        let visitor = {
            let slots = slots.clone();
            thread::spawn(move || {
                slots.visit_free(|lease| {
                    count(&slots, &lease);
                    slots.release(lease);
                });
            })
        };
        let lease = acquire(&slots).expect("the one slot is free, or a visitor's for a moment");
        count(&slots, &lease);
        slots.release(lease);
        visitor.join().unwrap();
    });
}
