//! Element types.

use crate::F8E4M3;
use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit float with the exponent of `F32`.
    BF16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit signed integer.
    I64,
    /// Byte; also truth values, as 0 and 1.
    U8,
    /// 8-bit float, which is stored, moved, converted, and multiplied with scales: [`F8E4M3`].
    F8E4M3,
}

impl DType {
    /// Every element type.
    pub const ALL: &[DType] = &[
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U8,
        DType::F8E4M3,
    ];
    /// Those that ops compute in.
    pub const NUMBERS: &[DType] = &[
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U8,
    ];
    /// The floats among them.
    pub const FLOATS: &[DType] = &[DType::F32, DType::F16, DType::BF16];
    /// The integers.
    pub const INTEGERS: &[DType] = &[DType::I32, DType::U32, DType::I64, DType::U8];

    /// The place of this type in [`DType::ALL`], for kernels' parameters.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::U8 | DType::F8E4M3 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::I64 => 8,
        }
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F8E4M3)
    }

    /// The name, as commands, files and messages write it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::F8E4M3 => "f8e4m3",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL
            .iter()
            .copied()
            .find(|dtype| dtype.name() == name)
    }

    /// Distance between 1 and the next value, for floats; 0 for integers.
    pub const fn epsilon(self) -> f64 {
        match self {
            DType::F32 => f32::EPSILON as f64,
            DType::F16 => 9.765625e-4,
            DType::BF16 => 7.8125e-3,
            DType::F8E4M3 => 0.125,
            _ => 0.0,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Rust type that is an element type: of the size that its [`DType`] says, and so no other's to
/// implement.
///
/// ```compile_fail
/// #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Byte(u8);
/// impl wootz::Element for Byte {
///     const DTYPE: wootz::DType = wootz::DType::F32;
///     fn to_f64(self) -> f64 {
///         0.0
///     }
///     fn from_f64(_: f64) -> Byte {
///         Byte(0)
///     }
/// }
/// ```
pub trait Element: sealed::Sealed + bytemuck::Pod + Send + Sync + fmt::Debug {
    /// Which one.
    const DTYPE: DType;
    /// The value as `f64`; 64-bit integers past 2⁵³ are rounded.
    fn to_f64(self) -> f64;
    /// The value nearest to `value`; integers saturate, and take NaN as 0.
    fn from_f64(value: f64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty, $dtype:ident, $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
            fn to_f64(self) -> f64 {
                $to(self)
            }
            fn from_f64(value: f64) -> Self {
                $from(value)
            }
        }
    )*};
}

elements! {
    f32, F32, f64::from, |value| value as f32;
    f16, F16, f16::to_f64, |value| f16::from_f32(to_odd(value));
    bf16, BF16, bf16::to_f64, |value| bf16::from_f32(to_odd(value));
    i32, I32, f64::from, |value| value as i32;
    u32, U32, f64::from, |value| value as u32;
    i64, I64, |value| value as f64, |value| value as i64;
    u8, U8, f64::from, |value| value as u8;
    F8E4M3, F8E4M3, |x: F8E4M3| f64::from(x.to_f32()), |value| F8E4M3::from_f32(to_odd(value));
}

/// `value` as an `f32` whose last bit is set where something was lost: rounding that once more, to
/// half the bits or fewer, gives what rounding `value` at once would.
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    let wide = f64::from(near);
    if wide == value || value.is_nan() || near.to_bits() & 1 == 1 {
        return near;
    }
    // The neighbour on the other side of `value`, whose last bit is set because this one's is not.
    // Steps of the bits are steps away from zero, whatever the sign.
    let step = if wide.abs() > value.abs() {
        u32::MAX
    } else {
        1
    };
    f32::from_bits(near.to_bits().wrapping_add(step))
}

/// Calls `$body` with `$T` as the Rust type of `$dtype`.
#[macro_export]
#[doc(hidden)]
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F8E4M3 => {
                type $T = $crate::F8E4M3;
                $body
            }
            dtype => $crate::with_number!(dtype, $T => $body),
        }
    };
}

/// The same of those that ops compute in.
#[macro_export]
#[doc(hidden)]
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F16 => {
                type $T = $crate::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $T = $crate::bf16;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::F8E4M3 => unreachable!("ops that compute refuse it"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Halfway between two neighbours, a little to each side, and the same far from 1: what lies
    /// past the middle by less than an `f32` can tell must not be rounded as if it lay on it.
    #[test]
    fn halves_are_rounded_once() {
        fn check<T: Element>(low: f64, step: f64) {
            let name = T::DTYPE;
            let middle = low + step / 2.0;
            let past = middle * (1.0 + f64::EPSILON);
            let before = middle * (1.0 - f64::EPSILON);
            for sign in [1.0, -1.0] {
                let to = |value: f64| T::from_f64(sign * value).to_f64() * sign;
                assert_eq!(to(past), low + step, "{name}: past the middle of {low}");
                assert_eq!(to(before), low, "{name}: before the middle of {low}");
                let even = if (low / step) % 2.0 == 0.0 {
                    low
                } else {
                    low + step
                };
                assert_eq!(to(middle), even, "{name}: the middle of {low}");
            }
        }
        for i in 0..8 {
            let (f16_step, bf16_step) = (9.765625e-4, 7.8125e-3);
            check::<f16>(1.0 + f64::from(i) * f16_step, f16_step);
            check::<bf16>(1.0 + f64::from(i) * bf16_step, bf16_step);
            // The least numbers, whose step is fixed.
            check::<f16>(f64::from(i + 1) * 2f64.powi(-24), 2f64.powi(-24));
            check::<bf16>(f64::from(i + 1) * 2f64.powi(-133), 2f64.powi(-133));
        }
    }

    #[test]
    fn what_is_no_ordinary_number_stays() {
        let halves = |value: f64| {
            [
                f16::from_f64(value).to_f64(),
                bf16::from_f64(value).to_f64(),
            ]
        };
        fn both(value: f64) -> [f64; 2] {
            [
                <f16 as Element>::from_f64(value).to_f64(),
                <bf16 as Element>::from_f64(value).to_f64(),
            ]
        }
        for value in [0.0, f64::INFINITY, 1.0, f64::MAX, f64::MIN_POSITIVE] {
            for value in [value, -value] {
                assert_eq!(
                    both(value).map(f64::to_bits),
                    halves(value).map(f64::to_bits),
                    "{value}"
                );
            }
        }
        assert!(both(f64::NAN).iter().all(|value| value.is_nan()));
    }
}
