//! Money that anybody may send: the invoices of a Lightning address, and what came to them.
//!
//! Nobody is asked, so there is no stream for each of them. What comes appears on one stream that
//! is always open, once each, in the batch that ends the waiting for it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Payments;
use super::call::bounded;
use super::subscriptions::keep_open;
use crate::conversation::Conversation;
use crate::conversation::payment::WatchedInvoice;
use crate::conversation::walkin::WalkIn;
use crate::driver::{Node, Opening};
use crate::error::Error;
use crate::primitives::{Millisats, StreamId};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{Invoice, NewInvoice, WalletError};

/// The stream on which money appears that came to invoices that anybody may pay. It is always open.
pub const RECEIPTS: StreamId =
    StreamId::from_uuid(uuid::Uuid::from_u128(0x0000_0000_0000_8000_8001_706f_7274_616c));

/// An invoice for whoever wants to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWalkIn {
    /// What is paid to: the name before the `@` of a Lightning address.
    pub name: String,
    /// How much.
    pub amount: Millisats,
    /// What payers read (LUD-06); the invoice carries its hash.
    pub metadata: String,
    /// How long it can be paid.
    pub expiry: Duration,
}

impl Payments<'_> {
    /// Makes an invoice for whoever pays our Lightning address. Its payment, and nothing else of
    /// it, appears on [`Payments::receipts`]:
    /// [`LightningAddressPayment`](crate::event::PortalEvent::LightningAddressPayment).
    ///
    /// # Errors
    /// When there is no wallet, or it makes no such invoices, or too many of them are open; when
    /// nothing can be saved: then nobody is shown the invoice.
    ///
    /// # Cancel safety
    /// The invoice may be made, and watched, also when the future is dropped.
    pub async fn walk_in(&self, new: NewWalkIn) -> Result<Invoice, Error> {
        let NewWalkIn { name, amount, metadata, expiry } = new;
        bounded(&name, "the name", 256)?;
        let node = self.0;
        let hash = Sha256::digest(metadata.as_bytes()).into();
        let order = NewInvoice { amount, description: None, expiry };
        let made = self.wallet()?.make_invoice_for(order, hash).await?;
        let bad = |what: &str| WalletError::BadAnswer { what: what.to_owned() };
        let read = Bolt11::parse(&made.bolt11).map_err(|_| bad("an invoice that is none"))?;
        if read.payment_hash != made.payment_hash || read.description_hash != Some(hash) {
            return Err(bad("an invoice for something else").into());
        }
        // Payers compare: one over another amount is of no use to them.
        if read.amount != Some(amount) {
            return Err(bad("an invoice for another amount").into());
        }
        if read.is_expired_at(node.env().now()) {
            return Err(bad("an invoice that is over already").into());
        }
        let watched = WatchedInvoice {
            payment_hash: read.payment_hash.0,
            made_at: read.created_at,
            payable_until: read.expires_at,
        };
        let invoice = made.bolt11.clone().into();
        let walkin = WalkIn { name: name.into(), invoice, watched };
        // Before anybody can pay it.
        node.open(Opening::of(Conversation::WalkIn(Box::new(walkin)))).await?;
        Ok(made)
    }

    /// The stream on which money appears that came to invoices that anybody may pay.
    #[must_use]
    pub const fn receipts(&self) -> StreamId {
        RECEIPTS
    }
}

/// Opens the stream of receipts, unless it is open since an earlier start.
pub(super) async fn listen(node: &Node) -> Result<(), Error> {
    keep_open(node, RECEIPTS, Conversation::Receipts).await
}
