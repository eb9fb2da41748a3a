//! Money that survives a crash: asking for it, watching for it, paying it out.

pub mod instructions;
pub mod pay;
pub mod sweep;
