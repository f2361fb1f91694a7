//! Latencies in buckets whose width grows with their value.
//!
//! Every power of two is cut into 64 equal buckets, so a quantile read back is within 1/128
//! of a recorded value. Recording is one increment in memory allocated beforehand:
//! it neither allocates, nor shares a cache line with another thread, nor reads a clock.

const CUTS: u32 = 64;
const CUT_BITS: u32 = CUTS.trailing_zeros();
/// Values up to 2^40 ns (18 minutes); longer ones count as that.
const TOP_BIT: u32 = 40;
const BUCKETS: usize = ((TOP_BIT - CUT_BITS + 1) * CUTS) as usize;

/// A count of durations in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS].into(),
        }
    }

    pub fn record(&mut self, nanos: u64) {
        self.add(nanos, 1);
    }

    /// Adds `count` durations of `nanos` each.
    pub fn add(&mut self, nanos: u64, count: u64) {
        let bucket = bucket_of(nanos);
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// How many durations were recorded.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that a fraction `q` of all stay at or below, in nanoseconds; 0 when empty.
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = (self.total() as f64 * q).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (nanos, count) in self.entries() {
            seen += count;
            if seen >= rank {
                return nanos;
            }
        }
        0.0
    }

    /// The buckets that hold something: their middle in nanoseconds and their count.
    pub fn entries(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let filled = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (middle_of(bucket), *count))
    }
}

/// Values below `CUTS` have a bucket each; above, the leading bit picks the power of two
/// and the next `CUT_BITS` bits the cut in it.
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << TOP_BIT) - 1);
    if nanos < u64::from(CUTS) {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - CUT_BITS;
    let cut = (nanos >> shift) - u64::from(CUTS);
    ((shift + 1) * CUTS) as usize + cut as usize
}

fn middle_of(bucket: usize) -> f64 {
    let (octave, cut) = (bucket as u32 / CUTS, bucket as u32 % CUTS);
    if octave == 0 {
        return f64::from(cut);
    }
    let width = (1_u64 << (octave - 1)) as f64;
    let first = f64::from(CUTS + cut) * width;
    first + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_within_a_cut() {
        let mut nanos = 1_u64;
        while nanos < 1 << TOP_BIT {
            let read = middle_of(bucket_of(nanos));
            let error = (read - nanos as f64).abs() / nanos as f64;
            assert!(error <= 1.0 / 128.0, "{nanos} reads back as {read}");
            nanos += 1 + nanos / 97;
        }
    }

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut last = bucket_of(0);
        for nanos in 1..100_000 {
            let bucket = bucket_of(nanos);
            assert!(bucket == last || bucket == last + 1, "gap at {nanos}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_pick_by_rank() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), 0.0);
        (1..=50).for_each(|nanos| histogram.record(nanos));
        assert_eq!(histogram.quantile(0.5), 25.0);
        assert_eq!(histogram.quantile(0.99), 50.0);
        assert_eq!(histogram.quantile(0.0), 1.0);
        let mut other = Histogram::new();
        other.add(60, 950);
        histogram.merge(&other);
        assert_eq!(histogram.total(), 1000);
        assert_eq!(histogram.quantile(0.5), 60.0);
    }
}
