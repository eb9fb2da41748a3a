//! Money that survives a crash: asking for it, watching for it, paying it out.

pub mod pay;
pub mod sweep;
