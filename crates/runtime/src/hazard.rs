//! What must come between two plans: nothing, a barrier, or a wait for another stream.
//!
//! Pure bookkeeping, no device and no thread. A stream whose backend runs plans side by side
//! asks its [`Hazards`] before each plan; a stream that uses what others produce asks its
//! [`Waits`].

use crate::{plan::Access, timeline::Ticket};

/// Uses remembered since the last barrier. Past this many, a barrier costs less than
/// the search for a reason not to place one.
const MOST: usize = 64;

/// A plan's use of a byte range of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The buffer's identity.
    pub buffer: u64,
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// How the bytes are used.
    pub access: Access,
}

impl Use {
    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether the order of the two shows: they share a byte and one writes it.
    fn conflicts(&self, other: &Self) -> bool {
        (self.access.writes() || other.access.writes())
            && self.buffer == other.buffer
            && self.start < other.end
            && other.start < self.end
    }

    /// Grows over `other` if that covers exactly the bytes of both.
    fn absorb(&mut self, other: &Self) -> bool {
        let joined = self.buffer == other.buffer
            && self.access.writes() == other.access.writes()
            && self.start <= other.end
            && other.start <= self.end;
        if joined {
            self.start = self.start.min(other.start);
            self.end = self.end.max(other.end);
        }
        joined
    }
}

/// What must come before a plan in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The plan may run beside the ones before it.
    Nothing,
    /// The plan must see all that came before it.
    Barrier,
}

/// What one stream has used since its last barrier.
#[derive(Debug, Default)]
pub struct Hazards {
    open: Vec<Use>,
    /// More was used than is remembered; only a barrier makes the picture whole again.
    overflowed: bool,
}

impl Hazards {
    /// A stream in which nothing is open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plan with these uses and says what must come before it: a barrier if it
    /// reads what an open plan writes, or writes what one reads or writes.
    pub fn plan(&mut self, uses: &[Use]) -> Order {
        let conflict = |new: &Use| self.open.iter().any(|open| open.conflicts(new));
        let used = || uses.iter().filter(|new| !new.is_empty());
        let full = self.overflowed || self.open.len() + used().count() > MOST;
        let order = if !self.open.is_empty() && (full || used().any(conflict)) {
            self.barrier();
            Order::Barrier
        } else {
            Order::Nothing
        };
        used().for_each(|new| self.remember(new));
        order
    }

    /// Forgets everything: a barrier was placed, or a wait that orders as much.
    pub fn barrier(&mut self) {
        self.open.clear();
        self.overflowed = false;
    }

    fn remember(&mut self, new: &Use) {
        if self.open.iter_mut().any(|open| open.absorb(new)) {
            return;
        }
        if self.open.len() < MOST {
            self.open.push(*new);
        } else {
            self.overflowed = true;
        }
    }
}

/// The waits that one stream has placed for the others, by their index.
#[derive(Debug)]
pub struct Waits {
    own: usize,
    /// Per stream, the highest ticket that this stream already waits for.
    placed: Vec<Ticket>,
}

impl Waits {
    /// No waits placed yet by stream `own`.
    pub fn new(own: usize) -> Self {
        Self {
            own,
            placed: Vec::new(),
        }
    }

    /// Whether a wait for `ticket` of `stream` must be placed: not for the stream itself, and
    /// not if it already waits for this ticket or a later one.
    pub fn need(&self, stream: usize, ticket: Ticket) -> bool {
        let placed = self.placed.get(stream).copied().unwrap_or_default();
        stream != self.own && placed < ticket
    }

    /// Remembers that a wait for `ticket` of `stream` stands. Said after the fact, so that a
    /// wait that could not be placed is still needed.
    pub fn placed(&mut self, stream: usize, ticket: Ticket) {
        if stream >= self.placed.len() {
            self.placed.resize(stream + 1, Ticket::ZERO);
        }
        self.placed[stream] = self.placed[stream].max(ticket);
    }
}
