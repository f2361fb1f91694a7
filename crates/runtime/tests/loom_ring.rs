#![cfg(loom)]
//! The ring under every interleaving: an executor that leaves whenever it finds nothing, and a host
//! that publishes just then. What is published is done, once, and in order.

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
            fence,
        },
    },
    thread,
};
use wootz_runtime::ring::{
    EPOCH_SHIFT, Frame, GONE, LEAVING, Presence, Producer, SECTOR, SLOT, SLOTS, TIRED, Work,
    is_dead, look_after,
};

/// What both sides see, and what only executors do, of which there is one at a time.
struct Shared {
    slots: Vec<AtomicU64>,
    say: AtomicU64,
    /// The last ticket done, as executors tell it.
    word: AtomicU64,
    /// The last ticket that was published with an instance there.
    rung: AtomicU64,
    /// Instances that were started, and those that have ended, as the driver knows.
    started: AtomicU64,
    ended: AtomicU64,
    input: UnsafeCell<u64>,
    done: UnsafeCell<Vec<u64>>,
    /// The sequence number that is done last.
    last: UnsafeCell<u32>,
}

// SAFETY: loom reports it if two threads touch a cell at once; that they do not is what is proven.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            slots: (0..SLOTS * SLOT).map(|_| AtomicU64::new(0)).collect(),
            say: AtomicU64::new(0),
            word: AtomicU64::new(0),
            rung: AtomicU64::new(0),
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            input: UnsafeCell::new(0),
            done: UnsafeCell::new(vec![]),
            last: UnsafeCell::new(0),
        })
    }

    /// One look at slot `n`: its first word and that of control, if both sectors are whole.
    fn look(&self, n: u32) -> Option<(u64, u64)> {
        let word = |place: usize| self.slots[n as usize % SLOTS * SLOT + place].load(Relaxed);
        let (control, second) = (word(SECTOR - 1), word(SLOT - 1));
        let whole = [control, second].iter().all(|word| word >> 32 == n.into());
        // What the blocks have after the board.
        fence(Acquire);
        whole.then(|| (word(0), control))
    }

    /// An instance of the executor, from its start to its end.
    fn execute(&self, epoch: u32, tired: bool) {
        let says = u64::from(epoch) << EPOCH_SHIFT | if tired { TIRED } else { 0 };
        if tired {
            self.say.store(says, Relaxed);
        }
        // SAFETY: instances come one after the other.
        let mut n = self.last.with(|last| unsafe { *last }) + 1;
        loop {
            let found = match self.look(n) {
                Some(found) => found,
                None => {
                    self.say.store(says | LEAVING, Relaxed);
                    fence(SeqCst);
                    let Some(found) = self.look(n) else {
                        break;
                    };
                    self.say.store(says, Relaxed);
                    found
                }
            };
            let (first, control) = found;
            // SAFETY: as above.
            self.last.with_mut(|last| unsafe { *last = n });
            n += 1;
            if control >> 24 & 1 == 1 {
                if first == epoch.into() {
                    break;
                }
                continue;
            }
            // SAFETY: the host wrote it before it published, and not since.
            let input = self.input.with(|input| unsafe { *input });
            assert!(input >= first, "the host's writes come with the descriptor");
            // SAFETY: as above.
            self.done.with_mut(|done| unsafe { (*done).push(first) });
            self.word.store(first, Release);
        }
        self.say.store(says | GONE, Release);
        self.ended.store(epoch.into(), Release);
    }
}

/// The host, which starts an instance behind the last one, as a stream does.
struct Host {
    shared: Arc<Shared>,
    producer: Producer,
    presence: Presence,
    instance: Option<thread::JoinHandle<()>>,
    tired: bool,
}

impl Host {
    fn start(&mut self) {
        let (shared, before) = (self.shared.clone(), self.instance.take());
        let (epoch, tired) = (self.presence.start(), self.tired);
        self.shared.started.store(epoch.into(), Release);
        self.instance = Some(thread::spawn(move || {
            if let Some(before) = before {
                before.join().unwrap();
            }
            shared.execute(epoch, tired);
        }));
    }

    /// What the executor says once it knows whether it leaves.
    fn settled(&self, mut says: u64) -> u64 {
        while self.presence.is_away(says) && !self.presence.is_gone(says) {
            thread::yield_now();
            says = self.shared.say.load(Acquire);
        }
        says
    }

    fn submit(&mut self, ticket: u64) {
        let says = self.settled(self.shared.say.load(Relaxed));
        let mut away = self.presence.is_away(says);
        if let Some(epoch) = self.presence.tired(says) {
            self.producer
                .publish(&self.shared.slots, &Frame::leave(epoch));
            self.presence.ask(epoch);
            away = epoch == self.presence.epoch();
        }
        if away {
            self.start();
        }
        let work = Work {
            ticket,
            ..Work::default()
        };
        let frame = Frame::work(&work, [], &[]).unwrap();
        self.producer.publish(&self.shared.slots, &frame);
        if self
            .presence
            .is_away(self.settled(look_after(&self.shared.say)))
        {
            self.start();
        }
        self.shared.rung.store(ticket, Release);
    }
}

/// The watcher, who asks whether the executor has died.
fn watch(shared: &Shared) {
    let is_running = || -> Result<bool, ()> {
        let ended = shared.ended.load(Acquire);
        Ok(ended < shared.started.load(Acquire))
    };
    let dead = is_dead(
        || shared.rung.load(Acquire),
        is_running,
        || shared.word.load(Acquire),
    );
    assert_eq!(dead, Ok(false), "it only left");
}

fn model(tickets: u64, tired: bool, watched: bool) {
    loom::model(move || {
        let shared = Shared::new();
        // SAFETY: nobody else is there yet.
        shared.input.with_mut(|input| unsafe { *input = tickets });
        let mut host = Host {
            shared: shared.clone(),
            producer: Producer::new(),
            presence: Presence::default(),
            instance: None,
            tired,
        };
        let watcher = watched.then(|| {
            let shared = shared.clone();
            thread::spawn(move || watch(&shared))
        });
        (1..=tickets).for_each(|ticket| host.submit(ticket));
        if let Some(watcher) = watcher {
            watcher.join().unwrap();
        }
        host.instance.unwrap().join().unwrap();
        // SAFETY: every instance has ended.
        let done = shared.done.with(|done| unsafe { (*done).clone() });
        assert_eq!(done, (1..=tickets).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_published_while_it_leaves_is_done() {
    model(2, false, false);
}

#[test]
fn one_that_is_replaced_does_what_came_before_and_its_successor_the_rest() {
    model(1, true, false);
}

#[test]
fn one_that_left_is_not_taken_for_one_that_died() {
    model(1, false, true);
}
