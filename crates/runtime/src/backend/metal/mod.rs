//! Apple GPUs through Metal.
//!
//! All streams of a device share one command queue. A wootz stream is a [`track`](track::Track): an
//! encoder, a fence and an event. A plan is one dispatch in the stream's open command buffer;
//! [`encode`](crate::encode) decides when that is committed, and proves that nothing waits for ever.
//!
//! # Order
//!
//! Metal tracks no hazards here: its tracking is the device's, and would order streams against each
//! other. Inside a buffer dispatches run side by side, and barriers stand where plans meet. From one
//! buffer of a stream to the next the stream's fence orders them, which costs less than an event.
//! Between streams it is the event; and on either side of a buffer that another library encodes, whose
//! passes know no fence of ours.
//!
//! # Completion
//!
//! Each buffer signals its stream's event with its last ticket. Who looks at a stream reads the
//! event's value, which is there as soon as the device has written it. Who sleeps is woken by the
//! buffer's completion handler. A handler runs for every buffer, whatever became of it, and comes in
//! the order of a stream's buffers.
//!
//! # Faults
//!
//! A buffer that failed is reported by its handler, which does three things in this order. It gives
//! its stream the fault; from then on nobody on the device trusts events, only handlers. It raises the
//! event itself, so that streams that wait for it on the device go on. And it completes the ticket. The
//! handler of a buffer that waited for a spoiled ticket finds the producer's fault, and gives its own
//! stream one too, before it completes. So nobody takes what a failed buffer left for its result, and
//! streams that did not use it go on. A device that is gone spoils every stream.
//!
//! # Memory
//!
//! Buffers lie in memory that host and device share, so that tensors are read and written in place,
//! with no copy. Metal keeps what a buffer uses alive until it is done, so memory may be given back
//! at once. Before the host writes memory that earlier work of the stream may still use, it waits for
//! that work.
//!
//! # Threads
//!
//! The device, its queue, events, fences and compiled pipelines may be used by any threads at once.
//! A command buffer and its encoder may be used by any thread, one at a time: that is what turns are.
//! What Metal returns autoreleased is released at the end of each call.

mod cores;
mod device;
mod encoder;
mod gpu;
mod kernels;
mod memory;
mod queue;
mod track;

pub(super) use device::found;
