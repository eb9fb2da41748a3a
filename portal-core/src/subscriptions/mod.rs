//! Subscriptions that are charged by a schedule: each period once, whatever the clock and the
//! process do.
//!
//! ```text
//!             agreed                  due                       paid
//!   Proposed ────────▶ Active ───────────────▶ Charging ───────────────▶ Active, next period
//!      │                 ▲                        │
//!      │ no, too late    │ paid, however late     │ timeout, no, failed
//!      ▼                 │                        ▼
//!   (forgotten)          ├─────────────────── Retrying ──1 h, 1 d, 3 d, 5 d──▶ Charging
//!                        │                        │ the last attempt failed
//!                        │                        ▼
//!                        └─────────────────── PastDue ──7 d──▶ Closed (unpaid)
//!
//!   any ── cancelled, closed by the person ──▶ Closing ── no charge is open ──▶ Closed
//!   Active ── `until` or `max_payments` reached ──▶ Closed (completed)
//!   any but Closing and Closed ── pause ──▶ the same, paused: nothing is due ── resume ──▶ …
//! ```
//!
//! [`Subscription`] is the machine: it takes inputs and the time and returns what changed, without
//! I/O. [`Scheduler`] is the saga around it: reads what is due, saves, asks the person through a
//! [`Till`], listens. [`authorized`] is the other side: what a person allowed a service to take.
//!
//! # Rows
//! A subscription is one row of [`schedule`](crate::storage::schedule), named by a stream of its
//! own, on which every step is an event; a period that was charged is one row of charges. A charge
//! is an ordinary payment request with `subscription_id`; its request id is made from
//! subscription, period and attempt, so the same attempt is the same request for ever.
//!
//! # Invariants
//! - Row, event, charge and payment request are saved in one batch, before the person is asked.
//!   There is no line between which a crash leaves a charge half made.
//! - A period is charged once: its row of charges takes a later attempt only while nothing is
//!   paid, and the store refuses anything else. Numbers of periods only grow.
//! - The next due moment is the calendar's next after the *due moment* of the last period, never
//!   after the clock's time. A clock that goes back makes the scheduler wait, not charge again.
//! - `paid` is the payment stream's word, which is the wallet's. The next attempt of a period
//!   waits until the last one's stream has ended: until the wallet has said that it is not paid
//!   and cannot be any more.
//! - Each change of a row appends an event with the row's next index, or runs under the
//!   subscription's lock; a second writer meets a conflict and reads again.
//!
//! # Decisions
//! - *Periods.* Period 0 is due at `first_payment_due`, each later one at the calendar's next
//!   occurrence, in the zone of the schedule (UTC without one). Local times that a change of the
//!   clocks skips do not occur, repeated ones occur once. Months without a 31st have no
//!   `*-*-31`. A trial moves the first charge, and the person sees that in what they agree to.
//! - *An outage* charges what fell into it by [`CatchUp`]: each period, one after the other and
//!   each when the one before is paid, or only the last of them.
//! - *A clock that jumps ahead* charges what is due by it, each period once; when it comes back
//!   the scheduler waits until the time has caught up. The task that drives the scheduler does
//!   not believe a jump of more than an hour until it has lasted for ten minutes, nor such a jump
//!   since it last ran, which may be an outage or a wrong clock.
//! - *A change of the amount* holds from the next period. With proration the difference for the
//!   rest of the running period is added to the next charge (or taken off it), rounded in favour
//!   of the payer. A credit larger than a charge covers it whole, and its rest stays.
//! - *A pause* skips the periods that fall into it. A charge that is open stays open.
//! - *What we cannot ask for* (no quote, the wallet refuses to make an invoice) is not the payer's
//!   failure: it is postponed with a growing pause and costs no attempt.

pub mod amounts;
pub mod authorized;
mod clock;
pub mod journal;
mod scheduler;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod till;

pub use clock::ClockGuard;
pub use scheduler::{News, Scheduler, SchedulerError, Turn};
pub use state::{CatchUp, Phase, Policy, Refused, Subscription, SubscriptionInfo, Terms};
pub use steps::{Change, Look};
pub use till::{ChargeOrder, Goodbye, Till, TillError};
