//! Lengths cut into blocks.

use std::ops::Range;

/// A length cut into blocks of nearly the same size, each a multiple of a quantum but for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub length: usize,
    pub quantum: usize,
    pub blocks: usize,
}

impl Cut {
    /// Cuts `length` into the fewest blocks that have at most `limit`, a multiple of `quantum`.
    pub fn new(length: usize, quantum: usize, limit: usize) -> Cut {
        // Mostly one: a division less, of those that a tiny product waits for.
        let blocks = match length {
            1.. if length <= limit => 1,
            _ => length.div_ceil(limit.max(quantum)),
        };
        Cut {
            length,
            quantum,
            blocks,
        }
    }

    /// Block `index`. Its end may lie beyond `length`, up to a quantum.
    pub fn block(&self, index: usize) -> Range<usize> {
        let quanta = self.length.div_ceil(self.quantum);
        let (base, more) = (quanta / self.blocks, quanta % self.blocks);
        let start = |index: usize| (index * base + index.min(more)) * self.quantum;
        start(index)..start(index + 1)
    }

    /// Length of the longest block.
    pub fn longest(&self) -> usize {
        match self.blocks {
            0 => 0,
            1 => self.length.next_multiple_of(self.quantum),
            blocks => self.length.div_ceil(self.quantum).div_ceil(blocks) * self.quantum,
        }
    }
}
