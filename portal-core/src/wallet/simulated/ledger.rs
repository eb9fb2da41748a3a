//! The books: who has how much, which invoices exist, what became of them.
//!
//! Only [`Ledger::apply`] changes them, from [`Record`]s, live and after a restart alike; it
//! refuses a record that does not add up. It knows no time, no file and no listener.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::primitives::{Millisats, Timestamp};
use crate::wallet::{Direction, PaymentHash, PaymentState, WalletPayment};

/// Money that moved, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Its name.
    pub payment_hash: PaymentHash,
    /// Who paid.
    pub payer: String,
    /// Who was paid.
    pub payee: String,
    /// How much.
    pub amount: Millisats,
    /// When.
    pub at: Timestamp,
}

/// A change of the books.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Record {
    /// A wallet was opened.
    Account { name: String, msat: u64 },
    /// An invoice was made.
    Invoice {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        #[serde(with = "hex::serde")]
        preimage: [u8; 32],
        payee: String,
        bolt11: String,
        msat: Option<u64>,
        created_at: u64,
        expires_at: u64,
    },
    /// An invoice was made whose preimage the payee keeps.
    Hold {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        payee: String,
        bolt11: String,
        msat: u64,
        created_at: u64,
        expires_at: u64,
    },
    /// The payee told the preimage, to take the money that is held.
    Revealed {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        #[serde(with = "hex::serde")]
        preimage: [u8; 32],
    },
    /// The payee does not want the money any more.
    Cancelled {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
    },
    /// Money left the payer.
    Sent {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        payer: String,
        msat: u64,
        /// What goes to those in between.
        #[serde(default, skip_serializing_if = "is_zero")]
        fee: u64,
        at: u64,
    },
    /// It reached the payee.
    Settled {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        at: u64,
    },
    /// It went back to the payer.
    Failed {
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        at: u64,
    },
}

/// A record does not fit what is in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record does not fit the ledger")]
pub struct Misfit;

/// An invoice and what became of it.
pub(super) struct Row {
    pub(super) payee: String,
    pub(super) bolt11: String,
    /// `None` as long as the payee of a hold invoice keeps it.
    pub(super) preimage: Option<[u8; 32]>,
    pub(super) hold: bool,
    pub(super) cancelled: bool,
    pub(super) amount: Option<Millisats>,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// The last attempt to pay it.
    pub(super) payment: Option<Payment>,
}

pub(super) struct Payment {
    pub(super) payer: String,
    pub(super) amount: Millisats,
    pub(super) fee: Millisats,
    pub(super) sent_at: Timestamp,
    pub(super) state: Moved,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    UnderWay,
    Settled(Timestamp),
    Failed,
}

#[derive(Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<String, u64>,
    rows: HashMap<PaymentHash, Row>,
    /// Invoices in the order in which they were made.
    order: Vec<PaymentHash>,
    settlements: Vec<Settlement>,
    /// What those in between have earned.
    fees: u128,
}

/// Old ledgers have no fees, and most payments none.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(msat: &u64) -> bool {
    *msat == 0
}

impl Ledger {
    pub(super) fn apply(&mut self, record: Record) -> Result<(), Misfit> {
        match record {
            Record::Account { name, msat } => {
                if self.accounts.contains_key(&name) {
                    return Err(Misfit);
                }
                self.accounts.insert(name, msat);
            }
            Record::Invoice { hash, preimage, payee, bolt11, msat, created_at, expires_at } => {
                let row = Row {
                    payee,
                    bolt11,
                    preimage: Some(preimage),
                    hold: false,
                    cancelled: false,
                    amount: msat.map(Millisats::new),
                    created_at: Timestamp::from_secs(created_at),
                    expires_at: Timestamp::from_secs(expires_at),
                    payment: None,
                };
                self.open(PaymentHash(hash), row)?;
            }
            Record::Hold { hash, payee, bolt11, msat, created_at, expires_at } => {
                let row = Row {
                    payee,
                    bolt11,
                    preimage: None,
                    hold: true,
                    cancelled: false,
                    amount: Some(Millisats::new(msat)),
                    created_at: Timestamp::from_secs(created_at),
                    expires_at: Timestamp::from_secs(expires_at),
                    payment: None,
                };
                self.open(PaymentHash(hash), row)?;
            }
            Record::Revealed { hash, preimage } => {
                let row = self.rows.get_mut(&PaymentHash(hash)).ok_or(Misfit)?;
                if row.preimage.replace(preimage).is_some() {
                    return Err(Misfit);
                }
            }
            Record::Cancelled { hash } => {
                self.rows.get_mut(&PaymentHash(hash)).ok_or(Misfit)?.cancelled = true;
            }
            Record::Sent { hash, payer, msat, fee, at } => {
                let row = self.rows.get_mut(&PaymentHash(hash)).ok_or(Misfit)?;
                if row.payment.as_ref().is_some_and(|payment| payment.state != Moved::Failed) {
                    return Err(Misfit);
                }
                let balance = self.accounts.get_mut(&payer).ok_or(Misfit)?;
                let cost = msat.checked_add(fee).ok_or(Misfit)?;
                *balance = balance.checked_sub(cost).ok_or(Misfit)?;
                row.payment = Some(Payment {
                    payer,
                    amount: Millisats::new(msat),
                    fee: Millisats::new(fee),
                    sent_at: Timestamp::from_secs(at),
                    state: Moved::UnderWay,
                });
            }
            Record::Settled { hash, at } => {
                let hash = PaymentHash(hash);
                if self.rows.get(&hash).is_some_and(|row| row.preimage.is_none()) {
                    return Err(Misfit);
                }
                let (row, payment) = under_way(&mut self.rows, hash)?;
                let balance = self.accounts.get_mut(row).ok_or(Misfit)?;
                *balance = balance.checked_add(payment.amount.as_u64()).ok_or(Misfit)?;
                payment.state = Moved::Settled(Timestamp::from_secs(at));
                self.fees = self.fees.saturating_add(u128::from(payment.fee.as_u64()));
                self.settlements.push(Settlement {
                    payment_hash: hash,
                    payer: payment.payer.clone(),
                    payee: row.to_owned(),
                    amount: payment.amount,
                    at: Timestamp::from_secs(at),
                });
            }
            Record::Failed { hash, at: _ } => {
                let (_, payment) = under_way(&mut self.rows, PaymentHash(hash))?;
                let balance = self.accounts.get_mut(&payment.payer).ok_or(Misfit)?;
                let back = payment.amount.checked_add(payment.fee).ok_or(Misfit)?;
                *balance = balance.checked_add(back.as_u64()).ok_or(Misfit)?;
                payment.state = Moved::Failed;
            }
        }
        Ok(())
    }

    fn open(&mut self, hash: PaymentHash, row: Row) -> Result<(), Misfit> {
        if self.rows.contains_key(&hash) || !self.accounts.contains_key(&row.payee) {
            return Err(Misfit);
        }
        self.rows.insert(hash, row);
        self.order.push(hash);
        Ok(())
    }

    pub(super) fn balance(&self, name: &str) -> Option<Millisats> {
        self.accounts.get(name).copied().map(Millisats::new)
    }

    pub(super) fn row(&self, hash: PaymentHash) -> Option<&Row> {
        self.rows.get(&hash)
    }

    pub(super) fn settlements(&self) -> &[Settlement] {
        &self.settlements
    }

    /// All that is in the wallets, under way between them, and earned on the way.
    pub(super) fn total(&self) -> u128 {
        let held: u128 = self.accounts.values().map(|msat| u128::from(*msat)).sum();
        let moving: u128 = self
            .rows
            .values()
            .filter_map(|row| row.payment.as_ref())
            .filter(|payment| payment.state == Moved::UnderWay)
            .map(|payment| u128::from(payment.amount.as_u64()) + u128::from(payment.fee.as_u64()))
            .sum();
        held + moving + self.fees
    }

    /// The payment as this wallet sees it.
    pub(super) fn view(
        &self,
        name: &str,
        hash: PaymentHash,
        now: Timestamp,
    ) -> Option<WalletPayment> {
        let row = self.rows.get(&hash)?;
        if let Some(payment) = row.payment.as_ref().filter(|payment| payment.payer == name) {
            return Some(WalletPayment {
                payment_hash: hash,
                direction: Direction::Outgoing,
                state: match payment.state {
                    Moved::UnderWay => PaymentState::Pending,
                    Moved::Settled(at) => PaymentState::Settled { preimage: row.preimage, at },
                    Moved::Failed => PaymentState::Failed,
                },
                amount: payment.amount,
                fee: payment.fee,
                created_at: payment.sent_at,
            });
        }
        if row.payee != name {
            return None;
        }
        let (state, paid) = match row.payment.as_ref().map(|payment| (payment.state, payment)) {
            Some((Moved::Settled(at), payment)) => {
                (PaymentState::Settled { preimage: row.preimage, at }, Some(payment.amount))
            }
            Some((Moved::UnderWay, _)) => (PaymentState::Pending, None),
            _ if row.cancelled => (PaymentState::Failed, None),
            _ if now >= row.expires_at => (PaymentState::Failed, None),
            _ => (PaymentState::Pending, None),
        };
        Some(WalletPayment {
            payment_hash: hash,
            direction: Direction::Incoming,
            state,
            amount: paid.or(row.amount).unwrap_or(Millisats::new(0)),
            fee: Millisats::new(0),
            created_at: row.created_at,
        })
    }

    /// What came into this wallet since, newest first. Costs what has settled since then.
    pub(super) fn arrived_since<'a>(
        &'a self,
        name: &'a str,
        since: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = WalletPayment> + 'a {
        self.settlements
            .iter()
            .rev()
            .take_while(move |settlement| settlement.at >= since)
            .filter(move |settlement| settlement.payee == name)
            .filter_map(move |settlement| self.view(name, settlement.payment_hash, now))
    }

    /// Settled payments of this wallet, newest invoice first.
    pub(super) fn settled_of<'a>(
        &'a self,
        name: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = WalletPayment> + 'a {
        self.order
            .iter()
            .rev()
            .filter_map(move |hash| self.view(name, *hash, now))
            .filter(|payment| matches!(payment.state, PaymentState::Settled { .. }))
    }
}

fn under_way(
    rows: &mut HashMap<PaymentHash, Row>,
    hash: PaymentHash,
) -> Result<(&str, &mut Payment), Misfit> {
    let row = rows.get_mut(&hash).ok_or(Misfit)?;
    match row.payment.as_mut() {
        Some(payment) if payment.state == Moved::UnderWay => Ok((row.payee.as_str(), payment)),
        _ => Err(Misfit),
    }
}
