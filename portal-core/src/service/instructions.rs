//! Paying to, and taking from, what people hand around: see [`crate::payments::instructions`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Payments, make_invoice};
use crate::driver::GuardedWeb;
use crate::error::Error;
use crate::payments::instructions::{self, Instruction, InstructionError};
use crate::payments::pay::{PaidInvoice, PayRequest};
use crate::primitives::Millisats;
use crate::storage::{Write, commit};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{NewInvoice, PaymentHash, WalletPayment};

/// How long an invoice can be paid that we hand to whoever offered money.
const WITHDRAWAL: Duration = Duration::from_secs(600);
/// The longest key of a caller, in bytes.
const MAX_KEY: usize = 256;

/// Something to pay to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayTo {
    /// A BOLT11 invoice, a BIP 321 URI, an LNURL, or a Lightning address.
    pub text: String,
    /// Needed where the text leaves the amount to the payer; else it must be the same.
    pub amount: Option<Millisats>,
    /// For the recipient, where one is taken (LUD-12).
    pub comment: Option<String>,
    /// With the same key again, the payment of the first call is meant: a Lightning address makes
    /// a new invoice for every call, and only the key tells that one payment is wanted.
    pub key: Option<String>,
}

/// Money that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// How much.
    pub amount: Millisats,
    /// Our invoice: whether it was paid is to be asked of our wallet.
    pub payment_hash: PaymentHash,
}

/// Which invoice a caller's key stands for.
#[derive(Serialize, Deserialize)]
struct Chosen {
    /// A hash of what was asked.
    asked: [u8; 32],
    bolt11: String,
}

impl Payments<'_> {
    /// Says what a text asks for, without paying. Asks its host when it names one.
    ///
    /// # Errors
    /// [`Error::Instruction`] when it cannot be read or its host does not play by the rules.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn read_instruction(&self, text: &str) -> Result<Instruction, Error> {
        let network = match self.0.wallet() {
            Some(wallet) => wallet.info().await.ok().and_then(|info| info.network),
            None => None,
        };
        let network = network.as_deref().and_then(instructions::network);
        Ok(instructions::read(text, network, &self.web()).await?)
    }

    /// Pays to what a text says, at most once for each invoice, and for each key.
    ///
    /// # Errors
    /// As [`Payments::pay_invoice`]; [`Error::Instruction`] when the text cannot be paid to.
    ///
    /// # Cancel safety
    /// The payment goes on when the future is dropped, and its outcome is saved.
    pub async fn pay_to(&self, to: PayTo) -> Result<PaidInvoice, Error> {
        let invoice = match &to.key {
            None => self.invoice_for(&to).await?,
            Some(key) => self.chosen(key, &to).await?,
        };
        let own = Bolt11::parse(&invoice).ok().and_then(|read| read.amount);
        let amount = to.amount.filter(|_| own.is_none());
        self.pay(PayRequest { amount, ..PayRequest::new(invoice) }).await
    }

    /// Takes what an LNURL-withdraw offers, all of it unless an amount is given.
    ///
    /// # Errors
    /// When the text offers nothing, the amount is not within the offer, or the host refuses.
    ///
    /// # Cancel safety
    /// The money may come also when the future is dropped.
    pub async fn withdraw(
        &self,
        text: &str,
        amount: Option<Millisats>,
    ) -> Result<Withdrawal, Error> {
        let Instruction::Withdraw(offer) = self.read_instruction(text).await? else {
            return Err(InstructionError::Unknown { reason: "it offers no money" }.into());
        };
        let wallet = self.wallet()?;
        let amount = match amount {
            Some(amount) => amount,
            // All of it, as far as the wallet can name it: rounding up would ask for too much.
            None if wallet.whole_sats() => {
                Millisats::new(offer.most.as_u64() - offer.most.as_u64() % 1000)
            }
            None => offer.most,
        };
        if amount < offer.least || amount > offer.most {
            return Err(InstructionError::Amount { least: offer.least, most: offer.most }.into());
        }
        let request = NewInvoice {
            amount,
            description: Some(offer.description.clone()).filter(|text| !text.is_empty()),
            expiry: WITHDRAWAL,
        };
        let invoice = make_invoice(&**wallet, request, self.0.env().now()).await?;
        offer.claim(&invoice.bolt11, &self.web()).await?;
        Ok(Withdrawal { amount, payment_hash: invoice.payment_hash })
    }

    /// Where a payment of our wallet stands, either way, by the wallet's word.
    ///
    /// # Errors
    /// When there is no wallet or it cannot say.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn look_up(&self, payment_hash: PaymentHash) -> Result<Option<WalletPayment>, Error> {
        Ok(self.wallet()?.lookup(payment_hash).await?)
    }

    /// The invoice that a key stands for: of the first call, or made and saved now. Saved before
    /// anything is paid, so that a repeat after a crash does not pay a second invoice.
    async fn chosen(&self, key: &str, to: &PayTo) -> Result<String, Error> {
        super::call::bounded(key, "the key", MAX_KEY)?;
        let name = format!("pay-to/{key}");
        // Two calls at once must not both find nothing.
        let guard = self.0.claims().exclusive(&name).await;
        let asked = asked(to);
        if let Some(saved) = self.0.store().setting(&name).await? {
            let chosen: Chosen = serde_json::from_slice(&saved)
                .map_err(|_| crate::storage::StorageError::Corrupt { what: "chosen invoice" })?;
            drop(guard);
            return if chosen.asked == asked {
                Ok(chosen.bolt11)
            } else {
                Err(Error::IdempotencyConflict)
            };
        }
        let bolt11 = self.invoice_for(to).await?;
        let chosen = super::json(&Chosen { asked, bolt11: bolt11.clone() });
        commit(self.0.store(), vec![Write::PutSetting { name, value: chosen.into_bytes() }])
            .await?;
        drop(guard);
        Ok(bolt11)
    }

    async fn invoice_for(&self, to: &PayTo) -> Result<String, Error> {
        match self.read_instruction(&to.text).await? {
            Instruction::Invoice(invoice) => fixed(*invoice, to.amount),
            Instruction::LnurlPay(pay) => {
                let amount = to.amount.ok_or(InstructionError::AmountMissing)?;
                let made = pay.invoice(amount, to.comment.as_deref(), &self.web()).await?;
                Ok(made.invoice.text)
            }
            Instruction::Withdraw(_) => {
                Err(InstructionError::CannotPay { what: "an offer of money" }.into())
            }
            Instruction::CannotPay { what, .. } => Err(InstructionError::CannotPay { what }.into()),
        }
    }

    fn web(&self) -> GuardedWeb {
        GuardedWeb(*self.0.policy())
    }
}

/// An invoice whose amount is known: its own, which is the one that was given, if any, or else the
/// given one.
fn fixed(invoice: Bolt11, given: Option<Millisats>) -> Result<String, Error> {
    match (invoice.amount, given) {
        (None, None) => Err(InstructionError::AmountMissing.into()),
        (Some(own), Some(given)) if own != given => {
            Err(InstructionError::Amount { least: own, most: own }.into())
        }
        (Some(_), _) | (None, Some(_)) => Ok(invoice.text),
    }
}

/// What tells one request from another under the same key.
fn asked(to: &PayTo) -> [u8; 32] {
    let PayTo { text, amount, comment, key: _ } = to;
    let amount = amount.map(Millisats::as_u64);
    let all = super::json(&(text.trim(), amount, comment));
    Sha256::digest(all.as_bytes()).into()
}
