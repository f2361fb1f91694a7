//! The ring: small plans reach a resident kernel through pinned memory, with no driver call on the
//! way. README.md beside this file tells the protocol.

mod executor;
mod program;
mod walks;
mod warden;
mod welcome;

pub(super) use executor::{Executor, Ready};
pub(super) use walks::Walks;

use super::{gpu::Gpu, lane::Lane, launch::addresses};
use crate::{
    plan::{Body, Cost, Plan},
    ring::{Frame, Presence, Producer, SLOTS, Work, look_after},
    timeline::{Ticket, Timeline},
};
use executor::MEASURES;
use smallvec::SmallVec;
use std::sync::atomic::AtomicU64;

/// One stream's end of its ring.
pub(super) struct Ring {
    slots: &'static [AtomicU64],
    producer: Producer,
    presence: Presence,
    /// The ticket of what was published last in each slot.
    tickets: [Ticket; SLOTS],
    /// Slots of requests to leave that no ticket stands for yet: the next one published does, since
    /// its work is done only after they were passed.
    requests: SmallVec<[usize; 2]>,
    /// Slots before this one that are not done hold what is void: it was published, and then there
    /// was no instance for it.
    first: u32,
    /// An instance did not start, and nor will others.
    dead: bool,
}

/// A plan that the ring can take.
pub(super) struct Small<'a> {
    ready: &'a Ready,
    frame: Frame,
}

impl Small<'_> {
    /// Makes the work wait until the word at `address` has reached `value`.
    pub(super) fn wait(&mut self, address: u64, value: u64) {
        self.frame.wait(address, value);
    }
}

/// What small work costs at most: about what all multiprocessors do while a launch is under way.
const MOST: Cost = Cost {
    bytes: 8 << 20,
    ops: 32 << 20,
};

/// The plan as the ring takes it, if it may, and it is small enough. `ticket` is what it will have.
pub(super) fn small<'a>(ready: &'a Ready, plan: &Plan<'_>, ticket: u64) -> Option<Small<'a>> {
    let Body::Source(source) = plan.kernel.body else {
        return None;
    };
    if plan.cost.bytes > MOST.bytes || plan.cost.ops > MOST.ops {
        return None;
    }
    let work = Work {
        ticket,
        entry: ready.entry(source)?,
        shape: MEASURES.shape(plan.grid.units, plan.grid.lanes, plan.scratch)?,
    };
    let frame = Frame::work(&work, addresses(plan), plan.params.bytes())?;
    Some(Small { ready, frame })
}

impl Ring {
    /// Sees to an instance that does what will be published. Gives the ticket that must be done
    /// before this is asked again, or zero when `small` may be pushed; nothing when there is no
    /// instance.
    pub(super) fn attend(
        this: &mut Option<Box<Ring>>,
        gpu: &Gpu,
        lane: &Lane,
        small: &Small<'_>,
    ) -> Option<Ticket> {
        let ring = this.get_or_insert_with(|| Box::new(Ring::new(small.ready.slots(lane))));
        if ring.dead {
            return None;
        }
        let says = ring.settled(gpu, lane, lane.say.read());
        let mut away = ring.presence.is_away(says);
        if let Some(epoch) = ring.presence.tired(says) {
            // The request waits for its slot as work does: else who always has the ring full would
            // keep the instance for ever.
            let blocked = ring.needed_for(1 + small.frame.slots(), lane);
            if blocked != Ticket::ZERO {
                return Some(blocked);
            }
            ring.requests.extend(ring.producer.next_slots(1));
            ring.producer.publish(ring.slots, &Frame::leave(epoch));
            ring.presence.ask(epoch);
            away = epoch == ring.presence.epoch();
        }
        if away && !ring.start(gpu, lane, small.ready) {
            return None;
        }
        Some(ring.needed_for(small.frame.slots(), lane))
    }

    fn new(slots: &'static [AtomicU64]) -> Ring {
        Ring {
            slots,
            producer: Producer::new(),
            presence: Presence::default(),
            tickets: [Ticket::ZERO; SLOTS],
            requests: SmallVec::new(),
            first: 0,
            dead: false,
        }
    }

    /// The ticket that the next `count` slots are still needed for; zero when they are free.
    fn needed_for(&self, count: usize, lane: &Lane) -> Ticket {
        let slots = self.producer.next_slots(count);
        let last = slots.map(|slot| self.tickets[slot]).max();
        let done = lane.done();
        last.filter(|last| *last > done).unwrap_or(Ticket::ZERO)
    }

    fn publish(&mut self, frame: &Frame, ticket: Ticket) {
        let passed = self.requests.drain(..);
        for slot in passed.chain(self.producer.next_slots(frame.slots())) {
            self.tickets[slot] = ticket;
        }
        self.producer.publish(self.slots, frame);
    }

    /// Hands the work to the executor; says whether it will be done. The slots are free, and
    /// `attend` went well just before.
    pub(super) fn push(
        &mut self,
        gpu: &Gpu,
        lane: &Lane,
        small: &Small<'_>,
        timeline: &Timeline,
    ) -> (Ticket, bool) {
        let ticket = timeline.issue();
        self.publish(&small.frame, ticket);
        let says = self.settled(gpu, lane, look_after(lane.say.atomic()));
        // It may have left between `attend` and the publication.
        let taken = !self.presence.is_away(says) || self.start(gpu, lane, small.ready);
        if taken {
            lane.rang(ticket);
        } else {
            self.first = self.producer.next();
        }
        (ticket, taken)
    }

    /// What the executor says once it knows whether it leaves: it is about to, and finds out within
    /// microseconds. The next instance is not to stand behind one that goes on: in the driver's
    /// queues others may stand behind it, whose work that one may come to wait for.
    fn settled(&self, gpu: &Gpu, lane: &Lane, mut says: u64) -> u64 {
        /// Looks from one question to the driver, whether the device is sound, to the next.
        const CHECK: u32 = 1 << 16;
        let leaving = |says| self.presence.is_away(says) && !self.presence.is_gone(says);
        for look in 1u32.. {
            let sound = !look.is_multiple_of(CHECK) || lane.check(gpu).is_ok();
            if !leaving(says) || !sound || gpu.is_gone() {
                break;
            }
            std::hint::spin_loop();
            says = lane.say.read();
        }
        says
    }

    /// Starts the next instance. The last one has left, or was asked to.
    #[cold]
    fn start(&mut self, gpu: &Gpu, lane: &Lane, ready: &Ready) -> bool {
        let epoch = self.presence.epoch() + 1;
        let Some(seat) = ready.take(gpu, lane, epoch) else {
            return false;
        };
        // What is so far back is done, so numbers need not be compared across a wrap.
        let oldest = self.producer.next().wrapping_sub(SLOTS as u32);
        if self.first.wrapping_sub(oldest) > SLOTS as u32 {
            self.first = oldest;
        }
        let started = gpu
            .enter()
            .and_then(|()| gpu.attempt(ready.start(gpu, lane, seat, epoch, self.first)));
        if let Err(error) = started {
            eprintln!("wootz: an executor did not start, so its stream launches: {error}");
            ready.give_back(seat);
            self.dead = true;
            return false;
        }
        lane.sit(seat, epoch);
        self.presence.start();
        true
    }
}
