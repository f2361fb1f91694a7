//! A recorded graph as an executor walks it: its steps in words, one after the other.
//!
//! A step is a head of four words, its buffers, and the words of its parameters that are not zero.
//! The head: the kernel, how many buffers, whether the blocks meet first, and the words of the
//! step; its shape; its groups, and the block that it begins with; which parameters are there. A
//! buffer is an address, or an offset in memory that each walk is told of anew.

use super::executor::MEASURES;
use crate::{
    graph::{Run, Slot, Step},
    module::Source,
    plan::{Body, Cost},
    ring::{MOST_BUFFERS, Shape, nonzero},
};

/// Steps of a program at most, and what they cost together: what is over within a millisecond.
const MOST_STEPS: usize = 512;
const MOST: Cost = Cost {
    bytes: 256 << 20,
    ops: 2 << 30,
};
/// Blocks that work in the largest executor.
const MOST_BLOCKS: u16 = 2 * MEASURES.blocks;
/// The flag of a step before which the blocks meet.
const MEETS: u64 = 1 << 24;
/// Where the number of a walk's memory lies in a buffer's word; addresses end below it.
const MEMORY_SHIFT: u32 = 56;

/// A graph in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) words: Vec<u64>,
    pub(super) steps: u32,
    /// Steps before which blocks meet.
    pub(super) meetings: usize,
    /// Steps whose kernel is behind a call.
    pub(super) calls: usize,
    /// Blocks that have something to do.
    pub(super) blocks: u16,
    /// The memory that each walk is told of.
    pub(super) memory: Vec<Slot>,
}

/// Where a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The first of its blocks.
    first: u16,
    blocks: u16,
    meets: bool,
}

/// How a step must come after an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// They share nothing that one of them writes.
    Free,
    /// What one uses of it in a block, the other does in the same, if they begin with the same.
    InPlace,
    /// Each after all of the other.
    All,
}

/// Where the steps so far run.
#[derive(Default)]
struct Places {
    steps: Vec<Place>,
    /// The first step after the blocks met last.
    met: usize,
    /// Blocks that steps since then have taken.
    taken: u16,
    most: u16,
}

impl Places {
    /// The place of the next step, which comes `after` each earlier one so. What has met needs no
    /// second meeting; nor does what needs only what its own blocks did.
    fn next(&mut self, blocks: u16, after: impl Fn(usize) -> After) -> Place {
        let mut begins = None;
        let mut meets = false;
        for (index, earlier) in self.steps.iter().enumerate().skip(self.met) {
            let in_place = match after(index) {
                After::Free => continue,
                After::InPlace => true,
                After::All => blocks == 1 && earlier.blocks == 1,
            };
            meets |= !in_place || *begins.get_or_insert(earlier.first) != earlier.first;
        }
        if meets {
            self.met = self.steps.len();
            self.taken = 0;
            begins = None;
        }
        let first = begins.unwrap_or(self.taken);
        self.taken = self.taken.max(first.saturating_add(blocks));
        self.most = self.most.max(self.taken);
        let place = Place {
            first,
            blocks,
            meets,
        };
        self.steps.push(place);
        place
    }
}

/// A step and how its groups lie on the blocks.
type Shaped<'a> = (&'a Step, Shape);

/// How `step` comes after `earlier`, by the memory that both use.
fn after(step: Shaped<'_>, earlier: Shaped<'_>) -> After {
    let mut after = After::Free;
    for (a, mine) in step.0.bindings.iter().enumerate() {
        for (b, theirs) in earlier.0.bindings.iter().enumerate() {
            let writes = mine.access.writes() || theirs.access.writes();
            if !writes || !mine.slot.may_be(theirs.slot) {
                continue;
            }
            let same = mine.slot == theirs.slot && mine.offset == theirs.offset;
            if !same || !is_in_place((step, a), (earlier, b)) {
                return After::All;
            }
            after = After::InPlace;
        }
    }
    after
}

/// Whether blocks, however many, use the same bytes of these two bindings, as `run` in
/// `executor.h` shares groups out.
fn is_in_place(one: (Shaped<'_>, usize), other: (Shaped<'_>, usize)) -> bool {
    let bytes = |((step, shape), binding): (Shaped<'_>, usize), blocks: u16| {
        let part = step.parts.get(binding).copied().unwrap_or(0) as usize;
        step.grid.units.div_ceil(shape.blocks.min(blocks).into()) * part
    };
    (1..=MOST_BLOCKS).all(|blocks| {
        let bytes = [one, other].map(|one| bytes(one, blocks));
        bytes[0] == bytes[1] && bytes[0] > 0
    })
}

impl Program {
    /// The graph of `run` in words, if all its steps are small and of resident kernels, which
    /// `entry` numbers; the first `in_place` need no call.
    pub(super) fn new(
        run: &Run<'_>,
        entry: impl Fn(Source) -> Option<u16>,
        in_place: usize,
    ) -> Option<Program> {
        let memory: Vec<Slot> = run.moving().collect();
        let steps = run.steps();
        let cost = |of: fn(&Cost) -> u64| steps.iter().map(|step| of(&step.cost)).sum::<u64>();
        if memory.len() > MOST_BUFFERS
            || steps.len() > MOST_STEPS
            || cost(|cost| cost.bytes) > MOST.bytes
            || cost(|cost| cost.ops) > MOST.ops
        {
            return None;
        }
        let mut words = vec![];
        let mut places = Places::default();
        let mut shaped: Vec<Shaped<'_>> = vec![];
        let mut calls = 0;
        for step in steps {
            let Body::Source(source) = step.kernel.body else {
                return None;
            };
            let shape = MEASURES.shape(step.grid.units, step.grid.lanes, step.scratch)?;
            let this = (step, shape);
            let place = places.next(shape.blocks, |earlier| after(this, shaped[earlier]));
            shaped.push(this);
            let buffers = step.bindings.iter().map(|bound| {
                let at = memory.iter().position(|&slot| slot == bound.slot);
                match at {
                    Some(at) => (at as u64 + 1) << MEMORY_SHIFT | bound.offset as u64,
                    None => (run.buffer(bound.slot).memory().handle + bound.offset) as u64,
                }
            });
            let entry = entry(source)?;
            calls += usize::from(usize::from(entry) >= in_place);
            push(&mut words, step, entry, shape, place, buffers.collect())?;
        }
        Some(Program {
            words,
            steps: steps.len() as u32,
            calls,
            meetings: places.steps.iter().filter(|place| place.meets).count(),
            blocks: places.most.min(MOST_BLOCKS),
            memory,
        })
    }
}

/// Adds a step, if it fits.
fn push(
    words: &mut Vec<u64>,
    step: &Step,
    entry: u16,
    shape: Shape,
    place: Place,
    buffers: Vec<u64>,
) -> Option<()> {
    if buffers.len() > MOST_BUFFERS {
        return None;
    }
    let params: Vec<(usize, u64)> = nonzero(step.params.bytes()).collect();
    let mask = params
        .iter()
        .fold(0, |mask, (index, _)| mask | 1u64 << index);
    let size = 4 + buffers.len() + params.len();
    let meets = if place.meets { MEETS } else { 0 };
    words.extend([
        u64::from(entry) | (buffers.len() as u64) << 16 | meets | (size as u64) << 32,
        shape.packed(),
        u64::from(shape.groups) | u64::from(place.first) << 32,
        mask,
    ]);
    words.extend(buffers);
    words.extend(params.into_iter().map(|(_, word)| word));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(steps: &[(u16, &[(usize, After)])]) -> Vec<(u16, bool)> {
        let mut places = Places::default();
        let next = |&(blocks, after): &(u16, &[(usize, After)])| {
            places.next(blocks, |earlier| {
                let found = after.iter().find(|(index, _)| *index == earlier);
                found.map_or(After::Free, |(_, after)| *after)
            })
        };
        let all: Vec<Place> = steps.iter().map(next).collect();
        all.into_iter()
            .map(|place| (place.first, place.meets))
            .collect()
    }

    use After::{All, InPlace};

    #[test]
    fn a_chain_meets_before_each_step_and_not_before_the_first() {
        let chain = places(&[(32, &[]), (32, &[(0, All)]), (16, &[(1, All)])]);
        assert_eq!(chain, [(0, false), (0, true), (0, true)]);
    }

    #[test]
    fn a_chain_in_place_never_meets() {
        let chain = places(&[
            (8, &[]),
            (4, &[]),
            (4, &[(1, InPlace)]),
            (8, &[(0, InPlace)]),
            (8, &[(2, InPlace), (3, InPlace)]),
        ]);
        // The last would have to begin where both did.
        let wanted = [(0, false), (8, false), (8, false), (0, false), (0, true)];
        assert_eq!(chain, wanted);
    }

    #[test]
    fn steps_that_are_independent_begin_with_different_blocks() {
        let branches = places(&[
            (6, &[]),
            (6, &[]),
            (8, &[]),
            (1, &[(0, All), (2, All)]),
            (4, &[(1, All)]),
        ]);
        // The last needs what was done before the meeting of the one before it.
        let wanted = [(0, false), (6, false), (12, false), (0, true), (1, false)];
        assert_eq!(branches, wanted);
    }

    #[test]
    fn what_one_block_does_alone_needs_no_meeting() {
        let alone = places(&[
            (1, &[]),
            (1, &[(0, All)]),
            (1, &[]),
            (1, &[(2, All)]),
            (1, &[(1, All)]),
            (1, &[(3, All), (4, All)]),
        ]);
        let wanted = [
            (0, false),
            (0, false),
            (1, false),
            (1, false),
            (0, false),
            (0, true),
        ];
        assert_eq!(alone, wanted);
        let wide = places(&[(1, &[]), (2, &[(0, All)]), (1, &[(1, All)])]);
        assert_eq!(wide, [(0, false), (0, true), (0, true)]);
    }
}
