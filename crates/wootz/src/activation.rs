//! What a layer makes of each of its sums.

use crate::{cpu::math::rough, reference};

/// A function of each element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x·Φ(x), with the normal distribution's Φ.
    Gelu,
    /// Gelu by its tanh approximation.
    GeluTanh,
    /// x·sigmoid(x).
    Silu,
}

impl Activation {
    /// Every activation, in the order of its discriminants, which `tile/epilogue.h` knows as well.
    pub const ALL: [Activation; 5] = [
        Activation::None,
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
    ];

    /// The error in ulps of `f32` that its arithmetic allows at `x`, as the ops of these names have
    /// it; `coarse` if the result will be rounded to bf16.
    pub(crate) fn ulps(self, coarse: bool, x: f64) -> f64 {
        match self {
            Activation::None | Activation::Relu => 0.0,
            _ if coarse => rough::ULPS,
            Activation::GeluTanh => 4.0 + 3.0 * (1.6 * x + 0.0714 * x.powi(3)).abs().min(92.0),
            Activation::Gelu | Activation::Silu => 8.0,
        }
    }

    /// How far two values can be apart for each unit that their arguments are.
    pub(crate) fn slope(self) -> f64 {
        match self {
            Activation::None | Activation::Relu => 1.0,
            Activation::Gelu | Activation::GeluTanh | Activation::Silu => 1.13,
        }
    }

    /// Its value in `f64`.
    pub(crate) fn reference(self) -> fn(f64) -> f64 {
        match self {
            Activation::None => |x| x,
            Activation::Relu => |x| if x < 0.0 { 0.0 } else { x },
            Activation::Gelu => reference::gelu,
            Activation::GeluTanh => reference::gelu_tanh,
            Activation::Silu => reference::silu,
        }
    }
}
