//! Keys and what is derived from them: keypairs, mnemonics, subkeys, tokens, NIP-05 names.
//!
//! Pure computation. Where keys are kept is for [`crate::keystore`], and who may say what with
//! them for [`crate::conversation`].

pub mod keypair;
pub mod mnemonic;
pub mod nip05;
pub mod subkey;
pub mod token;

pub use keypair::{KeyError, LocalKey};
pub use mnemonic::{Mnemonic, MnemonicError};
pub use nip05::{Nip05Entry, Nip05Error, Nip05Name};
pub use subkey::SubkeyError;
pub use token::TokenError;
