//! Transposing blocks of 32-bit cells: f32 values, or pairs of bf16.

use crate::cpu::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::prefetch_read;

/// Writes `to[c][r] = from[r][c]` for a `rows`×`columns` block. Each side is a pointer and the
/// distance in bytes from one row there to the next.
///
/// # Safety
/// The machine has `level`, and both pointers are valid for the whole block. They need no
/// alignment.
pub(super) unsafe fn transpose(
    level: Level,
    (from, from_row): (*const u8, isize),
    (to, to_row): (*mut u8, isize),
    rows: usize,
    columns: usize,
) {
    let side = match level {
        Level::Avx512 => 16,
        Level::Avx2 => 8,
        _ => 4,
    };
    for r in (0..rows).step_by(side) {
        for c in (0..columns).step_by(side) {
            let from = from.wrapping_offset(r as isize * from_row + 4 * c as isize);
            let to = to.wrapping_offset(c as isize * to_row + 4 * r as isize);
            let (rows, columns) = (side.min(rows - r), side.min(columns - c));
            // SAFETY: the block lies inside the caller's, and the level is the caller's promise.
            unsafe {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => avx512((from, from_row), (to, to_row), rows, columns),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => avx2((from, from_row), (to, to_row), rows, columns),
                    _ => block::<4>((from, from_row), (to, to_row), rows, columns),
                }
            }
        }
    }
}

/// A block of at most `SIDE`×`SIDE`. Where it is whole, its size is known to the compiler, which
/// then keeps it in vectors.
///
/// # Safety
/// Both pointers are valid for the block.
#[inline(always)]
unsafe fn block<const SIDE: usize>(
    (from, from_row): (*const u8, isize),
    (to, to_row): (*mut u8, isize),
    rows: usize,
    columns: usize,
) {
    let at = |r: usize| from.wrapping_offset(r as isize * from_row);
    let into = |c: usize| to.wrapping_offset(c as isize * to_row);
    // SAFETY: `r < rows` and `c < columns` throughout, inside the caller's block.
    unsafe {
        if rows == SIDE && columns == SIDE {
            let mut block = [[0u32; SIDE]; SIDE];
            for (r, row) in block.iter_mut().enumerate() {
                *row = at(r).cast::<[u32; SIDE]>().read_unaligned();
            }
            for c in 0..SIDE {
                let mut column = [0u32; SIDE];
                for (cell, row) in column.iter_mut().zip(&block) {
                    *cell = row[c];
                }
                into(c).cast::<[u32; SIDE]>().write_unaligned(column);
            }
        } else {
            for c in 0..columns {
                for r in 0..rows {
                    let cell = at(r).cast::<u32>().add(c).read_unaligned();
                    into(c).cast::<u32>().add(r).write_unaligned(cell);
                }
            }
        }
    }
}

/// # Safety
/// As for [`block`]; the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(from: (*const u8, isize), to: (*mut u8, isize), rows: usize, columns: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { block::<8>(from, to, rows, columns) }
}

/// Up to 16×16: rows beyond the block read as zero and lanes beyond it are not written, so edges
/// cost the same as the middle.
///
/// # Safety
/// As for [`block`]; the machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(
    (from, from_row): (*const u8, isize),
    (to, to_row): (*mut u8, isize),
    rows: usize,
    columns: usize,
) {
    use std::arch::x86_64::*;
    let lanes = |n: usize| (u32::MAX >> (32 - n)) as __mmask16;
    let (row_mask, column_mask) = (lanes(rows), lanes(columns));
    let mut x = [_mm512_setzero_si512(); 16];
    for (r, x) in x.iter_mut().enumerate() {
        if r < rows {
            let from = from.wrapping_offset(r as isize * from_row);
            // So many short runs side by side are more than the processor foresees.
            prefetch_read(from.wrapping_offset(16 * from_row));
            // SAFETY: the mask keeps the read to the `columns` cells of row `r`.
            *x = unsafe { _mm512_maskz_loadu_epi32(column_mask, from.cast()) };
        }
    }
    // Four rounds of a butterfly: 32-bit, 64-bit, then 128-bit pieces change places.
    let mut y = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    for i in 0..4 {
        for h in 0..2 {
            let (low, high) = (y[4 * i + h], y[4 * i + 2 + h]);
            x[4 * i + 2 * h] = _mm512_unpacklo_epi64(low, high);
            x[4 * i + 2 * h + 1] = _mm512_unpackhi_epi64(low, high);
        }
    }
    for i in 0..4 {
        y[i] = _mm512_shuffle_i32x4::<0x88>(x[i], x[4 + i]);
        y[4 + i] = _mm512_shuffle_i32x4::<0xdd>(x[i], x[4 + i]);
        y[8 + i] = _mm512_shuffle_i32x4::<0x88>(x[8 + i], x[12 + i]);
        y[12 + i] = _mm512_shuffle_i32x4::<0xdd>(x[8 + i], x[12 + i]);
    }
    for i in 0..8 {
        x[i] = _mm512_shuffle_i32x4::<0x88>(y[i], y[8 + i]);
        x[8 + i] = _mm512_shuffle_i32x4::<0xdd>(y[i], y[8 + i]);
    }
    for (c, &x) in x.iter().enumerate() {
        if c < columns {
            let to = to.wrapping_offset(c as isize * to_row);
            // SAFETY: the mask keeps the write to the `rows` cells of column `c`.
            unsafe { _mm512_mask_storeu_epi32(to.cast(), row_mask, x) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_size_at_every_level() {
        let from: Vec<u32> = (0..40 * 50).collect();
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            for (rows, columns) in (0..=35).flat_map(|r| (0..=35).map(move |c| (r, c))) {
                let mut to = vec![u32::MAX; 36 * 40];
                // SAFETY: both blocks lie inside their vectors.
                unsafe {
                    let (from, to) = (from.as_ptr().cast(), to.as_mut_ptr().cast());
                    transpose(level, (from, 200), (to, 160), rows, columns);
                }
                for (i, &got) in to.iter().enumerate() {
                    let (c, r) = (i / 40, i % 40);
                    let inside = c < columns && r < rows;
                    let want = if inside { from[r * 50 + c] } else { u32::MAX };
                    assert_eq!(got, want, "{level} {rows}x{columns} at {r},{c}");
                }
            }
        }
    }
}
