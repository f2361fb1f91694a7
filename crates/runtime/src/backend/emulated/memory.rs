//! The memory that a launch was given, and the judgement of each access to it.

use super::{
    fault::{Memory, What, verb},
    shadow::{Moment, Shadow, Touch, Use},
};
use crate::plan::{Access, Binding, Plan};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// A buffer as a launch sees it.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Where the buffer starts.
    pub start: *mut u8,
    /// How long it is.
    pub bytes: usize,
    /// Where the kernel's pointer points, in bytes from the start.
    pub offset: usize,
    /// How the kernel uses it.
    pub access: Access,
    /// The bytes that each group has to itself from `offset` on, one behind the other; 0 where
    /// groups share it.
    pub part: usize,
}

impl Bound {
    /// The bindings of a plan.
    pub(super) fn all(plan: &Plan<'_>) -> Vec<Bound> {
        let parts = plan.parts.iter().map(|&part| part as usize);
        let parts = parts.chain(std::iter::repeat(0));
        let bound = |(binding, part): (&Binding<'_>, usize)| {
            let memory = binding.buffer.memory();
            Bound {
                start: memory.host,
                bytes: memory.bytes,
                offset: binding.offset,
                access: binding.access,
                part,
            }
        };
        plan.bindings.iter().zip(parts).map(bound).collect()
    }
}

impl Region {
    /// Whether all of `range` may be what some binding here leaves to this group.
    fn is_of(&self, group: u32, range: &Range<usize>) -> bool {
        self.parts.iter().any(|&(start, part)| {
            let own = start + group as usize * part..start + (group as usize + 1) * part;
            part == 0 || own.start <= range.start && range.end <= own.end
        })
    }
}

/// Disjoint ranges of device memory; bindings of the same buffer share one.
#[derive(Debug)]
pub(super) struct Regions {
    regions: Vec<Region>,
    params: Range<usize>,
}

#[derive(Debug)]
struct Region {
    range: Range<usize>,
    /// The first binding that lies here.
    index: usize,
    /// `None` for what the launch only reads.
    shadow: Option<Shadow>,
    parts: Parts,
}

/// Where the parts of each of a region's bindings begin, and how long they are.
type Parts = SmallVec<[(usize, usize); 2]>;

/// Bindings whose memory overlaps.
type Together = SmallVec<[usize; 2]>;

/// What bindings of the same memory ask of its users; `None` if all of them only read.
fn purpose(accesses: impl Iterator<Item = Access>) -> Option<Use> {
    let accesses: SmallVec<[Access; 2]> = accesses.collect();
    let all = |access| accesses.iter().all(|&one| one == access);
    match accesses.contains(&Access::Read) {
        true if all(Access::Read) => None,
        true => Some(Use::Promised),
        false if all(Access::Write) => Some(Use::Output),
        false => Some(Use::Update),
    }
}

impl Regions {
    /// The regions of a launch that begins with interval `start`.
    pub(super) fn new(bindings: &[Bound], params: &[u8], start: u32) -> Regions {
        let mut order: Vec<usize> = (0..bindings.len()).collect();
        order.sort_by_key(|&index| bindings[index].start.addr());
        let range = |index: usize| {
            let Bound { start, bytes, .. } = bindings[index];
            start.addr()..start.addr() + bytes
        };
        let mut merged: Vec<(Range<usize>, Together)> = vec![];
        for index in order {
            let range = range(index);
            match merged.last_mut() {
                Some((last, together)) if range.start < last.end => {
                    last.end = last.end.max(range.end);
                    together.push(index);
                }
                _ => merged.push((range, smallvec![index])),
            }
        }
        let region = |(range, together): (Range<usize>, Together)| {
            let all = || together.iter().map(|&index| bindings[index]);
            let purpose = purpose(all().map(|bound| bound.access));
            Region {
                index: together[0],
                shadow: purpose.map(|purpose| Shadow::device(range.len(), start, purpose)),
                parts: all()
                    .map(|bound| (bound.start.addr() + bound.offset, bound.part))
                    .collect(),
                range,
            }
        };
        let params = params.as_ptr().addr()..params.as_ptr().addr() + params.len();
        Regions {
            regions: merged.into_iter().map(region).collect(),
            params,
        }
    }

    /// Judges an access of a group to `range`; `None` when it is not device memory.
    pub(super) fn touch(
        &mut self,
        group: u32,
        range: &Range<usize>,
        touch: Touch,
        now: Moment,
    ) -> Option<Result<(), What>> {
        let inside = |outer: &Range<usize>| outer.start <= range.start && range.end <= outer.end;
        if touch == Touch::Read && inside(&self.params) {
            return Some(Ok(()));
        }
        let region = self
            .regions
            .iter_mut()
            .find(|region| inside(&region.range))?;
        let (offset, buffer) = (range.start - region.range.start, region.index);
        if !region.is_of(group, range) {
            return Some(Err(What::Stranger {
                verb: verb(touch),
                buffer,
                offset,
            }));
        }
        let Some(shadow) = &mut region.shadow else {
            let read_only = touch.writes().then_some(What::ReadOnly { buffer, offset });
            return Some(read_only.map_or(Ok(()), Err));
        };
        let memory = Memory::Buffer(buffer);
        let outcome = shadow.touch(offset, range.len(), touch, now);
        Some(outcome.map_err(|wrong| What::from_shadow(memory, offset, touch, wrong)))
    }

    /// The report of an access that fell outside of all memory, told from what is nearest.
    pub(super) fn out_of_range(
        &self,
        range: &Range<usize>,
        touch: Touch,
        scratch: &Range<usize>,
    ) -> What {
        let buffers = self
            .regions
            .iter()
            .map(|r| (format!("buffer {}", r.index), &r.range));
        let all = buffers.chain([("scratch".to_owned(), scratch)]);
        let distance = |outer: &Range<usize>| {
            range
                .end
                .saturating_sub(outer.end)
                .max(outer.start.saturating_sub(range.start))
        };
        let nearest = all.min_by_key(|(_, outer)| distance(outer));
        let whereabouts = nearest.map_or_else(String::new, |(name, outer)| {
            let size = outer.len();
            match range.start.checked_sub(outer.start) {
                Some(offset) => format!("byte {offset} of {name}, which has {size}"),
                None => format!("{} bytes before {name}", outer.start - range.start),
            }
        });
        What::OutOfRange {
            verb: verb(touch),
            bytes: range.len() as u64,
            whereabouts,
        }
    }
}
