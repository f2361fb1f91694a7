//! Arithmetic as on GPUs that take `f32` values below the smallest normal one for zero.

use std::{arch::asm, sync::OnceLock};

/// While it lives, this thread's arithmetic takes such operands and results for zero.
pub(super) struct Flush {
    /// The control register as it was.
    before: usize,
}

impl Flush {
    /// Whether the environment asks for it.
    pub(super) fn wanted() -> bool {
        static WANTED: OnceLock<bool> = OnceLock::new();
        *WANTED.get_or_init(|| {
            let asked = std::env::var_os("WOOTZ_EMULATED_SUBNORMALS");
            asked.is_some_and(|asked| asked == "flush")
        })
    }

    pub(super) fn begin() -> Flush {
        let before = control();
        set_control(before | BITS);
        Flush { before }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        set_control(self.before);
    }
}

/// Flush results, and operands.
#[cfg(target_arch = "x86_64")]
const BITS: usize = 0x8040;
#[cfg(target_arch = "aarch64")]
const BITS: usize = 1 << 24;

#[cfg(target_arch = "x86_64")]
fn control() -> usize {
    let mut value = 0u32;
    // SAFETY: stores the register to a local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) };
    value as usize
}

#[cfg(target_arch = "x86_64")]
fn set_control(value: usize) {
    let value = value as u32;
    // SAFETY: a value that the register had, but for the two bits above. Between `begin` and its end
    // only the kernel computes with floats, and the emulator's own code, which has none.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack)) };
}

#[cfg(target_arch = "aarch64")]
fn control() -> usize {
    let value: usize;
    // SAFETY: reads the register.
    unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nostack)) };
    value
}

#[cfg(target_arch = "aarch64")]
fn set_control(value: usize) {
    // SAFETY: as on the other machine.
    unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack)) };
}
