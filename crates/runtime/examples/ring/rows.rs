//! The kernels that are kept resident here: the small ones of the tests, and a softmax over rows.

use crate::small;
use std::sync::OnceLock;
use wootz_runtime::{
    Body, Buffer, Device, Grid, Kernel, Module, Plan, Resident, Result, Source, Stream,
};

/// The rows of a softmax that everybody is measured by.
pub const ROWS: usize = 64;
/// Their length.
pub const LENGTH: usize = 1024;

const ENTRY: &str = "row_softmax";
const SOFTMAX: &str = concat!(
    "namespace wootz { struct SoftmaxParams { u64 rows; u64 length; u64 inner; }; }\n",
    include_str!("../../../wootz/kernels/tile/reduce.h"),
    include_str!("../../../wootz/kernels/tile/team.h"),
    include_str!("../../../wootz/kernels/tile/row.h"),
    include_str!("../../../wootz/kernels/ops/softmax.h"),
    "using namespace wootz;\n",
    "ENTRY(row_softmax, 128, 2, SoftmaxParams, IN(0, f32) OUT(1, f32), (b0, b1), ",
    "softmax_held<Softmax, f32, GroupTeam<128>, 4, 2>)\n",
);

/// Headers that are there already.
fn without_includes(text: &str) -> String {
    let own = text
        .lines()
        .filter(|line| !line.starts_with("#include") && *line != "#pragma once");
    own.flat_map(|line| [line, "\n"]).collect()
}

fn softmax() -> &'static Module {
    static MODULE: OnceLock<&'static Module> = OnceLock::new();
    MODULE.get_or_init(|| small::module(&without_includes(SOFTMAX)))
}

pub fn resident() -> Resident {
    let text = small::small().text().to_owned() + &without_includes(SOFTMAX);
    Resident {
        module: Module::new(text),
        entries: vec![
            ENTRY,
            "small_add",
            "small_count_up",
            "small_reverse",
            "small_stray",
        ],
        in_place: 1,
    }
}

/// The softmax of `rows` rows.
pub fn submit(stream: &Stream, x: &Buffer, rows: usize) -> Result<Buffer> {
    let y = stream.allocate(4 * rows * LENGTH)?;
    let source = Source {
        module: softmax(),
        entry: ENTRY,
    };
    let kernel = Kernel {
        name: ENTRY,
        body: Body::Source(source),
    };
    let grid = Grid {
        units: rows,
        lanes: 128,
    };
    let params = [rows as u64, LENGTH as u64, 1];
    let row = 4 * LENGTH as u32;
    let plan = Plan::new(kernel, grid, &params)
        .scratch(1024)
        .parts([row, row, 0, 0]);
    // SAFETY: the kernel stays inside `rows` rows of both buffers.
    unsafe { stream.submit(&plan.read(x, 0).write(&y, 0))? };
    Ok(y)
}

/// One small plan, waited for.
pub fn once(device: Device) -> Result<()> {
    Stream::with_current(device, |stream| {
        let x = small::upload(stream, &vec![1.0; LENGTH])?;
        x.wait()?;
        submit(stream, &x, 1)?.wait()
    })
}
