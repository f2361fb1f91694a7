//! Rows and columns that take several groups of a GPU, each of which has some of them in turn: longer
//! than the conformance suite's. Needs a GPU that CUDA lists.

use wootz::{DType, Device, Result, Tensor, ops};

type Op = fn(&Tensor) -> Result<Tensor>;

const ROWS: [(&str, Op); 3] = [
    ("softmax", |x| ops::softmax(x, -1)),
    ("layer_norm", |x| ops::layer_norm(x, 1, None, None, 1e-5)),
    ("rms_norm", |x| ops::rms_norm(x, 1, None, 1e-5)),
];
const COLUMNS: [(&str, Op); 2] = [
    ("softmax", |x| ops::softmax(x, 0)),
    ("log_softmax", |x| ops::log_softmax(x, 0)),
];

fn values(count: usize, base: f32) -> Vec<f32> {
    let value = |i: usize| ((i * 7919) % 100_003) as f32 / 20_000.0 - 2.5 + base;
    (0..count).map(value).collect()
}

fn agree(ops: &[(&str, Op)], dims: [usize; 2], base: f32) {
    let Ok(gpu) = Device::open("cuda:0") else {
        eprintln!("skipped: there is no GPU here");
        return;
    };
    for dtype in [DType::F32, DType::BF16] {
        let there = Tensor::from_slice(&values(dims[0] * dims[1], base), &dims, gpu).unwrap();
        let there = ops::cast(&there, dtype).unwrap();
        let here = there.to_device(Device::cpu()).unwrap();
        for (name, op) in ops {
            let [got, want] = [&there, &here].map(|x| {
                let y = ops::cast(&op(x).unwrap(), DType::F32).unwrap();
                y.to_vec::<f32>().unwrap()
            });
            // A share of each and of what they are on average, for those near 0.
            let share = if dtype == DType::F32 {
                1e-4
            } else {
                1.0 / 128.0
            };
            let average = want.iter().map(|x| x.abs()).sum::<f32>() / want.len() as f32;
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                let near = (got - want).abs() <= share * (want.abs() + average);
                assert!(
                    near,
                    "{name} {dtype} {dims:?} from {base}: {i} is {got}, not {want}"
                );
            }
        }
    }
}

#[test]
fn long_rows_are_what_the_cpu_gives() {
    // More rows than teams, so that some have several.
    for (rows, length) in [
        (300, 9_000),
        (270, 32_768),
        (70, 65_536),
        (33, 131_080),
        (31, 262_144),
    ] {
        agree(&ROWS, [rows, length], 0.0);
    }
    // Their means are far from 0, and they are longer than any team holds.
    agree(&ROWS, [40, 65_536], 100.0);
    agree(&ROWS, [3, 600_000], 0.0);
}

#[test]
fn long_columns_are_what_the_cpu_gives() {
    for dims in [
        [128, 4_000],
        [129, 4_000],
        [500, 4_000],
        [1_001, 264],
        [2_000, 264],
        [5_000, 264],
        [8_190, 264],
        [20_000, 64],
        [70_000, 40],
        [3_000, 37],
    ] {
        agree(&COLUMNS, dims, 0.0);
    }
}
