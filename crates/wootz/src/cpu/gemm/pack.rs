//! Laying operands out so that the tiles read memory in one direction.
//!
//! A panel holds `width` rows of A, or columns of B, for a run of k. A kernel reads k in groups:
//! value (w, k) lies at `(k / group · width + w) · group + k % group`.

use half::{bf16, f16};

use super::problem::Element;
use super::transpose::transpose;
use crate::cpu::simd::{Float, Job, Level, Simd, prefetch_read};

/// One panel to pack. `across` counts rows of A or columns of B.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// First value, of `element`.
    pub from: *const u8,
    /// Distance to the next row or column, in elements.
    pub across: isize,
    /// Distance to the next k, in elements.
    pub along: isize,
    /// Rows or columns that exist.
    pub count: usize,
    /// Rows or columns that the panel has room for; those beyond `count` are zeros.
    pub width: usize,
    /// Values of k that exist.
    pub k: usize,
    /// Values of k that the panel has room for; those beyond `k` are zeros.
    pub k_room: usize,
    /// Panels whose rows or columns follow each other, packed together; more than one only where
    /// `count` is `width`.
    pub side_by_side: usize,
    /// From one of them to the next where they are packed, in values.
    pub apart: usize,
}

impl Panel {
    /// Panel `index` of those side by side.
    fn at(self, index: usize, size: usize) -> Panel {
        let across = (index * self.width) as isize * self.across;
        Panel {
            from: self.from.wrapping_offset(across * size as isize),
            side_by_side: 1,
            ..self
        }
    }
}

/// How a kernel wants its panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub level: Level,
    /// Whether values stay bf16; they are widened to f32 otherwise.
    pub bf16: bool,
    /// Values of k that are neighbours.
    pub group: usize,
}

/// Packs one panel, or those side by side.
///
/// # Safety
/// `panel.from` is valid for `count`×`k` elements of each panel, aligned to their size, `to` for
/// `width`·`k_room` values of each, and the machine has `layout.level`.
pub(super) unsafe fn pack(layout: Layout, element: Element, panel: Panel, to: *mut u8) {
    let size = if layout.bf16 { 2 } else { 4 };
    let together = panel.across == 1 && panel.k == panel.k_room && layout.group <= 2;
    if panel.side_by_side > 1 && !together {
        for index in 0..panel.side_by_side {
            let to = to.wrapping_add(index * panel.apart * size);
            // SAFETY: the caller's promise for one of the panels.
            unsafe { pack(layout, element, panel.at(index, element.size()), to) };
        }
        return;
    }
    // SAFETY: `to` is valid for the panel's room; the rest is the caller's promise, unchanged.
    unsafe {
        if panel.count < panel.width || panel.k < panel.k_room {
            to.write_bytes(0, panel.width * panel.k_room * size);
        }
        if layout.bf16 {
            return pack_bf16(layout, panel, to.cast());
        }
        match element {
            Element::F32 => pack_f32::<f32>(layout, panel, to.cast()),
            Element::F16 => pack_f32::<f16>(layout, panel, to.cast()),
            Element::Bf16 => pack_f32::<bf16>(layout, panel, to.cast()),
        }
    }
}

/// # Safety
/// As for [`pack`], with elements of type `T`.
unsafe fn pack_f32<T: Float>(layout: Layout, panel: Panel, to: *mut f32) {
    let from = panel.from.cast::<T>();
    // SAFETY: each branch reads element (w, k) for `w < count`, `k < panel.k` only, and writes
    // `k·width + w`; what else they need is the caller's promise.
    unsafe {
        if panel.across == 1 {
            layout.level.dispatch(CopyRows { panel, from, to });
        } else if panel.along == 1 && size_of::<T>() == 4 {
            let from = (panel.from, panel.across * 4);
            let to = (to.cast(), panel.width as isize * 4);
            transpose(layout.level, from, to, panel.count, panel.k);
        } else if panel.along == 1 {
            layout.level.dispatch(WidenAndTurn {
                level: layout.level,
                panel,
                from,
                to,
            });
        } else {
            for k in 0..panel.k {
                for w in 0..panel.count {
                    let at = w as isize * panel.across + k as isize * panel.along;
                    *to.add(k * panel.width + w) = from.wrapping_offset(at).read().to_f32();
                }
            }
        }
    }
}

/// Rows or columns that are neighbours in memory: each k is one run.
struct CopyRows<T> {
    panel: Panel,
    from: *const T,
    to: *mut f32,
}

impl<T: Float> Job for CopyRows<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Panel { count, width, .. } = self.panel;
        for k in 0..self.panel.k {
            let from = self.from.wrapping_offset(k as isize * self.panel.along);
            for index in 0..self.panel.side_by_side {
                let from = from.wrapping_add(index * width);
                fetch(from.wrapping_offset(AHEAD * self.panel.along), count);
                // SAFETY: run `k` of the source has `count` neighbours for each panel, and each
                // panel `width`.
                let (from, to) = unsafe {
                    let to = self.to.add(index * self.panel.apart + k * width);
                    (
                        std::slice::from_raw_parts(from, count),
                        std::slice::from_raw_parts_mut(to, count),
                    )
                };
                widen(s, from, to);
            }
        }
    }
}

/// Narrow elements whose k are neighbours: widened a few rows at a time, then transposed.
struct WidenAndTurn<T> {
    level: Level,
    panel: Panel,
    from: *const T,
    to: *mut f32,
}

impl<T: Float> Job for WidenAndTurn<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const ROWS: usize = 16;
        const COLUMNS: usize = 64;
        let Panel {
            count, width, k, ..
        } = self.panel;
        let mut wide = [[0f32; COLUMNS]; ROWS];
        for w in (0..count).step_by(ROWS) {
            for first in (0..k).step_by(COLUMNS) {
                let (rows, columns) = (ROWS.min(count - w), COLUMNS.min(k - first));
                for (r, wide) in wide.iter_mut().enumerate().take(rows) {
                    let at = (w + r) as isize * self.panel.across + first as isize;
                    // SAFETY: row `w + r` has `columns` neighbours from k = `first` on.
                    let from = unsafe {
                        std::slice::from_raw_parts(self.from.wrapping_offset(at), columns)
                    };
                    widen(s, from, &mut wide[..columns]);
                }
                let from = (wide.as_ptr().cast(), (COLUMNS * 4) as isize);
                // SAFETY: the block lies inside `wide`, and inside the panel at (w, first); the
                // level is the one this runs at.
                unsafe {
                    let to = self.to.add(first * width + w).cast();
                    transpose(self.level, from, (to, width as isize * 4), rows, columns);
                }
            }
        }
    }
}

/// Runs of k between the one that is read and the one that is fetched.
const AHEAD: isize = 8;

/// Asks for a run of neighbours: each lies in a page of its own, where nothing foresees the next.
#[inline(always)]
fn fetch<T>(from: *const T, count: usize) {
    for at in (0..count).step_by(64 / size_of::<T>()) {
        prefetch_read(from.wrapping_add(at));
    }
}

#[inline(always)]
fn widen<S: Simd, T: Float>(s: S, from: &[T], to: &mut [f32]) {
    let whole = from.len() - from.len() % S::LANES;
    let (from, from_rest) = from.split_at(whole);
    let (to, to_rest) = to.split_at_mut(whole);
    for (from, to) in from
        .chunks_exact(S::LANES)
        .zip(to.chunks_exact_mut(S::LANES))
    {
        s.store(to, T::load(s, from));
    }
    if !from_rest.is_empty() {
        s.store_first(to_rest, T::load_first(s, from_rest, 0.0));
    }
}

/// The longer of the two groups of bf16: a row of a tile of the matrix unit.
const RUN: usize = 32;

/// Panels of values that stay bf16, in groups of 2 or [`RUN`] along k.
///
/// # Safety
/// As for [`pack`].
unsafe fn pack_bf16(layout: Layout, panel: Panel, to: *mut u16) {
    let Panel { count, width, .. } = panel;
    let group = layout.group;
    let from = panel.from.cast::<u16>();
    // The part of k that fills whole groups; the rest goes value by value.
    let whole = panel.k - panel.k % group;
    let mut done = 0;
    // SAFETY: element (w, k) is read for `w < count`, `k < panel.k` only and lands where the
    // module's formula says; what else the parts need is the caller's promise.
    unsafe {
        if panel.along == 1 && group == 2 {
            let from = (panel.from, panel.across * 2);
            let to = (to.cast(), width as isize * 4);
            transpose(layout.level, from, to, count, whole / 2);
            done = whole;
        } else if panel.along == 1 && group == RUN {
            for k in (0..whole).step_by(RUN) {
                for w in 0..count {
                    let from = from.wrapping_offset(w as isize * panel.across + k as isize);
                    let to = to.add(k * width + w * RUN);
                    // Of a size that the compiler knows: no call.
                    to.copy_from_nonoverlapping(from, RUN);
                }
            }
            done = whole;
        } else if panel.across == 1 {
            layout.level.dispatch(PairRows {
                layout,
                panel,
                whole,
                to,
            });
            done = whole;
        }
        for k in done..panel.k {
            for w in 0..count {
                let at = w as isize * panel.across + k as isize * panel.along;
                *to.add((k / group * width + w) * group + k % group) =
                    from.wrapping_offset(at).read();
            }
        }
    }
}

/// bf16 rows or columns that are neighbours in memory: two runs of k become one run of pairs.
struct PairRows {
    layout: Layout,
    panel: Panel,
    whole: usize,
    to: *mut u16,
}

impl Job for PairRows {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Panel { count, width, .. } = self.panel;
        let run = |k: usize, w: usize, n: usize| {
            let from = self.panel.from.cast::<u16>();
            let from = from.wrapping_offset(k as isize * self.panel.along + w as isize);
            fetch(from.wrapping_offset(AHEAD * self.panel.along), n);
            // SAFETY: run `k` of the source has `count` neighbours for each panel, and `w + n` is no
            // more.
            unsafe { std::slice::from_raw_parts(from, n) }
        };
        if self.layout.group == 2 {
            for k in (0..self.whole).step_by(2) {
                for index in 0..self.panel.side_by_side {
                    let (first, at) = (index * width, index * self.panel.apart + k * width);
                    // SAFETY: a pair of runs fills `width` pairs of a panel, and `count <= width`.
                    let to = unsafe { self.to.add(at).cast::<[u16; 2]>() };
                    // SAFETY: as above; `[u16; 2]` needs the alignment of u16 only.
                    let to = unsafe { std::slice::from_raw_parts_mut(to, count) };
                    pair(run(k, first, count), run(k + 1, first, count), to);
                }
            }
            return;
        }
        // Longer groups: pairs of 16 rows or columns first, then a transposition makes each one's
        // pairs neighbours.
        let (group, mut pairs) = (self.layout.group, [[[0u16; 2]; 16]; 16]);
        for k in (0..self.whole).step_by(32) {
            for w in (0..count).step_by(16) {
                let n = 16.min(count - w);
                for (i, pairs) in pairs.iter_mut().enumerate() {
                    pair(
                        run(k + 2 * i, w, n),
                        run(k + 2 * i + 1, w, n),
                        &mut pairs[..n],
                    );
                }
                let (from, row) = (pairs.as_ptr().cast(), (group * 2) as isize);
                // SAFETY: 16 rows of pairs lie in `pairs`; the panel has `n` groups from (w, k) on.
                unsafe {
                    let to = self.to.add(k * width + w * group).cast();
                    transpose(self.layout.level, (from, 64), (to, row), 16, n);
                }
            }
        }
    }
}

#[inline(always)]
fn pair(even: &[u16], odd: &[u16], to: &mut [[u16; 2]]) {
    for ((&even, &odd), to) in even.iter().zip(odd).zip(to) {
        *to = [even, odd];
    }
}
