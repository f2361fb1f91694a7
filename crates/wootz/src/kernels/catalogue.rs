//! Every instance there is, by module: what the lint and the ahead-of-time checks walk.

use super::{
    Buffer, CStruct, Instance, KernelParams, element, pack,
    rows::{RowWay, norm, softmax},
    structs::{
        FillParams, IndexParams, MatmulParams, ReduceParams, RopeParams, SoftmaxParams, WalkParams,
    },
};
use crate::DType;

const INTEGERS: &[DType] = &[DType::I32, DType::U32, DType::I64, DType::U8];
const ALL: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U8,
];

/// What a pointwise op gives: elements of its operands' type, or truth values.
type Output = fn(DType) -> DType;
const SAME: Output = |dtype| dtype;
const TRUTH: Output = |_| DType::U8;

type Pointwise = (&'static [&'static str], usize, &'static [DType], Output);

/// Ops of `ops/pointwise.h`: the structs, their operands, their element types and their output.
const POINTWISE: &[Pointwise] = &[
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
        &["Square", "Relu", "Abs", "Neg", "Sign", "Copy"],
        1,
        ALL,
        SAME,
    ),
    (&["LogicalNot"], 1, ALL, TRUTH),
    (&["BitwiseNot"], 1, INTEGERS, SAME),
    (
        &["Add", "Sub", "Mul", "Div", "Rem", "Maximum", "Minimum"],
        2,
        ALL,
        SAME,
    ),
    (&["Pow", "Atan2"], 2, DType::FLOATS, SAME),
    (&["Eq", "Ne", "Lt", "Le", "Gt", "Ge"], 2, ALL, TRUTH),
    (&["LogicalAnd", "LogicalOr", "LogicalXor"], 2, ALL, TRUTH),
    (
        &["BitwiseAnd", "BitwiseOr", "BitwiseXor", "Shl", "Shr"],
        2,
        INTEGERS,
        SAME,
    ),
];

/// Reductions of `ops/reduce.h`: the fold, its element types and its output.
const FOLDS: &[(&str, &[DType], Output)] = &[
    ("FoldSum", ALL_BUT_U8, SAME),
    ("FoldProduct", ALL_BUT_U8, SAME),
    ("FoldMax", ALL_BUT_U8, SAME),
    ("FoldMin", ALL_BUT_U8, SAME),
    ("FoldMean", DType::FLOATS, SAME),
    ("FoldNorm", DType::FLOATS, SAME),
    ("FoldAny", ALL, TRUTH),
    ("FoldAll", ALL, TRUTH),
    ("FoldArgMax", ALL_BUT_U8, |_| DType::I64),
    ("FoldArgMin", ALL_BUT_U8, |_| DType::I64),
];
/// Simds shuffle 32 and 64 bits; bytes are widened first.
const ALL_BUT_U8: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::U32,
    DType::I64,
];

/// All instances, those of one module together.
pub fn modules() -> Vec<Vec<Instance>> {
    let mut modules = vec![];
    for &dtype in DType::FLOATS {
        let ways = RowWay::all(dtype);
        let each = |make: &dyn Fn(RowWay) -> Instance| -> Vec<Instance> {
            ways.iter().map(|&way| make(way)).collect()
        };
        modules.push(each(&|way| softmax("softmax", "Softmax", dtype, way)));
        modules.push(each(&|way| {
            softmax("log_softmax", "LogSoftmax", dtype, way)
        }));
        modules.push(each(&|way| norm("layer_norm", "Centred", dtype, way)));
        modules.push(each(&|way| norm("rms_norm", "Uncentred", dtype, way)));
        modules.push(logsumexp(dtype));
        modules.push(variance(dtype));
        modules.push(vec![matmul(dtype)]);
        modules.push(vec![rope(dtype)]);
    }
    modules.push(ALL.iter().map(|&dtype| arange(dtype)).collect());
    modules.push(ALL.iter().flat_map(|&dtype| choose(dtype)).collect());
    for &(ops, operands, dtypes, output) in POINTWISE {
        for op in ops {
            let each = |&dtype: &DType| pointwise(op, op, operands, dtype, output(dtype));
            modules.push(dtypes.iter().flat_map(each).collect());
        }
    }
    for &to in ALL {
        let cast = format!("Cast<{}>", element(to));
        let each = |&from: &DType| pointwise(&format!("Cast_{}", element(to)), &cast, 1, from, to);
        modules.push(ALL.iter().flat_map(each).collect());
    }
    for &(fold, dtypes, output) in FOLDS {
        let each = |&dtype: &DType| reduce(fold, dtype, output(dtype));
        modules.push(dtypes.iter().flat_map(each).collect());
    }
    modules.extend(ALL.iter().map(|&dtype| index(dtype)));
    modules
}

/// The type that elements are computed in.
fn wide(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 | DType::BF16 => element(DType::F32),
        other => element(other),
    }
}

/// An instance with default lanes: inputs of these types, then one output.
fn plain(
    file: &'static str,
    name: String,
    body: String,
    params: CStruct,
    inputs: &[DType],
    output: DType,
) -> Instance {
    let mut buffers: Vec<Buffer> = inputs
        .iter()
        .map(|&dtype| Buffer::In(element(dtype)))
        .collect();
    buffers.push(Buffer::Out(element(output)));
    Instance {
        file,
        name,
        body,
        lanes: 256,
        params,
        buffers,
    }
}

fn pointwise(name: &str, op: &str, operands: usize, from: DType, to: DType) -> Vec<Instance> {
    let (t, out) = (element(from), element(to));
    let mut instances = vec![];
    for vector in [1, pack(from).min(pack(to))] {
        for counter in ["u32", "u64"] {
            instances.push(plain(
                "ops/pointwise.h",
                format!("{name}_{t}_v{vector}_{counter}"),
                format!("pointwise{operands}<{op}, {out}, {t}, {vector}, {counter}>"),
                WalkParams::C,
                &vec![from; operands],
                to,
            ));
        }
    }
    instances
}

fn reduce(fold: &str, from: DType, to: DType) -> Vec<Instance> {
    let (t, out, fold_of) = (
        element(from),
        element(to),
        format!("{fold}<{}>", wide(from)),
    );
    let instance = |name: String, body: String| {
        plain("ops/reduce.h", name, body, ReduceParams::C, &[from], to)
    };
    let mut instances = vec![instance(
        format!("{fold}_{t}_columns"),
        format!("reduce_columns<{fold_of}, {out}, {t}>"),
    )];
    for (team, vector) in ways_of(from) {
        let name = format!("{fold}_{t}_rows_{team}_v{vector}");
        let body = format!("reduce_rows<{fold_of}, {out}, {t}, {team}, {vector}>");
        instances.push(instance(name, body));
    }
    instances
}

fn logsumexp(dtype: DType) -> Vec<Instance> {
    let t = element(dtype);
    let instance = |(team, vector): (&str, usize)| {
        let name = format!("logsumexp_{t}_{team}_v{vector}");
        let body = format!("logsumexp<{t}, {team}, {vector}>");
        plain(
            "ops/softmax.h",
            name,
            body,
            SoftmaxParams::C,
            &[dtype],
            dtype,
        )
    };
    ways_of(dtype).map(instance).to_vec()
}

fn variance(dtype: DType) -> Vec<Instance> {
    let t = element(dtype);
    let instance = |name: String, body: String| {
        plain("ops/reduce.h", name, body, ReduceParams::C, &[dtype], dtype)
    };
    let rows = ways_of(dtype).map(|(team, vector)| {
        let name = format!("variance_{t}_rows_{team}_v{vector}");
        instance(name, format!("variance_rows<{t}, {team}, {vector}>"))
    });
    let columns = instance(
        format!("variance_{t}_columns"),
        format!("variance_columns<{t}>"),
    );
    rows.into_iter().chain([columns]).collect()
}

/// The teams and vectors of kernels that stream rows.
fn ways_of(dtype: DType) -> [(&'static str, usize); 4] {
    let vector = pack(dtype);
    [
        ("SimdTeam", 1),
        ("SimdTeam", vector),
        ("GroupTeam", 1),
        ("GroupTeam", vector),
    ]
}

/// `where`: a condition chooses between two operands.
fn choose(dtype: DType) -> Vec<Instance> {
    let t = element(dtype);
    let mut instances = vec![];
    for vector in [1, pack(dtype)] {
        for counter in ["u32", "u64"] {
            instances.push(plain(
                "ops/pointwise.h",
                format!("where_{t}_v{vector}_{counter}"),
                format!("choose<{t}, {vector}, {counter}>"),
                WalkParams::C,
                &[DType::U8, dtype, dtype],
                dtype,
            ));
        }
    }
    instances
}

fn matmul(dtype: DType) -> Instance {
    let t = element(dtype);
    let (name, body) = (
        format!("matmul_{t}_64x64"),
        format!("matmul<{t}, 64, 64, 2, 2>"),
    );
    let mut instance = plain(
        "ops/matmul.h",
        name,
        body,
        MatmulParams::C,
        &[dtype; 3],
        dtype,
    );
    instance.lanes = 128;
    instance
}

fn rope(dtype: DType) -> Instance {
    let t = element(dtype);
    let inputs = [dtype, DType::F32, DType::F32];
    plain(
        "ops/rope.h",
        format!("rope_{t}"),
        format!("rope<{t}>"),
        RopeParams::C,
        &inputs,
        dtype,
    )
}

fn arange(dtype: DType) -> Instance {
    let t = element(dtype);
    let stem = if INTEGERS.contains(&dtype) {
        "arange_whole"
    } else {
        "arange"
    };
    let body = format!("{stem}<{t}>");
    plain(
        "ops/fill.h",
        format!("arange_{t}"),
        body,
        FillParams::C,
        &[],
        dtype,
    )
}

fn index(dtype: DType) -> Vec<Instance> {
    let t = element(dtype);
    let mut instances = vec![];
    let mut add = |by: DType, name: String, body: String| {
        let mut instance = plain(
            "ops/index.h",
            name,
            body,
            IndexParams::C,
            &[dtype, by],
            dtype,
        );
        instance.buffers.push(Buffer::Out(element(DType::U32)));
        instances.push(instance);
    };
    for by in [DType::I32, DType::U32, DType::I64] {
        let i = element(by);
        for vector in [1, pack(dtype)] {
            let body = format!("index_select<{t}, {i}, {vector}>");
            add(by, format!("index_select_{t}_{i}_v{vector}"), body);
        }
        add(by, format!("gather_{t}_{i}"), format!("gather<{t}, {i}>"));
        for op in ["Add", "Maximum"] {
            add(
                by,
                format!("scatter_{op}_{t}_{i}"),
                format!("scatter<{op}, {t}, {i}>"),
            );
        }
    }
    instances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::module;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_modules_render() {
        let mut names = HashSet::new();
        for instances in modules() {
            let text = module(&instances).unwrap();
            for instance in instances {
                assert!(text.contains(&format!("ENTRY({}, ", instance.name)));
                assert!(names.insert(instance.name.clone()), "{}", instance.name);
            }
        }
    }
}
