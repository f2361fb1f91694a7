//! Softmax along columns, of `ops/softmax_columns.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, Room, RowOp, Team, element, groups_of, pack,
    structs::SoftmaxParams,
};
use crate::DType;

/// `softmax` or `log_softmax` along columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Columns {
    /// What it computes.
    pub op: RowOp,
    /// The type.
    pub dtype: DType,
    /// How columns are worked through.
    pub way: ColumnWay,
}

/// How a team works through a panel of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnWay {
    /// Groups of a cluster that share it.
    pub members: u32,
    /// Elements moved as one.
    pub vector: usize,
    /// Where it is kept.
    pub kept: Kept,
    /// Lanes in a group.
    pub lanes: u32,
}

/// Where a panel is kept between the looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// In registers, so many packs a lane.
    Held(usize),
    /// In scratch memory.
    Staged,
    /// Nowhere: it is read twice.
    Streamed,
}

impl Columns {
    /// Every way of an op.
    pub(super) fn all(op: RowOp, dtype: DType) -> Vec<Id> {
        let id = |way| Id::Columns(Columns { op, dtype, way });
        ColumnWay::all(dtype).into_iter().map(id).collect()
    }

    pub(super) fn instance(self) -> Instance {
        let Columns { op, dtype, way } = self;
        let ColumnWay {
            members,
            vector,
            kept,
            lanes,
        } = way;
        let (t, name) = (element(dtype), op.struct_name());
        let team = way.team().name(lanes);
        let (stem, packs) = match kept {
            Kept::Held(packs) => ("held", format!(", {packs}")),
            Kept::Staged => ("staged", String::new()),
            Kept::Streamed => ("streamed", String::new()),
        };
        Instance {
            lanes,
            form: match members {
                1 => Form::Dense,
                _ => Form::Cluster(members),
            },
            ..Instance::new(
                "ops/softmax_columns.h",
                format!(
                    "{name}_{t}_columns_{}{lanes}_v{vector}_{stem}{}",
                    way.team().suffix(),
                    packs.trim_start_matches(", ")
                ),
                format!("softmax_columns_{stem}<{name}, {t}, {team}, {vector}{packs}>"),
                SoftmaxParams::C,
                vec![Buffer::input(t), Buffer::output(t)],
            )
        }
    }
}

impl ColumnWay {
    /// Packs that a lane holds at most.
    const HELD: usize = 4;
    /// Lanes of groups that hold panels, and of those that stream them.
    const HOLDING: u32 = 256;
    const STREAMING: u32 = 512;
    /// Groups that stage a panel together: the fewest of which none has more of it than `STAGED`.
    const STAGING: &[u32] = &[1, 2, 4, 8];
    /// States of columns that a lane exchanges with them at most: more cost more than a second look.
    const EXCHANGED: usize = 32;
    /// Bytes that leave room for three groups on a multiprocessor.
    const STAGED: usize = 64 << 10;

    /// The way for `rows` times `length` rows of `inner` columns, which are whole packs that start
    /// at multiples of 16 bytes if `aligned`.
    pub(super) fn choose(
        dtype: DType,
        [rows, length, inner]: [usize; 3],
        aligned: bool,
        room: Room,
    ) -> ColumnWay {
        let way = ColumnWay {
            members: 1,
            vector: if aligned { pack(dtype) } else { 1 },
            kept: Kept::Streamed,
            lanes: ColumnWay::HOLDING,
        };
        let packs = length.div_ceil(way.step()).next_power_of_two();
        if packs <= ColumnWay::HELD {
            return ColumnWay {
                kept: Kept::Held(packs),
                ..way
            };
        }
        let most = 1 << room.cluster.clamp(1, 8).ilog2();
        let staged = |&members: &u32| {
            let way = ColumnWay {
                members,
                kept: Kept::Staged,
                ..way
            };
            let fits =
                way.staged(length) <= ColumnWay::STAGED && way.scratch(length) <= room.scratch;
            let exchanged = members as usize * way.vector;
            let worth = members == 1 || exchanged <= ColumnWay::EXCHANGED;
            (aligned && members <= most && fits && worth).then_some(way)
        };
        if let Some(way) = ColumnWay::STAGING.iter().find_map(staged) {
            return way;
        }
        let streamed = |members| ColumnWay {
            members,
            lanes: ColumnWay::STREAMING,
            ..way
        };
        // As many groups as keep the device busy.
        let busy = |&members: &u32| streamed(members).groups([rows, inner]) >= room.cores;
        let mut teams = [1, 2, 4, 8].into_iter();
        streamed(teams.find(busy).unwrap_or(8).min(most))
    }

    fn team(&self) -> Team {
        match self.members {
            1 => Team::Group,
            members => Team::Cluster(members),
        }
    }

    /// Lanes beside each other: a pack each.
    fn width(&self) -> usize {
        if self.vector == 1 { 32 } else { 8 }
    }

    /// Rows that a team takes at once.
    fn step(&self) -> usize {
        (self.members * self.lanes) as usize / self.width()
    }

    pub(super) fn groups(&self, [rows, inner]: [usize; 2]) -> usize {
        let panels = inner.div_ceil(self.width() * self.vector);
        let members = self.members as usize;
        groups_of(rows * panels * members).next_multiple_of(members)
    }

    /// Bytes of scratch memory that a group needs: for each column a state from each simd, two from
    /// each member, and one; and what it stages of columns of this length.
    pub(super) fn scratch(&self, length: usize) -> usize {
        let states = self.lanes / 32 + 2 * self.members + 1;
        self.width() * self.vector * states as usize * 8 + self.staged(length)
    }

    /// Bytes that a group stages of columns of this length: a lane's packs, as many as it takes at once.
    fn staged(&self, length: usize) -> usize {
        /// As `ops/softmax_columns.h` has it.
        const PANEL_AHEAD: usize = 4;
        let packs = length.div_ceil(self.step()).next_multiple_of(PANEL_AHEAD);
        match self.kept {
            Kept::Staged => packs * self.lanes as usize * 16,
            _ => 0,
        }
    }

    /// Every way that `choose` can give.
    fn all(dtype: DType) -> Vec<ColumnWay> {
        let lengths = (0..=16).map(|power| 1 << power);
        let mut ways: Vec<ColumnWay> = vec![];
        let rooms = [1, 2, 4, 8].map(|cluster| Room {
            cluster,
            cores: 8,
            ..Room::AMPLE
        });
        for length in lengths {
            for room in rooms {
                for aligned in [false, true] {
                    let way = ColumnWay::choose(dtype, [1, length, 1], aligned, room);
                    if !ways.contains(&way) {
                        ways.push(way);
                    }
                }
            }
        }
        ways
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::{super::launch, *};
    use crate::{Device, Tensor, ops};

    /// What a small group does with a panel in scratch memory, which the conformance suite has no
    /// columns long enough for: some of its lanes have a row more, some are past the last column.
    #[test]
    fn staged_columns_are_what_the_cpu_gives() {
        let (rows, length, inner) = (2, 70, 40);
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 100.0 - 5.0;
        let values: Vec<f32> = (0..rows * length * inner).map(value).collect();
        let [x, here] = [Device::emulated(), Device::cpu()]
            .map(|device| Tensor::from_slice(&values, &[rows, length, inner], device).unwrap());
        let params = SoftmaxParams {
            rows: rows as u64,
            length: length as u64,
            inner: inner as u64,
        };
        for (op, want) in [
            (RowOp::Softmax, ops::softmax(&here, 1)),
            (RowOp::LogSoftmax, ops::log_softmax(&here, 1)),
        ] {
            let way = ColumnWay {
                members: 1,
                vector: 4,
                kept: Kept::Staged,
                lanes: 128,
            };
            let out = Tensor::from_slice(&values, &[rows, length, inner], x.device()).unwrap();
            let id = Id::Columns(Columns {
                op,
                dtype: DType::F32,
                way,
            });
            // Fewer groups than panels, so that each has several.
            let plan = launch(id, 4, &params)
                .read(x.buffer(), x.byte_offset())
                .write(out.buffer(), out.byte_offset())
                .scratch(way.scratch(length));
            // SAFETY: both are contiguous and of the sizes that the parameters say.
            let run = |stream: &wootz_runtime::Stream| unsafe { stream.submit(&plan) };
            wootz_runtime::Stream::with_current(x.device(), run).unwrap();
            let want: Vec<f32> = want.unwrap().to_vec().unwrap();
            for (got, want) in out.to_vec::<f32>().unwrap().iter().zip(want) {
                assert!((got - want).abs() < 1e-5, "{op:?}: {got} {want}");
            }
        }
    }
}
