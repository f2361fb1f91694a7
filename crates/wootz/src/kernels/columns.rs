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
    /// Packs that a lane holds; 0 for a panel that is streamed.
    pub packs: usize,
    /// Lanes in a group.
    pub lanes: u32,
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
            packs,
            lanes,
        } = way;
        let (t, name) = (element(dtype), op.struct_name());
        let team = way.team().name(lanes);
        let (stem, count) = match packs {
            0 => ("streamed", String::new()),
            _ => ("held", format!(", {packs}")),
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
                    "{name}_{t}_columns_{}{lanes}_v{vector}_p{packs}",
                    way.team().suffix()
                ),
                format!("softmax_columns_{stem}<{name}, {t}, {team}, {vector}{count}>"),
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
            packs: 0,
            lanes: ColumnWay::HOLDING,
        };
        let packs = length.div_ceil(way.step()).next_power_of_two();
        if packs <= ColumnWay::HELD {
            return ColumnWay { packs, ..way };
        }
        let streamed = |members| ColumnWay {
            members,
            lanes: ColumnWay::STREAMING,
            ..way
        };
        // As many groups as keep the device busy.
        let busy = |&members: &u32| streamed(members).groups([rows, inner]) >= room.cores;
        let mut teams = [1, 2, 4, 8].into_iter();
        let most = 1 << room.cluster.clamp(1, 8).ilog2();
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
    /// each member, and one.
    pub(super) fn scratch(&self) -> usize {
        let states = self.lanes / 32 + 2 * self.members + 1;
        self.width() * self.vector * states as usize * 8
    }

    /// Every way that `choose` can give.
    fn all(dtype: DType) -> Vec<ColumnWay> {
        let lengths = (0..=16).map(|power| 1 << power);
        let mut ways: Vec<ColumnWay> = vec![];
        for length in lengths {
            for cluster in [1, 2, 4, 8] {
                for aligned in [false, true] {
                    let room = Room {
                        cluster,
                        ..Room::AMPLE
                    };
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
