//! Conformance cases: inputs, a call, and what must come out within which bound.

use crate::{DType, Element, Result, Tensor, reference::Array, with_dtype};

/// One input: values that its element type can hold.
#[derive(Debug, Clone)]
pub struct Input {
    /// Element type.
    pub dtype: DType,
    /// The values.
    pub array: Array,
}

impl Input {
    /// `array` rounded to `dtype`.
    pub fn new(dtype: DType, array: Array) -> Input {
        Input {
            dtype,
            array: array.map(|value| round_to(dtype, value)),
        }
    }
}

/// The value of `dtype` nearest to `value`.
pub fn round_to(dtype: DType, value: f64) -> f64 {
    with_dtype!(dtype, T => T::from_f64(value).to_f64())
}

/// What must come out.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Element type.
    pub dtype: DType,
    /// The exact values, before rounding to `dtype`.
    pub array: Array,
    /// For each value how far the result may be off, besides the one rounding to `dtype`. It
    /// follows from the arithmetic: unit roundoff times how the op's steps let it grow.
    pub errors: Vec<f64>,
    /// Whether a zero must have the right sign.
    pub signed_zero: bool,
}

impl Expected {
    /// These values, rounded once.
    pub fn exact(dtype: DType, array: Array) -> Expected {
        let errors = vec![0.0; array.values.len()];
        Expected {
            dtype,
            array,
            errors,
            signed_zero: false,
        }
    }

    /// These values, off by `factor` unit roundoffs of `f32` relative to each value.
    pub fn relative(dtype: DType, array: Array, factor: f64) -> Expected {
        let unit = f64::from(f32::EPSILON) / 2.0 * factor;
        let errors = array
            .values
            .iter()
            .map(|value| value.abs() * unit)
            .collect();
        Expected {
            dtype,
            array,
            errors,
            signed_zero: false,
        }
    }

    /// These values, each off by its entry in `errors`.
    pub fn within(dtype: DType, array: Array, errors: Vec<f64>) -> Expected {
        Expected {
            dtype,
            array,
            errors,
            signed_zero: false,
        }
    }

    /// The same, where a zero must have the right sign.
    pub fn with_signed_zero(self) -> Expected {
        Expected {
            signed_zero: true,
            ..self
        }
    }
}

/// What a case calls.
pub type Run = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;
/// What a case is compared with.
pub type Expect = Box<dyn Fn(&[Array]) -> Expected + Send + Sync>;

/// One case of an op.
pub struct Case {
    /// Shapes and arguments in words.
    pub label: String,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The call.
    pub run: Run,
    /// The reference.
    pub expect: Expect,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// Collects the cases of one op and element type, and makes their inputs.
#[derive(Debug)]
pub struct Cases {
    dtype: DType,
    state: u64,
    list: Vec<Case>,
}

impl Cases {
    /// No cases yet, for `dtype`.
    pub fn new(dtype: DType) -> Cases {
        Cases {
            dtype,
            state: 0x9e37_79b9_7f4a_7c15,
            list: Vec::new(),
        }
    }

    /// The element type that the cases are for.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Adds a case.
    pub fn add(
        &mut self,
        label: impl Into<String>,
        inputs: Vec<Input>,
        run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
        expect: impl Fn(&[Array]) -> Expected + Send + Sync + 'static,
    ) {
        let (label, run, expect) = (label.into(), Box::new(run), Box::new(expect));
        self.list.push(Case {
            label,
            inputs,
            run,
            expect,
        });
    }

    /// The cases.
    pub fn finish(self) -> Vec<Case> {
        self.list
    }

    /// A number in 0..1, the same sequence on every run.
    pub fn uniform(&mut self) -> f64 {
        // xorshift64*: short, and good enough to make test data.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An input of the cases' type with values spread over `low..high`.
    pub fn input(&mut self, dims: &[usize], low: f64, high: f64) -> Input {
        self.input_of(self.dtype, dims, low, high)
    }

    /// An input of another type with values spread over `low..high`.
    pub fn input_of(&mut self, dtype: DType, dims: &[usize], low: f64, high: f64) -> Input {
        let array = Array::from_fn(dims, |_| low + (high - low) * self.uniform());
        let array = if dtype.is_float() {
            array
        } else {
            array.map(f64::floor)
        };
        Input::new(dtype, array)
    }

    /// A one-axis input of what goes wrong first: NaN, infinities, zeros of both signs,
    /// denormals, the largest and smallest values, and ordinary ones between.
    pub fn specials(&self) -> Input {
        let values = special_values(self.dtype);
        Input::new(
            self.dtype,
            Array {
                dims: vec![values.len()],
                values,
            },
        )
    }
}

/// Values that go wrong first.
pub fn special_values(dtype: DType) -> Vec<f64> {
    let floats = |tiny: f64, small: f64, large: f64| {
        let mut values = vec![f64::NAN, f64::INFINITY, 0.0, tiny, small, large];
        values.extend([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 10.0, 88.0, 100.0]);
        let negative: Vec<f64> = values.iter().map(|value| -value).collect();
        values.extend(negative);
        values
    };
    match dtype {
        DType::F32 => floats(1e-45, f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)),
        DType::F16 => floats(6e-8, 6.103515625e-5, 65504.0),
        DType::BF16 => floats(
            9.2e-41,
            f64::from(f32::MIN_POSITIVE),
            3.389_531_389_251_535e38,
        ),
        DType::F8E4M3 => floats(0.001953125, 0.015625, 448.0),
        DType::I32 => {
            vec![
                0.0,
                1.0,
                -1.0,
                2.0,
                f64::from(i32::MAX),
                f64::from(i32::MIN),
                31.0,
                32.0,
            ]
        }
        DType::U32 => vec![
            0.0,
            1.0,
            2.0,
            31.0,
            32.0,
            f64::from(u32::MAX),
            2_147_483_648.0,
        ],
        DType::I64 => vec![
            0.0,
            1.0,
            -1.0,
            2.0,
            9_007_199_254_740_992.0,
            -9_007_199_254_740_992.0,
        ],
        DType::U8 => vec![0.0, 1.0, 2.0, 7.0, 8.0, 127.0, 128.0, 255.0],
    }
}
