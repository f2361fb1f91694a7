//! Products and norms of floats, in lanes of `f64`: their steps leave the range of `f32` soon.

use super::fold::{Fold, GROUP};
use crate::cpu::{rows::fold_wide, simd::Simd};

/// A reduction in `f64`.
pub(super) trait Wide: Copy + 'static {
    /// The reduction with its argument.
    fn new(argument: f64) -> Self;
    /// What no elements leave behind.
    fn empty(self) -> f64;
    /// Joins `x` to `acc`.
    fn step(self, acc: f64, x: f64) -> f64;
    /// The result of parts.
    fn join(self, first: f64, second: f64) -> f64;
    /// The result.
    fn finish(self, acc: f64) -> f64;
}

/// The product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product;

impl Wide for Product {
    fn new(_argument: f64) -> Self {
        Product
    }
    #[inline(always)]
    fn empty(self) -> f64 {
        1.0
    }
    #[inline(always)]
    fn step(self, acc: f64, x: f64) -> f64 {
        acc * x
    }
    #[inline(always)]
    fn join(self, first: f64, second: f64) -> f64 {
        first * second
    }
    #[inline(always)]
    fn finish(self, acc: f64) -> f64 {
        acc
    }
}

/// A norm: each case of it has its own kernel, so that its loop has no branch.
macro_rules! norm {
    (
        $(#[$doc:meta])*
        $name:ident, |$p:ident, $acc:ident, $x:ident| $step:expr, $join:ident, $finish:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name(f64);

        impl Wide for $name {
            fn new(p: f64) -> Self {
                $name(p)
            }
            #[inline(always)]
            fn empty(self) -> f64 {
                0.0
            }
            #[inline(always)]
            fn step(self, $acc: f64, $x: f64) -> f64 {
                let $p = self.0;
                $step
            }
            #[inline(always)]
            fn join(self, first: f64, second: f64) -> f64 {
                $join(first, second)
            }
            #[inline(always)]
            fn finish(self, $acc: f64) -> f64 {
                let $p = self.0;
                $finish
            }
        }
    };
}

#[inline(always)]
fn add(first: f64, second: f64) -> f64 {
    first + second
}

/// The larger, or a NaN if either is one.
#[inline(always)]
fn larger(first: f64, second: f64) -> f64 {
    if (second > first) | second.is_nan() {
        second
    } else {
        first
    }
}

norm! {
    /// The number of elements that are not zero.
    Count, |_p, acc, x| acc + f64::from(u8::from(x != 0.0)), add, acc
}
norm! {
    /// The sum of magnitudes.
    Taxicab, |_p, acc, x| acc + x.abs(), add, acc
}
norm! {
    /// The square root of the sum of squares.
    Euclid, |_p, acc, x| acc + x * x, add, acc.sqrt()
}
norm! {
    /// The largest magnitude.
    Largest, |_p, acc, x| larger(acc, x.abs()), larger, acc
}
norm! {
    /// The `p`th root of the sum of `p`th powers.
    Power, |p, acc, x| acc + x.abs().powf(p), add, acc.powf(p.recip())
}

/// The fold of a [`Wide`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Wides<W>(W);

impl<W: Wide> Fold for Wides<W> {
    type In = f32;
    type Acc = f64;
    type Out = f64;

    fn new(argument: f64) -> Self {
        Wides(W::new(argument))
    }

    #[inline(always)]
    fn empty(self) -> f64 {
        self.0.empty()
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[f32], _start: usize) -> f64 {
        let wide = self.0;
        fold_wide(
            s,
            x,
            wide.empty(),
            #[inline(always)]
            |acc, x| wide.step(acc, x),
            #[inline(always)]
            |a, b| wide.join(a, b),
        )
    }

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, rows: &[&[f32]], _start: usize, accs: &mut [f64]) {
        let mut block = [0.0f32; GROUP];
        for (i, accs) in accs.chunks_mut(GROUP).enumerate() {
            for row in rows {
                let row = &row[i * GROUP..][..accs.len()];
                for at in (0..accs.len()).step_by(S::LANES) {
                    s.store(&mut block[at..], s.load_first(&row[at..], 0.0));
                }
                for (acc, x) in accs.iter_mut().zip(&block) {
                    *acc = self.0.step(*acc, f64::from(*x));
                }
            }
        }
    }

    #[inline(always)]
    fn join(self, first: f64, second: f64) -> f64 {
        self.0.join(first, second)
    }

    #[inline(always)]
    fn finish(self, acc: f64) -> f64 {
        self.0.finish(acc)
    }
}
