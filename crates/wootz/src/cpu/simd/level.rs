//! Which instruction set the kernels of this process use.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Level {
    /// Plain Rust, on every machine.
    Portable = 1,
    /// AVX2 with FMA and F16C: 8 lanes.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ and VL: 16 lanes.
    Avx512 = 3,
    /// 64-bit Arm Advanced SIMD: 4 lanes.
    Neon = 4,
}

/// The process's level once detected; 0 before.
static DETECTED: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Level; 4] = [Level::Portable, Level::Neon, Level::Avx2, Level::Avx512];

    /// The level [`dispatch`](super::dispatch) uses on this thread: what [`Level::scoped`] forces,
    /// else what `WOOTZ_CPU` names if the machine has it, else the widest the machine has.
    #[inline]
    pub fn current() -> Level {
        FORCED.get().unwrap_or_else(Level::detected)
    }

    /// Whether this machine executes this level.
    pub fn available(self) -> bool {
        match self {
            Level::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "aarch64")]
            Level::Neon => true,
            #[allow(unreachable_patterns, reason = "each architecture has its own subset")]
            _ => false,
        }
    }

    /// Runs `body` with this level forced on the calling thread, so that a test reaches every
    /// level on one machine. Runs nothing and returns `None` where the machine lacks the level.
    pub fn scoped<R>(self, body: impl FnOnce() -> R) -> Option<R> {
        struct Restore(Option<Level>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        if !self.available() {
            return None;
        }
        let _restore = Restore(FORCED.replace(Some(self)));
        Some(body())
    }

    /// The name `WOOTZ_CPU` and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
        }
    }

    /// Lanes of `f32` in a vector.
    pub fn lanes(self) -> usize {
        match self {
            Level::Portable => 1,
            Level::Neon => 4,
            Level::Avx2 => 8,
            Level::Avx512 => 16,
        }
    }

    fn detected() -> Level {
        // Two threads that race here compute the same answer.
        match DETECTED.load(Ordering::Relaxed) {
            0 => {
                let level = Level::detect(std::env::var("WOOTZ_CPU").ok().as_deref());
                DETECTED.store(level as u8, Ordering::Relaxed);
                level
            }
            found => Level::ALL
                .into_iter()
                .find(|level| *level as u8 == found)
                .unwrap_or(Level::Portable),
        }
    }

    /// A name that is unknown or unavailable changes nothing: a process that runs is better than
    /// one that does not, and `wootz info` shows the level in use.
    fn detect(wanted: Option<&str>) -> Level {
        let usable = || Level::ALL.into_iter().filter(|level| level.available());
        usable()
            .find(|level| Some(level.name()) == wanted)
            .or_else(|| usable().next_back())
            .unwrap_or(Level::Portable)
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Instructions beyond a level that a kernel may use when they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `VDPBF16PS` and its conversions.
    pub avx512_bf16: bool,
    /// Half-precision arithmetic.
    pub avx512_fp16: bool,
    /// 8-bit dot products.
    pub avx512_vnni: bool,
}

impl Extensions {
    /// Those usable beside [`Level::current`]: none when a narrower level is forced.
    pub fn current() -> Extensions {
        #[cfg(target_arch = "x86_64")]
        if Level::current() == Level::Avx512 {
            return Extensions {
                avx512_bf16: is_x86_feature_detected!("avx512bf16"),
                avx512_fp16: is_x86_feature_detected!("avx512fp16"),
                avx512_vnni: is_x86_feature_detected!("avx512vnni"),
            };
        }
        Extensions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_a_level_or_changes_nothing() {
        let widest = Level::detect(None);
        assert!(widest.available());
        assert_eq!(Level::detect(Some("portable")), Level::Portable);
        assert_eq!(Level::detect(Some("abacus")), widest);
        for level in Level::ALL {
            let want = if level.available() { level } else { widest };
            assert_eq!(Level::detect(Some(level.name())), want);
        }
    }

    #[test]
    fn scoped_level_ends_with_its_scope() {
        let before = Level::current();
        let inside = Level::Portable.scoped(Level::current);
        assert_eq!(inside, Some(Level::Portable));
        let unwound = std::panic::catch_unwind(|| Level::Portable.scoped(|| panic!("leave early")));
        assert!(unwound.is_err());
        assert_eq!(Level::current(), before);
    }
}
