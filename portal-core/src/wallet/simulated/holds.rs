//! Hold invoices of simulated wallets: the ledger learns the preimage when the payee takes the
//! money.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use nostr::hashes::{Hash, sha256};

use super::SimulatedWallet;
use super::ledger::{Moved, Record};
use super::network::{Description, NetworkError, SimulatedNetwork, unwritten};
use crate::primitives::Millisats;
use crate::wallet::{HoldInvoices, Invoice, NewInvoice, PaymentHash, WalletError, WalletPayment};

impl SimulatedNetwork {
    fn make_hold_invoice(
        &self,
        payee: &str,
        request: &NewInvoice,
        hash: PaymentHash,
    ) -> Result<Invoice, WalletError> {
        let description = Description::Text(request.description.as_deref());
        let read = self.sign(hash, Some(request.amount), description, request.expiry)?;
        if self.state().ledger.row(hash).is_some() {
            return Err(WalletError::BadRequest { what: "the hash is used already".to_owned() });
        }
        let record = Record::Hold {
            hash: hash.0,
            payee: payee.to_owned(),
            bolt11: read.text.clone(),
            msat: request.amount.as_u64(),
            created_at: read.created_at.as_secs(),
            expires_at: read.expires_at.as_secs(),
        };
        self.state().commit(vec![record]).map_err(unwritten)?;
        Ok(read.into())
    }

    fn is_held(&self, payee: &str, hash: PaymentHash) -> bool {
        self.state().ledger.row(hash).is_some_and(|row| {
            row.payee == payee
                && row.preimage.is_none()
                && row.payment.as_ref().is_some_and(|paid| paid.state == Moved::UnderWay)
        })
    }

    fn settle_hold(&self, payee: &str, preimage: [u8; 32]) -> Result<(), WalletError> {
        let hash = sha256::Hash::hash(&preimage).to_byte_array();
        if !self.is_held(payee, PaymentHash(hash)) {
            return Err(not_held());
        }
        let at = self.now();
        let mut state = self.state();
        let records =
            vec![Record::Revealed { hash, preimage }, Record::Settled { hash, at: at.as_secs() }];
        state.commit(records).map_err(unwritten)?;
        state.announce(PaymentHash(hash), at);
        Ok(())
    }

    fn cancel_hold(&self, payee: &str, hash: PaymentHash) -> Result<(), WalletError> {
        let held = self.is_held(payee, hash);
        let mut state = self.state();
        let open = state.ledger.row(hash).is_some_and(|row| {
            row.payee == payee && row.preimage.is_none() && row.hold && !row.cancelled
        });
        if !open {
            return Err(not_held());
        }
        let mut records = Vec::new();
        if held {
            records.push(Record::Failed { hash: hash.0, at: self.now().as_secs() });
        }
        records.push(Record::Cancelled { hash: hash.0 });
        state.commit(records).map_err(|cause: NetworkError| unwritten(cause))
    }
}

fn not_held() -> WalletError {
    WalletError::Refused {
        code: "NOT_FOUND".to_owned(),
        message: "no such payment is held".to_owned(),
    }
}

#[async_trait]
impl HoldInvoices for SimulatedWallet {
    async fn make_hold_invoice(
        &self,
        request: NewInvoice,
        payment_hash: PaymentHash,
    ) -> Result<Invoice, WalletError> {
        self.open()?;
        if request.amount == Millisats::new(0) {
            return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
        }
        self.network.make_hold_invoice(&self.name, &request, payment_hash)
    }

    async fn is_held(&self, payment_hash: PaymentHash) -> Result<bool, WalletError> {
        self.open()?;
        Ok(self.network.is_held(&self.name, payment_hash))
    }

    async fn settle_hold(&self, preimage: [u8; 32]) -> Result<(), WalletError> {
        self.open()?;
        self.network.settle_hold(&self.name, preimage)
    }

    async fn cancel_hold(&self, payment_hash: PaymentHash) -> Result<(), WalletError> {
        self.open()?;
        self.network.cancel_hold(&self.name, payment_hash)
    }

    fn held(&self) -> BoxStream<'static, WalletPayment> {
        let end = self.end.clone();
        let source = self.network.held_source(&Arc::clone(&self.name));
        source.listen().take_until(end.cancelled_owned()).boxed()
    }
}
