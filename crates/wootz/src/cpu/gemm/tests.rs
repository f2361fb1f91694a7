//! Every kernel against a product in f64, with a bound that follows from the arithmetic.

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::Activation;

/// A matrix, or a batch of them, in memory of its own, with guard values around every element.
#[derive(Clone)]
struct Memory {
    bytes: Vec<u64>,
    element: Element,
    /// Index of the first element.
    first: usize,
}

impl Memory {
    /// Room for all elements that `axes` (size and stride) reach.
    fn new(element: Element, axes: &[(usize, isize)], fill: f32) -> Memory {
        let reach = |sign: isize| -> usize {
            let far = axes.iter().filter(|(size, _)| *size > 0);
            far.map(|&(size, stride)| (size - 1) * (stride * sign).max(0) as usize)
                .sum()
        };
        let length = reach(-1) + reach(1) + 3;
        let mut memory = Memory {
            bytes: vec![0; (length * element.size()).div_ceil(8)],
            element,
            first: reach(-1) + 1,
        };
        for i in 0..length {
            memory.set(i as isize - memory.first as isize, fill);
        }
        memory
    }

    fn pointer(&mut self) -> *mut u8 {
        let start = self.bytes.as_mut_ptr().cast::<u8>();
        start.wrapping_add(self.first * self.element.size())
    }

    fn get(&self, at: isize) -> f32 {
        let i = (self.first as isize + at) as usize;
        let halves: &[u16] = bytemuck::cast_slice(&self.bytes);
        match self.element {
            Element::F32 => bytemuck::cast_slice::<_, f32>(&self.bytes)[i],
            Element::F16 => f16::from_bits(halves[i]).to_f32(),
            Element::Bf16 => bf16::from_bits(halves[i]).to_f32(),
        }
    }

    /// Stores `x` rounded to the element.
    fn set(&mut self, at: isize, x: f32) {
        let i = (self.first as isize + at) as usize;
        match self.element {
            Element::F32 => bytemuck::cast_slice_mut::<_, f32>(&mut self.bytes)[i] = x,
            Element::F16 => {
                bytemuck::cast_slice_mut::<_, u16>(&mut self.bytes)[i] = f16::from_f32(x).to_bits()
            }
            Element::Bf16 => {
                bytemuck::cast_slice_mut::<_, u16>(&mut self.bytes)[i] = bf16::from_f32(x).to_bits()
            }
        }
    }
}

/// A problem with its memory.
#[derive(Clone)]
struct Case<'a> {
    problem: Problem<'a>,
    axes: &'a [Axis],
    a: Memory,
    b: Memory,
    c: Memory,
    bias: Memory,
}

const GUARD: f32 = -77.0;

impl<'a> Case<'a> {
    fn new(problem: Problem<'a>, axes: &'a [Axis]) -> Case<'a> {
        let Problem {
            element, m, n, k, ..
        } = problem;
        let reach = |rows, columns, strides: Strides, stride: fn(&Axis) -> isize| {
            let mut all = vec![(rows, strides.row), (columns, strides.column)];
            all.extend(axes.iter().map(|axis| (axis.size, stride(axis))));
            all
        };
        let (a, b) = (
            reach(m, k, problem.a, |x| x.a),
            reach(k, n, problem.b, |x| x.b),
        );
        let c = reach(m, n, problem.c, |x| x.c);
        let mut case = Case {
            problem: Problem {
                batch: Batch::new(axes).unwrap(),
                ..problem
            },
            axes,
            a: Memory::new(element, &a, f32::NAN),
            b: Memory::new(element, &b, f32::NAN),
            c: Memory::new(problem.result, &c, GUARD),
            bias: Memory::new(element, &[(n, problem.bias.unwrap_or(0))], f32::NAN),
        };
        let mut state = (m * 31 + n * 17 + k) as u64 | 1;
        let mut random = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 2.0
        };
        for (memory, axes) in [(&mut case.a, a), (&mut case.b, b), (&mut case.c, c)] {
            let is_c = axes[1] == (n, problem.c.column) && memory.get(0) == GUARD;
            if is_c && problem.beta == 0.0 {
                continue;
            }
            each(&axes, |at| memory.set(at, random()));
        }
        for j in 0..n {
            case.bias
                .set(j as isize * problem.bias.unwrap_or(0), random());
        }
        case
    }

    /// Runs the product, its units in this order in pieces of this size.
    fn run(&mut self, kernel: &'static Kernel, reverse: bool, piece: usize) {
        let blocking = Blocking::choose(&self.problem, kernel);
        let room = |bytes: usize| vec![[f32::NAN; 16]; bytes.div_ceil(64) + 1];
        let (mut packed, mut scratch) = (room(blocking.packed_bytes), room(blocking.scratch_bytes));
        let aligned = |room: &mut Vec<[f32; 16]>| {
            let start = room.as_mut_ptr().cast::<u8>();
            start.wrapping_add(start.align_offset(ALIGNMENT))
        };
        let buffers = Buffers {
            a: self.a.pointer(),
            b: self.b.pointer(),
            c: self.c.pointer(),
            bias: self.bias.pointer(),
            packed: aligned(&mut packed),
        };
        let pieces = |units: usize| {
            let all: Vec<_> = (0..units).step_by(piece).collect();
            let order: Vec<_> = if reverse {
                all.into_iter().rev().collect()
            } else {
                all
            };
            order
                .into_iter()
                .map(move |from| from..(from + piece).min(units))
        };
        // SAFETY: every matrix lies in its memory, and the rooms have the sizes asked for.
        unsafe {
            for units in pieces(blocking.pack_units) {
                pack(&self.problem, &blocking, &buffers, units);
            }
            for units in pieces(blocking.units) {
                multiply(
                    &self.problem,
                    &blocking,
                    &buffers,
                    units,
                    aligned(&mut scratch),
                );
            }
        }
    }

    /// Every element of C: where it is, what it should be, and how far off it may be.
    fn expect(&self) -> Vec<(isize, f64, f64)> {
        let Problem {
            m,
            n,
            k,
            alpha,
            activation,
            beta,
            ..
        } = self.problem;
        let mut all = Vec::new();
        let sizes: Vec<_> = self.axes.iter().map(|axis| (axis.size, 0)).collect();
        let mut index = 0;
        each(&sizes, |_| {
            let (mut rest, mut a0, mut b0, mut c0) = (index, 0, 0, 0);
            for axis in self.axes.iter().rev() {
                let i = (rest % axis.size) as isize;
                rest /= axis.size;
                (a0, b0, c0) = (a0 + i * axis.a, b0 + i * axis.b, c0 + i * axis.c);
            }
            index += 1;
            for (i, j) in (0..m as isize).flat_map(|i| (0..n as isize).map(move |j| (i, j))) {
                let (mut sum, mut size) = (0f64, 0f64);
                for l in 0..k as isize {
                    let a = self
                        .a
                        .get(a0 + i * self.problem.a.row + l * self.problem.a.column);
                    let b = self
                        .b
                        .get(b0 + l * self.problem.b.row + j * self.problem.b.column);
                    let product = f64::from(a) * f64::from(b);
                    (sum, size) = (sum + product, size + product.abs());
                }
                let at = c0 + i * self.problem.c.row + j * self.problem.c.column;
                let mut inner = f64::from(alpha) * sum;
                let mut size = size * f64::from(alpha).abs();
                if let Some(stride) = self.problem.bias {
                    let bias = f64::from(self.bias.get(j * stride));
                    (inner, size) = (inner + bias, size + bias.abs());
                }
                let mut want = activation.reference()(inner);
                let coarse = self.problem.result == Element::Bf16;
                let ulp = f64::from(f32::EPSILON) * want.abs().max(f64::from(f32::MIN_POSITIVE));
                let own = activation.ulps(coarse, inner) * ulp;
                size *= activation.slope();
                if beta != 0.0 {
                    let term = f64::from(beta) * f64::from(self.c.get(at));
                    (want, size) = (want + term, size + term.abs());
                }
                all.push((at, want, own + bound(self.problem.result, k, size, want)));
            }
        });
        all
    }

    fn check(&self, kernel: &'static Kernel) -> Result<(), String> {
        let (mut done, expected) = (self.clone(), self.expect());
        done.run(kernel, false, usize::MAX);
        for &(at, want, bound) in &expected {
            let got = f64::from(done.c.get(at));
            let same = got == want || (got.is_nan() && want.is_nan());
            if !same
                && (got - want)
                    .abs()
                    .partial_cmp(&bound)
                    .is_none_or(|order| order.is_gt())
            {
                let problem = self.problem;
                return Err(format!(
                    "{}: {got} for {want} ± {bound} in {problem:?}",
                    kernel.name
                ));
            }
        }
        // What is not an element of C is as it was.
        let mut untouched = self.c.clone();
        for &(at, ..) in &expected {
            untouched.set(at, done.c.get(at));
        }
        match untouched.bytes == done.c.bytes {
            true => Ok(()),
            false => Err(format!(
                "{}: wrote outside C in {:?}",
                kernel.name, self.problem
            )),
        }
    }
}

/// k roundings of partial sums in f32, three of scaling and adding, one to the element; and what
/// instructions that flush subnormal numbers lose with each addition.
fn bound(element: Element, k: usize, size: f64, want: f64) -> f64 {
    let unit = f64::from(f32::EPSILON) / 2.0;
    let (element_unit, smallest) = match element {
        Element::F32 => (0.0, 0.0),
        Element::F16 => (2f64.powi(-11), 2f64.powi(-24)),
        Element::Bf16 => (2f64.powi(-8), 2f64.powi(-126)),
    };
    let sums = (k as f64 + 4.0) * unit * 1.001 * size;
    let flushed = (k as f64 + 1.0) * 2f64.powi(-126);
    sums + (want.abs() + sums) * element_unit + smallest + flushed
}

/// Calls `visit` with the position of every element of a strided array.
fn each(axes: &[(usize, isize)], mut visit: impl FnMut(isize)) {
    let count: usize = axes.iter().map(|axis| axis.0).product();
    for index in 0..count {
        let (mut rest, mut at) = (index, 0);
        for &(size, stride) in axes.iter().rev() {
            at += (rest % size) as isize * stride;
            rest /= size;
        }
        visit(at);
    }
}

/// The kernels to try for `element` on this machine.
fn kernels(element: Element) -> impl Iterator<Item = &'static Kernel> {
    Kernel::all().filter(move |kernel| kernel.available() && kernel.multiplies(element))
}

fn check_all(case: &Case) {
    for kernel in kernels(case.problem.element) {
        case.check(kernel).unwrap();
    }
}

const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::Bf16];

/// Strides of a `rows`×`columns` matrix: row-major, column-major, with gaps, backwards, spread.
fn strides(kind: usize, rows: usize, columns: usize) -> Strides {
    let (rows, columns) = (rows as isize, columns as isize);
    match kind {
        0 => Strides {
            row: columns,
            column: 1,
        },
        1 => Strides {
            row: 1,
            column: rows,
        },
        2 => Strides {
            row: columns + 5,
            column: 1,
        },
        3 => Strides {
            row: 1,
            column: rows + 3,
        },
        4 => Strides {
            row: -(columns + 1),
            column: 1,
        },
        5 => Strides {
            row: 2 * columns + 7,
            column: -2,
        },
        _ => Strides {
            row: -3,
            column: 3 * rows + 1,
        },
    }
}
const STRIDE_KINDS: usize = 7;

#[test]
fn all_layouts() {
    let sizes = [
        (1, 1, 1),
        (5, 7, 3),
        (17, 35, 33),
        (32, 64, 64),
        (33, 19, 70),
    ];
    for element in ELEMENTS {
        for (m, n, k) in sizes {
            for kinds in 0..STRIDE_KINDS * STRIDE_KINDS * STRIDE_KINDS {
                let (a, rest) = (kinds % STRIDE_KINDS, kinds / STRIDE_KINDS);
                let (b, c) = (rest % STRIDE_KINDS, rest / STRIDE_KINDS);
                // The largest sizes with a third of the combinations.
                if m * n * k > 10_000 && kinds % 3 != 0 {
                    continue;
                }
                let problem = Problem {
                    a: strides(a, m, k),
                    b: strides(b, k, n),
                    c: strides(c, m, n),
                    ..Problem::plain(element, m, n, k)
                };
                check_all(&Case::new(problem, &[]));
            }
        }
    }
}

#[test]
fn sizes_around_tile_edges() {
    let edges = [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 27, 28, 29, 31, 32, 33, 48, 65,
    ];
    for element in ELEMENTS {
        for (i, &m) in edges.iter().enumerate() {
            for (j, &n) in edges.iter().enumerate() {
                let k = edges[(i * 7 + j * 5) % edges.len()];
                check_all(&Case::new(Problem::plain(element, m, n, k), &[]));
                let transposed = Problem {
                    b: Strides::rows(k).transposed(),
                    ..Problem::plain(element, m, n, k)
                };
                check_all(&Case::new(transposed, &[]));
            }
        }
    }
}

#[test]
fn several_blocks_of_everything() {
    for element in ELEMENTS {
        for (m, n, k) in [
            (200, 300, 40),
            (350, 20, 600),
            (20, 530, 1100),
            (20, 33, 9000),
            (3, 1100, 300),
            (1300, 2, 90),
        ] {
            for transposed in [false, true] {
                let mut problem = Problem::plain(element, m, n, k);
                problem.bias = Some(1);
                problem.alpha = 0.5;
                if transposed {
                    problem.a = Strides::rows(m).transposed();
                    problem.b = Strides::rows(k).transposed();
                    problem.bias = None;
                    problem.alpha = 1.0;
                }
                check_all(&Case::new(problem, &[]));
            }
        }
    }
}

#[test]
fn scaling_bias_and_what_was_there() {
    for element in ELEMENTS {
        for c in 0..STRIDE_KINDS {
            for (alpha, beta, bias) in [
                (1.0, 1.0, None),
                (-0.5, 2.0, Some(1)),
                (0.0, 0.5, Some(0)),
                (2.0, 0.0, Some(-2)),
            ] {
                for (m, n) in [(21, 37), (3, 530), (530, 3)] {
                    let problem = Problem {
                        c: strides(c, m, n),
                        alpha,
                        beta,
                        bias,
                        ..Problem::plain(element, m, n, 18)
                    };
                    check_all(&Case::new(problem, &[]));
                }
            }
        }
    }
}

#[test]
fn activations_and_results_of_other_types() {
    for (element, result) in ELEMENTS.into_iter().flat_map(|x| ELEMENTS.map(|y| (x, y))) {
        for activation in Activation::ALL {
            for (m, n, beta) in [(21, 37, 0.0), (3, 530, 1.5), (530, 3, 0.0)] {
                for c in [0, 1] {
                    let problem = Problem {
                        result,
                        c: strides(c, m, n),
                        alpha: 0.5,
                        activation,
                        beta,
                        bias: Some(1),
                        ..Problem::plain(element, m, n, 18)
                    };
                    check_all(&Case::new(problem, &[]));
                }
            }
        }
    }
}

#[test]
fn batches_with_broadcast() {
    let axis = |size, a, b, c| Axis { size, a, b, c };
    let (m, n, k) = (9, 20, 13);
    let one = (m * n) as isize;
    let batches: [&[Axis]; 5] = [
        &[axis(5, (m * k) as isize, (k * n) as isize, one)],
        &[
            axis(3, 0, (k * n) as isize, 4 * one),
            axis(4, (m * k) as isize, 0, one),
        ],
        &[axis(2, 0, 0, 3 * one), axis(3, 1, -1, one)],
        &[axis(0, 1, 1, 1), axis(3, 1, 1, 1)],
        &[axis(130, 0, 0, one)],
    ];
    for element in ELEMENTS {
        for axes in batches {
            check_all(&Case::new(Problem::plain(element, m, n, k), axes));
            check_all(&Case::new(Problem::plain(element, 7, n, k), axes));
        }
        // Large enough that B is packed ahead.
        let (m, n, k) = (400, 40, 30);
        let axes = [
            axis(2, 0, (k * n) as isize, 2 * (m * n) as isize),
            axis(2, 50, 0, (m * n) as isize),
        ];
        check_all(&Case::new(Problem::plain(element, m, n, k), &axes));
    }
}

#[test]
fn empty_sizes() {
    for element in ELEMENTS {
        for (m, n, k) in [(0, 5, 5), (5, 0, 5), (0, 0, 0), (5, 40, 0), (300, 300, 0)] {
            for (beta, bias) in [(0.0, None), (0.5, Some(1))] {
                let problem = Problem {
                    beta,
                    bias,
                    ..Problem::plain(element, m, n, k)
                };
                check_all(&Case::new(problem, &[]));
            }
        }
    }
}

#[test]
fn zero_times_infinity_is_nan_and_nan_spreads() {
    for element in ELEMENTS {
        for (m, n, k) in [(3, 3, 3), (20, 40, 70), (300, 33, 40)] {
            let mut case = Case::new(Problem::plain(element, m, n, k), &[]);
            for l in 0..k {
                case.b.set((l * n) as isize, 0.0);
            }
            case.a.set(0, f32::INFINITY);
            case.a.set((k * (m - 1)) as isize, f32::NAN);
            for kernel in kernels(element) {
                case.check(kernel).unwrap();
                let mut done = case.clone();
                done.run(kernel, false, usize::MAX);
                assert!(done.c.get(0).is_nan(), "{}: inf·0", kernel.name);
                assert!(done.c.get(1).is_infinite(), "{}: inf·x", kernel.name);
                assert!((0..n).all(|j| done.c.get(((m - 1) * n + j) as isize).is_nan()));
                assert_eq!(done.c.get(n as isize), 0.0, "{}", kernel.name);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_order_of_units() {
    for element in ELEMENTS {
        for (m, n, k) in [(400, 700, 300), (33, 800, 50)] {
            let problem = Problem {
                b: Strides::rows(k).transposed(),
                bias: Some(1),
                ..Problem::plain(element, m, n, k)
            };
            let case = Case::new(problem, &[]);
            for kernel in kernels(element) {
                let mut whole = case.clone();
                whole.run(kernel, false, usize::MAX);
                for (reverse, piece) in [(false, 1), (true, 1), (true, 3)] {
                    let mut parts = case.clone();
                    parts.run(kernel, reverse, piece);
                    assert!(whole.c.bytes == parts.c.bytes, "{}", kernel.name);
                }
            }
        }
    }
}

/// Sums of 4096 positive values: added up one after another, they are off by 60 roundings.
#[test]
fn long_sums_round_little() {
    let k = 4096;
    for (m, n, roundings) in [(30, 70, 16.0), (1, 70, 40.0)] {
        let mut case = Case::new(Problem::plain(Element::F32, m, n, k), &[]);
        for (memory, count) in [(&mut case.a, m * k), (&mut case.b, k * n)] {
            for i in 0..count as isize {
                memory.set(i, memory.get(i).abs());
            }
        }
        for kernel in kernels(Element::F32) {
            let mut done = case.clone();
            done.run(kernel, false, usize::MAX);
            for (at, want, _) in case.expect() {
                let off = (f64::from(done.c.get(at)) - want).abs() / want;
                let off = off / (f64::from(f32::EPSILON) / 2.0);
                assert!(off < roundings, "{}: {off} roundings", kernel.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_and_layout(
        element in 0..3usize,
        (m, n, k) in (0..70usize, 0..80usize, 0..90usize),
        kinds in (0..STRIDE_KINDS, 0..STRIDE_KINDS, 0..STRIDE_KINDS),
        (alpha, beta) in (prop::sample::select(vec![1.0f32, -1.5, 0.0]), prop::sample::select(vec![0.0f32, 1.0, 0.25])),
        bias in prop::option::of(-2..3isize),
        batch in prop::collection::vec(1..3usize, 0..3),
    ) {
        let element = ELEMENTS[element];
        let c = strides(kinds.2, m, n);
        let spread = |rows: usize, columns: usize, s: Strides| {
            rows as isize * s.row.abs() + columns as isize * s.column.abs() + 1
        };
        let mut next = spread(m, n, c);
        let mut axes: Vec<Axis> = Vec::new();
        for (i, &size) in batch.iter().enumerate() {
            axes.insert(0, Axis { size, a: i as isize * 5, b: 11 - 11 * i as isize, c: next });
            next *= size as isize;
        }
        let problem = Problem {
            a: strides(kinds.0, m, k),
            b: strides(kinds.1, k, n),
            c,
            alpha,
            beta,
            bias,
            ..Problem::plain(element, m, n, k)
        };
        let case = Case::new(problem, &axes);
        for kernel in kernels(element) {
            prop_assert_eq!(case.check(kernel), Ok(()));
        }
    }
}
