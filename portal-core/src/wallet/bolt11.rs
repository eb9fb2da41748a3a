//! Reads the text of a Lightning invoice, which anybody may have written.
//!
//! Signature and checksum are checked, amounts and times are taken from the text. It does not ask
//! whether the invoice can still be paid: [`Bolt11::is_expired_at`] answers that for a given time.

use std::str::FromStr;
use std::time::Duration;

use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, Currency};
use nostr::hashes::Hash;

use super::{Invoice, PayInvoice, PaymentHash, WalletError};
use crate::primitives::{Millisats, Timestamp};

/// Longest invoice that is looked at; with many route hints they reach about 2,000.
pub const MAX_LENGTH: usize = 8192;

/// What an invoice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bolt11 {
    /// The text without a `lightning:` prefix, in lower case.
    pub text: String,
    /// SHA-256 of the preimage.
    pub payment_hash: PaymentHash,
    /// `None` when the payer chooses.
    pub amount: Option<Millisats>,
    /// For the payer, when it is a text and not a hash.
    pub description: Option<String>,
    /// SHA-256 of a longer description, when it is that.
    pub description_hash: Option<[u8; 32]>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// `bitcoin`, `testnet`, `signet`, `regtest` or `simnet`.
    pub network: &'static str,
    /// What was read, for what is seldom asked.
    invoice: Bolt11Invoice,
}

/// The text is not an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid bolt11 invoice")]
pub struct NotAnInvoice;

impl Bolt11 {
    /// Reads an invoice, with or without the `lightning:` prefix.
    ///
    /// # Errors
    /// [`NotAnInvoice`] when it is too long, damaged or not signed.
    pub fn parse(text: &str) -> Result<Self, NotAnInvoice> {
        let text = text.trim();
        if text.len() > MAX_LENGTH {
            return Err(NotAnInvoice);
        }
        let text = match text.get(..10) {
            Some(prefix) if prefix.eq_ignore_ascii_case("lightning:") => &text[10..],
            _ => text,
        };
        let invoice = Bolt11Invoice::from_str(text).map_err(|_| NotAnInvoice)?;
        Ok(Self::of(invoice, text.to_ascii_lowercase()))
    }

    /// What this invoice says, whose text is known.
    pub(super) fn of(invoice: Bolt11Invoice, text: String) -> Self {
        let created = invoice.duration_since_epoch();
        let (description, description_hash) = match invoice.description() {
            Bolt11InvoiceDescriptionRef::Direct(text) => (Some(text.as_inner().0.clone()), None),
            Bolt11InvoiceDescriptionRef::Hash(hash) => (None, Some(hash.0.to_byte_array())),
        };
        let created_at = Timestamp::from_secs(created.as_secs());
        Self {
            text,
            payment_hash: PaymentHash(invoice.payment_hash().to_byte_array()),
            amount: invoice.amount_milli_satoshis().map(Millisats::new),
            description: description.filter(|text| !text.is_empty()),
            description_hash,
            created_at,
            expires_at: created_at.saturating_add(invoice.expiry_time()),
            network: match invoice.currency() {
                Currency::Bitcoin => "bitcoin",
                Currency::BitcoinTestnet => "testnet",
                Currency::Regtest => "regtest",
                Currency::Simnet => "simnet",
                Currency::Signet => "signet",
            },
            invoice,
        }
    }

    /// The node that is paid: its public key, compressed. Costs as much as verifying a signature
    /// when the text does not name it.
    #[must_use]
    pub fn payee(&self) -> [u8; 33] {
        self.invoice.get_payee_pub_key().serialize()
    }

    /// Whether it has ended at this moment.
    #[must_use]
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// Whether a wallet on this network cannot pay it. A network that is not known here, or not
    /// said, is no reason to refuse.
    #[must_use]
    pub fn is_foreign_to(&self, network: Option<&str>) -> bool {
        let known = match network {
            Some("bitcoin" | "mainnet") => "bitcoin",
            Some("testnet" | "testnet3" | "testnet4") => "testnet",
            Some("signet" | "mutinynet") => "signet",
            Some("regtest") => "regtest",
            Some("simnet") => "simnet",
            Some(_) | None => return false,
        };
        self.network != known
    }

    /// How much longer it can be paid.
    #[must_use]
    pub const fn remaining_at(&self, now: Timestamp) -> Duration {
        self.expires_at.saturating_since(now)
    }
}

impl From<Bolt11> for Invoice {
    fn from(read: Bolt11) -> Self {
        Self {
            bolt11: read.text,
            payment_hash: read.payment_hash,
            created_at: read.created_at,
            expires_at: read.expires_at,
        }
    }
}

impl PayInvoice {
    /// What is to be paid, once the request makes sense: the invoice parses, its hash is the one
    /// that was named, and there is exactly one amount.
    ///
    /// # Errors
    /// [`WalletError::BadRequest`] with what is wrong.
    pub fn checked_amount(&self) -> Result<Millisats, WalletError> {
        let bad = |what: &str| WalletError::BadRequest { what: what.to_owned() };
        let read = Bolt11::parse(&self.bolt11).map_err(|cause| bad(&cause.to_string()))?;
        if read.payment_hash != self.payment_hash {
            return Err(bad("the payment hash is not the invoice's"));
        }
        match (read.amount, self.amount) {
            (Some(asked), Some(given)) if asked != given => {
                Err(bad("the amount is not the invoice's"))
            }
            (Some(amount), _) | (None, Some(amount)) if amount.as_u64() > 0 => Ok(amount),
            _ => Err(bad("there is no amount")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second example of BOLT 11: 2500 µBTC, "1 cup coffee", one minute.
    const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";

    #[test]
    fn amount_hash_and_times_come_from_the_text() {
        for text in [COFFEE.to_owned(), format!("lightning:{COFFEE}"), COFFEE.to_uppercase()] {
            let read = Bolt11::parse(&text).expect("an example of the specification");
            assert_eq!(read.amount, Some(Millisats::new(250_000_000)));
            assert_eq!(
                read.payment_hash.to_string(),
                "0001020304050607080900010203040506070809000102030405060708090102"
            );
            assert_eq!(read.description.as_deref(), Some("1 cup coffee"));
            assert_eq!(read.created_at, Timestamp::from_secs(1_496_314_658));
            assert_eq!(read.expires_at, Timestamp::from_secs(1_496_314_718));
            assert!(read.is_expired_at(read.expires_at) && !read.is_expired_at(read.created_at));
            assert_eq!(read.text, COFFEE);
            assert_eq!(
                hex::encode(read.payee()),
                "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad"
            );
            assert!(!read.is_foreign_to(Some("mainnet")) && !read.is_foreign_to(None));
            assert!(!read.is_foreign_to(Some("a network of the future")));
            assert!(read.is_foreign_to(Some("regtest")) && read.is_foreign_to(Some("testnet")));
        }
    }

    #[test]
    fn damaged_and_foreign_texts_are_refused() {
        let mut damaged = COFFEE.to_owned();
        damaged.replace_range(60..61, "l");
        for text in ["", "lightning:", "lnbc1", "lno1abc", "é", &damaged, &"l".repeat(100_000)] {
            assert_eq!(Bolt11::parse(text), Err(NotAnInvoice));
        }
    }
}
