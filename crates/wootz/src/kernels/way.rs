//! How a row is worked through: by whom, and how much of it at once.

use super::{Form, groups_of, pack};
use crate::{DType, Tensor};

/// Who takes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Team {
    /// So many lanes of a simd.
    Lanes(u32),
    /// A whole group.
    Group,
    /// So many groups of a cluster.
    Cluster(u32),
}

impl Team {
    /// Its type in the dialect, in groups of so many lanes.
    pub(super) fn name(self, lanes: u32) -> String {
        match self {
            Team::Lanes(size) => format!("LaneTeam<{size}>"),
            Team::Group => format!("GroupTeam<{lanes}>"),
            Team::Cluster(members) => format!("ClusterTeam<{members}, {lanes}>"),
        }
    }

    /// Its part of a kernel's name.
    pub(super) fn suffix(self) -> String {
        match self {
            Team::Lanes(size) => format!("t{size}"),
            Team::Group => "g".to_owned(),
            Team::Cluster(members) => format!("c{members}g"),
        }
    }

    /// Groups of `lanes` lanes that take `rows` rows, one each at first.
    pub(super) fn groups(self, lanes: u32, rows: usize) -> usize {
        match self {
            Team::Lanes(size) => rows.div_ceil((lanes / size) as usize),
            Team::Group => rows,
            Team::Cluster(members) => rows * members as usize,
        }
    }

    /// Groups that share a row.
    fn members(self) -> usize {
        match self {
            Team::Cluster(members) => members as usize,
            _ => 1,
        }
    }
}

/// What of a device decides how rows are worked through.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes of scratch memory that a group can have.
    pub(super) scratch: usize,
    /// Multiprocessors.
    pub(super) cores: usize,
    /// Groups of a cluster at most.
    pub(super) cluster: usize,
}

impl Room {
    pub(super) fn of(tensor: &Tensor) -> Room {
        let caps = tensor.device().caps();
        Room {
            scratch: caps.scratch,
            cores: caps.cores,
            cluster: caps.cluster,
        }
    }

    /// Enough for every way.
    pub(super) const AMPLE: Room = Room {
        scratch: 1 << 20,
        cores: 1,
        cluster: 8,
    };

    /// Teams of groups that fill multiprocessors and run at once. Larger clusters leave some out: their
    /// multiprocessors are of one neighbourhood, which need not be a multiple of them.
    fn teams(self, members: usize, lanes: u32) -> usize {
        let cores = match members {
            1 | 2 => self.cores,
            _ => self.cores * 7 / 8,
        };
        (cores * (RowWay::MOST_LANES / lanes) as usize / members).max(1)
    }
}

/// How a team works through a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowWay {
    /// Lanes that take a row: some of a simd, all of a group, or all of a cluster's groups.
    pub team: Team,
    /// Elements moved as one.
    pub vector: usize,
    /// Packs that a lane holds; 0 for a row that is streamed.
    pub packs: usize,
    /// Lanes in a group.
    pub lanes: u32,
    /// Whether the next row comes to scratch memory while one is worked on.
    pub ahead: bool,
}

impl RowWay {
    /// Bytes of a row that a lane holds where that lets many lanes be at work, and at most; and
    /// elements that it holds one by one.
    const BYTES: usize = 64;
    const MOST_BYTES: usize = 128;
    const SINGLE: usize = 32;
    /// Elements that a lane holds where all rows together have no more than `SMALL`: then more lanes
    /// are worth more than fewer steps.
    pub(super) const HELD_OF_FEW: usize = 8;
    const SMALL: usize = 1 << 19;
    /// Lanes of the largest groups, of which a multiprocessor has one.
    const MOST_LANES: u32 = 1024;
    /// Members of a cluster and lanes of each, from the shortest rows to the longest, as an H200 takes
    /// them fastest.
    const FULL: &[(u32, u32)] = &[(1, 512), (1, 1024), (2, 1024), (8, 512), (8, 1024)];
    /// Where rows begin in scratch memory, as `tile/row.h` has it.
    const STAGE: usize = 1024;

    /// The way for `rows` rows of `length` elements, which start at multiples of 16 bytes if
    /// `aligned` and the length is a multiple of a pack.
    pub fn choose(dtype: DType, [rows, length]: [usize; 2], aligned: bool, room: Room) -> RowWay {
        let many = rows.saturating_mul(length) > RowWay::SMALL;
        let (most, teams): (usize, &[u32]) = match many {
            true => (RowWay::BYTES / dtype.size(), &[4, 8, 16, 32]),
            false => (RowWay::HELD_OF_FEW, &[8, 32]),
        };
        let whole = aligned && length.is_multiple_of(pack(dtype));
        let vector = if whole { pack(dtype) } else { 1 };
        let held = |lanes: usize| length.div_ceil(lanes * vector).next_power_of_two();
        let fits = |lanes: u32, most: usize| held(lanes as usize) * vector <= most;
        let way = RowWay {
            team: Team::Group,
            vector,
            packs: 0,
            lanes: RowWay::MOST_LANES,
            ahead: false,
        };
        if let Some(&size) = teams.iter().find(|&&lanes| fits(lanes, most)) {
            return RowWay {
                team: Team::Lanes(size),
                packs: held(size as usize),
                lanes: 256,
                ..way
            };
        }
        let groups: &[u32] = match many {
            true => &[64, 128, 256, 512],
            false => &[128, 256, 512],
        };
        if let Some(&lanes) = groups.iter().find(|&&lanes| fits(lanes, most)) {
            return RowWay {
                packs: held(lanes as usize),
                lanes,
                ..way
            };
        }
        // Groups that fill a multiprocessor, by twos if there are many rows: what holds a row together.
        let (teams, most): (&[(u32, u32)], usize) = match whole {
            true if many => (RowWay::FULL, RowWay::MOST_BYTES / dtype.size()),
            true => (&RowWay::FULL[1..], RowWay::MOST_BYTES / dtype.size()),
            false => (&RowWay::FULL[1..2], RowWay::SINGLE),
        };
        let reachable = |&&(members, _): &&(u32, u32)| members as usize <= room.cluster;
        let holds = |&&(members, lanes): &&(u32, u32)| fits(members * lanes, most);
        let Some(&(members, lanes)) = teams.iter().filter(reachable).find(holds) else {
            return way;
        };
        let way = RowWay {
            team: match members {
                1 => Team::Group,
                _ => Team::Cluster(members),
            },
            packs: held((members * lanes) as usize),
            lanes,
            ..way
        };
        let ahead = RowWay { ahead: true, ..way };
        let several = rows > room.teams(members as usize, lanes);
        // Two groups on a multiprocessor need no help: one asks for memory while the other computes.
        let alone = members > 1 || lanes > RowWay::MOST_LANES / 2;
        if whole && alone && several && ahead.scratch() <= room.scratch {
            ahead
        } else {
            way
        }
    }

    /// Bytes of scratch memory that a group needs.
    pub(super) fn scratch(&self) -> usize {
        match self.ahead {
            true => RowWay::STAGE + self.lanes as usize * self.packs * 16,
            false => RowWay::STAGE,
        }
    }

    pub(super) fn groups(&self, rows: usize, room: Room) -> usize {
        let members = self.team.members();
        let rows = match self.ahead {
            true => rows.min(room.teams(members, self.lanes)),
            false => rows,
        };
        groups_of(self.team.groups(self.lanes, rows)).next_multiple_of(members)
    }

    /// Bytes of the rows of one group, which are nobody else's; 0 when a group goes on to others or
    /// shares its own.
    pub(super) fn part(&self, [rows, length]: [usize; 2], size: usize, room: Room) -> u32 {
        let each = match self.team {
            Team::Lanes(size) => self.lanes / size,
            Team::Group => 1,
            Team::Cluster(_) => 0,
        };
        let alone = self.team.groups(self.lanes, rows) == self.groups(rows, room);
        let part = (each as usize).saturating_mul(length).saturating_mul(size);
        u32::try_from(part).ok().filter(|_| alone).unwrap_or(0)
    }

    /// Every way that `choose` can give.
    pub fn all(dtype: DType) -> Vec<RowWay> {
        let lengths = (0..=19).flat_map(|power| [1 << power, (1 << power) + 1]);
        let sizes = lengths.flat_map(|length| [[1, length], [RowWay::SMALL, length]]);
        let rooms = [
            Room::AMPLE,
            Room {
                scratch: 0,
                ..Room::AMPLE
            },
            Room {
                cluster: 1,
                ..Room::AMPLE
            },
        ];
        let mut ways: Vec<RowWay> = vec![];
        for size in sizes {
            for way in rooms.map(|room| RowWay::choose(dtype, size, true, room)) {
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        ways
    }

    /// `_g256_v4_p2`
    pub(super) fn suffix(&self) -> String {
        let RowWay {
            team,
            vector,
            packs,
            lanes,
            ahead,
        } = self;
        let ahead = if *ahead { "_ahead" } else { "" };
        format!("_{}{lanes}_v{vector}_p{packs}{ahead}", team.suffix())
    }

    /// `held` with its packs, `ahead` likewise, or `streamed`.
    pub(super) fn body(&self, stem: &str, arguments: &str) -> String {
        let RowWay { vector, packs, .. } = self;
        let team = self.team.name(self.lanes);
        match (packs, self.ahead) {
            (0, _) => format!("{stem}_streamed<{arguments}, {team}, {vector}>"),
            (_, false) => format!("{stem}_held<{arguments}, {team}, {vector}, {packs}>"),
            (_, true) => format!("{stem}_ahead<{arguments}, {team}, {vector}, {packs}>"),
        }
    }

    pub(super) fn form(&self) -> Form {
        match self.team {
            _ if self.packs == 0 => Form::Plain,
            Team::Cluster(members) => Form::Cluster(members),
            _ => Form::Dense,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Room = Room {
        scratch: 32 << 10,
        cores: 4,
        cluster: 1,
    };

    #[test]
    fn each_group_has_its_rows_to_itself() {
        for rows in [1, 7, 64, 1000] {
            for length in [1, 24, 100, 1024, 5000] {
                let way = RowWay::choose(DType::F32, [rows, length], true, PLAIN);
                let part = way.part([rows, length], 4, PLAIN) as usize;
                let (groups, bytes) = (way.groups(rows, PLAIN), 4 * rows * length);
                assert!(part * groups >= bytes && part * (groups - 1) < bytes);
                assert!(part.is_multiple_of(4 * length), "whole rows: {way:?}");
            }
        }
    }

    #[test]
    fn a_way_covers_its_row() {
        for &dtype in DType::FLOATS {
            let all = RowWay::all(dtype);
            for length in (1..3000).chain([1 << 14, (1 << 14) + 8, 1 << 15, 1 << 16, 1 << 18]) {
                for (rows, room) in [(1, PLAIN), (64, PLAIN), (64, Room::AMPLE), (4096, PLAIN)] {
                    let way = RowWay::choose(dtype, [rows, length], true, room);
                    assert!(all.contains(&way), "{dtype:?} {rows} x {length} {way:?}");
                    let team = match way.team {
                        Team::Lanes(size) => size as usize,
                        Team::Group | Team::Cluster(_) => way.lanes as usize * way.team.members(),
                    };
                    assert!(way.packs == 0 || team * way.vector * way.packs >= length);
                    assert_eq!(length % way.vector, 0);
                    assert!(way.scratch() <= room.scratch);
                    assert!(way.team.members() <= room.cluster);
                }
            }
        }
    }
}
