//! The packed form of a weight, kept beside it: products on the CPU read it faster than the rows
//! that a model brings, and making it takes about as long as a small batch's product itself.
//!
//! The first use of a weight only says that there was one, the second makes the form, all later
//! ones find it. Elements of a tensor never change, so nothing makes it stale. It goes when the
//! tensors that share it go. All forms together take at most `WOOTZ_PACKED` MiB, or an eighth of the
//! machine's memory where nobody says; 0 keeps none.

use std::{
    fmt, ptr,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicPtr, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};
use wootz_runtime::{Buffer, Device};

/// A packed form, made for one kernel.
pub(crate) struct Form {
    kernel: usize,
    buffer: Buffer,
    _claim: Claim,
}

impl Form {
    /// The memory.
    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

/// Where a tensor keeps its form. Clones share one that is there when they are made.
pub(crate) struct Slot(AtomicPtr<Form>);

/// Nobody used the tensor as a weight yet.
const UNUSED: *mut Form = ptr::null_mut();
/// Somebody did.
const USED: *mut Form = ptr::without_provenance_mut(1);
/// Somebody makes the form.
const BUSY: *mut Form = ptr::without_provenance_mut(2);
/// There will be none. The last of these, below the address of any form.
const REFUSED: *mut Form = ptr::without_provenance_mut(3);

/// What a use of a weight finds.
pub(crate) enum Found<'a> {
    /// Nothing: the product packs what it needs, or goes without.
    Nothing,
    /// That it is to make the form.
    Turn(Turn<'a>),
    /// The form.
    Form(&'a Form),
}

impl Slot {
    pub(crate) const fn new() -> Slot {
        Slot(AtomicPtr::new(UNUSED))
    }

    /// The form, if it is there.
    fn form(&self) -> Option<&Form> {
        let form = self.0.load(Acquire);
        let none = form <= REFUSED;
        // SAFETY: any other value came from `Arc::into_raw` in `Turn::keep` or `clone`; the slot
        // holds that reference until it is dropped, and takes no other.
        (!none).then(|| unsafe { &*form })
    }

    /// Uses the tensor as a weight for `kernel`.
    pub(crate) fn look(&self, kernel: usize) -> Found<'_> {
        let seen = self.0.load(Relaxed);
        let to = match seen {
            UNUSED => USED,
            USED => BUSY,
            BUSY | REFUSED => return Found::Nothing,
            _ => {
                let form = self.form().filter(|form| form.kernel == kernel);
                return form.map_or(Found::Nothing, Found::Form);
            }
        };
        match self.0.compare_exchange(seen, to, AcqRel, Relaxed) {
            Ok(USED) => Found::Turn(Turn { slot: self, kernel }),
            _ => Found::Nothing,
        }
    }
}

/// The right to make a form; given back on its drop.
pub(crate) struct Turn<'a> {
    slot: &'a Slot,
    kernel: usize,
}

impl Turn<'_> {
    /// Room for a form of `bytes` bytes, if there is any.
    pub(crate) fn claim(&self, device: Device, bytes: usize) -> Option<Claim> {
        Claim::new(&HELD, limit(device), bytes)
    }

    /// Makes none; nobody asks this tensor again.
    pub(crate) fn refuse(self) {
        self.slot.0.store(REFUSED, Relaxed);
    }

    /// Keeps the form, whose memory is whole.
    pub(crate) fn keep(self, buffer: Buffer, claim: Claim) {
        let form = Form {
            kernel: self.kernel,
            buffer,
            _claim: claim,
        };
        let form = Arc::into_raw(Arc::new(form)).cast_mut();
        self.slot.0.store(form, Release);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Fails where the form is there, or refused.
        let _ = self.slot.0.compare_exchange(BUSY, USED, Relaxed, Relaxed);
    }
}

impl Clone for Slot {
    fn clone(&self) -> Slot {
        let Some(form) = self.form() else {
            return Slot::new();
        };
        let form = ptr::from_ref(form);
        // SAFETY: the form lives in an `Arc`, of which this slot holds a reference.
        unsafe { Arc::increment_strong_count(form) };
        Slot(AtomicPtr::new(form.cast_mut()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(form) = self.form() {
            // SAFETY: the slot's reference, which nobody uses after this.
            unsafe { Arc::decrement_strong_count(ptr::from_ref(form)) };
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.form().map(|form| form.buffer.bytes());
        f.debug_tuple("Slot").field(&bytes).finish()
    }
}

/// Bytes of all forms.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// A share of what all forms may take.
pub(crate) struct Claim {
    held: &'static AtomicUsize,
    bytes: usize,
}

impl Claim {
    fn new(held: &'static AtomicUsize, limit: usize, bytes: usize) -> Option<Claim> {
        let more = |held: usize| held.checked_add(bytes).filter(|&held| held <= limit);
        // Relaxed: a count, which orders nothing.
        held.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Claim { held, bytes })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Relaxed);
    }
}

/// The most that all forms may take, in bytes.
fn limit(device: Device) -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let wanted = std::env::var("WOOTZ_PACKED").ok();
        let wanted = wanted.and_then(|mebibytes| mebibytes.parse::<usize>().ok());
        wanted.map_or(device.caps().memory / 8, |mebibytes| {
            mebibytes.saturating_mul(1 << 20)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Tensor, ops};
    use std::thread;

    fn tensor(dims: &[usize], seed: usize) -> Tensor {
        let count = dims.iter().product();
        let values = (0..count).map(|i| ((i * 7919 + seed) % 1013) as f32 / 506.5 - 1.0);
        let values: Vec<f32> = values.collect();
        Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
    }

    fn bits(x: &Tensor) -> Vec<u32> {
        let x = ops::cast(x, DType::F32).unwrap();
        x.to_vec::<f32>()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect()
    }

    fn is_kept(weight: &Tensor) -> bool {
        weight.slot().form().is_some()
    }

    /// The second use makes the form, and no use differs in a bit from another.
    #[test]
    fn a_kept_form_changes_no_bit() {
        for dtype in [DType::F32, DType::BF16] {
            for [m, n, k] in [[9, 40, 70], [33, 65, 1100], [150, 96, 33]] {
                let [x, weight, bias] = [&[m, k][..], &[n, k], &[n]]
                    .map(|dims| ops::cast(&tensor(dims, n), dtype).unwrap());
                let run = || bits(&ops::linear(&x, &weight, Some(&bias)).unwrap());
                let first = run();
                assert!(!is_kept(&weight));
                for _ in 0..2 {
                    assert_eq!(run(), first, "{dtype} {m}x{n}x{k}");
                    assert!(is_kept(&weight));
                }
            }
        }
    }

    #[test]
    fn clones_share_a_form_and_views_have_none() {
        let (x, weight) = (tensor(&[20, 64], 1), tensor(&[48, 64], 2));
        let early = weight.clone();
        for _ in 0..2 {
            ops::linear(&x, &weight, None).unwrap();
        }
        let late = weight.clone();
        assert!(is_kept(&weight) && is_kept(&late) && !is_kept(&early));
        let half = weight.narrow(0, 0, 24).unwrap();
        assert!(!is_kept(&half));
        let whole = bits(&ops::linear(&x, &late, None).unwrap());
        drop(weight);
        assert_eq!(bits(&ops::linear(&x, &late, None).unwrap()), whole);
        let part = bits(&ops::linear(&x, &half, None).unwrap());
        for (row, part) in whole.chunks(48).zip(part.chunks(24)) {
            assert_eq!(&row[..24], part);
        }
    }

    #[test]
    fn threads_that_meet_a_weight_agree() {
        let (x, weight) = (tensor(&[16, 300], 3), tensor(&[80, 300], 4));
        let expected = bits(&ops::linear(&x, &weight.clone(), None).unwrap());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(bits(&ops::linear(&x, &weight, None).unwrap()), expected);
                    }
                });
            }
        });
        assert!(is_kept(&weight));
    }

    #[test]
    fn a_turn_that_fails_goes_to_the_next_and_one_that_refuses_to_nobody() {
        let slot = Slot::new();
        assert!(matches!(slot.look(0), Found::Nothing));
        for _ in 0..2 {
            let turn = slot.look(0);
            assert!(matches!(turn, Found::Turn(_)));
            assert!(matches!(slot.look(0), Found::Nothing));
        }
        let Found::Turn(turn) = slot.look(0) else {
            panic!("no turn")
        };
        assert!(turn.claim(Device::cpu(), usize::MAX).is_none());
        turn.refuse();
        for _ in 0..2 {
            assert!(matches!(slot.look(0), Found::Nothing));
        }
    }

    #[test]
    fn claims_end_with_their_forms() {
        static OWN: AtomicUsize = AtomicUsize::new(0);
        let first = Claim::new(&OWN, 100, 60);
        assert!(first.is_some() && Claim::new(&OWN, 100, 41).is_none());
        drop(first);
        assert!(Claim::new(&OWN, 100, 100).is_some());
    }
}
