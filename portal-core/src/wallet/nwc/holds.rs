//! Hold invoices of a linked wallet, where it has them.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::Value;

use super::message::{
    CancelHoldInvoice, LookupInvoice, MakeHoldInvoice, MakeInvoice, Request, SettleHoldInvoice,
    State, Transaction,
};
use super::{NwcWallet, accepted_invoice, bad, books};
use crate::primitives::Millisats;
use crate::wallet::{
    HoldInvoices, Invoice, NewInvoice, PaymentHash, PaymentState, WalletError, WalletPayment,
};

#[async_trait]
impl HoldInvoices for NwcWallet {
    async fn make_hold_invoice(
        &self,
        request: NewInvoice,
        payment_hash: PaymentHash,
    ) -> Result<Invoice, WalletError> {
        if request.amount == Millisats::new(0) {
            return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
        }
        let params = MakeHoldInvoice {
            invoice: MakeInvoice {
                amount: request.amount.as_u64(),
                description: request.description,
                expiry: Some(request.expiry.as_secs()),
                ..MakeInvoice::default()
            },
            payment_hash: payment_hash.to_string(),
        };
        let made: Transaction =
            self.ask(Request::MakeHoldInvoice(params), "make_hold_invoice").await?;
        let invoice = accepted_invoice(made, request.amount, "make_hold_invoice")?;
        // Somebody who knows the preimage of another hash could take the payer's money.
        if invoice.payment_hash != payment_hash {
            return Err(bad("make_hold_invoice"));
        }
        Ok(invoice.into())
    }

    async fn is_held(&self, payment_hash: PaymentHash) -> Result<bool, WalletError> {
        let params = LookupInvoice { payment_hash: Some(payment_hash.to_string()), invoice: None };
        let held = self
            .look(params, |words, now| {
                let read = books::read(words, Some(payment_hash), now)?;
                Ok(words.state == Some(State::Accepted) && read.state == PaymentState::Pending)
            })
            .await?;
        Ok(held.unwrap_or(false))
    }

    async fn settle_hold(&self, preimage: [u8; 32]) -> Result<(), WalletError> {
        let params = SettleHoldInvoice { preimage: hex::encode(preimage) };
        self.ask::<Value>(Request::SettleHoldInvoice(params), "settle_hold_invoice").await?;
        Ok(())
    }

    async fn cancel_hold(&self, payment_hash: PaymentHash) -> Result<(), WalletError> {
        let params = CancelHoldInvoice { payment_hash: payment_hash.to_string() };
        self.ask::<Value>(Request::CancelHoldInvoice(params), "cancel_hold_invoice").await?;
        Ok(())
    }

    fn held(&self) -> BoxStream<'static, WalletPayment> {
        self.link.held.listen()
    }
}
