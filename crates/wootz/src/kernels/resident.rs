//! The kernels that devices keep resident: what small work in models asks for most. Matrix products
//! are not among them: they want more registers than a resident kernel has.

use super::{
    Fold, Gives, Id, Instance, Pointwise, Reduce, Rope, RowOp, RowStep, RowWay, Rows, Step, Team,
    Walk,
};
use crate::DType;
use wootz_runtime::{Module, Resident};

/// Ops element by element, with their operands.
const POINTWISE: &[(usize, &[&str])] = &[
    (
        1,
        &[
            "Exp", "Sqrt", "Rsqrt", "Recip", "Tanh", "Sigmoid", "Gelu", "GeluTanh", "Silu", "Relu",
            "Abs", "Neg", "Copy", "Clamp",
        ],
    ),
    (2, &["Add", "Sub", "Mul", "Div", "Maximum", "Minimum"]),
    (3, &["Where"]),
];
/// Those that are resident for operands in any layout.
const STRIDED: &[&str] = &["Copy", "Add", "Mul"];
const ROWS: &[RowOp] = &[
    RowOp::Softmax,
    RowOp::LogSoftmax,
    RowOp::Centred,
    RowOp::Uncentred,
];
const FOLDS: &[(&str, Gives)] = &[
    ("FoldSum", Gives::Total),
    ("FoldMean", Gives::Same),
    ("FoldMax", Gives::Same),
    ("FoldArgMax", Gives::Place),
];
/// The types that they come in.
const TYPES: &[DType] = &[DType::F32, DType::BF16];
/// Lanes that a resident kernel has.
const MOST_LANES: u32 = 256;

/// Those kernels.
pub fn residents() -> Vec<Id> {
    let mut ids = vec![];
    for &dtype in TYPES {
        for &op in ROWS {
            ids.extend(Rows::all(op, dtype));
        }
        for &(operands, ops) in POINTWISE {
            for op in ops {
                ids.extend(Pointwise::all(op, operands, dtype, dtype));
            }
        }
        for &to in TYPES.iter().filter(|&&to| to != dtype) {
            ids.extend(Pointwise::all("Cast", 1, dtype, to));
        }
        for &(name, gives) in FOLDS {
            for team in [Team::Lanes(8), Team::Lanes(32), Team::Group] {
                let vector = super::pack(dtype);
                ids.push(Id::Reduce(Reduce {
                    fold: Fold { name, gives },
                    from: dtype,
                    step: Step::Rows(RowStep { team, vector }),
                }));
            }
        }
        ids.extend(Rope::all(dtype));
    }
    ids.retain(|id| is_small(id) && id.instance().lanes <= MOST_LANES);
    ids
}

/// Whether small work asks for it: none has so many elements that counting takes 64 bits, or rows of
/// which a lane holds much. Rows that are moved one by one, norms of the shortest, and most of what
/// goes element by element in no order of memory, are left out: each takes a compiler long, and
/// all of them make one text.
fn is_small(id: &Id) -> bool {
    match id {
        Id::Pointwise(id) => id.walk == Walk::Packs && (id.vector > 1 || STRIDED.contains(&id.op)),
        Id::Rows(Rows { op, way, .. }) => {
            let few = (1..=RowWay::HELD_OF_FEW).contains(&(way.packs * way.vector));
            few && way.vector > 1 && !(op.is_norm() && way.team == Team::Lanes(8))
        }
        _ => true,
    }
}

/// Whether a kernel runs without spilling where it stands, with the registers that a resident
/// kernel has; so few that the choice between them takes no time.
fn is_in_place(id: &Id) -> bool {
    matches!(
        id,
        Id::Rows(Rows {
            op: RowOp::Softmax,
            ..
        })
    )
}

/// The kernels in one text.
pub(super) fn resident() -> Resident {
    let (mut ids, others): (Vec<Id>, Vec<Id>) = residents().into_iter().partition(is_in_place);
    let in_place = ids.len();
    ids.extend(others);
    let instances: Vec<Instance> = ids.into_iter().map(Id::instance).collect();
    Resident {
        in_place,
        module: Module::new(super::module(&instances)),
        entries: instances
            .into_iter()
            .map(|instance| &*instance.name.leak())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residents_are_of_the_catalogue_and_in_one_text_once() {
        let all: Vec<Id> = super::super::modules().concat();
        for id in residents() {
            assert!(all.contains(&id), "{id:?}");
        }
        let resident = resident();
        let text = resident.module.text();
        assert_eq!(
            text.matches("struct Place {").count(),
            4,
            "one for each platform"
        );
        for entry in &resident.entries {
            assert_eq!(text.matches(&format!("ENTRY({entry}, ")).count(), 1);
        }
    }
}
