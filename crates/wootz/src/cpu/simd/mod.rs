//! The vector vocabulary of the CPU kernels.
//!
//! A kernel is a [`Job`]: its body is written once over a [`Simd`] token, and [`dispatch`] compiles
//! it for each [`Level`] and runs the one this machine has. The token is the proof that the
//! instructions exist, so its methods are safe to call.
//!
//! ```
//! use wootz::cpu::simd::{Job, Simd, dispatch};
//!
//! struct Double<'a>(&'a mut [f32]);
//!
//! impl Job for Double<'_> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) {
//!         for chunk in self.0.chunks_mut(S::LANES) {
//!             let x = s.load_first(chunk, 0.0);
//!             s.store_first(chunk, s.add(x, x));
//!         }
//!     }
//! }
//!
//! let mut x = [1.0, 2.0, 3.0];
//! dispatch(Double(&mut x));
//! assert_eq!(x, [2.0, 4.0, 6.0]);
//! ```
//!
//! Everything between `dispatch` and a token's method must be `#[inline(always)]`, closures too
//! where they hold vector code: a function that stays out of line is compiled without the level's
//! instructions, and each of its vector operations becomes a call.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bypass;
mod float;
mod level;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod prefetch;
#[cfg(test)]
mod tests;
mod twice;
mod vector;

pub(crate) use bypass::{bypass_done, bypasses};
pub use float::Float;
pub use level::{Extensions, Level};
pub(crate) use prefetch::{prefetch_near, prefetch_read, prefetch_write};
pub(crate) use twice::Twice;
pub use vector::Simd;

/// Work whose body is compiled once for each level.
pub trait Job {
    /// What the body returns.
    type Output;

    /// The body. Mark it, and what it calls, `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a loop in plain Rust with the instructions of [`Level::current`], which the compiler finds
/// uses for. Mark the closure `#[inline(always)]`.
#[inline]
pub(crate) fn vectorized(body: impl FnOnce()) {
    struct Plain<F>(F);

    impl<F: FnOnce()> Job for Plain<F> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            (self.0)();
        }
    }

    dispatch(Plain(body));
}

/// Runs `job` with the instructions of [`Level::current`].
#[inline]
pub fn dispatch<J: Job>(job: J) -> J::Output {
    // SAFETY: the current level is one that the machine was seen to have.
    unsafe { Level::current().enter(job) }
}

impl Level {
    /// Runs `job` with the instructions of this level, or in plain Rust where the machine lacks it.
    #[inline]
    pub fn dispatch<J: Job>(self, job: J) -> J::Output {
        let level = if self.available() {
            self
        } else {
            Level::Portable
        };
        // SAFETY: the lines above say that the machine has the level.
        unsafe { level.enter(job) }
    }

    /// # Safety
    /// The machine has the level.
    #[inline]
    unsafe fn enter<J: Job>(self, job: J) -> J::Output {
        match self {
            // SAFETY: passed on from the caller, here and below.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::enter(job) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::enter(job) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { neon::enter(job) },
            _ => job.run(portable::Portable),
        }
    }
}
