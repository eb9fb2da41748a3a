//! A Cashu mint for tickets.
