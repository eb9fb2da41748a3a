//! The driver: the one place that spawns, waits and does I/O for the machines.
//!
//! ```text
//!   relay readers ──▶ Inbox (dedup, verify, open) ──┐
//!   façade ─────────────────────────────────────────┼─▶ loop ──changes──▶ store ──durable──▶ effects
//!   timer, wallet ──────────────────────────────────┘  (Engine)         (writer thread)     (seal, publish,
//!                                                                                            tell listeners)
//! ```
//!
//! # Invariants
//! - The loop owns the engine and never waits for the network, the disk or a listener.
//! - Effects of a step run after its changes are durable, in the order of the steps.
//! - A relay's answer, a slow relay or a slow listener holds up nobody else.
//! - A machine that panics ends its own conversation at the most; it is counted, and the others go on.
//! - A task that dies takes the node down visibly ([`Node::is_alive`]), never silently.

mod claims;
mod counters;
mod effects;
mod error;
mod fetch;
mod hub;
mod inbox;
mod keys;
mod machine_loop;
mod node;
mod opening;
mod options;
mod payouts;
mod queries;
mod recent;
mod restore;
mod seen;
mod sent;
mod tasks;
mod watch;

pub use claims::{Claim, ClaimGuard, Claims};
pub use counters::Counters;
pub use error::NodeError;
pub use fetch::{FetchError, GuardedWeb, nip05};
pub use hub::{EventSink, Hub};
pub use node::{Node, PublicDelivery};
pub use opening::{FirstUse, Opening};
pub use options::{Connector, InboxListener, NodeOptions, websocket};
pub use queries::ProfileAnswer;
pub use tasks::Tasks;
