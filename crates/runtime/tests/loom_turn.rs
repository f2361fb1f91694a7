#![cfg(loom)]
//! Turns, under every interleaving.

use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    thread,
};
use wootz_runtime::encode::{Close, Turn};

/// Tickets as an encoder has them. Two who touch it at once are a race that loom reports, since
/// `Turn` keeps it in a cell.
#[derive(Default)]
struct Tickets {
    given: u64,
    closed: u64,
}

impl Close for Tickets {
    fn close(&mut self) {
        self.closed = self.given;
    }

    fn closed(&self) -> u64 {
        self.closed
    }
}

/// The owner gives tickets out and never comes back; strangers want the last that they know of.
fn model(strangers: usize, tickets: u64) {
    loom::model(move || {
        let turn = Arc::new(Turn::new(Tickets::default()));
        let issued = Arc::new(AtomicU64::new(0));
        let ask = |issued: Arc<AtomicU64>, turn: Arc<Turn<Tickets>>| {
            move || {
                let known = issued.load(Acquire);
                turn.ask(known);
                known
            }
        };
        let strangers: Vec<_> = (0..strangers)
            .map(|_| thread::spawn(ask(issued.clone(), turn.clone())))
            .collect();
        for _ in 0..tickets {
            turn.work(|tickets| {
                tickets.given += 1;
                issued.store(tickets.given, Release);
            });
        }
        let wanted = strangers.into_iter().map(|thread| thread.join().unwrap());
        let wanted = wanted.max().unwrap_or(0);
        assert!(turn.closed() >= wanted, "nobody closed what was wanted");
    });
}

#[test]
fn what_a_stranger_wants_is_closed_by_somebody() {
    model(1, 2);
}

#[test]
fn two_strangers_and_the_owner_meet() {
    model(2, 1);
}

#[test]
fn who_insists_comes_after_the_close() {
    loom::model(|| {
        let turn = Arc::new(Turn::new(Tickets::default()));
        let issued = Arc::new(AtomicU64::new(0));
        let stranger = {
            let (turn, issued) = (turn.clone(), issued.clone());
            thread::spawn(move || {
                let known = issued.load(Acquire);
                turn.insist(known);
                assert!(turn.closed() >= known);
            })
        };
        turn.work(|tickets| {
            tickets.given += 1;
            issued.store(1, Release);
        });
        stranger.join().unwrap();
    });
}
