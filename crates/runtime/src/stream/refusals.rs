//! What kernels refuse after their submission has returned: noted on the device, told at the next wait.

use super::{Stream, current};
use crate::{
    buffer::Buffer,
    device::Device,
    error::{Error, Result},
};

/// Where kernels that run after their submission has returned note what they refused.
#[derive(Default)]
pub(super) struct Refusals {
    /// A u32 that keeps the greatest of `u32::MAX - element`; made on first use.
    mark: Option<Buffer>,
    /// The kernel that may have noted something since the mark was last looked at.
    noted_by: Option<&'static str>,
}

/// Bytes of a mark and what comes with it.
pub(crate) const MARK_BYTES: usize = 4 * size_of::<u32>();

impl Stream {
    /// A `u32` for `kernel` to note in what it refuses: the greatest of `u32::MAX - element` for
    /// each element that it cannot use; and three more, zeros, which it may use meanwhile, to count
    /// its groups, and leaves zeros. What is noted is reported by [`Stream::synchronize`] and
    /// [`Stream::report_refusals`]. In a recording it stands for that of the replaying stream.
    pub fn refusals(&self, kernel: &'static str) -> Result<Buffer> {
        if let Some(recorder) = &mut self.core().recorder {
            return Ok(recorder.refusals(kernel));
        }
        let known = self.core().refusals.mark.clone();
        if let Some(mark) = known {
            self.core().refusals.noted_by = Some(kernel);
            return Ok(mark);
        }
        let mark = self.upload(&[0; MARK_BYTES])?;
        self.core().refusals = Refusals {
            mark: Some(mark.clone()),
            noted_by: Some(kernel),
        };
        Ok(mark)
    }

    /// Reports, once, what a kernel of this stream refused.
    pub(super) fn report(&self) -> Result<()> {
        let mut core = self.core();
        let (noted_by, mark) = (core.refusals.noted_by.take(), core.refusals.mark.clone());
        drop(core);
        let (Some(kernel), Some(mark)) = (noted_by, mark) else {
            return Ok(());
        };
        let mut word = [0; size_of::<u32>()];
        mark.read(0, &mut word)?;
        let left = u32::from_ne_bytes(word);
        if left == 0 {
            return Ok(());
        }
        // The next kernel gets a mark without a note.
        self.core().refusals.mark = None;
        let element = u64::from(u32::MAX - left);
        Err(Error::Refused { kernel, element })
    }

    /// Gives up a mark that may hold a note.
    pub(super) fn forget_refusals(&self) {
        let mut core = self.core();
        let refusals = match core.refusals.noted_by {
            Some(_) => std::mem::take(&mut core.refusals),
            None => return,
        };
        // The mark's memory comes home to this very core.
        drop(core);
        drop(refusals);
    }

    /// Reports, once, what a kernel of the thread's current stream on `device` refused. Waits for
    /// that kernel, and only if there may be something to report.
    pub fn report_refusals(device: Device) -> Result<()> {
        let mut outcome = Ok(());
        current::find(device, |stream| {
            outcome = stream.report();
            outcome.is_ok()
        });
        outcome
    }
}
