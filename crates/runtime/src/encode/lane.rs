//! One stream's buffers: what is open, what is under way, what comes before the next plan.

use super::{Close, Limits, Room, Turn};
use crate::{
    hazard::{Hazards, Order, Use},
    timeline::{Fault, Ticket, Timeline},
};
use std::{collections::VecDeque, fmt};

/// What a lane has done to a stream's command buffers. It is called in turns, and must not wait.
pub trait Commands {
    /// Why a buffer could not be opened.
    type Error;

    /// Opens a buffer that begins with these waits, and then runs after the last one that was
    /// committed. One that is `alone` gets a single plan, whose passes are not this stream's own.
    fn open(&mut self, waits: &[Await], alone: bool) -> Result<(), Self::Error>;

    /// Lets what is encoded next see what was encoded before in the open buffer.
    fn barrier(&mut self);

    /// Ends the open buffer, with a signal of `last`, and commits it.
    fn commit(&mut self, last: Ticket);
}

/// A wait of one stream for a ticket of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Await {
    /// The other stream's index.
    pub stream: usize,
    /// Its ticket.
    pub ticket: Ticket,
}

/// What a plan weighs in a buffer, and what it uses.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// The bytes it uses.
    pub uses: &'a [Use],
    /// How many it reads and writes.
    pub bytes: u64,
    /// Whether it has a buffer to itself: another library encodes it, in passes that know nothing
    /// of this stream's barriers.
    pub alone: bool,
}

/// Why a plan was not encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble<E> {
    /// No buffer could be opened.
    Open(E),
    /// The stream is broken.
    Fault(Fault),
}

/// One stream's way to the device. Only [`Lane::flush`] is for strangers.
pub struct Lane<C> {
    turn: Turn<Desk<C>>,
}

/// What is worked at in turns.
struct Desk<C> {
    commands: C,
    limits: Limits,
    hazards: Hazards,
    /// What is in the open buffer; nothing when none is open.
    open: Option<Open>,
    /// What the next buffer waits for: one ticket a stream.
    waits: Vec<Await>,
    /// The last tickets of buffers that are committed and perhaps not done.
    under_way: VecDeque<Ticket>,
    committed: Ticket,
}

#[derive(Debug)]
struct Open {
    plans: u32,
    bytes: u64,
    last: Ticket,
}

/// How an attempt to encode a plan ended.
enum Attempt<E> {
    Encoded(Ticket),
    /// It needs a place for a buffer.
    NoPlace,
    /// Too many buffers are under way; this is the last ticket of the oldest.
    Ahead(Ticket),
    Failed(E),
}

impl<C: Commands> Lane<C> {
    /// A lane with nothing in it.
    pub fn new(commands: C, limits: Limits) -> Lane<C> {
        Lane {
            turn: Turn::new(Desk {
                commands,
                limits,
                hazards: Hazards::new(),
                open: None,
                waits: Vec::new(),
                under_way: VecDeque::new(),
                committed: Ticket::ZERO,
            }),
        }
    }

    /// Encodes a plan by `dispatch` and issues its ticket. Waits while too many buffers of this
    /// stream are under way, and while `room` has no place: then it calls `crowded` time and again,
    /// which has every lane commit and waits a moment. The place belongs to the buffer once that is
    /// open, and whoever learns that it is done gives it back. Only the stream's owner calls this.
    ///
    /// # Errors
    /// Then nothing was encoded, and no ticket issued.
    pub fn submit(
        &self,
        timeline: &Timeline,
        room: &Room,
        load: Load<'_>,
        crowded: impl Fn(),
        dispatch: impl FnOnce(&mut C),
    ) -> Result<Ticket, Trouble<C::Error>> {
        let mut place = Place { room, taken: false };
        let mut dispatch = Some(dispatch);
        loop {
            if let Some(fault) = timeline.fault() {
                return Err(Trouble::Fault(fault.clone()));
            }
            let attempt = self
                .turn
                .work(|desk| desk.encode(timeline, &mut place, load, &mut dispatch));
            match attempt {
                Attempt::Encoded(ticket) => return Ok(ticket),
                Attempt::Failed(error) => return Err(Trouble::Open(error)),
                Attempt::Ahead(oldest) => timeline.wait(oldest).map_err(Trouble::Fault)?,
                // Looks at the fault again each time: of a device that is gone no buffer ends.
                Attempt::NoPlace if room.take() => place.taken = true,
                Attempt::NoPlace => crowded(),
            }
        }
    }

    /// Makes what this lane is given next wait, on the device, for `ticket` of `other`, which was
    /// issued. Commits what both have open. Only this lane's owner calls it.
    pub fn wait_for(&self, other: &Lane<C>, stream: usize, ticket: Ticket) {
        other.turn.insist(ticket.number());
        self.turn.work(|desk| desk.wait(Await { stream, ticket }));
    }

    /// Sees to it that `ticket`, which was issued, is committed: now, or in a moment by whoever is
    /// at this lane.
    pub fn flush(&self, ticket: Ticket) {
        self.turn.ask(ticket.number());
    }

    /// The last ticket that is committed.
    pub fn committed(&self) -> Ticket {
        Ticket::from_number(self.turn.closed())
    }
}

impl<C: Commands> Desk<C> {
    fn encode(
        &mut self,
        timeline: &Timeline,
        place: &mut Place<'_>,
        load: Load<'_>,
        dispatch: &mut Option<impl FnOnce(&mut C)>,
    ) -> Attempt<C::Error> {
        while self
            .under_way
            .front()
            .is_some_and(|&oldest| timeline.is_done(oldest))
        {
            self.under_way.pop_front();
        }
        if load.alone {
            self.close();
        }
        if self.open.is_none() {
            if self.under_way.len() >= self.limits.under_way {
                return Attempt::Ahead(self.under_way[0]);
            }
            if !place.taken {
                return Attempt::NoPlace;
            }
            if let Err(error) = self.commands.open(&self.waits, load.alone) {
                return Attempt::Failed(error);
            }
            place.taken = false;
            self.waits.clear();
            // It runs after the last one, and sees what that wrote.
            self.hazards.barrier();
        }
        if self.hazards.plan(load.uses) == Order::Barrier {
            self.commands.barrier();
        }
        if let Some(dispatch) = dispatch.take() {
            dispatch(&mut self.commands);
        }
        let ticket = timeline.issue();
        let open = self.open.get_or_insert(Open {
            plans: 0,
            bytes: 0,
            last: ticket,
        });
        open.plans += 1;
        open.bytes = open.bytes.saturating_add(load.bytes);
        open.last = ticket;
        let busy = !self.under_way.is_empty();
        if load.alone || self.limits.full(open.plans, open.bytes, busy) {
            self.close();
        }
        Attempt::Encoded(ticket)
    }

    fn wait(&mut self, new: Await) {
        // What is open must not wait: others may be waiting for it.
        self.close();
        match self.waits.iter_mut().find(|old| old.stream == new.stream) {
            Some(old) => old.ticket = old.ticket.max(new.ticket),
            None => self.waits.push(new),
        }
    }
}

impl<C: Commands> Close for Desk<C> {
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.commands.commit(open.last);
            self.under_way.push_back(open.last);
            self.committed = open.last;
        }
    }

    fn closed(&self) -> u64 {
        self.committed.number()
    }
}

/// A place that is taken for a buffer that is not open yet.
struct Place<'a> {
    room: &'a Room,
    taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.taken {
            self.room.give();
        }
    }
}

impl<C> fmt::Debug for Lane<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}
