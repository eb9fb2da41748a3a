//! What the amount of a request comes to at this moment.

use std::time::Duration;

use super::PATIENCE;
use crate::driver::Node;
use crate::error::Error;
use crate::primitives::{Millisats, MoneyError, Timestamp};
use crate::protocol::{Currency, ExchangeRate};
use crate::rates::{RateDesk, quote};
use crate::wallet::LightningWallet;

/// All the money there can be, in millisatoshi: 21 million bitcoin.
const ALL_MONEY: u64 = 21_000_000 * 100_000_000 * 1000;

/// An amount in millisatoshi, and the rate that the request carries with it.
pub(super) struct Priced {
    /// The amount.
    pub millisats: Millisats,
    /// The rate it was computed with.
    pub rate: Option<ExchangeRate>,
    /// Until when that rate is locked.
    until: Option<Timestamp>,
}

impl Priced {
    /// What an invoice must be for: rounded up to a satoshi where the wallet knows nothing smaller.
    pub fn payable(&self, wallet: &dyn LightningWallet) -> Millisats {
        if !wallet.whole_sats() {
            return self.millisats;
        }
        Millisats::from_sats(self.millisats.sats_rounded_up()).unwrap_or(self.millisats)
    }

    /// How long the price may be paid: as long as its rate is locked.
    pub fn patience(&self, now: Timestamp) -> Duration {
        self.until.map_or(PATIENCE, |until| until.saturating_since(now).min(PATIENCE))
    }
}

/// Refuses what can be refused without asking anyone.
pub(super) fn check(node: &Node, amount: u64, currency: &Currency) -> Result<(), Error> {
    if amount == 0 {
        return Err(Error::ZeroAmount);
    }
    match currency {
        Currency::Millisats if amount > ALL_MONEY => return Err(MoneyError::Overflow.into()),
        Currency::Millisats => {}
        Currency::Fiat(code) => {
            desk(node)?;
            quote::fiat(amount, code)?;
        }
    }
    Ok(())
}

/// Prices the amount; sources of rates are asked only when it is fiat.
pub(super) async fn price(node: &Node, amount: u64, currency: &Currency) -> Result<Priced, Error> {
    check(node, amount, currency)?;
    match currency {
        Currency::Millisats => {
            Ok(Priced { millisats: Millisats::new(amount), rate: None, until: None })
        }
        Currency::Fiat(code) => {
            let quote = desk(node)?.quote_wire(amount, code).await?;
            Ok(Priced {
                millisats: quote.millisats,
                rate: Some(quote.exchange_rate()),
                until: Some(quote.expires_at),
            })
        }
    }
}

fn desk(node: &Node) -> Result<&RateDesk, Error> {
    let desk = node.rates().ok_or(Error::NotConfigured { what: "a source of exchange rates" })?;
    Ok(desk)
}
