//! What the mint issues: its units, how each is cut into keys, what backs it, and what people
//! see of it.
//!
//! A unit that is shown ticket by ticket has the one amount `[1]`: then a ticket is a proof, and
//! any number of tickets can be handed over without asking the mint. Everything else is cut into
//! powers of two.

use std::collections::BTreeMap;

use cdk::nuts::CurrencyUnit;
use serde::{Deserialize, Serialize};

/// The longest name of a unit; it is a segment of a path.
pub const MAX_NAME: usize = 32;

/// Powers of two up to 2^62: more than any sum this mint can hold.
pub const MAX_POWERS: u8 = 62;

/// What pays for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Nothing: whoever may mint decides what it is worth. Quotes are paid at once.
    Tickets,
    /// Lightning: a quote is paid when its invoice is.
    Lightning,
}

/// A unit of the mint.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its name in the protocol.
    pub currency: CurrencyUnit,
    /// What pays for it.
    pub backing: Backing,
    /// The amounts there are keys for, ascending.
    pub amounts: Vec<u64>,
    /// What spending one proof costs, in thousandths.
    pub input_fee_ppk: u64,
    /// The second in which its tickets end; part of the keyset.
    pub expires_at: Option<u64>,
    /// The most that is ever sold.
    pub max_supply: Option<u64>,
    /// What people see.
    pub info: UnitInfo,
}

impl Unit {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.currency.to_string()
    }

    /// What `/v1/unit/{unit}` says.
    #[must_use]
    pub fn public(&self) -> PublicUnit<'_> {
        PublicUnit {
            unit: self.name(),
            info: &self.info,
            amounts: &self.amounts,
            expires_at: self.expires_at,
            max_supply: self.max_supply,
        }
    }
}

/// What people see of a unit, as the configuration says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitInfo {
    /// The name on the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Ticket by ticket, not as a balance.
    pub show_individually: bool,
    /// Whether a holder may pass it on; wallets keep to it, and lock tickets to their holder.
    pub transferable: bool,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front_card_background: Option<String>,
    /// A picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_card_background: Option<String>,
    /// What it is for.
    pub kind: Kind,
}

/// What a unit is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Kind {
    /// A day and a place, both as people write them.
    Event {
        /// When.
        date: String,
        /// Where.
        location: String,
    },
    /// Anything else.
    #[default]
    Other,
}

/// What `/v1/unit/{unit}` says, and `/v1/info` for each unit.
#[derive(Clone, Debug, Serialize)]
pub struct PublicUnit<'a> {
    unit: String,
    #[serde(flatten)]
    info: &'a UnitInfo,
    amounts: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_supply: Option<u64>,
}

/// All units, by name.
pub type Units = BTreeMap<String, Unit>;

/// Reads the name of a unit, in the form the protocol uses; `None` when it cannot be one.
#[must_use]
pub fn currency(name: &str) -> Option<CurrencyUnit> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    let fits = !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain);
    // `auth` is the unit of blind authentication, which this mint does not have.
    if !fits || name == "auth" {
        return None;
    }
    name.parse().ok()
}

/// 2^0 to 2^(count-1).
#[must_use]
pub fn powers_of_two(count: u8) -> Vec<u64> {
    (0..count.min(MAX_POWERS)).map(|exponent| 1_u64 << exponent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        for name in ["vip", "sat", "early_bird", "voucher_50", "a"] {
            assert_eq!(currency(name).expect(name).to_string(), name);
        }
        for name in ["", "VIP", " vip", "v/ip", "v.ip", "auth", "vïp", &"x".repeat(33)] {
            assert!(currency(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn thirty_two_powers_end_at_two_to_the_thirty_first() {
        let amounts = powers_of_two(32);
        assert_eq!((amounts.len(), amounts[0], amounts[31]), (32, 1, 1 << 31));
    }

    #[test]
    fn the_public_form_is_the_one_of_deployed_wallets() {
        let unit = Unit {
            currency: currency("vip").expect("a name"),
            backing: Backing::Tickets,
            amounts: vec![1],
            input_fee_ppk: 0,
            expires_at: None,
            max_supply: None,
            info: UnitInfo {
                title: Some("VIP Pass".into()),
                show_individually: true,
                transferable: true,
                kind: Kind::Event { date: "2026-12-31".into(), location: "New York, USA".into() },
                ..UnitInfo::default()
            },
        };
        assert_eq!(
            serde_json::to_value(unit.public()).expect("plain data"),
            serde_json::json!({
                "unit": "vip",
                "title": "VIP Pass",
                "show_individually": true,
                "transferable": true,
                "kind": {"Event": {"date": "2026-12-31", "location": "New York, USA"}},
                "amounts": [1],
            })
        );
    }
}
