//! The ticket wallet against mints on loopback: cdk's own mint, with a door that fails on purpose.

mod basics;
mod gate;
mod harness;
mod hostile;
mod interop;
mod listening;
mod lost_answers;
mod messages;
mod refusals;
mod seed;
mod strangers;
mod tickets;
mod vectors;
