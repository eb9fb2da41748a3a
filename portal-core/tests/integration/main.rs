//! A service and a client that talk over a real relay on loopback, with a simulated wallet.

mod clocks;
mod conversations;
mod delivery;
mod harness;
mod hostile;
mod idempotency;
mod liars;
mod login;
mod money;
mod outages;
mod payment;
mod peer;
mod prices;
mod profile;
mod receipts;
mod refund;
mod relay_login;
mod subkeys;
mod subscriptions;
mod tenants;
mod urls;
