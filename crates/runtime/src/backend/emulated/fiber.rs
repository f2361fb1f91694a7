//! Fibers: lanes that stop in the middle of a kernel and go on later, switched in a few
//! nanoseconds with no system call.

use std::{arch::naked_asm, io, ptr};

/// Room for one lane's locals. Register tiles live here, and a tile is a few KiB at most.
const STACK: usize = 128 << 10;
/// Below each stack: never mapped, so that a runaway lane stops at once.
const GUARD: usize = 16 << 10;

/// What a fiber runs. It must never return: it switches away for good instead.
pub(super) type Body = extern "C" fn(argument: usize) -> !;

/// The stack pointer of a suspended context; everything else lies on its stack.
pub(super) type Context = *mut u8;

/// Stacks for a set of fibers, mapped once and used again and again.
#[derive(Debug)]
pub(super) struct Stacks {
    base: *mut u8,
    count: usize,
}

// SAFETY: the mapping belongs to this value alone, and is reached through `&mut` only.
unsafe impl Send for Stacks {}

impl Stacks {
    pub(super) fn new(count: usize) -> io::Result<Stacks> {
        let bytes = count * (STACK + GUARD);
        // SAFETY: asks for fresh pages at no given address.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stacks = Stacks {
            base: base.cast(),
            count,
        };
        for index in 0..count {
            // SAFETY: the range is inside the mapping made above.
            let failed = unsafe {
                let stack = stacks.base.add(index * (STACK + GUARD) + GUARD);
                libc::mprotect(stack.cast(), STACK, libc::PROT_READ | libc::PROT_WRITE) != 0
            };
            if failed {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(stacks)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The addresses of stack `index`, guard included.
    pub(super) fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = self.base.addr() + index * (STACK + GUARD);
        start..start + GUARD + STACK
    }

    /// A context that, once switched to, calls `body(argument)` on stack `index`. Whatever ran on
    /// that stack before is forgotten.
    pub(super) fn prepare(&mut self, index: usize, body: Body, argument: usize) -> Context {
        assert!(index < self.count);
        let entry: unsafe extern "C" fn() = enter;
        let frame = Frame::new(entry as usize, body as usize, argument);
        // SAFETY: `index` is in range (asserted above), the frame is smaller than a stack, and the
        // stack's top is aligned to 16 as page sizes are.
        unsafe {
            let top = self.base.add((index + 1) * (STACK + GUARD));
            let context = top.sub(size_of::<Frame>());
            context.cast::<Frame>().write(frame);
            context
        }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no fiber on it runs: they run only inside a launch.
        unsafe { libc::munmap(self.base.cast(), self.count * (STACK + GUARD)) };
    }
}

/// What `switch` leaves on a suspended stack, lowest address first.
#[cfg(target_arch = "x86_64")]
#[repr(C, align(16))]
struct Frame {
    /// r15, r14, r13, r12, rbx, rbp
    saved: [usize; 6],
    resume: usize,
    padding: [usize; 1],
}

#[cfg(target_arch = "x86_64")]
impl Frame {
    fn new(entry: usize, body: usize, argument: usize) -> Frame {
        Frame {
            saved: [0, 0, body, argument, 0, 0],
            resume: entry,
            padding: [0],
        }
    }
}

/// The first frame of a fiber: calls the body in r13 with the argument in r12.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn enter() {
    // After `ret` the frame's padding word is left: one more aligns the stack for a call.
    naked_asm!("sub rsp, 8", "mov rdi, r12", "call r13", "ud2")
}

/// Suspends the caller into `*from` and resumes `to`.
///
/// # Safety
/// `to` came from [`Stacks::prepare`] or from an earlier `switch`, is resumed once, and its stack
/// lives.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(from: *mut Context, to: Context) {
    // The registers a callee must keep (System V); the rest is the compiler's to spill.
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// What `switch` leaves on a suspended stack, lowest address first.
#[cfg(target_arch = "aarch64")]
#[repr(C, align(16))]
struct Frame {
    /// x19 to x28, x29 (frame), x30 (return), d8 to d15
    saved: [usize; 20],
}

#[cfg(target_arch = "aarch64")]
impl Frame {
    fn new(entry: usize, body: usize, argument: usize) -> Frame {
        let mut saved = [0; 20];
        saved[0] = argument;
        saved[1] = body;
        saved[11] = entry;
        Frame { saved }
    }
}

/// The first frame of a fiber: calls the body in x20 with the argument in x19.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn enter() {
    naked_asm!("mov x0, x19", "blr x20", "brk #1")
}

/// Suspends the caller into `*from` and resumes `to`.
///
/// # Safety
/// `to` came from [`Stacks::prepare`] or from an earlier `switch`, is resumed once, and its stack
/// lives.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(from: *mut Context, to: Context) {
    // The registers a callee must keep (AAPCS64); the rest is the compiler's to spill.
    naked_asm!(
        "sub sp, sp, #160",
        "stp x19, x20, [sp, #0]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "ldp x19, x20, [sp, #0]",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp x29, x30, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "add sp, sp, #160",
        "ret",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PingPong {
        main: Context,
        fiber: Context,
        log: Vec<u32>,
    }

    extern "C" fn count(argument: usize) -> ! {
        let shared = argument as *mut PingPong;
        for step in 0.. {
            // SAFETY: the test keeps the value alive, and runs either side at a time.
            unsafe {
                (*shared).log.push(step);
                switch(&mut (*shared).fiber, (*shared).main);
            }
        }
        unreachable!()
    }

    #[test]
    fn a_fiber_goes_on_where_it_stopped() {
        let mut stacks = Stacks::new(2).unwrap();
        let mut shared = PingPong {
            main: ptr::null_mut(),
            fiber: ptr::null_mut(),
            log: vec![],
        };
        let shared = &raw mut shared;
        // SAFETY: `shared` outlives the fiber, which stops for good when the test ends.
        unsafe {
            (*shared).fiber = stacks.prepare(1, count, shared as usize);
            for _ in 0..3 {
                switch(&mut (*shared).main, (*shared).fiber);
            }
            assert_eq!((*shared).log, [0, 1, 2]);
        }
    }
}
