//! What the CPU does with each row.

use super::Params;
use crate::cpu::{
    math::{cos, sin},
    simd::{Float, Job, Simd, dispatch},
};
use std::f64::consts::TAU;
use wootz_runtime::Call;

/// Turns each row.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`], with a plan of the op over floats of `T`.
pub(super) unsafe fn kernel<T: Float>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (width, per_unit) = (params.width as usize, params.per_unit as usize);
    let (_, same) = params.counts();
    let blocks = same.div_ceil(per_unit);
    let scratch = std::mem::take(&mut call.scratch);
    let (speeds, turn) = scratch.split_at_mut(width / 2 * size_of::<f64>());
    let speeds: &mut [f64] = bytemuck::cast_slice_mut(speeds);
    let turn: &mut [f32] = &mut bytemuck::cast_slice_mut(turn)[..width];
    fill_speeds(speeds, params.base, width);
    let mut turned_to = None;
    for unit in call.units.clone() {
        let (place, block) = (unit / blocks, unit % blocks);
        let varying = params.offsets(0..params.varying, place);
        // SAFETY: the positions' layout was broadcast to the rows.
        let position = unsafe { position(call, &params, varying[2]) };
        if turned_to != Some(position) {
            fill_turn(turn, speeds, position as f64);
            turned_to = Some(position);
        }
        for row in block * per_unit..same.min((block + 1) * per_unit) {
            let at = params.offsets(params.varying..params.rank, row);
            // SAFETY: the plan's rows are inside both tensors, and belong to one unit.
            let (x, out) = unsafe {
                let x = call.pointer::<T>(0).offset(varying[0] + at[0]);
                let out = call.pointer::<T>(1).offset(varying[1] + at[1]);
                (
                    std::slice::from_raw_parts(x, width),
                    std::slice::from_raw_parts_mut(out, width),
                )
            };
            dispatch(Turn {
                x,
                out,
                turn,
                neighbours: params.neighbours != 0,
            });
        }
    }
}

/// Turns a row.
struct Turn<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    /// Cosines, then sines.
    turn: &'a [f32],
    neighbours: bool,
}

impl<T: Float> Job for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.neighbours {
            turn_neighbours(s, self.x, self.out, self.turn);
        } else {
            turn_halves(s, self.x, self.out, self.turn);
        }
    }
}

/// The position that `offset` of the positions' layout says.
///
/// # Safety
/// Binding 2, when the parameters say that there is one, has an element there.
unsafe fn position(call: &Call<'_>, params: &Params, offset: isize) -> i64 {
    // SAFETY: passed on from the caller.
    unsafe {
        match params.read {
            0 => params.start.wrapping_add(offset as i64),
            4 => i64::from(*call.pointer::<u32>(2).offset(offset)),
            -4 => i64::from(*call.pointer::<i32>(2).offset(offset)),
            _ => *call.pointer::<i64>(2).offset(offset),
        }
    }
}

/// How far each pair turns from one position to the next.
fn fill_speeds(speeds: &mut [f64], base: f64, width: usize) {
    /// Powers that are multiplied up from an exact one.
    const RUN: usize = 16;
    let ratio = base.powf(-2.0 / width as f64);
    for (i, run) in speeds.chunks_mut(RUN).enumerate() {
        let mut speed = base.powf(-2.0 * (i * RUN) as f64 / width as f64);
        for out in run {
            *out = speed;
            speed *= ratio;
        }
    }
}

/// The cosines of a position's angles, then the sines.
fn fill_turn(turn: &mut [f32], speeds: &[f64], position: f64) {
    let (cosines, sines) = turn.split_at_mut(speeds.len());
    for (out, speed) in sines.iter_mut().zip(speeds) {
        // Whole turns go while the angle still has the digits for it.
        let turns = position * speed / TAU;
        *out = ((turns - turns.round_ties_even()) * TAU) as f32;
    }
    dispatch(Circle { cosines, sines });
}

/// Makes angles, in the sines' place, cosines and sines.
struct Circle<'a> {
    cosines: &'a mut [f32],
    sines: &'a mut [f32],
}

impl Job for Circle<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let chunks = self.cosines.chunks_mut(S::LANES);
        for (cosines, sines) in chunks.zip(self.sines.chunks_mut(S::LANES)) {
            let angle = s.load_first(sines, 0.0);
            s.store_first(cosines, cos(s, angle));
            s.store_first(sines, sin(s, angle));
        }
    }
}

#[inline(always)]
fn turn_halves<S: Simd, T: Float>(s: S, x: &[T], out: &mut [T], turn: &[f32]) {
    let half = x.len() / 2;
    let ((a, b), (cosines, sines)) = (x.split_at(half), turn.split_at(half));
    let (out_a, out_b) = out.split_at_mut(half);
    for at in (0..half).step_by(S::LANES) {
        let (a, b) = (
            T::load_first(s, &a[at..], 0.0),
            T::load_first(s, &b[at..], 0.0),
        );
        let cosine = s.load_first(&cosines[at..], 0.0);
        let sine = s.load_first(&sines[at..], 0.0);
        T::store_first(s, &mut out_a[at..], s.fnma(b, sine, s.mul(a, cosine)));
        T::store_first(s, &mut out_b[at..], s.fma(a, sine, s.mul(b, cosine)));
    }
}

/// Elements that [`turn_neighbours`] widens at a time.
const BLOCK: usize = 64;

#[inline(always)]
fn turn_neighbours<S: Simd, T: Float>(s: S, x: &[T], out: &mut [T], turn: &[f32]) {
    let (cosines, sines) = turn.split_at(x.len() / 2);
    let mut block = [0.0f32; BLOCK];
    let turns = cosines.chunks(BLOCK / 2).zip(sines.chunks(BLOCK / 2));
    for ((x, out), (cosines, sines)) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)).zip(turns) {
        for at in (0..x.len()).step_by(S::LANES) {
            s.store(&mut block[at..], T::load_first(s, &x[at..], 0.0));
        }
        for (pair, (cosine, sine)) in block.chunks_exact_mut(2).zip(cosines.iter().zip(sines)) {
            let (a, b) = (pair[0], pair[1]);
            pair[0] = a * cosine - b * sine;
            pair[1] = a * sine + b * cosine;
        }
        for at in (0..x.len()).step_by(S::LANES) {
            T::store_first(s, &mut out[at..], s.load(&block[at..]));
        }
    }
}
