//! Hold invoices: the payer's money waits until the payee takes it or lets it go.
//!
//! ```text
//!   made ──somebody pays──▶ held ──settle(preimage)──▶ settled, as any payment
//!     └──expires──▶ failed    └──cancel, or the network's patience ends──▶ failed
//! ```
//!
//! Only the payee knows the preimage: whoever asks for such an invoice chooses it, keeps it and
//! gives it to the wallet to take the money. Held money is not paid: it shows as pending.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{Invoice, NewInvoice, PaymentHash, WalletError, WalletPayment};

/// The part of a wallet that makes hold invoices.
#[async_trait]
pub trait HoldInvoices: Send + Sync {
    /// Makes an invoice whose preimage only the caller knows.
    ///
    /// # Errors
    /// [`WalletError::Unsupported`] when the wallet behind a link has none.
    async fn make_hold_invoice(
        &self,
        request: NewInvoice,
        payment_hash: PaymentHash,
    ) -> Result<Invoice, WalletError>;

    /// Whether the payer's money waits for [`HoldInvoices::settle_hold`].
    ///
    /// # Errors
    /// As a look-up.
    async fn is_held(&self, payment_hash: PaymentHash) -> Result<bool, WalletError>;

    /// Takes the money.
    ///
    /// # Errors
    /// When no such payment is held, or the wallet did not answer: then look it up.
    async fn settle_hold(&self, preimage: [u8; 32]) -> Result<(), WalletError>;

    /// Lets the money go back to the payer.
    ///
    /// # Errors
    /// As [`HoldInvoices::settle_hold`].
    async fn cancel_hold(&self, payment_hash: PaymentHash) -> Result<(), WalletError>;

    /// Payments that are held from now on. Only hints, as [`super::LightningWallet::events`].
    fn held(&self) -> BoxStream<'static, WalletPayment>;
}
