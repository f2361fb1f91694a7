//! Shadow memory: who touched each byte last, so that a race, or a read of what nobody wrote, is
//! known when it happens.
//!
//! Two accesses to a byte by different lanes, one of them a write, are in order only if a barrier
//! lies between them: a group barrier, or a simd barrier when both lanes are in one simd. Groups
//! are never in order. Atomic accesses do not race with each other.
//!
//! A byte needs no history longer than its last write and its last reads. An older write was in
//! order with the last one or has been reported; of the reads in one interval between group
//! barriers it is enough to know one reader, and whether there were others in its simd, in other
//! simds, or in other groups, because that decides for each possible writer.

use super::SIMD_LANES;

/// A moment in a launch, as one kind of memory sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Counts group barriers over the whole launch.
    pub(super) interval: u32,
    /// The interval in which the running group started.
    pub(super) group: u32,
    /// Counts the barriers of the running simd since the last group barrier.
    pub(super) simd: u16,
    /// The running lane.
    pub(super) lane: u16,
}

/// What a lane does to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    Read,
    Write,
    /// Reads and writes, atomically.
    Atomic,
    /// Writes, atomically.
    AtomicStore,
}

impl Touch {
    fn atomic(self) -> bool {
        matches!(self, Touch::Atomic | Touch::AtomicStore)
    }

    fn reads(self) -> bool {
        matches!(self, Touch::Read | Touch::Atomic)
    }

    pub(super) fn writes(self) -> bool {
        self != Touch::Read
    }
}

/// Why an access is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Nobody has written the byte.
    Unwritten,
    /// The byte is read and written, and some binding promises that nobody writes it.
    Promised,
    /// It races with an access of this lane, of this group unless `foreign`.
    Race {
        other: u16,
        foreign: bool,
        earlier: Touch,
    },
}

/// One access in a cell. `interval` 0 is "never": intervals start at 1.
#[derive(Debug, Clone, Copy, Default)]
struct Stamp {
    interval: u32,
    simd: u16,
    lane: u16,
}

/// The last accesses to one byte.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    write: Stamp,
    read: Stamp,
    flags: u8,
}

const ATOMIC_WRITE: u8 = 1;
/// Other lanes of the reader's simd read in the same interval and simd interval.
const READ_IN_SIMD: u8 = 2;
/// Other simds read in the same interval.
const READ_IN_GROUP: u8 = 4;
/// Other groups read.
const READ_IN_GRID: u8 = 8;

/// What is asked of those who use some memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Unwritten when a group starts.
    Scratch,
    /// Read only where this launch has written it.
    Output,
    /// Read and written.
    Update,
    /// Bound for reading and for writing. Compilers may take what is bound for reading as constant, so
    /// no byte of it is both read and written.
    Promised,
}

/// Shadow of a range of bytes.
#[derive(Debug)]
pub(super) struct Shadow {
    cells: Vec<Cell>,
    /// Intervals before this one belong to earlier launches.
    start: u32,
    purpose: Use,
}

impl Shadow {
    /// Shadow of scratch memory.
    pub(super) fn scratch(bytes: usize) -> Shadow {
        Shadow {
            cells: vec![Cell::default(); bytes],
            start: 0,
            purpose: Use::Scratch,
        }
    }

    /// Shadow of device memory that a launch writes. It begins with interval `start`, which is not 0.
    pub(super) fn device(bytes: usize, start: u32, purpose: Use) -> Shadow {
        Shadow {
            cells: vec![Cell::default(); bytes],
            start,
            purpose,
        }
    }

    /// Records an access to `bytes` bytes from `offset` on, and says what is wrong with it.
    pub(super) fn touch(
        &mut self,
        offset: usize,
        bytes: usize,
        touch: Touch,
        now: Moment,
    ) -> Result<(), Wrong> {
        // An interval in which nothing counts as earlier: scratch forgets when a group starts.
        let first = match self.purpose {
            Use::Scratch => now.group,
            _ => self.start,
        };
        for cell in &mut self.cells[offset..offset + bytes] {
            let (written, read) = (cell.write.interval >= first, cell.read.interval >= first);
            match self.purpose {
                Use::Scratch | Use::Output if touch.reads() && !written => {
                    return Err(Wrong::Unwritten);
                }
                Use::Promised if touch.reads() && written || touch.writes() && read => {
                    return Err(Wrong::Promised);
                }
                _ => {}
            }
            cell.check(touch, now, first)?;
            cell.record(touch, now, first);
        }
        Ok(())
    }
}

impl Cell {
    fn check(&self, touch: Touch, now: Moment, first: u32) -> Result<(), Wrong> {
        let wrote_atomically = self.flags & ATOMIC_WRITE != 0;
        if !(touch.atomic() && wrote_atomically) && self.write.races(now, first) {
            let earlier = if wrote_atomically {
                Touch::Atomic
            } else {
                Touch::Write
            };
            return Err(self.write.race(now, earlier));
        }
        if touch.writes() && (self.read.races(now, first) || self.others_read(now, first)) {
            return Err(self.read.race(now, Touch::Read));
        }
        Ok(())
    }

    /// Whether lanes that are not named in `read` read without order before `now`.
    fn others_read(&self, now: Moment, first: u32) -> bool {
        let read = self.read;
        if read.interval < first {
            return false;
        }
        let this_interval = read.interval == now.interval;
        self.flags & READ_IN_GRID != 0
            || (this_interval && self.flags & READ_IN_GROUP != 0)
            || (this_interval && self.flags & READ_IN_SIMD != 0 && read.simd >= now.simd)
    }

    fn record(&mut self, touch: Touch, now: Moment, first: u32) {
        let stamp = Stamp {
            interval: now.interval,
            simd: now.simd,
            lane: now.lane,
        };
        if touch.writes() {
            self.write = stamp;
            self.flags = if touch.atomic() { ATOMIC_WRITE } else { 0 };
            self.read = Stamp::default();
            return;
        }
        let last = self.read;
        let mut flags = self.flags & (ATOMIC_WRITE | READ_IN_GRID);
        if last.interval >= first && last.interval < now.group {
            flags |= READ_IN_GRID;
        } else if last.interval == now.interval {
            flags |= self.flags & READ_IN_GROUP;
            if last.simd_index() != stamp.simd_index() {
                flags |= READ_IN_GROUP;
            } else if last.simd == now.simd {
                flags |= self.flags & READ_IN_SIMD;
                if last.lane != now.lane {
                    flags |= READ_IN_SIMD;
                }
            }
        }
        self.flags = flags;
        self.read = stamp;
    }
}

impl Stamp {
    fn simd_index(self) -> u32 {
        u32::from(self.lane) / SIMD_LANES
    }

    /// Whether this access is not in order with one made now.
    fn races(self, now: Moment, first: u32) -> bool {
        if self.interval < first {
            return false;
        }
        if self.interval < now.group {
            return true;
        }
        let same_simd = self.simd_index() == u32::from(now.lane) / SIMD_LANES;
        let ordered = same_simd && self.simd < now.simd;
        self.interval == now.interval && self.lane != now.lane && !ordered
    }

    fn race(self, now: Moment, earlier: Touch) -> Wrong {
        Wrong::Race {
            other: self.lane,
            foreign: self.interval < now.group,
            earlier,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(interval: u32, group: u32, simd: u16, lane: u16) -> Moment {
        Moment {
            interval,
            group,
            simd,
            lane,
        }
    }

    /// Two accesses by lanes of one group; whether the second is refused.
    fn pair(first: (Touch, Moment), second: (Touch, Moment)) -> bool {
        let mut shadow = Shadow::device(4, 1, Use::Update);
        shadow.touch(0, 4, first.0, first.1).unwrap();
        shadow.touch(2, 2, second.0, second.1).is_err()
    }

    #[test]
    fn a_barrier_orders_and_its_absence_races() {
        use Touch::{Atomic, Read, Write};
        assert!(pair((Write, at(1, 1, 0, 0)), (Read, at(1, 1, 0, 1))));
        assert!(pair((Read, at(1, 1, 0, 0)), (Write, at(1, 1, 0, 1))));
        assert!(pair((Write, at(1, 1, 0, 0)), (Write, at(1, 1, 0, 1))));
        assert!(!pair((Read, at(1, 1, 0, 0)), (Read, at(1, 1, 0, 1))));
        assert!(!pair((Write, at(1, 1, 0, 0)), (Read, at(2, 1, 0, 1))));
        assert!(!pair((Write, at(1, 1, 0, 0)), (Read, at(1, 1, 0, 0))));
        assert!(!pair((Atomic, at(1, 1, 0, 0)), (Atomic, at(1, 1, 0, 1))));
        assert!(pair((Atomic, at(1, 1, 0, 0)), (Read, at(1, 1, 0, 1))));
    }

    #[test]
    fn a_simd_barrier_orders_only_its_simd() {
        use Touch::{Read, Write};
        assert!(!pair((Write, at(1, 1, 0, 0)), (Read, at(1, 1, 1, 31))));
        assert!(pair((Write, at(1, 1, 0, 0)), (Read, at(1, 1, 1, 32))));
    }

    #[test]
    fn groups_are_never_in_order() {
        use Touch::{Read, Write};
        assert!(pair((Write, at(1, 1, 0, 0)), (Read, at(5, 4, 0, 0))));
        assert!(pair((Read, at(1, 1, 0, 0)), (Write, at(5, 4, 0, 0))));
    }

    #[test]
    fn an_earlier_reader_is_not_forgotten() {
        use Touch::{Read, Write};
        // Lanes 0 and 1 read, then lane 1 writes: lane 0's read races.
        let mut shadow = Shadow::device(1, 1, Use::Update);
        shadow.touch(0, 1, Read, at(1, 1, 0, 0)).unwrap();
        shadow.touch(0, 1, Read, at(1, 1, 0, 1)).unwrap();
        assert!(shadow.touch(0, 1, Write, at(1, 1, 0, 1)).is_err());
        // Simds 0 and 1 read; after a barrier in simd 1 its lane writes: simd 0's read races.
        let mut shadow = Shadow::device(1, 1, Use::Update);
        shadow.touch(0, 1, Read, at(1, 1, 0, 0)).unwrap();
        shadow.touch(0, 1, Read, at(1, 1, 0, 32)).unwrap();
        assert!(shadow.touch(0, 1, Write, at(1, 1, 1, 33)).is_err());
        // Groups 1 and 2 read, then group 2 writes: group 1's read races.
        let mut shadow = Shadow::device(1, 1, Use::Update);
        shadow.touch(0, 1, Read, at(1, 1, 0, 0)).unwrap();
        shadow.touch(0, 1, Read, at(2, 2, 0, 0)).unwrap();
        assert!(shadow.touch(0, 1, Write, at(2, 2, 0, 0)).is_err());
    }

    #[test]
    fn scratch_is_unwritten_when_a_group_starts() {
        use Touch::{Read, Write};
        let mut shadow = Shadow::scratch(8);
        assert_eq!(
            shadow.touch(0, 4, Read, at(1, 1, 0, 0)),
            Err(Wrong::Unwritten)
        );
        shadow.touch(0, 4, Write, at(1, 1, 0, 0)).unwrap();
        shadow.touch(0, 4, Read, at(1, 1, 0, 0)).unwrap();
        assert_eq!(
            shadow.touch(2, 4, Read, at(1, 1, 0, 0)),
            Err(Wrong::Unwritten)
        );
        assert_eq!(
            shadow.touch(0, 4, Read, at(2, 2, 0, 0)),
            Err(Wrong::Unwritten)
        );
    }
}
