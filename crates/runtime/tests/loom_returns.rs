#![cfg(loom)]
//! Return lists under every interleaving.

use std::ptr::{self, NonNull};

use loom::{
    cell::UnsafeCell,
    sync::{Arc, atomic::AtomicPtr},
    thread,
};
use wootz_runtime::returns::{Linked, ReturnList};

struct Node {
    value: UnsafeCell<usize>,
    next: AtomicPtr<Node>,
}

// SAFETY: `next` is one field that only the list touches.
unsafe impl Linked for Node {
    fn next(&self) -> &AtomicPtr<Node> {
        &self.next
    }
}

fn push(list: &ReturnList<Node>, value: usize) {
    let next = AtomicPtr::new(ptr::null_mut());
    let node = Box::leak(Box::new(Node {
        value: UnsafeCell::new(0),
        next,
    }));
    // SAFETY: nobody else knows the node yet.
    node.value.with_mut(|slot| unsafe { *slot = value });
    // SAFETY: the box is given up here.
    unsafe { list.push(NonNull::from(node)) };
}

fn drain(list: &ReturnList<Node>) -> Vec<usize> {
    list.take_all()
        .map(|node| {
            // SAFETY: leaked from a box by `push`, and it comes out once.
            let node = unsafe { Box::from_raw(node.as_ptr()) };
            // SAFETY: the list passed it on; loom checks that this is so.
            node.value.with(|value| unsafe { *value })
        })
        .collect()
}

#[test]
fn nodes_come_home_once_with_what_was_written_to_them() {
    loom::model(|| {
        let list = Arc::new(ReturnList::new());
        let pushers: Vec<_> = [[1, 2], [3, 4]]
            .into_iter()
            .map(|values| {
                let list = list.clone();
                thread::spawn(move || values.into_iter().for_each(|value| push(&list, value)))
            })
            .collect();
        let mut seen = drain(&list);
        pushers
            .into_iter()
            .for_each(|pusher| pusher.join().unwrap());
        seen.extend(drain(&list));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
    });
}

/// A node is taken, freed and pushed again while another thread is between reading the head
/// and exchanging it: the case that ruins lists that pop one node at a time.
#[test]
fn a_node_that_comes_back_at_once_does_no_harm() {
    loom::model(|| {
        let list = Arc::new(ReturnList::new());
        push(&list, 1);
        let pusher = {
            let list = list.clone();
            thread::spawn(move || push(&list, 2))
        };
        let mut seen = Vec::new();
        for node in list.take_all() {
            // SAFETY: just taken, so it is this thread's to push.
            unsafe { list.push(node) };
        }
        pusher.join().unwrap();
        seen.extend(drain(&list));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}
