//! Things that come home from any thread.
//!
//! Memory belongs to one stream, and any thread may hold and drop it. The drop pushes it on
//! the home's [`ReturnList`]; the home takes the whole list when it next looks.
//!
//! # Protocol
//!
//! The list is one word, `head`, and a link in each node. A push writes the node's link and
//! then moves `head` from the value it linked to onto the node. Nothing removes one node:
//! [`take_all`](ReturnList::take_all) swaps the whole chain out. So a head that leaves and
//! comes back between a push's read and its exchange (ABA) does no harm: the link says
//! "whatever `head` is now", and that is still true.
//!
//! Orderings: the push's exchange is `Release`, the swap is `Acquire`. Every change of
//! `head` is a read-modify-write, so each push heads a release sequence that runs through
//! the later pushes; one acquiring swap therefore sees all that every pusher wrote to its
//! node before it let go, links included. All other accesses can be relaxed.

use std::{fmt, marker::PhantomData, ptr, ptr::NonNull};

use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

/// A node that can be chained through a field of its own.
///
/// # Safety
///
/// `next` returns the same field each time, and nothing but the list uses that field while
/// the node is on it.
pub unsafe trait Linked: Sized {
    /// The field that holds the next node of the chain.
    fn next(&self) -> &AtomicPtr<Self>;
}

/// A list that many threads push to and one owner empties. It links nodes and owns none.
pub struct ReturnList<T> {
    head: AtomicPtr<T>,
}

impl<T: Linked> ReturnList<T> {
    /// An empty list.
    pub fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts `node` on the list.
    ///
    /// # Safety
    ///
    /// `node` points to a live `T` that is on no list, and the caller hands over the right
    /// to use it, from this thread to the one that takes it.
    pub unsafe fn push(&self, node: NonNull<T>) {
        let mut head = self.head.load(Relaxed);
        loop {
            // SAFETY: the caller says that the node is alive and handed over; no one else
            // can reach it before the exchange below publishes it.
            unsafe { node.as_ref() }.next().store(head, Relaxed);
            match self
                .head
                .compare_exchange_weak(head, node.as_ptr(), Release, Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything that is on the list, last pushed first. Looking at an empty list
    /// costs one load.
    pub fn take_all(&self) -> Taken<T> {
        let empty = self.head.load(Relaxed).is_null();
        Taken {
            next: if empty {
                ptr::null_mut()
            } else {
                self.head.swap(ptr::null_mut(), Acquire)
            },
            owned: PhantomData,
        }
    }
}

impl<T: Linked> Default for ReturnList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for ReturnList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnList").finish_non_exhaustive()
    }
}

/// What [`ReturnList::take_all`] took. Nodes left over when it is dropped are forgotten.
#[must_use = "what was taken is on no list any more"]
pub struct Taken<T> {
    next: *mut T,
    owned: PhantomData<T>,
}

impl<T: Linked> Iterator for Taken<T> {
    type Item = NonNull<T>;

    fn next(&mut self) -> Option<NonNull<T>> {
        let node = NonNull::new(self.next)?;
        // SAFETY: `push` got this node alive, and the swap in `take_all` made this iterator
        // the only one that reaches it until it is yielded.
        self.next = unsafe { node.as_ref() }.next().load(Relaxed);
        Some(node)
    }
}

impl<T> fmt::Debug for Taken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Node {
        value: usize,
        next: AtomicPtr<Node>,
    }

    // SAFETY: `next` is one field that only the list touches.
    unsafe impl Linked for Node {
        fn next(&self) -> &AtomicPtr<Node> {
            &self.next
        }
    }

    fn push(list: &ReturnList<Node>, value: usize) {
        let node = Box::new(Node {
            value,
            next: AtomicPtr::new(ptr::null_mut()),
        });
        // SAFETY: the box was just made and is given up here.
        unsafe { list.push(NonNull::from(Box::leak(node))) };
    }

    fn drain(list: &ReturnList<Node>) -> Vec<usize> {
        // SAFETY: each node was leaked from a box by `push` and comes out once.
        list.take_all()
            .map(|node| unsafe { Box::from_raw(node.as_ptr()) }.value)
            .collect()
    }

    #[test]
    fn an_empty_list_gives_nothing() {
        assert_eq!(drain(&ReturnList::new()), []);
    }

    #[test]
    fn last_pushed_comes_first_and_only_once() {
        let list = ReturnList::new();
        (0..3).for_each(|value| push(&list, value));
        assert_eq!(drain(&list), [2, 1, 0]);
        assert_eq!(drain(&list), []);
        push(&list, 7);
        assert_eq!(drain(&list), [7]);
    }

    #[test]
    fn every_node_of_every_thread_comes_home_once() {
        const EACH: usize = 2_000;
        const THREADS: usize = 4;
        let list = ReturnList::new();
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            let pushers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let list = &list;
                    scope.spawn(move || {
                        (0..EACH).for_each(|value| push(list, thread * EACH + value));
                    })
                })
                .collect();
            while pushers.iter().any(|pusher| !pusher.is_finished()) {
                seen.extend(drain(&list));
            }
        });
        seen.extend(drain(&list));
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..THREADS * EACH));
    }
}
