//! Kernels over rows: how a row is worked through, and the instances of softmax and the norms.

use super::{
    Buffer, Instance, KernelParams, element, pack,
    structs::{NormParams, SoftmaxParams},
};
use crate::DType;

/// How a team works through a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowWay {
    /// Whether a whole group takes a row, or each simd one.
    pub group: bool,
    /// Elements moved as one.
    pub vector: usize,
    /// Packs that a lane holds; 0 for a row that is streamed.
    pub packs: usize,
    /// Lanes in a group.
    pub lanes: u32,
}

impl RowWay {
    /// Elements that a lane holds in registers at most.
    const HELD: usize = 16;

    /// The way for rows of `length` elements, which start at multiples of 16 bytes if `aligned`
    /// and the length is a multiple of a pack.
    pub fn choose(dtype: DType, length: usize, aligned: bool) -> RowWay {
        let whole = aligned && length.is_multiple_of(pack(dtype));
        let vector = if whole { pack(dtype) } else { 1 };
        let held = |lanes: usize| length.div_ceil(lanes * vector).next_power_of_two();
        let fits = |lanes: usize| held(lanes) * vector <= RowWay::HELD;
        if fits(32) {
            return RowWay {
                group: false,
                vector,
                packs: held(32),
                lanes: 256,
            };
        }
        let lanes = [128, 256, 512, 1024].into_iter().find(|&lanes| fits(lanes));
        let (lanes, packs) = lanes.map_or((1024, 0), |lanes| (lanes, held(lanes)));
        RowWay {
            group: true,
            vector,
            packs,
            lanes: lanes as u32,
        }
    }

    /// Groups that take `rows` rows.
    pub fn groups(&self, rows: usize) -> usize {
        if self.group {
            rows
        } else {
            rows.div_ceil(self.lanes as usize / 32)
        }
    }

    /// Every way that `choose` can give.
    pub fn all(dtype: DType) -> Vec<RowWay> {
        let lengths = (0..=17).flat_map(|power| [1 << power, (1 << power) + 1]);
        let mut ways: Vec<RowWay> = vec![];
        for way in lengths.map(|length| RowWay::choose(dtype, length, true)) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        ways
    }

    fn team(&self) -> &'static str {
        if self.group { "GroupTeam" } else { "SimdTeam" }
    }

    /// `_g256_v4_p2`
    fn suffix(&self) -> String {
        let team = if self.group { 'g' } else { 's' };
        format!("_{team}{}_v{}_p{}", self.lanes, self.vector, self.packs)
    }

    /// `held` with its packs, or `streamed`.
    fn body(&self, stem: &str, arguments: &str) -> String {
        let RowWay { vector, packs, .. } = self;
        match packs {
            0 => format!("{stem}_streamed<{arguments}, {}, {vector}>", self.team()),
            _ => format!(
                "{stem}_held<{arguments}, {}, {vector}, {packs}>",
                self.team()
            ),
        }
    }
}

/// `softmax` (`output` `Softmax`) or `log_softmax` (`LogSoftmax`) over rows.
pub fn softmax(op: &str, output: &str, dtype: DType, way: RowWay) -> Instance {
    let t = element(dtype);
    Instance {
        file: "ops/softmax.h",
        name: format!("{op}_{t}{}", way.suffix()),
        body: way.body("softmax", &format!("{output}, {t}")),
        lanes: way.lanes,
        params: SoftmaxParams::C,
        buffers: vec![Buffer::In(t), Buffer::Out(t)],
    }
}

/// `layer_norm` and `group_norm` (`kind` `Centred`) or `rms_norm` (`Uncentred`) over rows.
pub fn norm(op: &str, kind: &str, dtype: DType, way: RowWay) -> Instance {
    let t = element(dtype);
    Instance {
        file: "ops/norm.h",
        name: format!("{op}_{t}{}", way.suffix()),
        body: way.body("norm", &format!("{kind}, {t}")),
        lanes: way.lanes,
        params: NormParams::C,
        buffers: vec![Buffer::In(t), Buffer::In(t), Buffer::In(t), Buffer::Out(t)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_covers_its_row() {
        for &dtype in DType::FLOATS {
            for length in (1..3000).chain([1 << 14, (1 << 14) + 8, 1 << 18]) {
                let way = RowWay::choose(dtype, length, true);
                assert!(
                    RowWay::all(dtype).contains(&way),
                    "{dtype:?} {length} {way:?}"
                );
                let team = if way.group { way.lanes as usize } else { 32 };
                assert!(way.packs == 0 || team * way.vector * way.packs >= length);
                assert_eq!(length % way.vector, 0);
            }
        }
    }
}
