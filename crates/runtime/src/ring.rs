//! What the host and a resident executor share: descriptors, the ring they travel in, and who is
//! there. Pure code over atomics, so that models can run it; what is done with it on CUDA, and the
//! whole protocol in prose, is in `backend/cuda/ring/`.

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Words of a sector: what travels whole, whatever the bus cuts. Its last word carries the stamp.
pub const SECTOR: usize = 4;
/// Words of a slot.
pub const SLOT: usize = 2 * SECTOR;
/// Slots of a ring.
pub const SLOTS: usize = if cfg!(loom) { 2 } else { 128 };
/// Slots that a descriptor may take: what an executor sees with one look.
pub const WINDOW: usize = 4;

/// Words that carry data: the first slot has one left, every other sector three.
const DATA: usize = 1 + (2 * WINDOW - 2) * (SECTOR - 1);

/// The flag of a descriptor that asks the executor to leave.
const LEAVE: u64 = 1;
/// The flag of a descriptor of a program.
const WALK: u64 = 2;
/// Buffers of a kernel at most, and memory that a program is told of.
pub const MOST_BUFFERS: usize = 15;

/// A descriptor, laid out in slots and not stamped yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    words: [u64; WINDOW * SLOT],
    /// Words of data in it.
    count: usize,
}

/// The work of a descriptor, besides buffers and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// What the executor reports when the work is done.
    pub ticket: u64,
    /// Which of the resident kernels.
    pub entry: u16,
    /// How its groups lie on the executor's blocks.
    pub shape: Shape,
}

/// How a grid of groups lies on the blocks of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// Groups.
    pub groups: u32,
    /// Lanes of a group.
    pub lanes: u16,
    /// Groups that a block runs side by side.
    pub together: u16,
    /// Blocks that could help: an executor with fewer has each do more.
    pub blocks: u16,
    /// Scratch memory of a group, in units of 16 bytes.
    pub scratch: u16,
}

impl Shape {
    /// All but the groups, in one word.
    pub fn packed(self) -> u64 {
        [self.lanes, self.together, self.blocks, self.scratch]
            .into_iter()
            .rev()
            .fold(0, |word, part| word << 16 | u64::from(part))
    }
}

/// The executor's measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measures {
    /// Blocks of the smallest executor.
    pub blocks: u16,
    /// Lanes of a block that do work.
    pub lanes: u16,
    /// Bytes of scratch memory of a block.
    pub scratch: usize,
    /// How many groups, one after the other, are still small work.
    pub turns: u32,
}

impl Measures {
    /// Barriers of a block that groups can have; four are the executor's own.
    const BARRIERS: u16 = 12;

    /// How `groups` groups of `lanes` lanes with `scratch` bytes each lie on the blocks; nothing
    /// when they do not fit, or are too many to be small work.
    pub fn shape(&self, groups: usize, lanes: u32, scratch: usize) -> Option<Shape> {
        let lanes = u16::try_from(lanes).ok()?;
        if groups == 0 || lanes == 0 || !lanes.is_multiple_of(32) || lanes > self.lanes {
            return None;
        }
        let scratch = scratch.next_multiple_of(16);
        let fit = self.scratch.checked_div(scratch).unwrap_or(usize::MAX);
        let side = (self.lanes / lanes).min(Self::BARRIERS);
        let together = usize::from(side).min(fit).min(groups);
        if together == 0 {
            return None;
        }
        let blocks = groups.div_ceil(together);
        let turns = blocks.div_ceil(self.blocks.into());
        (turns <= self.turns as usize).then_some(Shape {
            groups: groups as u32,
            lanes,
            together: together as u16,
            blocks: u16::try_from(blocks).ok()?,
            scratch: (scratch / 16) as u16,
        })
    }
}

/// Bytes of parameters at most.
const MOST_PARAMS: usize = 8 * u64::BITS as usize;

/// The words of these parameters that are not zero, with their places.
pub fn nonzero(params: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let words = params.chunks(8).map(|bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(word)
    });
    words.enumerate().filter(|(_, word)| *word != 0)
}

/// Where word `d` of a descriptor's data lies.
fn data_at(d: usize) -> usize {
    match d.checked_sub(1) {
        None => SLOT - 2,
        Some(d) => SLOT + d / (SECTOR - 1) * SECTOR + d % (SECTOR - 1),
    }
}

impl Frame {
    /// A descriptor of work over these buffers, with these parameters; nothing when it does not
    /// fit. Of the parameters only what is not zero travels.
    pub fn work(
        work: &Work,
        buffers: impl IntoIterator<Item = u64>,
        params: &[u8],
    ) -> Option<Frame> {
        let mut frame = Frame::new(work.ticket, buffers)?;
        if params.len() > MOST_PARAMS {
            return None;
        }
        for (index, word) in nonzero(params) {
            frame.words[1] |= 1 << index;
            frame.add(word)?;
        }
        frame.words[3] |= u64::from(work.entry);
        frame.words[5] = work.shape.packed();
        frame.words[7] = work.shape.groups.into();
        Some(frame.closed())
    }

    /// A descriptor of a program that lies in `words` words at `program`, for so many blocks; with
    /// the memory that its steps' buffers are relative to. Nothing when that does not fit.
    pub fn walk(
        ticket: u64,
        program: u64,
        [words, steps]: [u32; 2],
        blocks: u16,
        memory: impl IntoIterator<Item = u64>,
    ) -> Option<Frame> {
        let mut frame = Frame::new(ticket, memory)?;
        frame.words[1] = program;
        frame.words[3] |= WALK << 24;
        frame.words[5] = u64::from(words) | u64::from(blocks) << 32;
        frame.words[7] = steps.into();
        Some(frame.closed())
    }

    /// A frame with addresses and nothing else.
    fn new(ticket: u64, addresses: impl IntoIterator<Item = u64>) -> Option<Frame> {
        let mut frame = Frame {
            words: [0; WINDOW * SLOT],
            count: 0,
        };
        for address in addresses {
            frame.add(address)?;
        }
        frame.words[0] = ticket;
        frame.words[3] = (frame.count as u64) << 20;
        (frame.count <= MOST_BUFFERS).then_some(frame)
    }

    /// Adds a word of data, if it fits.
    fn add(&mut self, word: u64) -> Option<()> {
        let at = data_at(self.count);
        *self.words.get_mut(at).filter(|_| self.count < DATA)? = word;
        self.count += 1;
        Some(())
    }

    fn closed(mut self) -> Frame {
        self.words[3] |= (self.slots() as u64) << 16;
        self
    }

    /// A descriptor that asks the executor of `epoch` to leave, when it has done what came before.
    pub fn leave(epoch: u32) -> Frame {
        let mut words = [0; WINDOW * SLOT];
        words[0] = epoch.into();
        words[3] = 1 << 16 | LEAVE << 24;
        Frame { words, count: 0 }
    }

    /// Makes the work wait until the word at `address`, on the device, has reached `value`.
    pub fn wait(&mut self, address: u64, value: u64) {
        self.words[2] = address;
        self.words[4] = value;
    }

    /// How many slots it takes.
    pub fn slots(&self) -> usize {
        let last = self.count.checked_sub(1);
        last.map_or(1, |last| data_at(last) / SLOT + 1)
    }
}

/// The host's end of a ring: one thread publishes at a time.
#[derive(Debug)]
pub struct Producer {
    /// The sequence number of the next slot.
    next: u32,
}

impl Producer {
    /// The host's end of a ring whose slots are all zero.
    pub fn new() -> Producer {
        Producer { next: 1 }
    }

    /// The sequence number of the next slot.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Which slots the next `count` would take.
    pub fn next_slots(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let next = self.next as usize;
        (next..next + count).map(|number| number % SLOTS)
    }

    /// Writes a descriptor into the next slots. What was there is done, the caller knows, and
    /// `words` are this ring's. A reader that finds a sector with the slot's number in its stamp
    /// has the whole sector.
    ///
    /// # Panics
    /// If `words` is not as long as a ring.
    pub fn publish(&mut self, words: &[AtomicU64], frame: &Frame) {
        assert_eq!(words.len(), SLOTS * SLOT);
        for (slot, content) in frame.words.chunks(SLOT).take(frame.slots()).enumerate() {
            let number = self.next.wrapping_add(slot as u32);
            let start = number as usize % SLOTS * SLOT;
            for (sector, content) in content.chunks(SECTOR).enumerate() {
                let at = &words[start + sector * SECTOR..][..SECTOR];
                for (word, value) in at.iter().zip(&content[..SECTOR - 1]) {
                    word.store(*value, Relaxed);
                }
                let last = content[SECTOR - 1] | u64::from(number) << 32;
                // Release: the stamp is there after the rest of its sector, and after all that the
                // host did or saw before.
                at[SECTOR - 1].store(last, Release);
            }
        }
        self.next = self.next.wrapping_add(frame.slots() as u32);
    }
}

impl Default for Producer {
    fn default() -> Self {
        Self::new()
    }
}

/// Which instance of the executor serves a ring, as its owner knows. Instances of one ring come
/// one after the other; each has the next epoch.
#[derive(Debug, Default)]
pub struct Presence {
    /// The instance that was started last; 0 before the first.
    epoch: u32,
    /// The last instance that was asked to leave.
    asked: u32,
}

/// It has been there long enough, and asks to be replaced.
pub const TIRED: u64 = 1;
/// It leaves, unless it finds work with a last look.
pub const LEAVING: u64 = 2;
/// It has left.
pub const GONE: u64 = 4;
/// Where its epoch begins in what an executor says.
pub const EPOCH_SHIFT: u32 = 3;

impl Presence {
    /// The instance that was started last.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether an instance must be started for what was published to be done, by what the executor
    /// `says`.
    ///
    /// After a publication this is asked through [`look_after`], which has the fence.
    pub fn is_away(&self, says: u64) -> bool {
        self.epoch == 0 || (self.is_current(says) && says & (LEAVING | GONE) != 0)
    }

    /// Whether the last instance has left for good; before the first this is so too.
    pub fn is_gone(&self, says: u64) -> bool {
        self.epoch == 0 || (self.is_current(says) && says & GONE != 0)
    }

    fn is_current(&self, says: u64) -> bool {
        says >> EPOCH_SHIFT == self.epoch.into()
    }

    /// The instance that is to be asked to leave, if one asks to be replaced and was not answered.
    pub fn tired(&self, says: u64) -> Option<u32> {
        let epoch = (says >> EPOCH_SHIFT) as u32;
        let tired = says & TIRED != 0 && says & GONE == 0;
        (tired && epoch > self.asked).then_some(epoch)
    }

    /// Remembers that `epoch` was asked to leave.
    pub fn ask(&mut self, epoch: u32) {
        self.asked = epoch;
    }

    /// Counts a new instance, and gives its epoch.
    pub fn start(&mut self) -> u32 {
        self.epoch += 1;
        self.epoch
    }
}

/// Whether instance `epoch` of an executor has come, and left perhaps, by what its ring `says`. An
/// instance speaks when all its blocks run, and not before.
///
/// Only for what such an instance does, or did, may another executor wait: it ends whatever else
/// the device has in hand.
pub fn has_come(says: u64, epoch: u32) -> bool {
    says >> EPOCH_SHIFT >= epoch.into()
}

/// Whether instance `epoch` of an executor has left for good, by what its ring `says`. The next one
/// may be long there, in another seat.
pub fn has_left(says: u64, epoch: u32) -> bool {
    let (of, epoch) = (says >> EPOCH_SHIFT, epoch.into());
    of > epoch || (of == epoch && says & GONE != 0)
}

/// What the executor says, looked up after a publication: it has left before it, and must be
/// started, or it sees what was published.
pub fn look_after(say: &AtomicU64) -> u64 {
    // The executor says that it leaves, has the same fence, and looks for work a last time.
    fence(SeqCst);
    say.load(Acquire)
}

/// Whether an executor has ended with work open, which it never does by itself. `rung` is the last
/// ticket that was published, `is_running` asks the driver for the seat of its ring, and `word` reads
/// the last ticket done.
///
/// The order makes the answer certain, however long the driver takes. Who sees a ticket in `rung`
/// sees the seat of the instance that was there for it; an instance that has ended has said what it
/// did; so what is still open in the end was nobody's.
pub fn is_dead<E>(
    rung: impl FnOnce() -> u64,
    is_running: impl FnOnce() -> Result<bool, E>,
    word: impl FnOnce() -> u64,
) -> Result<bool, E> {
    let rung = rung();
    Ok(!is_running()? && word() < rung)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MEASURES: Measures = Measures {
        blocks: 8,
        lanes: 512,
        scratch: 32 << 10,
        turns: 16,
    };

    #[test]
    fn every_group_has_a_place_and_no_block_too_many() {
        for groups in [1, 2, 3, 8, 31, 64, 100, 1000] {
            for lanes in [32, 64, 96, 128, 256, 512] {
                for scratch in [0, 1, 1000, 4096, 32 << 10] {
                    let Some(shape) = MEASURES.shape(groups, lanes, scratch) else {
                        let together = (512 / lanes)
                            .min(12)
                            .min((32 << 10) / scratch.max(1) as u32);
                        assert!(groups > 8 * 16 * together as usize, "{groups} × {lanes}");
                        continue;
                    };
                    let together = usize::from(shape.together);
                    let blocks = usize::from(shape.blocks);
                    assert_eq!(blocks, groups.div_ceil(together), "{shape:?}");
                    assert!(together * lanes as usize <= 512);
                    assert!(together * usize::from(shape.scratch) * 16 <= MEASURES.scratch);
                    assert!(usize::from(shape.scratch) * 16 >= scratch);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_has_no_shape() {
        let refused = [
            (0, 32, 0),
            (1, 0, 0),
            (1, 48, 0),
            (1, 1024, 0),
            (1 << 20, 32, 0),
        ];
        for (groups, lanes, scratch) in refused {
            assert_eq!(MEASURES.shape(groups, lanes, scratch), None);
        }
        assert_eq!(MEASURES.shape(1, 32, (32 << 10) + 1), None);
    }

    #[test]
    fn a_frame_takes_the_slots_that_its_data_needs() {
        let slots = |buffers: usize, params: usize| {
            let params = vec![1; 8 * params];
            Frame::work(&Work::default(), vec![7; buffers], &params).map(|frame| frame.slots())
        };
        assert_eq!(slots(0, 0), Some(1));
        assert_eq!(slots(1, 0), Some(1));
        assert_eq!(slots(2, 2), Some(2));
        assert_eq!(slots(3, 4), Some(2));
        assert_eq!(slots(3, 5), Some(3));
        assert_eq!(slots(4, 15), Some(4));
        assert_eq!(slots(5, 15), None);
        assert_eq!(slots(16, 0), None);
        let mut sparse = [0; 512];
        sparse[504] = 1;
        let frame = Frame::work(&Work::default(), [], &sparse);
        assert_eq!(
            frame.map(|frame| (frame.slots(), frame.words[1])),
            Some((1, 1 << 63))
        );
    }

    #[test]
    fn a_walk_names_its_program_and_its_memory() {
        let walk = |memory: usize| {
            Frame::walk(9, 0x7000, [300, 12], 32, (0..memory).map(|i| 64 * i as u64))
        };
        assert_eq!(walk(16), None);
        let Some(Frame { words, count }) = walk(15) else {
            panic!("it fits");
        };
        assert_eq!((words[0], words[1], words[7]), (9, 0x7000, 12));
        assert_eq!(words[3], WALK << 24 | 15 << 20 | 4 << 16);
        assert_eq!((words[5] as u32, words[5] >> 32), (300, 32));
        let found: Vec<u64> = (0..count).map(|d| words[data_at(d)]).collect();
        assert_eq!(found, (0..15).map(|i| 64 * i).collect::<Vec<_>>());
    }

    #[test]
    fn only_the_last_instance_can_be_away() {
        let mut presence = Presence::default();
        assert!(presence.is_away(0) && presence.is_gone(0));
        assert_eq!(presence.start(), 1);
        let says = |epoch: u64, flags| epoch << EPOCH_SHIFT | flags;
        assert!(!presence.is_away(0), "it is on its way");
        assert!(!has_come(0, 1) && has_come(says(1, 0), 1) && has_come(says(2, GONE), 1));
        assert!(presence.is_away(says(1, LEAVING)) && !presence.is_gone(says(1, LEAVING)));
        assert!(presence.is_gone(says(1, GONE)));
        assert_eq!(presence.tired(says(1, TIRED)), Some(1));
        presence.ask(1);
        assert_eq!(presence.tired(says(1, TIRED)), None);
        presence.start();
        assert!(!presence.is_away(says(1, GONE)));
        assert!(!has_left(0, 1) && !has_left(says(1, LEAVING), 1) && has_left(says(1, GONE), 1));
        assert!(has_left(says(2, 0), 1) && !has_left(says(1, GONE), 2));
    }
}
