//! The mint as a program.

fn main() {}
