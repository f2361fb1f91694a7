//! Reductions, of `ops/reduce.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, Team, element, groups_of, launch, pack,
    structs::ReduceParams,
};
use crate::{DType, Tensor};
use wootz_runtime::{Buffer as Memory, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// The fold in the dialect.
    pub fold: Fold,
    /// The input's type.
    pub from: DType,
    /// What it does.
    pub step: Step,
}

/// What a kernel folds and what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Rows, to results.
    Rows(RowStep),
    /// Parts of rows, to states.
    RowParts(RowStep),
    /// Columns, so many moved as one, to results.
    Columns(usize),
    /// Parts of columns, to states.
    ColumnParts(usize),
    /// States, to results.
    Join,
}

/// How rows are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowStep {
    /// Who takes a row.
    pub team: Team,
    /// Elements moved as one.
    pub vector: usize,
}

/// A fold of `tile/fold.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fold {
    /// Its name.
    pub name: &'static str,
    /// What the result is.
    pub gives: Gives,
}

/// The type of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gives {
    /// The input's.
    Same,
    /// The input's if it is a float, else `i64`.
    Total,
    /// A truth value.
    Truth,
    /// A place.
    Place,
}

impl Fold {
    /// The result's type.
    pub fn output(self, from: DType) -> DType {
        match self.gives {
            Gives::Total if !from.is_float() => DType::I64,
            Gives::Same | Gives::Total => from,
            Gives::Truth => DType::U8,
            Gives::Place => DType::I64,
        }
    }

    /// Whether its state is so small that a lane can fetch much and leave room for many lanes.
    fn is_light(self) -> bool {
        matches!(self.name, "FoldSum" | "FoldMean" | "FoldMax" | "FoldMin")
    }

    /// The type that elements of `from` are folded in. Simds shuffle 32 and 64 bits, and sums of
    /// integers wrap, which signed ones of the dialect do not.
    fn wide(self, from: DType) -> &'static str {
        match from {
            _ if from.is_float() => "f32",
            _ if self.gives == Gives::Total => "u64",
            DType::U8 => "u32",
            other => element(other),
        }
    }
}

/// Lanes of a group that folds rows, and of one that folds columns, as `ops/reduce.h` has it.
const ROW_LANES: u32 = 256;
const COLUMN_LANES: u32 = 128;
/// Bytes that any fold's state fits in.
const STATE: usize = 32;
/// Units of work that keep a large device busy, and elements that make one of them worth it.
const ENOUGH: usize = 512;
const PART: usize = 1 << 12;
/// Fewer units than these.
const FEWEST: usize = 8;
/// The same for columns, of which a group takes many beside each other.
const COLUMN_PART: usize = 1 << 7;

impl Reduce {
    /// Every kernel of a fold of elements of `from`.
    pub(super) fn all(fold: Fold, from: DType) -> Vec<Id> {
        let mut steps = vec![Step::Join];
        for vector in [1, column_pack(from)] {
            steps.extend([Step::Columns(vector), Step::ColumnParts(vector)]);
        }
        for team in [Team::Lanes(8), Team::Lanes(32), Team::Group] {
            for vector in [1, pack(from)] {
                steps.push(Step::Rows(RowStep { team, vector }));
                if team == Team::Group {
                    steps.push(Step::RowParts(RowStep { team, vector }));
                }
            }
        }
        let id = |step| Id::Reduce(Reduce { fold, from, step });
        steps.into_iter().map(id).collect()
    }

    pub(super) fn instance(self) -> Instance {
        let Reduce { fold, from, step } = self;
        let (t, w) = (element(from), fold.wide(from));
        let out = element(fold.output(from));
        let of = format!("{}<{w}>", fold.name);
        let state = format!("{of}::State");
        let ways = |way: RowStep| format!("{t}, {}, {}", way.team.name(ROW_LANES), way.vector);
        let suffix = |way: RowStep| format!("{}_v{}", way.team.suffix(), way.vector);
        let (body, name) = match step {
            Step::Rows(way) => (
                format!("reduce_rows<{of}, {w}, {out}, {}>", ways(way)),
                format!("rows_{}", suffix(way)),
            ),
            Step::RowParts(way) => (
                format!("reduce_row_parts<{of}, {w}, {}>", ways(way)),
                format!("row_parts_{}", suffix(way)),
            ),
            Step::Columns(vector) => (
                format!("reduce_columns<{of}, {w}, {out}, {t}, {vector}>"),
                format!("columns_v{vector}"),
            ),
            Step::ColumnParts(vector) => (
                format!("reduce_column_parts<{of}, {w}, {t}, {vector}>"),
                format!("column_parts_v{vector}"),
            ),
            Step::Join => (format!("reduce_join<{of}, {out}>"), "join".to_owned()),
        };
        let input = match step {
            Step::Join => Buffer::In(state.clone()),
            _ => Buffer::input(t),
        };
        let output = match step {
            Step::RowParts(_) | Step::ColumnParts(_) => Buffer::Out(state),
            _ => Buffer::output(out),
        };
        Instance {
            file: "ops/reduce.h",
            name: format!("{}_{t}_{name}", fold.name),
            body,
            lanes: match step {
                Step::Columns(_) | Step::ColumnParts(_) => COLUMN_LANES,
                _ => ROW_LANES,
            },
            form: match step {
                Step::Columns(_) | Step::ColumnParts(_) if fold.is_light() => Form::Dense,
                _ => Form::Plain,
            },
            params: ReduceParams::C,
            buffers: vec![input, output],
        }
    }
}

/// Columns that are moved as one where they can be.
fn column_pack(dtype: DType) -> usize {
    pack(dtype).min(4)
}

/// A reduction of a contiguous `[outer, length, inner]` over `length`.
pub(crate) struct Reduction {
    fold: Fold,
    from: DType,
    columns: bool,
    params: ReduceParams,
}

impl Reduction {
    /// How it is laid out: a pure function of the sizes.
    pub(crate) fn new(fold: Fold, from: DType, dims: [usize; 3], argument: f64) -> Reduction {
        let [outer, length, inner] = dims;
        let columns = inner > 1;
        let (units, most) = if columns {
            let lanes = inner.div_ceil(column_pack(from));
            (outer * lanes.div_ceil(32), length / COLUMN_PART)
        } else {
            (outer, length / PART)
        };
        // Few and long folds are cut, into parts that start at multiples of a pack. Groups that fold
        // columns are small: the fewest are cut into twice as many.
        let enough = match columns && units < FEWEST {
            true => 2 * ENOUGH,
            false => ENOUGH,
        };
        let parts = enough.div_ceil(units.max(1)).min(most).max(1);
        let part = length.div_ceil(parts).next_multiple_of(16);
        let params = ReduceParams {
            outer: outer as u64,
            length: length as u64,
            inner: inner as u64,
            parts: length.div_ceil(part.max(1)).max(1) as u64,
            part: part as u64,
            argument: argument as f32,
            pad: 0,
        };
        Reduction {
            fold,
            from,
            columns,
            params,
        }
    }

    /// Bytes that the states of parts take; `None` where folds are whole.
    pub(crate) fn states(&self) -> Option<usize> {
        let p = &self.params;
        let outputs = (p.outer * p.inner) as usize;
        (p.parts > 1).then_some(outputs * p.parts as usize * STATE)
    }

    /// The plan that folds `x` to `out`, or to the states of parts.
    pub(crate) fn plan<'a>(&self, x: &'a Tensor, out: (&'a Memory, usize)) -> Plan<'a> {
        let p = &self.params;
        let (parts, units) = (p.parts > 1, (p.outer * p.parts) as usize);
        let (step, groups, scratch) = if self.columns {
            let pack = column_pack(self.from);
            let whole = (p.inner as usize).is_multiple_of(pack);
            let aligned = whole && x.byte_offset().is_multiple_of(16);
            let vector = if aligned { pack } else { 1 };
            let blocks = (p.inner as usize).div_ceil(32 * vector);
            let step = if parts {
                Step::ColumnParts(vector)
            } else {
                Step::Columns(vector)
            };
            let scratch = COLUMN_LANES as usize * vector.min(4) * STATE;
            (step, units * blocks, scratch)
        } else {
            let pack = pack(self.from);
            let whole = (p.length as usize).is_multiple_of(pack);
            let aligned = whole && x.byte_offset().is_multiple_of(16);
            let vector = if aligned { pack } else { 1 };
            let packs = p.length as usize / vector;
            let few = (p.outer as usize) < ENOUGH;
            let team = match packs {
                _ if parts => Team::Group,
                0..=64 if !few => Team::Lanes(8),
                0..=64 => Team::Lanes(32),
                65..=1024 if !few => Team::Lanes(32),
                _ => Team::Group,
            };
            let way = RowStep { team, vector };
            let step = if parts {
                Step::RowParts(way)
            } else {
                Step::Rows(way)
            };
            (step, team.groups(ROW_LANES, units), 2 * 32 * STATE)
        };
        launch(self.id(step), groups_of(groups), p)
            .read(x.buffer(), x.byte_offset())
            .write(out.0, out.1)
            .scratch(scratch)
            .cost((x.count() * x.dtype().size()) as u64, x.count() as u64)
    }

    /// The plan that joins the states of parts.
    pub(crate) fn join<'a>(&self, states: &'a Memory, out: &'a Tensor) -> Plan<'a> {
        let simds = ROW_LANES as usize / 32;
        launch(
            self.id(Step::Join),
            groups_of(out.count().div_ceil(simds)),
            &self.params,
        )
        .read(states, 0)
        .write(out.buffer(), out.byte_offset())
    }

    fn id(&self, step: Step) -> Id {
        Id::Reduce(Reduce {
            fold: self.fold,
            from: self.from,
            step,
        })
    }
}
