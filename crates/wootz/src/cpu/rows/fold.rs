//! Folds and maps over elements that lie one after another.

use crate::cpu::{
    math::rough::Parts,
    simd::{Float, Simd, Twice, prefetch_read},
};

/// Accumulators that a fold keeps, so that steps need not wait for each other.
pub(crate) const ACCUMULATORS: usize = 4;

/// A closure that is always inlined into the level's code: attributes on a closure are allowed
/// where it is an argument.
#[inline(always)]
pub(crate) fn inlined<F>(closure: F) -> F {
    closure
}

/// Folds `x` with [`ACCUMULATORS`], which `join` makes one. `fill` stands in for lanes that the
/// last vector lacks: a step with it must change nothing.
#[inline(always)]
pub(crate) fn fold<S: Simd, T: Float, A: Copy>(
    s: S,
    x: &[T],
    fill: f32,
    start: A,
    step: impl Fn(A, S::F32) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    let mut accs = [start; ACCUMULATORS];
    fold_on(s, x, fill, &mut accs, step);
    joined(accs, join)
}

/// A part of a fold: the elements, the accumulators, what stands in for lanes that the last vector
/// lacks, and the step.
pub(crate) type Fold<'a, T, A, const N: usize, F> = (&'a [T], &'a mut [A; N], f32, F);

/// Goes on with a fold whose accumulators are `accs`.
#[cfg_attr(unoptimized, inline(never))]
#[cfg_attr(not(unoptimized), inline(always))]
pub(crate) fn fold_on<S: Simd, T: Float, A: Copy, const N: usize>(
    s: S,
    x: &[T],
    fill: f32,
    accs: &mut [A; N],
    step: impl Fn(A, S::F32) -> A,
) {
    let blocks = x.chunks_exact(N * S::LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (k, acc) in accs.iter_mut().enumerate() {
            *acc = step(*acc, T::load(s, &block[k * S::LANES..]));
        }
    }
    for (k, acc) in accs.iter_mut().enumerate() {
        if k * S::LANES < rest.len() {
            *acc = step(*acc, T::load_first(s, &rest[k * S::LANES..], fill));
        }
    }
}

/// The accumulators of a fold as one; their number is a power of two.
#[inline(always)]
pub(crate) fn joined<A: Copy, const N: usize>(mut accs: [A; N], join: impl Fn(A, A) -> A) -> A {
    let mut left = N;
    while left > 1 {
        left /= 2;
        for k in 0..left {
            accs[k] = join(accs[k], accs[k + left]);
        }
    }
    accs[0]
}

/// Writes `f` of the elements of each of `x` at each place; with `bypass` around the caches, which
/// wants [`bypass_done`](crate::cpu::simd::bypass_done) after the last call.
///
/// # Panics
/// If one of `x` is shorter than `out`.
#[inline(always)]
pub(crate) fn map<S: Simd, T: Float, U: Float, const N: usize>(
    s: S,
    x: [&[T]; N],
    out: &mut [U],
    bypass: bool,
    f: impl Fn([S::F32; N]) -> S::F32,
) {
    let step = inlined(
        #[inline(always)]
        |(), _| (),
    );
    fold_and_map(s, (&[], &mut [()], 0.0, step), x, out, bypass, f);
}

/// Does as [`fold_on`] to `ahead` and as [`map`] to the rest, in turns: so the processor has both to
/// do at a time.
///
/// # Panics
/// If one of `x` is shorter than `out`.
#[inline(always)]
pub(crate) fn fold_and_map<S: Simd, T: Float, U: Float, A: Copy, const M: usize, const N: usize>(
    s: S,
    fold: Fold<'_, T, A, M, impl Fn(A, S::F32) -> A>,
    x: [&[T]; N],
    out: &mut [U],
    bypass: bool,
    f: impl Fn([S::F32; N]) -> S::F32,
) {
    // Two loops, so that neither asks which it is.
    if bypass {
        fold_and_map_to::<_, _, _, _, M, N, true>(s, fold, x, out, f);
    } else {
        fold_and_map_to::<_, _, _, _, M, N, false>(s, fold, x, out, f);
    }
}

/// Asks for `n` elements from `next` on. Where results go around the caches, rows come from memory,
/// and nothing else asks for the next one while this one is computed.
#[inline(always)]
pub(crate) fn prefetch<T>(next: *const T, n: usize) {
    for i in (0..n).step_by(64 / size_of::<T>()) {
        prefetch_read(next.wrapping_add(i));
    }
}

#[cfg_attr(unoptimized, inline(never))]
#[cfg_attr(not(unoptimized), inline(always))]
fn fold_and_map_to<
    S: Simd,
    T: Float,
    U: Float,
    A: Copy,
    const M: usize,
    const N: usize,
    const BYPASS: bool,
>(
    s: S,
    (ahead, accs, fill, step): Fold<'_, T, A, M, impl Fn(A, S::F32) -> A>,
    x: [&[T]; N],
    out: &mut [U],
    f: impl Fn([S::F32; N]) -> S::F32,
) {
    let n = out.len();
    for x in &x {
        assert!(x.len() >= n);
    }
    // What is looked at first of the rows to come.
    let next = if ahead.is_empty() { x[0] } else { ahead };
    let next = next.as_ptr().wrapping_add(n);
    let mut each = inlined(
        #[inline(always)]
        |i: usize| {
            let mut vectors = [s.splat(0.0); N];
            for (vector, x) in vectors.iter_mut().zip(&x) {
                // SAFETY: below, `i + LANES` is at most `n`, and that every slice's length.
                *vector = T::load(s, unsafe { x.get_unchecked(i..i + S::LANES) });
            }
            // SAFETY: as above.
            let out = unsafe { out.get_unchecked_mut(i..i + S::LANES) };
            if BYPASS {
                prefetch(next.wrapping_add(i), S::LANES);
                U::bypass(s, out, f(vectors));
            } else {
                U::store(s, out, f(vectors));
            }
        },
    );
    let (whole, both) = (n - n % S::LANES, n.min(ahead.len()));
    let both = both - both % (M * S::LANES);
    for start in (0..both).step_by(M * S::LANES) {
        for (k, acc) in accs.iter_mut().enumerate() {
            let i = start + k * S::LANES;
            // SAFETY: `i + LANES` is at most `both`, and that the length of `ahead`.
            *acc = step(
                *acc,
                T::load(s, unsafe { ahead.get_unchecked(i..i + S::LANES) }),
            );
            each(i);
        }
    }
    for i in (both..whole).step_by(S::LANES) {
        each(i);
    }
    if whole < n {
        let mut vectors = [s.splat(0.0); N];
        for (vector, x) in vectors.iter_mut().zip(&x) {
            *vector = T::load_first(s, &x[whole..n], 0.0);
        }
        U::store_first(s, &mut out[whole..], f(vectors));
    }
    fold_on(s, &ahead[both..], fill, accs, step);
}

/// As [`map`], of a function in parts.
#[cfg_attr(unoptimized, inline(never))]
#[cfg_attr(not(unoptimized), inline(always))]
pub(crate) fn map_parts<S: Simd, T: Float, P: Parts>(s: S, x: &[T], out: &mut [T], bypass: bool) {
    let s = s.ties_away();
    let n = x.len().min(out.len());
    let parts = n / S::LANES;
    let (x, out) = (&x[..n], &mut out[..n]);
    // Three vectors at different parts, and one that is done.
    let begin = inlined(
        #[inline(always)]
        |i: usize| P::first(s, T::load(s, &x[i * S::LANES..(i + 1) * S::LANES])),
    );
    let rest = parts.saturating_sub(3) * S::LANES;
    if parts > 3 {
        let mut done = P::whole(s, T::load(s, x));
        let mut second = P::second(s, begin(1));
        let mut first = begin(2);
        for i in 3..parts {
            let out = &mut out[(i - 3) * S::LANES..(i - 2) * S::LANES];
            if bypass {
                T::bypass(s, out, done);
            } else {
                T::store(s, out, done);
            }
            done = P::third(s, second);
            second = P::second(s, first);
            first = begin(i);
        }
    }
    let whole = inlined(
        #[inline(always)]
        |[x]: [_; 1]| P::whole(s, x),
    );
    map(s, [&x[rest..]], &mut out[rest..], bypass, whole);
}

/// Lanes of [`fold_wide`]: a multiple of every level's.
const WIDE: usize = 16;

/// Folds `x` in `f64`: slower, for what `f32` cannot hold.
#[cfg_attr(unoptimized, inline(never))]
#[cfg_attr(not(unoptimized), inline(always))]
pub(crate) fn fold_wide<S: Simd, T: Float>(
    s: S,
    x: &[T],
    start: f64,
    step: impl Fn(f64, f64) -> f64,
    join: impl Fn(f64, f64) -> f64,
) -> f64 {
    let (mut lanes, mut block) = ([start; WIDE], [0.0f32; WIDE]);
    let blocks = x.chunks_exact(WIDE);
    let rest = blocks.remainder();
    for elements in blocks {
        for i in (0..WIDE).step_by(S::LANES) {
            s.store(&mut block[i..], T::load(s, &elements[i..]));
        }
        for (lane, x) in lanes.iter_mut().zip(&block) {
            *lane = step(*lane, f64::from(*x));
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, f64::from(x.to_f32()));
    }
    let mut out = lanes[0];
    for lane in &lanes[1..] {
        out = join(out, *lane);
    }
    out
}

/// Sums in `f64` what `f32` cannot hold: rare, so out of line.
#[cold]
#[inline(never)]
pub(crate) fn in_f64<T: Float>(x: &[T], step: impl Fn(f64, f64) -> f64) -> f64 {
    x.iter()
        .fold(0.0, |sum, x| step(sum, f64::from(x.to_f32())))
}

/// The sum of a tile.
#[inline(always)]
pub(crate) fn sum<S: Simd, T: Float>(s: S, x: &[T]) -> f64 {
    let s = Twice(s);
    let zero = s.splat(0.0);
    let add = inlined(
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    let total = s.sum(fold(s, x, 0.0, zero, add, add));
    if total.is_finite() {
        return f64::from(total);
    }
    // Lanes overflow where the whole may not.
    in_f64(x, |a, x| a + x)
}

/// The sum of the accumulators of a fold with [`Twice`].
#[inline(always)]
pub(crate) fn total<S: Simd, const N: usize>(s: S, accs: [<Twice<S> as Simd>::F32; N]) -> f32 {
    let s = Twice(s);
    let join = inlined(
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    s.sum(joined(accs, join))
}

/// The sum of the squares of a tile, which in `f32` came to `total`.
#[inline(always)]
pub(crate) fn sum_of_squares<T: Float>(total: f32, tile: &[T]) -> f64 {
    if usable_sum_of_squares(total) {
        return f64::from(total);
    }
    in_f64(tile, |a, x| x.mul_add(x, a))
}

/// Whether no square that matters to this sum of at most a tile's squares can have left the
/// range of normal `f32`.
#[inline(always)]
pub(crate) fn usable_sum_of_squares(total: f32) -> bool {
    /// 2⁻¹⁰⁰. Squares that lost digits are below 2⁻¹²⁶, so a tile's sum of 2¹² losses of at most
    /// 2⁻¹⁴⁹ each is far below a unit roundoff of this.
    const LEAST: f32 = f32::from_bits((127 - 100) << 23);
    (LEAST..=f32::MAX).contains(&total)
}

/// The largest element; NaN if there is one, −∞ of no elements.
#[inline(always)]
pub(crate) fn maximum<S: Simd, T: Float>(s: S, x: &[T]) -> f32 {
    let s = Twice(s);
    let least = f32::NEG_INFINITY;
    // The order of the arguments keeps a NaN that `a` already is.
    let step = inlined(
        #[inline(always)]
        |a, x| s.maximum(x, a),
    );
    let lanes = fold(s, x, least, s.splat(least), step, step);
    if s.any(s.is_nan(lanes)) {
        f32::NAN
    } else {
        s.max_lane(lanes)
    }
}

/// The largest lane of the accumulators of a fold with [`Twice`].
#[inline(always)]
pub(crate) fn largest<S: Simd, const N: usize>(s: S, seen: [<Twice<S> as Simd>::F32; N]) -> f32 {
    let s = Twice(s);
    let join = inlined(
        #[inline(always)]
        |a, b| s.max(b, a),
    );
    s.max_lane(joined(seen, join))
}
