//! How plans become command buffers, for devices where the host decides when encoded work starts.
//!
//! No call of a driver is made here: what is decided is told to [`Commands`], which a device, or a
//! test, carries out.
//!
//! # Buffers
//!
//! All streams of a device share one queue. A stream fills a command buffer with plans and commits it
//! when that is worth while ([`Limits`]), when somebody waits for one of its plans, or before it is to
//! wait itself. A buffer holds, in this order: waits for other streams, if any; plans, which run side
//! by side except where [`Hazards`](crate::hazard::Hazards) place a barrier; and a signal of its last
//! ticket. It runs after the stream's buffer before it. A plan that another library encodes has one to
//! itself.
//!
//! # Who commits
//!
//! A plan that its stream has only encoded runs when somebody commits. That cannot be left to the
//! stream's owner, who may never call again: his tensor went to another thread, which waits for it.
//! So whoever wants a ticket may commit, and the encoder is touched in [turns](Turn): one at a time,
//! the owner's for each plan, a stranger's only to commit. A stranger who finds the turn taken leaves
//! his ticket behind, and the one whose turn it is commits when it ends. Nothing in a turn waits: not
//! for the device, not for room, not for another turn. So a turn ends by itself, and with it whatever
//! waits for its end. Another library's call may take a lock of its own there, if who holds that lock is
//! in a turn as well, or waits for nothing either.
//!
//! # Why no wait lasts for ever
//!
//! *On the device.* A queue starts buffers in the order of their commits, so a buffer must never wait
//! for one that is committed after it. A wait is given to a stream only when the buffer that signals
//! it is committed ([`Lane::wait_for`] sees to that first), and stands at the start of a buffer that
//! is opened later. So each buffer waits only for buffers committed before it: by induction over the
//! commits, every buffer ends. Since waits stand only at the start, no signal stands behind a wait
//! that came after its plans.
//!
//! *On the host.* A ticket that somebody waits for is committed, as above, and then ends on the device.
//!
//! *For room.* The driver blocks who opens one buffer too many. So every buffer, open or under way,
//! has a place in [`Room`], which is well under the driver's limit. Who finds none asks every stream
//! to commit; then all places belong to buffers that are committed, or that their owner has opened
//! since, and the first of them to end makes room. A place is taken before the turn, never in it.
//! One stream has at most [`Limits::under_way`] buffers committed and not done, so that a thread that
//! runs far ahead leaves room for others.

mod lane;
mod limits;
mod turn;

pub use lane::{Await, Commands, Lane, Load, Trouble};
pub use limits::{Limits, Room};
pub use turn::{Close, Turn};
