//! Which steps of a graph must come after which: what is left can run side by side.

use super::{Slot, Step};
use smallvec::SmallVec;
use std::collections::HashMap;

/// Who used some memory last.
#[derive(Default)]
struct Users {
    writer: Option<usize>,
    readers: SmallVec<[usize; 4]>,
}

/// Notes in each step the earlier ones that it must come after. A step that another one on the
/// list comes after already is left out.
pub(super) fn order(steps: &mut [Step]) {
    let mut users: HashMap<Memory, Users> = HashMap::new();
    let mut before = Before::new(steps.len());
    for (index, step) in steps.iter_mut().enumerate() {
        let mut after: SmallVec<[usize; 8]> = SmallVec::new();
        for bound in &step.bindings {
            let users = users.entry(Memory::of(bound.slot)).or_default();
            after.extend(users.writer);
            if bound.access.writes() {
                after.extend(users.readers.iter().copied());
            }
        }
        for bound in &step.bindings {
            let users = users.entry(Memory::of(bound.slot)).or_default();
            if bound.access.writes() {
                *users = Users {
                    writer: Some(index),
                    readers: SmallVec::new(),
                };
            } else if users.writer != Some(index) {
                users.readers.push(index);
            }
        }
        // Latest first: what a step comes after has a lower number.
        after.sort_unstable_by(|a, b| b.cmp(a));
        after.dedup();
        for earlier in after {
            if !before.has(index, earlier) {
                before.add(index, earlier);
                step.after.push(earlier);
            }
        }
    }
}

/// What slots may share.
#[derive(PartialEq, Eq, Hash)]
enum Memory {
    /// A replay may be given one buffer for several inputs, or a constant for one.
    Outside,
    Of(Slot),
}

impl Memory {
    fn of(slot: Slot) -> Memory {
        match slot {
            Slot::Input(_) | Slot::Constant(_) => Memory::Outside,
            Slot::Block(_) | Slot::Mark => Memory::Of(slot),
        }
    }
}

/// For each step all that come before it, directly or not: a bit each.
struct Before {
    words: usize,
    bits: Vec<u64>,
}

impl Before {
    fn new(steps: usize) -> Before {
        let words = steps.div_ceil(64);
        Before {
            words,
            bits: vec![0; words * steps],
        }
    }

    fn has(&self, step: usize, earlier: usize) -> bool {
        self.bits[step * self.words + earlier / 64] >> (earlier % 64) & 1 == 1
    }

    fn add(&mut self, step: usize, earlier: usize) {
        let (done, rest) = self.bits.split_at_mut(step * self.words);
        let theirs = &done[earlier * self.words..][..self.words];
        for (mine, theirs) in rest.iter_mut().zip(theirs) {
            *mine |= theirs;
        }
        rest[earlier / 64] |= 1 << (earlier % 64);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Bound;
    use super::*;
    use crate::plan::{Access, Body, Call, Cost, Grid, Kernel, Params};
    use Slot::{Block, Constant, Input};

    /// A step with these slots, each written or not.
    pub(in super::super) fn step(slots: &[(Slot, bool)]) -> Step {
        let bound = |&(slot, writes): &(Slot, bool)| Bound {
            slot,
            offset: 0,
            access: if writes { Access::Write } else { Access::Read },
        };
        fn nothing(_: &mut Call<'_>) {}
        Step {
            kernel: Kernel {
                name: "none",
                body: Body::Native(nothing),
            },
            grid: Grid::units(1),
            cost: Cost::default(),
            scratch: 0,
            params: Params::new(&0u32),
            bindings: slots.iter().map(bound).collect(),
            maps: Vec::new(),
            parts: Default::default(),
            after: SmallVec::new(),
        }
    }

    pub(in super::super) fn reads_and_writes(reads: &[Slot], writes: &[Slot]) -> Step {
        let reads = reads.iter().map(|&slot| (slot, false));
        let writes = writes.iter().map(|&slot| (slot, true));
        step(&reads.chain(writes).collect::<Vec<_>>())
    }

    fn ordered(mut steps: Vec<Step>) -> Vec<Vec<usize>> {
        order(&mut steps);
        steps.iter().map(|step| step.after.to_vec()).collect()
    }

    #[test]
    fn branches_meet_where_they_are_read() {
        let steps = vec![
            reads_and_writes(&[Input(0), Constant(0)], &[Block(0)]),
            reads_and_writes(&[Input(0), Constant(1)], &[Block(1)]),
            reads_and_writes(&[Block(0), Block(1)], &[Block(2)]),
            // Comes after the first as well, which the third does already.
            reads_and_writes(&[Block(0), Block(2)], &[Block(3)]),
        ];
        assert_eq!(ordered(steps), [vec![], vec![], vec![1, 0], vec![2]]);
    }

    #[test]
    fn memory_is_written_again_after_all_have_read_it() {
        let steps = vec![
            reads_and_writes(&[], &[Block(0)]),
            reads_and_writes(&[Block(0)], &[Block(1)]),
            reads_and_writes(&[Block(0)], &[Block(2)]),
            reads_and_writes(&[], &[Block(0)]),
            reads_and_writes(&[], &[Block(1)]),
            step(&[(Block(2), false), (Block(2), true)]),
        ];
        let wanted: [&[usize]; 6] = [&[], &[0], &[0], &[2, 1], &[1], &[2]];
        assert_eq!(ordered(steps), wanted);
    }

    #[test]
    fn what_comes_from_outside_may_be_the_same() {
        let steps = vec![
            reads_and_writes(&[Input(0)], &[Block(0)]),
            reads_and_writes(&[], &[Input(1)]),
            reads_and_writes(&[Constant(0)], &[Block(1)]),
            reads_and_writes(&[Block(0)], &[Slot::Mark]),
            reads_and_writes(&[], &[Slot::Mark]),
        ];
        assert_eq!(ordered(steps), [vec![], vec![0], vec![1], vec![0], vec![3]]);
    }
}
