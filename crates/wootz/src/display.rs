//! Tensors as text, laid out like NumPy's: aligned columns, nested brackets, and of large ones the
//! edges only. A last line gives element type and shape.

use crate::{DType, Element, Result, Tensor, ops, with_dtype};
use std::fmt::{self, Write};

/// Tensors of more elements are shown by their edges.
const WHOLE: usize = 1000;
/// Indices shown at each end of an axis that is cut.
const EDGE: usize = 3;
/// Columns that a line may take.
const WIDTH: usize = 75;
/// Digits after the point, at most.
const DIGITS: usize = 8;

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.count() > WHOLE {
            edges(self, 0)
        } else {
            Ok(self.clone())
        };
        match shown.and_then(|shown| words(&shown).map(|words| (shown, words))) {
            Ok((shown, words)) => {
                let cut = shown
                    .dims()
                    .iter()
                    .zip(self.dims())
                    .map(|(a, b)| a != b)
                    .collect();
                Block {
                    dims: shown.dims(),
                    cut,
                    words: &words,
                }
                .write(f)?;
            }
            // There is nothing to show of a step of a recording, or after a fault.
            Err(error) => write!(f, "({error})")?,
        }
        write!(f, "\n{} {}", self.dtype(), self.shape())
    }
}

/// The first and last indices of every long axis from `axis` on. Outer axes are cut first, so that
/// what is joined, and copied, is small.
fn edges(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    match tensor.dims().get(axis) {
        None => Ok(tensor.clone()),
        Some(&dim) if dim > 2 * EDGE => {
            let end = |start| edges(&tensor.narrow(axis as isize, start, EDGE)?, axis + 1);
            ops::concat(&[&end(0)?, &end(dim - EDGE)?], axis as isize)
        }
        Some(_) => edges(tensor, axis + 1),
    }
}

/// Each element as a word, all of one width.
fn words(tensor: &Tensor) -> Result<Vec<String>> {
    if !tensor.dtype().is_float() {
        return integers(tensor);
    }
    with_dtype!(tensor.dtype(), T => Ok(floats(&tensor.to_vec::<T>()?)))
}

fn integers(tensor: &Tensor) -> Result<Vec<String>> {
    let words: Vec<String> = match tensor.dtype() {
        DType::I64 => tensor.to_vec::<i64>()?.iter().map(i64::to_string).collect(),
        dtype => with_dtype!(dtype, T => {
            tensor.to_vec::<T>()?.iter().map(|value| value.to_f64().to_string()).collect()
        }),
    };
    Ok(aligned(words))
}

fn floats<T: Element>(values: &[T]) -> Vec<String> {
    let scientific = is_scientific(values);
    let part = |&value: &T| {
        value
            .to_f64()
            .is_finite()
            .then(|| Parts::of(&shortest(value, scientific), scientific))
    };
    let parts: Vec<Option<Parts>> = values.iter().map(part).collect();
    let widest =
        |length: fn(&Parts) -> usize| parts.iter().flatten().map(length).max().unwrap_or(0);
    let fraction = widest(|part| part.fraction.len());
    let number =
        widest(|part| part.whole.len()) + 1 + fraction + widest(|part| part.exponent.len());
    let words = values.iter().zip(&parts).map(|(value, part)| match part {
        // Digits up to the longest number's are the value's own, not zeros.
        Some(_) if scientific => {
            let text = format!("{:.fraction$e}", value.to_f64());
            format!("{:>number$}", Parts::of(&text, true).word(fraction, true))
        }
        Some(part) => format!("{:>number$}", part.word(fraction, scientific)),
        None => strange_word(value.to_f64()).to_owned(),
    });
    aligned(words.collect())
}

/// The words at the right of one width.
fn aligned(words: Vec<String>) -> Vec<String> {
    let width = words.iter().map(String::len).max().unwrap_or(0);
    words
        .into_iter()
        .map(|word| format!("{word:>width$}"))
        .collect()
}

fn strange_word(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => "nan",
    }
}

/// Whether columns of plain digits would be too wide or show too little.
fn is_scientific<T: Element>(values: &[T]) -> bool {
    let sizes = values.iter().map(|value| value.to_f64().abs());
    let sizes = sizes.filter(|&size| size != 0.0 && size.is_finite());
    let (low, high) = sizes.fold((f64::INFINITY, 0f64), |(low, high), size| {
        (low.min(size), high.max(size))
    });
    high >= plain(T::DTYPE) || (high > 0.0 && (low < 1e-4 || high / low > 1000.0))
}

/// What plain digits stay below. NumPy goes by the digits that a type is sure to hold, and knows no
/// other floats than these two.
fn plain(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e6,
        DType::F16 => 1e3,
        _ => 1e8,
    }
}

/// A number in digits: sign and whole part, fraction, and exponent with its `e`.
struct Parts {
    whole: String,
    fraction: String,
    exponent: String,
}

impl Parts {
    fn of(text: &str, scientific: bool) -> Parts {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, ""));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent = match exponent.strip_prefix('-') {
            Some(size) => format!("e-{size:0>2}"),
            None if scientific => format!("e+{exponent:0>2}"),
            None => String::new(),
        };
        let fraction = fraction.trim_end_matches('0').to_owned();
        Parts {
            whole: whole.to_owned(),
            fraction,
            exponent,
        }
    }

    /// The number with its point under the others'.
    fn word(&self, fraction: usize, scientific: bool) -> String {
        let fill = if scientific { '0' } else { ' ' };
        let fill: String = std::iter::repeat_n(fill, fraction - self.fraction.len()).collect();
        format!("{}.{}{fill}{}", self.whole, self.fraction, self.exponent)
    }
}

/// The fewest digits that tell the value from its neighbours, and [`DIGITS`] after the point at
/// most.
fn shortest<T: Element>(value: T, scientific: bool) -> String {
    let exact = value.to_f64();
    let same = |text: &String| {
        let read = text.parse::<f64>();
        read.is_ok_and(|read| T::from_f64(read).to_f64() == exact)
    };
    let write = |digits: usize| match scientific {
        true => format!("{exact:.digits$e}"),
        false => format!("{exact:.digits$}"),
    };
    (0..DIGITS)
        .map(write)
        .find(same)
        .unwrap_or_else(|| write(DIGITS))
}

/// Words in nested brackets.
struct Block<'a> {
    dims: &'a [usize],
    /// Whether an axis was cut in the middle.
    cut: Vec<bool>,
    words: &'a [String],
}

impl Block<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dims.contains(&0) {
            return f.write_str("[]");
        }
        f.write_str(&self.text(0, 0))
    }

    /// The part that begins at word `first`, with the axes from `axis` on.
    fn text(&self, axis: usize, first: usize) -> String {
        if axis == self.dims.len() {
            return self.words[first].clone();
        }
        let step: usize = self.dims[axis + 1..].iter().product();
        let mut parts: Vec<String> = (0..self.dims[axis])
            .map(|i| self.text(axis + 1, first + i * step))
            .collect();
        if self.cut[axis] {
            parts.insert(EDGE, "...".to_owned());
        }
        let inner = self.dims.len() - axis - 1;
        let indent = " ".repeat(axis + 1);
        let body = match inner {
            0 => wrapped(&parts, &indent, WIDTH.saturating_sub(self.dims.len())),
            _ => parts.join(&format!("{}{indent}", "\n".repeat(inner))),
        };
        format!("[{body}]")
    }
}

/// Words with blanks between, in lines of at most `width` columns, the first of which begins
/// after the indent.
fn wrapped(words: &[String], indent: &str, width: usize) -> String {
    let mut text = String::new();
    let mut column = indent.len();
    for (i, word) in words.iter().enumerate() {
        if i > 0 && column + 1 + word.len() > width {
            text.truncate(text.trim_end().len());
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{indent}");
            column = indent.len();
        } else if i > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use half::{bf16, f16};

    fn show<T: Element>(values: &[T], dims: &[usize]) -> String {
        Tensor::from_slice(values, dims, Device::cpu())
            .unwrap()
            .to_string()
    }

    #[test]
    fn scalars_and_empty_tensors() {
        assert_eq!(show(&[2.5f32], &[]), "2.5\nf32 []");
        assert_eq!(show::<f32>(&[], &[2, 0]), "[]\nf32 [2, 0]");
        assert_eq!(show(&[7i64], &[1]), "[7]\ni64 [1]");
    }

    #[test]
    fn points_stand_under_each_other() {
        let text = show(&[1.0f32, -2.5, 0.125, 100.0], &[2, 2]);
        assert_eq!(text, "[[  1.     -2.5  ]\n [  0.125 100.   ]]\nf32 [2, 2]");
    }

    #[test]
    fn blocks_are_apart() {
        let text = show(&[0u8, 1, 2, 3, 4, 5, 6, 10], &[2, 2, 2]);
        assert_eq!(
            text,
            "[[[ 0  1]\n  [ 2  3]]\n\n [[ 4  5]\n  [ 6 10]]]\nu8 [2, 2, 2]"
        );
    }

    #[test]
    fn wide_ranges_are_scientific() {
        let text = show(&[1e-5f32, 1.0, -2.5e10], &[3]);
        assert_eq!(text, "[ 1.0e-05  1.0e+00 -2.5e+10]\nf32 [3]");
        assert_eq!(show(&[0.0f32, 1e-45], &[2]), "[0.e+00 1.e-45]\nf32 [2]");
        assert_eq!(show(&[999999f32], &[1]), "[999999.]\nf32 [1]");
        assert_eq!(show(&[1000000f32], &[1]), "[1.e+06]\nf32 [1]");
        assert_eq!(show(&[f16::from_f64(1024.0)], &[1]), "[1.024e+03]\nf16 [1]");
        // The digits that tell the second from its neighbours are fewer than the first's.
        assert_eq!(
            show(&[-107017320f32, 94305352.0], &[2]),
            "[-1.0701732e+08  9.4305352e+07]\nf32 [2]"
        );
    }

    #[test]
    fn values_that_are_no_numbers() {
        let text = show(
            &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5, -0.0],
            &[5],
        );
        assert_eq!(text, "[ nan  inf -inf  1.5 -0. ]\nf32 [5]");
        assert_eq!(show(&[f32::NAN], &[1]), "[nan]\nf32 [1]");
    }

    #[test]
    fn halves_show_the_digits_that_they_have() {
        let thirds = "[0.3333]\nf16 [1]";
        assert_eq!(show(&[f16::from_f64(1.0 / 3.0)], &[1]), thirds);
        assert_eq!(
            show(&[bf16::from_f64(0.1), bf16::from_f64(3.0)], &[2]),
            "[0.1 3. ]\nbf16 [2]"
        );
    }

    #[test]
    fn integers_are_exact() {
        let text = show(&[i64::MAX, i64::MIN], &[2]);
        assert_eq!(text, "[ 9223372036854775807 -9223372036854775808]\ni64 [2]");
        assert_eq!(show(&[u32::MAX], &[]), "4294967295\nu32 []");
    }

    #[test]
    fn long_lines_wrap() {
        let text = show(&(0..30i32).map(|i| i * 1000).collect::<Vec<_>>(), &[30]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
        assert!(lines[0].starts_with("[    0  1000"));
        assert!(lines[1].starts_with(" 12000"), "{text}");
    }

    #[test]
    fn large_tensors_show_their_edges() {
        let values: Vec<i32> = (0..1001).collect();
        assert_eq!(
            show(&values, &[1001]),
            "[   0    1    2 ...  998  999 1000]\ni32 [1001]"
        );
        let rows: Vec<u8> = (0..2000u32).map(|i| (i / 200) as u8).collect();
        let text = show(&rows, &[10, 200]);
        let wanted = "[[0 0 0 ... 0 0 0]\n [1 1 1 ... 1 1 1]\n [2 2 2 ... 2 2 2]\n ...\n \
                      [7 7 7 ... 7 7 7]\n [8 8 8 ... 8 8 8]\n [9 9 9 ... 9 9 9]]\nu8 [10, 200]";
        assert_eq!(text, wanted);
        let text = show(&rows, &[2, 5, 200]);
        assert!(text.starts_with("[[[0 0 0 ... 0 0 0]\n  [1 1 1"), "{text}");
    }

    #[test]
    fn views_show_what_they_see() {
        let x = Tensor::from_slice(&[1i32, 2, 3, 4], &[2, 2], Device::cpu()).unwrap();
        let text = x.transpose(0, 1).unwrap().flip(0).unwrap().to_string();
        assert_eq!(text, "[[2 4]\n [1 3]]\ni32 [2, 2]");
    }
}
