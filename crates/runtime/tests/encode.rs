#![cfg(not(loom))]
//! What lanes tell a device, and a queue that runs it as strictly as one may.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};
use wootz_runtime::{
    Access,
    encode::{Await, Commands, Lane, Limits, Load, Room, Trouble},
    hazard::Use,
    timeline::{Fault, Ticket, Timeline},
};

/// What a lane told the device, as words.
#[derive(Clone, Default)]
struct Record(Rc<RefCell<Vec<String>>>);

impl Record {
    fn note(&self, word: impl Into<String>) {
        self.0.borrow_mut().push(word.into());
    }

    fn take(&self) -> String {
        self.0.take().join(" ")
    }
}

struct Recorder {
    record: Record,
    refuses: Rc<RefCell<bool>>,
}

impl Commands for Recorder {
    type Error = &'static str;

    fn open(&mut self, waits: &[Await], alone: bool) -> Result<(), &'static str> {
        if *self.refuses.borrow() {
            return Err("full");
        }
        self.record.note(if alone { "open-alone" } else { "open" });
        for wait in waits {
            let (stream, ticket) = (wait.stream, wait.ticket.number());
            self.record.note(format!("wait{stream}.{ticket}"));
        }
        Ok(())
    }

    fn barrier(&mut self) {
        self.record.note("barrier");
    }

    fn commit(&mut self, last: Ticket) {
        self.record.note(format!("commit{}", last.number()));
    }
}

/// A lane, its timeline and what it did.
struct One {
    lane: Lane<Recorder>,
    timeline: Timeline,
    room: Room,
    record: Record,
    refuses: Rc<RefCell<bool>>,
}

const LIMITS: Limits = Limits {
    plans: 4,
    first_plans: 2,
    bytes: 1000,
    under_way: 2,
};

impl One {
    fn new(limits: Limits) -> One {
        let (record, refuses) = (Record::default(), Rc::default());
        let recorder = Recorder {
            record: record.clone(),
            refuses: Rc::clone(&refuses),
        };
        One {
            lane: Lane::new(recorder, limits),
            timeline: Timeline::new(),
            room: Room::new(8),
            record,
            refuses,
        }
    }

    fn try_plan(&self, uses: &[Use], bytes: u64) -> Result<Ticket, Trouble<&'static str>> {
        self.try_load(Load {
            uses,
            bytes,
            alone: false,
        })
    }

    fn try_load(&self, load: Load<'_>) -> Result<Ticket, Trouble<&'static str>> {
        let crowded = || panic!("there is room");
        let (timeline, room) = (&self.timeline, &self.room);
        self.lane
            .submit(timeline, room, load, crowded, |recorder: &mut Recorder| {
                recorder.record.note("run");
            })
    }

    fn plan(&self, uses: &[Use]) -> Ticket {
        self.try_plan(uses, 1).unwrap()
    }

    /// A plan that another library encodes.
    fn alone(&self, uses: &[Use]) -> Ticket {
        let load = Load {
            uses,
            bytes: 1,
            alone: true,
        };
        self.try_load(load).unwrap()
    }

    /// The device is done with all up to `ticket`, whose buffers were `buffers`.
    fn done(&self, ticket: Ticket, buffers: usize) {
        self.timeline.complete(ticket);
        (0..buffers).for_each(|_| self.room.give());
    }
}

fn uses(buffer: u64, access: Access) -> Use {
    Use {
        buffer,
        start: 0,
        end: 8,
        access,
    }
}

const ROOMY: Limits = Limits {
    plans: 100,
    first_plans: 100,
    ..LIMITS
};

#[test]
fn barriers_stand_exactly_where_plans_meet() {
    let one = One::new(ROOMY);
    one.plan(&[uses(1, Access::Write)]);
    one.plan(&[uses(2, Access::Write)]);
    one.plan(&[uses(1, Access::Read), uses(3, Access::Write)]);
    one.plan(&[uses(1, Access::Read), uses(4, Access::Write)]);
    one.plan(&[uses(4, Access::Update)]);
    assert_eq!(
        one.record.take(),
        "open run run barrier run run barrier run"
    );
    // The next buffer runs after this one, so it starts with no barrier.
    one.lane.flush(one.timeline.submitted());
    one.plan(&[uses(4, Access::Update)]);
    assert_eq!(one.record.take(), "commit5 open run");
}

#[test]
fn a_buffer_is_committed_when_it_is_worth_it() {
    let one = One::new(LIMITS);
    // The device has nothing to do: two plans are enough. It has: four are.
    for _ in 0..6 {
        one.plan(&[]);
    }
    assert_eq!(
        one.record.take(),
        "open run run commit2 open run run run run commit6"
    );
    one.done(Ticket::from_number(6), 2);
    one.plan(&[]);
    one.plan(&[]);
    assert_eq!(one.record.take(), "open run run commit8");
}

#[test]
fn who_runs_ahead_waits_for_his_oldest_buffer() {
    let one = One::new(LIMITS);
    thread::scope(|scope| {
        let timeline = &one.timeline;
        let room = &one.room;
        let start = scope.spawn(move || {
            // Two buffers of 2 and 4 plans are under way; the seventh plan waits for the first.
            while timeline.submitted() < Ticket::from_number(6) {
                thread::yield_now();
            }
            thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(timeline.submitted(), Ticket::from_number(6));
            timeline.complete(Ticket::from_number(2));
            room.give();
        });
        for _ in 0..7 {
            one.plan(&[]);
        }
        start.join().unwrap();
    });
    assert_eq!(
        one.record.take(),
        "open run run commit2 open run run run run commit6 open run"
    );
    assert_eq!(one.room.free(), 8 - 2);
}

#[test]
fn bytes_fill_a_buffer_too() {
    let one = One::new(ROOMY);
    one.try_plan(&[], 999).unwrap();
    one.try_plan(&[], 1).unwrap();
    one.try_plan(&[], 5000).unwrap();
    assert_eq!(one.record.take(), "open run run commit2 open run commit3");
}

#[test]
fn a_wait_stands_first_and_after_its_producers_commit() {
    let (a, b) = (One::new(ROOMY), One::new(ROOMY));
    let first = a.plan(&[]);
    b.plan(&[]);
    b.lane.wait_for(&a.lane, 7, first);
    assert_eq!(a.record.take(), "open run commit1");
    // What b had open is committed, so that nobody who waits for it waits for a.
    assert_eq!(b.record.take(), "open run commit1");
    let second = a.plan(&[]);
    b.lane.wait_for(&a.lane, 7, second);
    assert_eq!(a.record.take(), "open run commit2");
    // One wait a stream, for the later ticket, and once.
    b.plan(&[]);
    b.plan(&[]);
    assert_eq!(b.record.take(), "open wait7.2 run run");
    assert_eq!(a.lane.committed(), second);
}

#[test]
fn a_buffer_that_cannot_be_opened_leaves_no_trace() {
    let one = One::new(LIMITS);
    *one.refuses.borrow_mut() = true;
    assert_eq!(one.try_plan(&[], 1), Err(Trouble::Open("full")));
    assert_eq!(
        (one.room.free(), one.timeline.submitted()),
        (8, Ticket::ZERO)
    );
    *one.refuses.borrow_mut() = false;
    assert_eq!(one.plan(&[]), Ticket::from_number(1));
    one.timeline.fail(Fault::new("gone"));
    let fault = one.try_plan(&[], 1).unwrap_err();
    assert_eq!(fault, Trouble::Fault(Fault::new("gone")));
    one.lane.flush(Ticket::from_number(1));
    one.done(Ticket::from_number(1), 1);
    assert_eq!(one.record.take(), "open run commit1");
}

#[test]
fn what_another_library_encodes_has_a_buffer_to_itself() {
    let one = One::new(Limits {
        under_way: 8,
        ..ROOMY
    });
    one.plan(&[uses(1, Access::Write)]);
    let alone = one.alone(&[uses(1, Access::Read), uses(2, Access::Write)]);
    assert_eq!(one.lane.committed(), alone);
    one.alone(&[uses(3, Access::Write)]);
    one.plan(&[uses(2, Access::Read)]);
    assert_eq!(
        one.record.take(),
        "open run commit1 open-alone run commit2 open-alone run commit3 open run"
    );
}

#[test]
fn what_is_open_is_committed_before_a_buffer_of_its_own_is_waited_for() {
    let one = One::new(ROOMY);
    let first = one.plan(&[]);
    let full = Room::new(0);
    let load = Load {
        uses: &[],
        bytes: 1,
        alone: true,
    };
    let crowded = || {
        assert_eq!(one.lane.committed(), first, "it could never end");
        one.timeline.complete(first);
        full.give();
    };
    let submitted = one.lane.submit(&one.timeline, &full, load, crowded, |_| ());
    assert_eq!(submitted.unwrap(), Ticket::from_number(2));
    assert_eq!(one.record.take(), "open run commit1 open-alone commit2");
}

#[test]
fn nobody_waits_for_room_on_a_broken_stream() {
    let one = One::new(LIMITS);
    let load = Load {
        uses: &[],
        bytes: 1,
        alone: false,
    };
    let crowded = || one.timeline.fail(Fault::new("gone"));
    let none = Room::new(0);
    let told = one
        .lane
        .submit(&one.timeline, &none, load, crowded, |_| panic!("no room"));
    assert_eq!(told, Err(Trouble::Fault(Fault::new("gone"))));
    assert_eq!(one.record.take(), "");
}

/// A buffer as the queue of a device gets it.
struct Committed {
    stream: usize,
    waits: Vec<Await>,
    plans: usize,
    last: Ticket,
}

/// Sends buffers to the queue; knows how many there are.
struct Sender {
    stream: usize,
    queue: mpsc::Sender<Committed>,
    open: Option<(Vec<Await>, usize)>,
    alive: &'static AtomicUsize,
}

const PLACES: usize = 5;

impl Commands for Sender {
    type Error = ();

    fn open(&mut self, waits: &[Await], _alone: bool) -> Result<(), ()> {
        let alive = self.alive.fetch_add(1, SeqCst) + 1;
        assert!(alive <= PLACES, "the driver would block here");
        assert!(self.open.replace((waits.to_vec(), 0)).is_none());
        Ok(())
    }

    fn barrier(&mut self) {}

    fn commit(&mut self, last: Ticket) {
        let (waits, plans) = self.open.take().expect("a buffer is open");
        let stream = self.stream;
        let buffer = Committed {
            stream,
            waits,
            plans,
            last,
        };
        self.queue.send(buffer).unwrap();
    }
}

/// More threads than places, each with a stream, give work, make their streams wait for each other,
/// wait themselves, and leave work behind that only others want. The queue runs buffers in the order
/// of their commits and would hang at the first one that waits for a later one.
#[test]
fn no_order_of_things_hangs_or_overflows() {
    const STREAMS: usize = 8;
    const ROUNDS: usize = 400;
    type Stream = (Lane<Sender>, Timeline);
    let alive: &'static AtomicUsize = Box::leak(Box::default());
    let room: &'static Room = Box::leak(Box::new(Room::new(PLACES)));
    let (queue, buffers) = mpsc::channel::<Committed>();
    let stream = |stream| {
        let sender = Sender {
            stream,
            queue: queue.clone(),
            open: None,
            alive,
        };
        (Lane::new(sender, LIMITS), Timeline::new())
    };
    let streams: &'static [Stream] = Vec::leak((0..STREAMS).map(stream).collect());
    let over: &'static AtomicBool = Box::leak(Box::default());
    let device = thread::spawn(move || {
        let (mut ran, mut done) = ([0; STREAMS], [Ticket::ZERO; STREAMS]);
        while !over.load(SeqCst) {
            let Ok(buffer) = buffers.recv_timeout(std::time::Duration::from_millis(5)) else {
                continue;
            };
            for wait in buffer.waits {
                assert!(done[wait.stream] >= wait.ticket, "the queue would hang");
            }
            ran[buffer.stream] += buffer.plans;
            done[buffer.stream] = buffer.last;
            assert_eq!(ran[buffer.stream] as u64, buffer.last.number());
            alive.fetch_sub(1, SeqCst);
            streams[buffer.stream].1.complete(buffer.last);
            room.give();
        }
    });
    let flush_all = move || {
        for (lane, timeline) in streams {
            lane.flush(timeline.submitted());
        }
        thread::yield_now();
    };
    let drive = |own: usize| {
        let (lane, timeline) = &streams[own];
        let mut seed = own as u64 * 7919 + 1;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for _ in 0..ROUNDS {
            let other = draw(STREAMS);
            match draw(6) {
                0 if other != own => {
                    let (producer, progress) = &streams[other];
                    lane.wait_for(producer, other, progress.submitted());
                }
                1 => {
                    // A waiter on the host, of any stream.
                    let (producer, progress) = &streams[other];
                    let ticket = progress.submitted();
                    producer.flush(ticket);
                    progress.wait(ticket).unwrap();
                }
                _ => {
                    let load = Load {
                        uses: &[],
                        bytes: draw(400) as u64,
                        alone: draw(8) == 0,
                    };
                    let plan = |sender: &mut Sender| sender.open.as_mut().unwrap().1 += 1;
                    lane.submit(timeline, room, load, flush_all, plan).unwrap();
                }
            }
        }
    };
    thread::scope(|scope| {
        for own in 0..STREAMS {
            scope.spawn(move || drive(own));
        }
    });
    // Their owners are gone; the rest is for whoever wants it.
    for (lane, timeline) in streams {
        lane.flush(timeline.submitted());
        timeline.wait(timeline.submitted()).unwrap();
    }
    over.store(true, SeqCst);
    device.join().unwrap();
    // Asked when the device is done: it gives the last place back after it has told who waits.
    assert_eq!((room.free(), alive.load(SeqCst)), (PLACES, 0));
}
