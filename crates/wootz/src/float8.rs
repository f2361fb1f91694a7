//! The 8-bit float.

use bytemuck::{Pod, Zeroable};
use std::fmt;

/// 8-bit float with 4 bits of exponent and 3 of fraction, as the Open Compute Project's OFP8 says: no
/// infinities, the largest is 448. What is beyond becomes that, keeping its sign.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub struct F8E4M3(u8);

/// 2⁻⁶, the least number with all bits of fraction, as an `f32`'s bits.
const LEAST_NORMAL: u32 = 0x3c80_0000;
const NAN: u32 = 0x7f;
const LARGEST: u32 = 0x7e;

impl F8E4M3 {
    /// The float of these bits.
    pub const fn from_bits(bits: u8) -> F8E4M3 {
        F8E4M3(bits)
    }

    /// Its bits.
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// The float nearest to `value`, of two the even one.
    pub fn from_f32(value: f32) -> F8E4M3 {
        /// Where the step of `f32` is 2⁻⁹, as that below the least normal number is.
        const STEPS: f32 = 16384.0;
        let sign = (value.to_bits() >> 24 & 0x80) as u8;
        let size = value.to_bits() & 0x7fff_ffff;
        let code = if value.is_nan() {
            NAN
        } else if size < LEAST_NORMAL {
            // A carry makes it the least normal number.
            (f32::from_bits(size) + STEPS).to_bits() - STEPS.to_bits()
        } else {
            // Half a step, less a bit where the even one is below.
            let rounded = (size + 0x7_ffff + (size >> 20 & 1)) >> 20;
            (rounded - REBIASED).min(LARGEST)
        };
        F8E4M3(sign | code as u8)
    }

    /// Its value.
    pub fn to_f32(self) -> f32 {
        let sign = u32::from(self.0 & 0x80) << 24;
        let size = u32::from(self.0 & 0x7f);
        let bits = match size {
            NAN => f32::NAN.to_bits(),
            0..8 => (size as f32 / 512.0).to_bits(),
            _ => (size + REBIASED) << 20,
        };
        f32::from_bits(sign | bits)
    }
}

/// How much further an `f32`'s exponent counts, above the bits of fraction.
const REBIASED: u32 = (127 - 7) << 3;

impl fmt::Debug for F8E4M3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_f32(), f)
    }
}

impl PartialEq for F8E4M3 {
    fn eq(&self, other: &F8E4M3) -> bool {
        self.to_f32() == other.to_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = F8E4M3> {
        (0..=u8::MAX).map(F8E4M3::from_bits)
    }

    #[test]
    fn every_float_is_what_the_format_says_and_comes_back() {
        for x in all() {
            let (bits, value) = (x.to_bits(), f64::from(x.to_f32()));
            let (exponent, fraction) = (i32::from(bits >> 3 & 15), f64::from(bits & 7));
            let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
            if bits & 0x7f == 0x7f {
                assert!(value.is_nan());
            } else if exponent == 0 {
                assert_eq!(value, sign * fraction * 2f64.powi(-9));
            } else {
                assert_eq!(
                    value,
                    sign * (1.0 + fraction / 8.0) * 2f64.powi(exponent - 7)
                );
            }
            assert_eq!(F8E4M3::from_f32(x.to_f32()).to_bits(), bits);
        }
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest_or_the_even_one() {
        let finite: Vec<f32> = (0..0x7f)
            .map(|bits| F8E4M3::from_bits(bits).to_f32())
            .collect();
        for (low, pair) in finite.windows(2).enumerate() {
            let middle = (pair[0] + pair[1]) / 2.0;
            let even = low + low % 2;
            let near = [
                (middle.next_down(), low),
                (middle, even),
                (middle.next_up(), low + 1),
            ];
            for (value, code) in near {
                assert_eq!(
                    usize::from(F8E4M3::from_f32(value).to_bits()),
                    code,
                    "{value}"
                );
                let negative = F8E4M3::from_f32(-value).to_bits();
                assert_eq!(usize::from(negative), code | 0x80, "-{value}");
            }
        }
    }

    #[test]
    fn what_is_beyond_becomes_the_largest() {
        for value in [448.0, 464.0, 465.0, 1e30, f32::MAX, f32::INFINITY] {
            assert_eq!(F8E4M3::from_f32(value).to_f32(), 448.0);
            assert_eq!(F8E4M3::from_f32(-value).to_f32(), -448.0);
        }
        assert!(F8E4M3::from_f32(f32::NAN).to_f32().is_nan());
    }
}
