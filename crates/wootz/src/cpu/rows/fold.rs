//! Folds and maps over elements that lie one after another.

use crate::cpu::simd::{Float, Simd, Twice, bypass_done, prefetch_read};

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
    fold_with(s, x, fill, [start; ACCUMULATORS], step, join)
}

/// As [`fold`], with these accumulators.
#[inline(always)]
pub(crate) fn fold_with<S: Simd, T: Float, A: Copy, const N: usize>(
    s: S,
    x: &[T],
    fill: f32,
    mut accs: [A; N],
    step: impl Fn(A, S::F32) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
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
    let mut left = N;
    while left > 1 {
        left /= 2;
        for k in 0..left {
            accs[k] = join(accs[k], accs[k + left]);
        }
    }
    accs[0]
}

/// Longest row that is still in a cache when the next one begins.
const ROW: usize = 1 << 14;

/// Writes `f` of the elements of each of `x` at each place; with `bypass` around the caches, and
/// asking for the row that may lie behind the first of `x`, if that is a row.
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
    let n = out.len();
    let next = (bypass && n <= ROW).then(|| x[0].as_ptr().wrapping_add(n));
    for x in &x {
        assert!(x.len() >= n);
    }
    let whole = n - n % S::LANES;
    let mut vectors = [s.splat(0.0); N];
    for i in (0..whole).step_by(S::LANES) {
        for (vector, x) in vectors.iter_mut().zip(&x) {
            // SAFETY: `i + LANES` is at most `whole`, and that at most every slice's length.
            *vector = T::load(s, unsafe { x.get_unchecked(i..i + S::LANES) });
        }
        if let Some(next) = next {
            for line in (0..S::LANES).step_by(64 / size_of::<T>()) {
                prefetch_read(next.wrapping_add(i + line));
            }
        }
        let y = f(vectors);
        // SAFETY: as above.
        let out = unsafe { out.get_unchecked_mut(i..i + S::LANES) };
        if bypass {
            U::bypass(s, out, y);
        } else {
            U::store(s, out, y);
        }
    }
    if whole < n {
        for (vector, x) in vectors.iter_mut().zip(&x) {
            *vector = T::load_first(s, &x[whole..n], 0.0);
        }
        U::store_first(s, &mut out[whole..], f(vectors));
    }
    if bypass {
        bypass_done();
    }
}

/// Lanes of [`fold_wide`]: a multiple of every level's.
const WIDE: usize = 16;

/// Folds `x` in `f64`: slower, for what `f32` cannot hold.
#[inline(always)]
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

/// The sum of the squares of a tile.
#[inline(always)]
pub(crate) fn squares<S: Simd, T: Float>(s: S, x: &[T]) -> f64 {
    let s = Twice(s);
    let step = inlined(
        #[inline(always)]
        |a, x| s.fma(x, x, a),
    );
    let join = inlined(
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    let total = s.sum(fold(s, x, 0.0, s.splat(0.0), step, join));
    if usable_sum_of_squares(total) {
        return f64::from(total);
    }
    in_f64(x, |a, x| x.mul_add(x, a))
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

/// The largest element; NaN is passed over, and −∞ when there is nothing else.
#[inline(always)]
pub(crate) fn largest<S: Simd, T: Float>(s: S, x: &[T]) -> f32 {
    let s = Twice(s);
    let least = f32::NEG_INFINITY;
    let step = inlined(
        #[inline(always)]
        |a, x| s.max(x, a),
    );
    s.max_lane(fold(s, x, least, s.splat(least), step, step))
}
