//! Money that survives a crash: asking for it, watching for it, paying it out.

mod busy;
pub mod instructions;
pub mod pay;
mod payer;
mod policy;
pub mod sweep;

pub use pay::{PaidInvoice, PayError, PayRequest};
pub use payer::Payer;
pub use policy::PayPolicy;
