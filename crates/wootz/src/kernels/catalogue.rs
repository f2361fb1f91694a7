//! Every kernel there is, by module: what the lint and the ahead-of-time checks walk.

use super::{
    Arange, Columns, Finish, Fold, Gives, Grouped, Id, Lora, Masked, Matmul, Pick, Pointwise,
    Reduce, Rope, RowOp, Rows, Runs, Scatter, Thin, Transpose, index::INDICES,
};
use crate::DType;

/// What a pointwise op gives: elements of its operands' type, or truth values.
type Output = fn(DType) -> DType;
const SAME: Output = |dtype| dtype;
const TRUTH: Output = |_| DType::U8;

type Family = (&'static [&'static str], usize, &'static [DType], Output);

/// Ops of `ops/pointwise.h`: the structs, their operands, their element types and their output.
const POINTWISE: &[Family] = &[
    (
        &[
            "Exp", "Exp2", "Log", "Log2", "Log1p", "Expm1", "Sqrt", "Rsqrt", "Recip", "Sin", "Cos",
            "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh",
            "Sigmoid", "Erf", "Gelu", "GeluTanh", "Silu", "Softplus", "Floor", "Ceil", "Round",
            "Trunc",
        ],
        1,
        DType::FLOATS,
        SAME,
    ),
    (&["IsNan", "IsInf"], 1, DType::FLOATS, TRUTH),
    (
        &["Relu", "Abs", "Neg", "Sign", "Clamp"],
        1,
        DType::NUMBERS,
        SAME,
    ),
    (&["Copy"], 1, DType::ALL, SAME),
    (&["LogicalNot"], 1, DType::NUMBERS, TRUTH),
    (&["BitwiseNot"], 1, DType::INTEGERS, SAME),
    (
        &[
            "Add", "Sub", "Mul", "Div", "Rem", "Maximum", "Minimum", "Pow",
        ],
        2,
        DType::NUMBERS,
        SAME,
    ),
    (&["Atan2"], 2, DType::FLOATS, SAME),
    (&["Where"], 3, DType::ALL, SAME),
    (
        &["Eq", "Ne", "Lt", "Le", "Gt", "Ge"],
        2,
        DType::NUMBERS,
        TRUTH,
    ),
    (
        &["LogicalAnd", "LogicalOr", "LogicalXor"],
        2,
        DType::NUMBERS,
        TRUTH,
    ),
    (
        &["BitwiseAnd", "BitwiseOr", "BitwiseXor", "Shl", "Shr"],
        2,
        DType::INTEGERS,
        SAME,
    ),
];

/// Reductions of `ops/reduce.h`, and their element types.
const FOLDS: &[(&str, Gives, &[DType])] = &[
    ("FoldSum", Gives::Total, DType::NUMBERS),
    ("FoldProduct", Gives::Total, DType::NUMBERS),
    ("FoldMax", Gives::Same, DType::NUMBERS),
    ("FoldMin", Gives::Same, DType::NUMBERS),
    ("FoldMean", Gives::Same, DType::FLOATS),
    ("FoldVariance", Gives::Same, DType::FLOATS),
    ("FoldLogSumExp", Gives::Same, DType::FLOATS),
    ("FoldCount", Gives::Same, DType::FLOATS),
    ("FoldTaxicab", Gives::Same, DType::FLOATS),
    ("FoldEuclid", Gives::Same, DType::FLOATS),
    ("FoldLargest", Gives::Same, DType::FLOATS),
    ("FoldNorm", Gives::Same, DType::FLOATS),
    ("FoldAny", Gives::Truth, DType::NUMBERS),
    ("FoldAll", Gives::Truth, DType::NUMBERS),
    ("FoldArgMax", Gives::Place, DType::NUMBERS),
    ("FoldArgMin", Gives::Place, DType::NUMBERS),
];

/// All portable kernels, those of one module together.
pub fn modules() -> Vec<Vec<Id>> {
    let mut modules = vec![];
    for &dtype in DType::FLOATS {
        for op in [RowOp::Softmax, RowOp::LogSoftmax] {
            modules.push(Rows::all(op, dtype));
            modules.push(Columns::all(op, dtype));
        }
        for op in [RowOp::Centred, RowOp::Uncentred] {
            modules.push(Rows::all(op, dtype));
        }
        modules.push(Matmul::all(dtype));
        modules.push(Finish::all(dtype));
        modules.push(Grouped::all(dtype));
        modules.push(Masked::all(dtype));
        modules.push(Lora::all(dtype));
        if dtype != DType::F32 {
            modules.push(Thin::all(dtype));
        }
        modules.push(Rope::all(dtype).to_vec());
    }
    modules.push(fills());
    for &(ops, operands, dtypes, output) in POINTWISE {
        for op in ops {
            let each = |&dtype: &DType| Pointwise::all(op, operands, dtype, output(dtype));
            modules.push(dtypes.iter().flat_map(each).collect());
        }
    }
    for &to in DType::ALL {
        let from = DType::ALL.iter().filter(|&&from| from != to);
        modules.push(
            from.flat_map(|&from| Pointwise::all("Cast", 1, from, to))
                .collect(),
        );
    }
    for &(name, gives, dtypes) in FOLDS {
        let fold = Fold { name, gives };
        modules.push(
            dtypes
                .iter()
                .flat_map(|&dtype| Reduce::all(fold, dtype))
                .collect(),
        );
    }
    modules.push(INDICES.into_iter().flat_map(Runs::all).collect());
    modules.push([1, 2, 4, 8].into_iter().flat_map(Pick::all).collect());
    modules.push([1, 2, 4, 8].into_iter().flat_map(Transpose::all).collect());
    for meet in ["Replace", "Add", "Maximum"] {
        modules.push(
            DType::NUMBERS
                .iter()
                .flat_map(|&dtype| Scatter::all(meet, dtype))
                .collect(),
        );
    }
    modules
}

fn fills() -> Vec<Id> {
    let mut ids = [1, 2, 4, 8].map(Id::Fill).to_vec();
    for &dtype in DType::NUMBERS {
        for whole in [true, false] {
            // Integers from fractions are the host's.
            if whole || dtype.is_float() {
                ids.push(Id::Arange(Arange { dtype, whole }));
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Instance, module, sm90_kernels};
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_modules_render() {
        let mut names = HashSet::new();
        for ids in modules().into_iter().chain([sm90_kernels()]) {
            let instances: Vec<Instance> = ids.into_iter().map(Id::instance).collect();
            let text = module(&instances);
            for instance in instances {
                assert!(text.contains(&format!("{}, ", instance.name)));
                assert!(names.insert(instance.name.clone()), "{}", instance.name);
            }
        }
    }
}
