//! The built-in Breez wallet.
