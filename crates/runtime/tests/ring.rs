//! The ring with an executor of threads: descriptors of all sizes, many times round, while it leaves
//! and comes back. The executor reads as a device does, sector by sector, at any moment.

#![cfg(not(loom))]

use std::{
    collections::VecDeque,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
    sync::mpsc,
    thread,
};
use wootz_runtime::ring::{
    EPOCH_SHIFT, Frame, GONE, LEAVING, Presence, Producer, SECTOR, SLOT, SLOTS, Shape, TIRED,
    WINDOW, Work, look_after,
};

struct Ring {
    slots: Vec<AtomicU64>,
    say: AtomicU64,
    /// The last ticket done.
    word: AtomicU64,
    /// The last sequence number done; the executor's own.
    done: AtomicU32,
    running: AtomicBool,
}

/// What the descriptor of a ticket holds.
fn contents(ticket: u64) -> (Vec<u64>, Vec<u64>) {
    let hash = ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let buffers = (0..hash >> 60 & 3).map(|i| hash.rotate_left(i as u32) | 1);
    let params = (0..hash >> 50 & 15).map(|i| if hash >> i & 1 == 1 { hash ^ i } else { 0 });
    (buffers.collect(), params.collect())
}

fn shape(ticket: u64) -> Shape {
    Shape {
        groups: ticket as u32 | 1,
        lanes: 128,
        together: 2,
        blocks: ticket as u16 | 1,
        scratch: 7,
    }
}

impl Ring {
    /// The words of the descriptor at `n` and its slots, when it is whole.
    fn look(&self, n: u32) -> Option<(Vec<u64>, u32)> {
        let sector = |index: usize| -> Option<[u64; SECTOR]> {
            let number = n.wrapping_add((index / 2) as u32);
            let start = (number as usize % SLOTS) * SLOT + index % 2 * SECTOR;
            let at = &self.slots[start..][..SECTOR];
            // The stamp before the rest: here words travel one by one, and on a device a sector
            // travels whole.
            let last = at[SECTOR - 1].load(Acquire);
            let word = |i: usize| at[i].load(Relaxed);
            (last >> 32 == u64::from(number)).then(|| [word(0), word(1), word(2), last])
        };
        let head = sector(0)?;
        let slots = (head[3] >> 16 & 15) as usize;
        assert!((1..=WINDOW).contains(&slots));
        let sectors: Option<Vec<_>> = (0..2 * slots).map(sector).collect();
        Some((sectors?.concat(), slots as u32))
    }

    /// An instance; leaves after `patience` looks in vain, and asks to be replaced after `work`
    /// descriptors.
    fn execute(&self, epoch: u32, patience: u32, work: u32) {
        assert!(!self.running.swap(true, Acquire), "one instance at a time");
        let mut says = u64::from(epoch) << EPOCH_SHIFT;
        let (mut vain, mut begun) = (0, 0);
        loop {
            let n = self.done.load(Relaxed).wrapping_add(1);
            let mut found = self.look(n);
            if found.is_none() {
                vain += 1;
                if vain <= patience {
                    thread::yield_now();
                    continue;
                }
                self.say.store(says | LEAVING, Relaxed);
                fence(SeqCst);
                found = self.look(n);
                if found.is_none() {
                    break;
                }
                self.say.store(says, Relaxed);
            }
            let Some((words, slots)) = found else {
                continue;
            };
            vain = 0;
            let leave = words[3] >> 24 & 1 == 1;
            if !leave {
                check(&words);
                let before = self.word.load(Relaxed);
                assert_eq!(words[0], before + 1, "in order, and once");
                self.word.store(words[0], Release);
            }
            self.done.store(n.wrapping_add(slots - 1), Relaxed);
            if leave && words[0] == epoch.into() {
                break;
            }
            begun += 1;
            if begun == work {
                says |= TIRED;
                self.say.store(says, Relaxed);
            }
        }
        self.running.store(false, Release);
        self.say.store(says | GONE, Release);
    }
}

/// Whether a descriptor is its ticket's, read as `executor.h` reads it.
fn check(words: &[u64]) {
    let ticket = words[0];
    let (buffers, params) = contents(ticket);
    let data_at = |d: usize| match d {
        0 => 6,
        d => SLOT + (d - 1) / 3 * SECTOR + (d - 1) % 3,
    };
    assert_eq!(words[3] & 0xffff, ticket & 0xff, "entry");
    assert_eq!((words[3] >> 20 & 15) as usize, buffers.len());
    let Shape {
        groups,
        lanes,
        together,
        blocks,
        scratch,
    } = shape(ticket);
    let parts = [lanes, together, blocks, scratch];
    let found: Vec<u16> = (0..4).map(|i| (words[5] >> (16 * i)) as u16).collect();
    assert_eq!(found, parts);
    assert_eq!(words[7] as u32, groups);
    for (index, buffer) in buffers.iter().enumerate() {
        assert_eq!(words[data_at(index)], *buffer);
    }
    let mut data = buffers.len();
    for index in 0..64 {
        let expected = params.get(index).copied().unwrap_or(0);
        let mut word = 0;
        if words[1] >> index & 1 == 1 {
            word = words[data_at(data)];
            data += 1;
        }
        assert_eq!(word, expected, "parameter {index} of {ticket}");
    }
}

/// Publishes `tickets` descriptors to an executor of this patience and endurance.
fn run(tickets: u64, patience: u32, work: u32, pause: impl Fn(u64)) -> u32 {
    let ring = &Ring {
        slots: (0..SLOTS * SLOT).map(|_| AtomicU64::new(0)).collect(),
        say: AtomicU64::new(0),
        word: AtomicU64::new(0),
        done: AtomicU32::new(0),
        running: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        // A stream: instances run in order, one after the other.
        let (starts, instances) = mpsc::channel();
        scope.spawn(move || {
            instances
                .iter()
                .for_each(|epoch| ring.execute(epoch, patience, work));
        });
        let (mut producer, mut presence) = (Producer::new(), Presence::default());
        let mut needed: VecDeque<(usize, u64)> = VecDeque::new();
        let mut publish = |frame: &Frame, ticket: u64| {
            needed.push_back((frame.slots(), ticket));
            while needed.iter().map(|(slots, _)| slots).sum::<usize>() > SLOTS {
                let (_, oldest) = needed.pop_front().unwrap();
                assert!(oldest < ticket, "what is waited for was published");
                while ring.word.load(Acquire) < oldest {
                    thread::yield_now();
                }
            }
            producer.publish(&ring.slots, frame);
        };
        for ticket in 1..=tickets {
            pause(ticket);
            let says = ring.say.load(Acquire);
            let mut away = presence.is_away(says);
            if let Some(epoch) = presence.tired(says) {
                // Its slot is free when what comes behind it is done.
                publish(&Frame::leave(epoch), ticket);
                presence.ask(epoch);
                away = epoch == presence.epoch();
            }
            if away {
                starts.send(presence.start()).unwrap();
            }
            let (buffers, params) = contents(ticket);
            let work = Work {
                ticket,
                entry: ticket as u16 & 0xff,
                shape: shape(ticket),
            };
            let params: Vec<u8> = params.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let frame = Frame::work(&work, buffers, &params).expect("it fits");
            publish(&frame, ticket);
            if presence.is_away(look_after(&ring.say)) {
                starts.send(presence.start()).unwrap();
            }
        }
        while ring.word.load(Acquire) < tickets {
            thread::yield_now();
        }
        publish(&Frame::leave(presence.epoch()), tickets);
        drop(starts);
        presence.epoch()
    })
}

#[test]
fn an_executor_that_stays_does_all_in_order() {
    assert_eq!(run(20_000, u32::MAX, u32::MAX, |_| ()), 1);
}

#[test]
fn one_that_leaves_at_every_chance_loses_nothing() {
    let instances = run(5_000, 0, u32::MAX, |ticket| {
        if ticket % 3 == 0 {
            thread::yield_now();
        }
    });
    assert!(instances > 1, "it never left");
}

#[test]
fn one_that_is_replaced_often_loses_nothing() {
    let instances = run(20_000, 1000, 10, |_| ());
    assert!(instances > 100, "it was hardly replaced: {instances}");
}
