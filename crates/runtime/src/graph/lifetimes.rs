//! Which temporaries of a graph can have the same memory.

use super::{Slot, Step};
use std::collections::HashMap;

/// Gives temporaries of one size that are never needed at once one block between them. Rewrites
/// the slots of `steps` and `outputs`, from a block for each temporary, and gives the bytes of the
/// blocks that are left.
pub(super) fn share(temporaries: &[usize], steps: &mut [Step], outputs: &mut [Slot]) -> Vec<usize> {
    let last = last_uses(temporaries.len(), steps, outputs);
    let mut shared = Shared {
        blocks: Vec::new(),
        given: vec![None; temporaries.len()],
        free: HashMap::new(),
    };
    for (index, step) in steps.iter_mut().enumerate() {
        let mut over = Vec::new();
        for bound in &mut step.bindings {
            if let Slot::Block(temporary) = &mut bound.slot {
                let block = shared.block(*temporary, temporaries[*temporary]);
                if last[*temporary] == Some(index) && !over.contains(&block) {
                    over.push(block);
                }
                *temporary = block;
            }
        }
        // Not before all of the step's are given: it needs them at once.
        for block in over {
            let free = shared.free.entry(shared.blocks[block]);
            free.or_default().push(block);
        }
    }
    for output in outputs {
        if let Slot::Block(temporary) = output {
            *temporary = shared.block(*temporary, temporaries[*temporary]);
        }
    }
    shared.blocks
}

/// The last step that uses each temporary; none for what is needed after all of them.
fn last_uses(temporaries: usize, steps: &[Step], outputs: &[Slot]) -> Vec<Option<usize>> {
    let mut last = vec![None; temporaries];
    for (index, step) in steps.iter().enumerate() {
        for bound in &step.bindings {
            if let Slot::Block(temporary) = bound.slot {
                last[temporary] = Some(index);
            }
        }
    }
    for output in outputs {
        if let Slot::Block(temporary) = *output {
            last[temporary] = None;
        }
    }
    last
}

struct Shared {
    /// Bytes of each block.
    blocks: Vec<usize>,
    /// The block of each temporary that was met.
    given: Vec<Option<usize>>,
    /// Blocks of each size that nobody needs now.
    free: HashMap<usize, Vec<usize>>,
}

impl Shared {
    fn block(&mut self, temporary: usize, bytes: usize) -> usize {
        if let Some(block) = self.given[temporary] {
            return block;
        }
        let free = self.free.get_mut(&bytes).and_then(Vec::pop);
        let block = free.unwrap_or_else(|| {
            self.blocks.push(bytes);
            self.blocks.len() - 1
        });
        self.given[temporary] = Some(block);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::tests::{reads_and_writes, step};
    use super::*;

    fn blocks(steps: &[Step]) -> Vec<Vec<Slot>> {
        let slots = |step: &Step| step.bindings.iter().map(|bound| bound.slot).collect();
        steps.iter().map(slots).collect()
    }

    #[test]
    fn a_chain_needs_two_blocks_and_keeps_its_output() {
        // 0 → a → b → c → d
        let link = |from, to| reads_and_writes(&[from], &[Slot::Block(to)]);
        let mut steps = [
            link(Slot::Input(0), 0),
            link(Slot::Block(0), 1),
            link(Slot::Block(1), 2),
            link(Slot::Block(2), 3),
        ];
        let mut outputs = [Slot::Block(3)];
        let sizes = share(&[64; 4], &mut steps, &mut outputs);
        assert_eq!(sizes, [64, 64]);
        assert_eq!(outputs, [Slot::Block(1)]);
        assert_eq!(
            blocks(&steps)[2..],
            [
                vec![Slot::Block(1), Slot::Block(0)],
                vec![Slot::Block(0), Slot::Block(1)]
            ]
        );
    }

    #[test]
    fn what_is_needed_later_or_has_another_size_is_not_shared() {
        let mut steps = [
            step(&[(Slot::Block(0), true)]),
            reads_and_writes(&[Slot::Block(0)], &[Slot::Block(1)]),
            reads_and_writes(&[Slot::Block(1)], &[Slot::Block(2)]),
            reads_and_writes(&[Slot::Block(0), Slot::Block(2)], &[Slot::Block(3)]),
        ];
        // The last is an output that no step writes.
        let mut outputs = [Slot::Block(3), Slot::Input(0), Slot::Block(4)];
        let sizes = share(&[64, 64, 128, 64, 64], &mut steps, &mut outputs);
        // The second is over when the fourth begins; the first is not, but after it.
        assert_eq!(sizes, [64, 64, 128]);
        assert_eq!(outputs, [Slot::Block(1), Slot::Input(0), Slot::Block(0)]);
    }

    #[test]
    fn a_temporary_bound_twice_is_freed_once() {
        let mut steps = [
            step(&[(Slot::Block(0), true)]),
            step(&[(Slot::Block(0), false), (Slot::Block(0), true)]),
            step(&[(Slot::Block(1), true)]),
            step(&[(Slot::Block(1), false), (Slot::Block(2), true)]),
        ];
        let sizes = share(&[64; 3], &mut steps, &mut [Slot::Block(2)]);
        assert_eq!(sizes, [64, 64]);
    }
}
