//! Once warm, a model allocates nothing from the system: its memory comes from its stream's pool,
//! and the library's own bookkeeping needs none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use wootz::{DType, Device};

#[path = "../src/inputs.rs"]
mod inputs;
#[path = "../src/scale/layer.rs"]
#[expect(dead_code, reason = "the command calls it by its name")]
mod layer;

/// The system's allocator, which counts what each thread asks of it: the caller's is the one that
/// plans, submits and drops.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on from the caller.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: passed on from the caller.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Where this test runs: the CPU, or what `WOOTZ_TEST_DEVICE` names.
fn device() -> Device {
    let name = std::env::var("WOOTZ_TEST_DEVICE");
    Device::open(name.as_deref().unwrap_or("cpu")).unwrap()
}

#[test]
fn a_warm_layer_allocates_nothing() {
    assert!(allocations(|| drop(black_box(vec![1u8; 100]))) > 0);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let layer = layer::Layer::new(dtype, device()).unwrap();
        let x = inputs::tensor(dtype, &layer::SHAPE, device()).unwrap();
        let run = || layer.forward(&x).unwrap().wait().unwrap();
        (0..3).for_each(|_| run());
        let count = allocations(|| (0..20).for_each(|_| run()));
        assert_eq!(count, 0, "{dtype}");
    }
}
