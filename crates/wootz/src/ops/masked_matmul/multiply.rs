//! The CPU's kernel: a unit is a block of the result, the sum of the products of runs of blocks.

use super::{super::matmul::element, OP, Product};
use crate::{
    Tensor,
    cpu::{gemm, simd::Level},
};
use half::{bf16, f16};
use wootz_runtime::{Body, Call, Grid, Kernel, Plan};

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    kernel: u32,
    element: u32,
    /// Bit i says whether mask i is there.
    has: u32,
    block: u32,
    /// Rows, columns, the inner size.
    sizes: [u64; 3],
    /// From matrix to matrix, row to row and column to column of a and b.
    factors: [[i64; 3]; 2],
    /// The same of the masks: of the left factor, the right one and the result.
    masks: [[i64; 3]; 3],
    /// Bytes of scratch memory before a product's own, and before what it packs.
    own: u64,
    packed: u64,
}

/// The plan of a product into an `out` that is not empty.
pub(super) fn plan<'a>(product: &'a Product<'_>, out: &'a Tensor) -> Plan<'a> {
    let (a, b, block) = (&product.a, &product.b, product.block);
    let (&[matrices, m, k], &[_, _, n]) = (a.dims(), b.dims()) else {
        unreachable!("the factors are batches of matrices");
    };
    let strides = |x: &Tensor| [0, 1, 2].map(|axis| x.layout().strides()[axis] as i64);
    let element = element(a.dtype());
    let has = product.masks.iter().zip(0..);
    let mut params = Params {
        kernel: gemm::Kernel::best(element, Level::current()).index() as u32,
        element: element as u32,
        has: has.fold(0, |has, (mask, bit)| has | u32::from(mask.is_some()) << bit),
        block: block as u32,
        sizes: [m, n, k].map(|size| size as u64),
        factors: [a, b].map(strides),
        masks: product.masks.map(|mask| mask.map_or([0; 3], strides)),
        own: (block * block * size_of::<f32>()).next_multiple_of(gemm::ALIGNMENT) as u64,
        packed: 0,
    };
    // A run of whole blocks has a power of two of them: few sizes, whose scratch memory is known.
    let whole = k / block;
    let runs = (0..usize::BITS).map_while(|i| (1usize << i <= whole).then_some(block << i));
    let (mut own, mut packed) = (0, 0);
    for depth in runs.chain([k % block]).filter(|&depth| depth > 0) {
        for rows in [block.min(m), m % block] {
            for columns in [block.min(n), n % block] {
                if rows > 0 && columns > 0 {
                    let (_, blocking) = params.problem([rows, columns, depth], 1.0);
                    own = own.max(blocking.scratch_bytes);
                    packed = packed.max(blocking.packed_bytes);
                }
            }
        }
    }
    let own = own.next_multiple_of(gemm::ALIGNMENT);
    params.packed = params.own + own as u64;
    let kernel = Kernel {
        name: OP,
        body: Body::Native(multiply),
    };
    let units = matrices * m.div_ceil(block) * n.div_ceil(block);
    let [left, right, hidden] = product.masks.map(|mask| mask.unwrap_or(a));
    Plan::new(kernel, Grid::units(units), &params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset())
        .read(left.buffer(), left.byte_offset())
        .read(right.buffer(), right.byte_offset())
        .read(hidden.buffer(), hidden.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .scratch(params.packed as usize + packed)
        .cost(
            (matrices * (m * k + k * n + m * n) * a.dtype().size()) as u64,
            (2 * m * n * k).saturating_mul(matrices) as u64,
        )
}

impl Params {
    /// The product of some rows and columns over a part of the inner size, into sums of blocks.
    fn problem(
        &self,
        [rows, columns, depth]: [usize; 3],
        beta: f32,
    ) -> (gemm::Problem<'static>, gemm::Blocking) {
        let strides = |[_, row, column]: [i64; 3]| gemm::Strides {
            row: row as isize,
            column: column as isize,
        };
        let element = gemm::Element::ALL[self.element as usize];
        let problem = gemm::Problem {
            a: strides(self.factors[0]),
            b: strides(self.factors[1]),
            c: gemm::Strides::rows(self.block as usize),
            result: gemm::Element::F32,
            beta,
            ..gemm::Problem::plain(element, rows, columns, depth)
        };
        let kernel = gemm::Kernel::at(self.kernel as usize);
        (problem, gemm::Blocking::choose(&problem, kernel))
    }
}

/// # Safety
/// As for [`NativeFn`](wootz_runtime::NativeFn), with a plan of [`plan`].
unsafe fn multiply(call: &mut Call<'_>) {
    let params = *call.params::<Params>();
    let [m, n, _] = params.sizes.map(|size| size as usize);
    let block = params.block as usize;
    let [high, wide] = [m, n].map(|size| size.div_ceil(block));
    for unit in call.units.clone() {
        let at = [unit / (high * wide), unit / wide % high, unit % wide];
        // SAFETY: the block is one of the result's, and its unit this call's alone.
        unsafe { one_block(call, &params, at) };
    }
}

/// Whether mask `mask` lets the block at `[matrix, row, column]` through.
///
/// # Safety
/// The block is one that the mask has an entry for.
unsafe fn passes(call: &Call<'_>, params: &Params, mask: usize, at: [usize; 3]) -> bool {
    if params.has >> mask & 1 == 0 {
        return true;
    }
    let strides = params.masks[mask];
    let place: isize = (0..3)
        .map(|axis| at[axis] as isize * strides[axis] as isize)
        .sum();
    // SAFETY: passed on from the caller; the strides are the mask's.
    unsafe { call.pointer::<u8>(2 + mask).wrapping_offset(place).read() != 0 }
}

/// # Safety
/// The plan is [`plan`]'s, and nobody else computes this block.
unsafe fn one_block(call: &mut Call<'_>, params: &Params, at: [usize; 3]) {
    let [matrix, row, column] = at;
    let [m, n, k] = params.sizes.map(|size| size as usize);
    let block = params.block as usize;
    let [rows, columns] = [(m, row), (n, column)].map(|(size, at)| block.min(size - at * block));
    let sums = call.scratch.as_mut_ptr().cast::<f32>();
    let mut any = false;
    // SAFETY: each block is one of those that masks have entries for, here and below.
    if unsafe { passes(call, params, 2, at) } {
        let pass = |deep: usize| {
            let (left, right) = ([matrix, row, deep], [matrix, deep, column]);
            // SAFETY: as above.
            unsafe { passes(call, params, 0, left) && passes(call, params, 1, right) }
        };
        let (whole, mut deep) = (k / block, 0);
        let mut runs: smallvec::SmallVec<[[usize; 2]; 16]> = smallvec::SmallVec::new();
        while deep < whole {
            let run = (deep..whole).take_while(|&deep| pass(deep)).count();
            if run == 0 {
                deep += 1;
                continue;
            }
            let run = 1 << run.ilog2();
            runs.push([deep * block, run * block]);
            deep += run;
        }
        if k % block > 0 && pass(whole) {
            runs.push([whole * block, k % block]);
        }
        for [first, depth] in runs {
            let beta = if any { 1.0 } else { 0.0 };
            // SAFETY: the run lies inside the factors, and scratch memory is as large as asked.
            unsafe { add(call, params, at, [first, depth], ([rows, columns], beta)) };
            any = true;
        }
    }
    let out = call.pointer::<u8>(5);
    let start = (matrix * m + row * block) * n + column * block;
    for i in 0..rows {
        for j in 0..columns {
            // SAFETY: the block's place in the result, and its sums where there are any.
            unsafe {
                let sum = if any {
                    sums.add(i * block + j).read()
                } else {
                    0.0
                };
                let place = start + i * n + j;
                match gemm::Element::ALL[params.element as usize] {
                    gemm::Element::F32 => out.cast::<f32>().add(place).write(sum),
                    gemm::Element::F16 => out.cast::<f16>().add(place).write(f16::from_f32(sum)),
                    gemm::Element::Bf16 => out.cast::<bf16>().add(place).write(bf16::from_f32(sum)),
                }
            }
        }
    }
}

/// Adds the product over a run of the inner size to a block's sums.
///
/// # Safety
/// The run lies inside the factors, and scratch memory is the plan's.
unsafe fn add(
    call: &mut Call<'_>,
    params: &Params,
    [matrix, row, column]: [usize; 3],
    [first, depth]: [usize; 2],
    ([rows, columns], beta): ([usize; 2], f32),
) {
    let (problem, blocking) = params.problem([rows, columns, depth], beta);
    let block = params.block as usize;
    let size = problem.element.size() as isize;
    let place = |strides: [i64; 3], at: [usize; 3]| -> isize {
        let steps = (0..3).map(|axis| at[axis] as isize * strides[axis] as isize);
        steps.sum::<isize>() * size
    };
    let left = place(params.factors[0], [matrix, row * block, first]);
    let right = place(params.factors[1], [matrix, first, column * block]);
    let scratch = call.scratch.as_mut_ptr();
    let buffers = gemm::Buffers {
        a: call.pointer::<u8>(0).wrapping_offset(left),
        b: call.pointer::<u8>(1).wrapping_offset(right),
        c: scratch,
        bias: std::ptr::null(),
        packed: scratch.wrapping_add(params.packed as usize),
    };
    let own = scratch.wrapping_add(params.own as usize);
    // SAFETY: passed on from the caller; the sums are first in scratch memory.
    unsafe {
        gemm::pack(&problem, &blocking, &buffers, 0..blocking.pack_units);
        gemm::multiply(&problem, &blocking, &buffers, 0..blocking.units, own);
    }
}
