//! What a row is normalized by.

use crate::cpu::{
    rows::Moments,
    simd::{Float, Job, Simd, dispatch},
};

/// `(x − pivot) · scale + shift`: what a row is normalized by. The pivot is near the mean, so that
/// the difference loses no digits; the shift makes up for the rest.
#[derive(Clone, Copy, Default)]
pub(in crate::ops) struct Line {
    pub(in crate::ops) pivot: f32,
    pub(in crate::ops) scale: f32,
    pub(in crate::ops) shift: f32,
}

impl Line {
    /// The line that makes the mean 0 and the variance 1.
    pub(in crate::ops) fn of<T: Float>(x: &[T], epsilon: f64) -> Line {
        Line::centred(dispatch(MomentsOf(x)), epsilon)
    }

    #[inline(always)]
    pub(super) fn centred(all: Moments, epsilon: f64) -> Line {
        let scale = 1.0 / (all.squares * (1.0 / all.count) + epsilon).sqrt();
        let pivot = all.mean as f32;
        let shift = (f64::from(pivot) - all.mean) * scale;
        Line {
            pivot,
            scale: scale as f32,
            shift: shift as f32,
        }
    }

    /// The line that makes the mean square 1.
    #[inline(always)]
    pub(super) fn uncentred(squares: f64, count: usize, epsilon: f64) -> Line {
        let scale = 1.0 / (squares * (1.0 / count as f64) + epsilon).sqrt();
        Line {
            scale: scale as f32,
            ..Line::default()
        }
    }
}

struct MomentsOf<'a, T>(&'a [T]);

impl<T: Float> Job for MomentsOf<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        Moments::of_row(s, self.0)
    }
}
