//! Small kernels in the dialect, and plans of them, for any device that runs kernel source.

#![allow(dead_code, reason = "each program that includes this uses a part")]

#[path = "../../../wootz/src/kernels/source.rs"]
mod source;

use std::sync::OnceLock;
use wootz_runtime::{Body, Buffer, Grid, Kernel, Module, Plan, Result, Source, Stream};

/// A module of `kernels` after the dialect.
pub fn module(kernels: &str) -> &'static Module {
    let dialect = source::flatten("dialect/dialect.h").expect("the dialect is whole");
    Box::leak(Box::new(Module::new(dialect + kernels)))
}

/// The module of `kernels.h`.
pub fn small() -> &'static Module {
    static SMALL: OnceLock<&'static Module> = OnceLock::new();
    SMALL.get_or_init(|| module(include_str!("kernels.h")))
}

/// Lanes in a group of every kernel here.
pub const LANES: u32 = 256;

/// The parameters of every kernel here.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Small {
    pub count: u64,
    pub turns: u64,
}

/// A plan of an entry point of `module` over `count` elements.
pub fn plan<'a>(
    module: &'static Module,
    entry: &'static str,
    count: usize,
    turns: u64,
    reads: &[&'a Buffer],
    write: &'a Buffer,
) -> Plan<'a> {
    let body = Body::Source(Source { module, entry });
    let grid = Grid {
        units: count.div_ceil(LANES as usize),
        lanes: LANES,
    };
    let params = Small {
        count: count as u64,
        turns,
    };
    let plan = Plan::new(Kernel { name: entry, body }, grid, &params).scratch(4 * LANES as usize);
    reads
        .iter()
        .fold(plan, |plan, buffer| plan.read(buffer, 0))
        .write(write, 0)
}

/// Runs a kernel of `kernels.h` into a new buffer of `count` elements.
pub fn run(
    stream: &Stream,
    entry: &'static str,
    count: usize,
    turns: u64,
    reads: &[&Buffer],
) -> Result<Buffer> {
    let out = stream.allocate(4 * count)?;
    // SAFETY: the kernels of `kernels.h` stay inside `count` elements of each buffer, except the
    // one that devices are to catch.
    unsafe { stream.submit(&plan(small(), entry, count, turns, reads, &out))? };
    Ok(out)
}

pub fn upload(stream: &Stream, values: &[f32]) -> Result<Buffer> {
    stream.upload(bytemuck::cast_slice(values))
}

pub fn read(buffer: &Buffer, count: usize) -> Result<Vec<f32>> {
    let mut values = vec![0.0f32; count];
    buffer.read(0, bytemuck::cast_slice_mut(&mut values))?;
    Ok(values)
}
