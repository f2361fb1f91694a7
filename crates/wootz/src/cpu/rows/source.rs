//! Elements of any type, read as the few that kernels work on.

use super::{Axes, STRIP, TILE, staggered_from_memory};
use crate::{
    DType, Element, F8E4M3,
    cpu::simd::{Float, Job, Simd, bypasses, dispatch, vectorized},
};
use half::{bf16, f16};
use std::ops::Range;
use wootz_runtime::Call;

/// The types that kernels work on: `f32` for floats, `i64` for integers.
pub(crate) trait Working: Element {
    /// Whether it is zero.
    fn is_zero(self) -> bool;
    /// Whether it is the same number, or NaN as the other is.
    fn same(self, other: Self) -> bool;
    /// Fills `out` with elements of type `dtype` that lie `step` elements apart.
    ///
    /// # Safety
    /// They are readable, and `dtype` is one that becomes this type.
    unsafe fn gather(dtype: DType, from: *const u8, step: isize, out: &mut [Self]);
}

impl Working for f32 {
    #[inline(always)]
    fn is_zero(self) -> bool {
        self == 0.0
    }
    #[inline(always)]
    fn same(self, other: f32) -> bool {
        (self == other) | (self.is_nan() & other.is_nan())
    }
    unsafe fn gather(dtype: DType, from: *const u8, step: isize, out: &mut [f32]) {
        // SAFETY: passed on from the caller.
        unsafe {
            match (dtype, step) {
                (DType::F16, 1) => dispatch(Widen(run::<f16>(from, out.len()), out)),
                (DType::BF16, 1) => dispatch(Widen(run::<bf16>(from, out.len()), out)),
                (DType::F16, _) => each::<f16, _>(from, step, out, f16::to_f32),
                (DType::BF16, _) => each::<bf16, _>(from, step, out, bf16::to_f32),
                (DType::F8E4M3, _) => each::<F8E4M3, _>(from, step, out, F8E4M3::to_f32),
                _ => each::<f32, _>(from, step, out, |x| x),
            }
        }
    }
}

impl Working for i64 {
    #[inline(always)]
    fn is_zero(self) -> bool {
        self == 0
    }
    #[inline(always)]
    fn same(self, other: i64) -> bool {
        self == other
    }
    unsafe fn gather(dtype: DType, from: *const u8, step: isize, out: &mut [i64]) {
        // SAFETY: passed on from the caller.
        unsafe {
            match dtype {
                DType::I32 => each::<i32, _>(from, step, out, i64::from),
                DType::U32 => each::<u32, _>(from, step, out, i64::from),
                DType::U8 => each::<u8, _>(from, step, out, i64::from),
                _ => each::<i64, _>(from, step, out, |x| x),
            }
        }
    }
}

/// # Safety
/// As for [`Working::gather`], with step 1.
unsafe fn run<'a, T>(from: *const u8, length: usize) -> &'a [T] {
    // SAFETY: passed on from the caller.
    unsafe { std::slice::from_raw_parts(from.cast(), length) }
}

/// # Safety
/// As for [`Working::gather`], of elements of `T`.
unsafe fn each<T: Copy, W>(from: *const u8, step: isize, out: &mut [W], convert: impl Fn(T) -> W) {
    if step == 1 {
        // SAFETY: passed on from the caller.
        let x = unsafe { run::<T>(from, out.len()) };
        return vectorized(
            #[inline(always)]
            move || {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = convert(x);
                }
            },
        );
    }
    for (i, out) in out.iter_mut().enumerate() {
        // SAFETY: passed on from the caller.
        *out = convert(unsafe { *from.cast::<T>().offset(i as isize * step) });
    }
}

/// Widens a block to `f32`.
struct Widen<'a, T>(&'a [T], &'a mut [f32]);

impl<T: Float> Job for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
            if x.len() == S::LANES {
                s.store(out, T::load(s, x));
            } else {
                s.store_first(out, T::load_first(s, x, 0.0));
            }
        }
    }
}

/// Rounds a block of `f32`.
pub(crate) struct Narrow<'a, T>(pub &'a [f32], pub &'a mut [T]);

impl<T: Float> Job for Narrow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
            if x.len() == S::LANES {
                T::store(s, out, s.load(x));
            } else {
                T::store_first(s, out, s.load_first(x, 0.0));
            }
        }
    }
}

/// Rows of an input, each of which lies together.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    base: *const T,
    outer: &'a Axes,
    first: usize,
    length: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Rows from `first` on, of those that `outer` places.
    ///
    /// # Safety
    /// Every row of `outer` that is asked for is readable, and nobody writes it meanwhile.
    pub(crate) unsafe fn new(base: *const T, outer: &'a Axes, first: usize, length: usize) -> Self {
        Rows {
            base,
            outer,
            first,
            length,
        }
    }

    /// One of the rows.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [T] {
        let from = self
            .base
            .wrapping_offset(self.outer.offset(self.first + row));
        // SAFETY: promised to `new`.
        unsafe { std::slice::from_raw_parts(from, self.length) }
    }
}

/// Rows of a call, each of which becomes a row of its output.
pub(crate) struct Pass<'a, T> {
    pub(crate) x: Rows<'a, T>,
    /// The rows' results, one after the other.
    pub(crate) out: &'a mut [T],
    /// How many there are.
    pub(crate) rows: usize,
    /// Elements of each.
    pub(crate) length: usize,
    /// Whether results are better written around the caches.
    pub(crate) bypass: bool,
}

impl<'a, T> Pass<'a, T> {
    /// The rows of the call's units, `per_unit` in each, of those that `outer` places.
    ///
    /// # Safety
    /// The call's first binding has all rows of `outer`, each of `length` elements of `T`, its
    /// second as many that follow each other, and those of the call's units are its own.
    pub(crate) unsafe fn of_call(
        call: &Call<'_>,
        outer: &'a Axes,
        length: usize,
        per_unit: usize,
    ) -> Self {
        let first = call.units.start * per_unit;
        let rows = outer.count().min(call.units.end * per_unit) - first;
        // SAFETY: promised by the caller.
        let (x, out) = unsafe {
            let out = call.pointer::<T>(1).add(first * length);
            (
                Rows::new(call.pointer::<T>(0), outer, first, length),
                std::slice::from_raw_parts_mut(out, rows * length),
            )
        };
        Pass {
            x,
            out,
            rows,
            length,
            bypass: bypasses(outer.count() * length * size_of::<T>()),
        }
    }

    /// Whether the stages of a kernel take turns.
    pub(crate) fn in_stages(&self) -> bool {
        !self.bypass || staggered_from_memory(self.length * size_of::<T>())
    }
}

/// Where elements of some type lie.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// The first one.
    pub(crate) base: *const u8,
    /// What they are.
    pub(crate) dtype: DType,
}

impl Source {
    /// `offset` elements on.
    pub(crate) fn offset(self, offset: isize) -> Source {
        let bytes = offset * self.dtype.size() as isize;
        Source {
            base: self.base.wrapping_offset(bytes),
            ..self
        }
    }

    /// Elements of a reduction from `range.start` on, a tile at most, where they follow each other
    /// for long enough. How many depends on the layout alone.
    ///
    /// # Safety
    /// `axes` describe readable elements of `T` from here on.
    pub(crate) unsafe fn run_of<'a, T>(self, axes: &Axes, range: Range<usize>) -> Option<&'a [T]> {
        /// Runs of at least so many elements are used where they lie.
        const DIRECT: usize = 128;
        let (length, step) = axes.innermost();
        let most = range.len().min(TILE);
        let run = most.min(length - range.start % length);
        if step != 1 || (run < most && run < DIRECT) {
            return None;
        }
        let from = self.offset(axes.offset(range.start)).base.cast();
        // SAFETY: inside the innermost axis, whose elements follow each other.
        Some(unsafe { std::slice::from_raw_parts(from, run) })
    }

    /// Elements of a reduction from `range.start` on, a tile at most: where they lie when they
    /// follow each other there, else gathered into `room`. How many depends on the layout alone.
    ///
    /// # Safety
    /// `axes` describe readable elements from here on, and `room` is a tile.
    pub(crate) unsafe fn tile<'a, W: Working>(
        self,
        axes: &Axes,
        range: Range<usize>,
        room: &'a mut [W],
    ) -> &'a [W] {
        if self.dtype == W::DTYPE {
            // SAFETY: passed on from the caller.
            if let Some(run) = unsafe { self.run_of(axes, range.clone()) } {
                return run;
            }
        }
        let (length, step) = axes.innermost();
        let most = range.len().min(TILE);
        let out = &mut room[..most];
        let mut done = 0;
        while done < most {
            let at = range.start + done;
            let run = (most - done).min(length - at % length);
            let from = self.offset(axes.offset(at)).base;
            // SAFETY: `run` indices of the innermost axis are left from `at` on.
            unsafe { W::gather(self.dtype, from, step, &mut out[done..done + run]) };
            done += run;
        }
        out
    }

    /// Rows of columns that follow each other, `rows` of them, the `i`th from `place(i)` on: where
    /// they lie, or widened into `room`.
    ///
    /// # Safety
    /// `columns` elements are readable at each place, and `room` has space for all of them where
    /// they are of another type.
    pub(crate) unsafe fn strip<W: Working>(
        self,
        rows: usize,
        columns: usize,
        place: impl Fn(usize) -> isize,
        room: &mut [W],
    ) -> [&[W]; STRIP] {
        let mut out: [&[W]; STRIP] = [&[]; STRIP];
        if self.dtype == W::DTYPE {
            for (i, row) in out[..rows].iter_mut().enumerate() {
                let from = self.offset(place(i)).base.cast();
                // SAFETY: passed on from the caller.
                *row = unsafe { std::slice::from_raw_parts(from, columns) };
            }
            return out;
        }
        let widened = out[..rows].iter_mut().zip(room.chunks_exact_mut(columns));
        for (i, (row, room)) in widened.enumerate() {
            // SAFETY: passed on from the caller.
            unsafe { W::gather(self.dtype, self.offset(place(i)).base, 1, room) };
            *row = room;
        }
        out
    }
}

/// Lets `write` fill `length` floats of type `dtype` from `to` on, by way of `room` where they
/// are not `f32`.
///
/// # Safety
/// They are writable, nobody else touches them, and `room` is as long.
pub(crate) unsafe fn write_floats(
    dtype: DType,
    to: *mut u8,
    length: usize,
    room: &mut [f32],
    write: impl FnOnce(&mut [f32]),
) {
    // SAFETY: passed on from the caller, here and below.
    unsafe {
        if dtype == DType::F32 {
            return write(std::slice::from_raw_parts_mut(to.cast(), length));
        }
        let room = &mut room[..length];
        write(room);
        match dtype {
            DType::F16 => dispatch(Narrow(
                room,
                std::slice::from_raw_parts_mut(to.cast::<f16>(), length),
            )),
            _ => dispatch(Narrow(
                room,
                std::slice::from_raw_parts_mut(to.cast::<bf16>(), length),
            )),
        }
    }
}

/// Has `kernel` do some rows through the caches and around them, at every level, and demands the
/// same bits; all of them written, and the last row as it is by itself.
#[cfg(test)]
pub(crate) fn written<T: Float>(
    length: usize,
    mut kernel: impl FnMut(Pass<'_, T>, crate::cpu::simd::Level),
) {
    const ROWS: usize = 5;
    let x: Vec<T> = (0..ROWS * length)
        .map(|i| T::from_f32(((i * 7919) % 1009) as f32 / 128.0 - 3.5))
        .collect();
    let outer = Axes::new([(ROWS, length as isize)]);
    for level in crate::cpu::simd::Level::ALL {
        let mut run = |first: usize, rows: usize, bypass: bool| {
            let mut out = vec![T::from_f32(f32::NAN); rows * length];
            // SAFETY: there are as many rows.
            let x = unsafe { Rows::new(x.as_ptr(), &outer, first, length) };
            let pass = Pass {
                x,
                out: &mut out,
                rows,
                length,
                bypass,
            };
            kernel(pass, level);
            out.into_iter()
                .map(|y| y.to_f32().to_bits())
                .collect::<Vec<_>>()
        };
        let through = run(0, ROWS, false);
        assert_eq!(through, run(0, ROWS, true), "{level} {length}");
        let last = through[(ROWS - 1) * length..].to_vec();
        assert_eq!(last, run(ROWS - 1, 1, true), "{level} {length}");
        let nan = f32::NAN.to_bits() >> 22;
        assert!(
            through.iter().all(|y| y >> 22 & nan != nan),
            "{level} {length}"
        );
    }
}
