//! NVIDIA GPUs through the CUDA driver.
//!
//! A wootz stream is a CUDA stream, called a [`lane`](lane::Lane) here. A plan is one launch on it.
//! Nothing on the way of a submission waits for the device or for another thread.
//!
//! # Completion words
//!
//! Each lane has a word in pinned host memory that the device writes: the number of the last ticket
//! that is done. Who wants to know how far a stream is reads the word, with no driver call.
//!
//! A word is written by a *mark*: an operation on the lane, behind the work, that stores a ticket's
//! number (`cuStreamWriteValue64`, which fences what came before it; where the device has none, a
//! kernel of one thread). A submission places no mark, so a batch of launches costs launches only.
//! Marks are placed by those who want an answer: a waiter, a poll of an event, a pool that looks
//! for memory; and by the owner after each 64 submissions, so that what nobody asks about is known
//! in time.
//!
//! *Who places none.* A mark is an operation on the device, and a driver call under locks that other
//! threads want too. One thread that waits learns soonest from a mark; of many, each delays the
//! others. So when others wait already ([`crowd`]), and its work is expected within microseconds, a
//! thread has the driver wait (`cuStreamSynchronize`), which costs a core and nothing else. What is in
//! a lane is expected to take as long as the costs of its plans say, counted since the lane was last
//! seen empty.
//!
//! *Who places a mark* ([`marks`]). Any thread may want one, and the word must never go back. So a
//! mark is placed only while holding the lane's flag, for the last ticket then issued. A ticket is
//! issued after its launch is in the CUDA stream; so a mark stands behind all the work that it
//! speaks for, and marks stand in the stream in order of their numbers. A thread that finds the flag
//! taken does not wait for it: it goes on looking at the word. If the mark then being placed comes
//! too early for it, it finds the flag free when it looks again.
//!
//! *Why nobody waits for ever.* The driver's own wait ends with the work or with an error; it is not
//! used where the lane waits for a ring, of which the driver knows nothing. Any other waiter looks at
//! the word for a while, and each look places a mark if none covers its ticket. Then it writes the
//! ticket into the lane's `wanted`, wakes the [watcher](watcher), and parks in the timeline. The watcher, one thread a device, sleeps while
//! nothing is wanted. It wakes by the token of `unpark`, which is kept when it comes before `park`,
//! so a `wanted` that was written before the wake is seen. It looks, and marks, in every lane until
//! `wanted` is done or the timeline has a fault. A task waits the same way without looking first.
//! The device cannot stop silently either: a broken context never writes the word, so the watcher
//! asks the driver from time to time, and on an error that is final [`Gpu`](gpu::Gpu) becomes lost:
//! every timeline gets the fault, which wakes all waiters, and every later call is an error.
//!
//! *When a mark is lost.* A mark's write is done in its turn, and the write of one before it may come to
//! the host's memory later all the same: a soak beside processes whose kernels fault found the word
//! of a mark one mark back, for good, while the driver knew the stream to be empty. So the watcher,
//! which asks the driver anyway, takes its word for it; and who only looks, a poll or a pool, asks
//! the watcher after many looks.
//!
//! *Memory order.* The word is read with `Acquire`, and the timeline passes it on with `Release`, so
//! who sees a ticket done sees what the host wrote for it. What kernels wrote is read through copies
//! on a CUDA stream, which come after.
//!
//! # Waits between streams
//!
//! The stream that waits records its own event at the end of the producer's lane and makes itself
//! wait for it: two calls that only enqueue. The driver takes the event's state when the wait is
//! enqueued, so one event a lane is enough. The event stands behind the launch of the ticket, since
//! tickets are issued after their launch; it may stand behind later work too, which orders more than
//! is needed and never less. A wait only ever stands for work that was enqueued before it, so waits
//! form no circle, also where several CUDA streams share a hardware queue.
//!
//! # Memory
//!
//! Memory comes from the device's own pool in stream order of the lane that it is home to, and goes
//! back in the same order: its last use was on that lane, or is known to be done. Uploads go through
//! pinned memory of the lane and downloads through that of a [courier](courier), in parts, so that
//! the host copies one part while the device copies another.
//!
//! # Kernels
//!
//! [`kernels`] looks for a compiled entry point in the process, then for the compiled module on disk,
//! and only then calls NVRTC, which is loaded at that moment. One module's compile keeps nobody
//! waiting who wants another.
//!
//! # Graphs
//!
//! A recorded graph is replayed by one call of the driver's ([`graph`]), under one ticket.
//!
//! # The ring
//!
//! Small plans take a way without the driver: through a [ring](ring) in pinned memory to a kernel
//! that stays on the device. `ring/README.md` tells that protocol.

mod bare;
mod courier;
mod crowd;
mod device;
mod driver;
mod ending;
mod fork;
mod gpu;
mod graph;
mod kernels;
mod lane;
mod launch;
mod maps;
mod marks;
mod nvrtc;
mod pinned;
mod queue;
mod ring;
mod search;
mod watcher;

pub(super) use device::found;
