//! The units of the file: `[portal_wallet.supported_units]`, `[portal_wallet.unit_info.*]` and
//! `[lightning]` together.

use cdk::nuts::CurrencyUnit;

use super::Problems;
use super::file::{Moment, PortalWallet, UnitInfo as WrittenInfo};
use super::problem::Problem;
use crate::units::{self, Backing, Unit, UnitInfo, Units};

/// PostgreSQL's tables of the mint hold amounts and seconds as 32-bit numbers, and cut larger
/// ones without a word.
pub(crate) const POSTGRES_MAX: u64 = 0x7fff_ffff;

/// The most amounts in a list.
const MAX_AMOUNTS: usize = 64;

/// The longest text of a unit's card.
const MAX_TEXT: usize = 4096;

pub(super) fn read(
    written: PortalWallet,
    lightning: &[String],
    postgres: bool,
    version_1: bool,
    problems: &mut Problems,
) -> Units {
    let PortalWallet { supported_units, mut unit_info } = written;
    let mut units = Units::new();
    for name in lightning.iter().filter(|name| !supported_units.contains_key(*name)) {
        problems.add(Problem::Conflict {
            name: format!("`lightning.units` has `{}`", shown(name)),
            why: "which `portal_wallet.supported_units` does not have",
        });
    }
    for (name, powers) in supported_units {
        let Some(currency) = units::currency(&name) else {
            problems.add(Problem::WrongForm {
                name: format!("the unit `{}`", shown(&name)),
                expected: "named with at most 32 of a-z, 0-9, _ and -, and not `auth`",
            });
            continue;
        };
        let backing = if lightning.contains(&name) { Backing::Lightning } else { Backing::Tickets };
        if backing == Backing::Lightning && currency != CurrencyUnit::Sat {
            problems.add(Problem::Conflict {
                name: format!("`lightning.units` has `{}`", shown(&name)),
                why: "only `sat` can be paid over Lightning",
            });
        }
        let info = unit_info.remove(&name).unwrap_or_default();
        let given = Given { name: &name, powers, postgres, version_1 };
        units.insert(name.clone(), unit(&given, currency, backing, info, problems));
    }
    for name in unit_info.keys() {
        problems.add(Problem::Conflict {
            name: format!("`portal_wallet.unit_info.{}`", shown(name)),
            why: "is not in `portal_wallet.supported_units`",
        });
    }
    if units.is_empty() {
        problems.add(Problem::Missing {
            name: "`portal_wallet.supported_units`",
            why: "a mint has at least one unit",
        });
    }
    units
}

struct Given<'a> {
    name: &'a str,
    powers: u8,
    postgres: bool,
    version_1: bool,
}

impl Given<'_> {
    fn key(&self, key: &str) -> String {
        format!("`portal_wallet.unit_info.{}.{key}`", self.name)
    }
}

fn unit(
    given: &Given<'_>,
    currency: CurrencyUnit,
    backing: Backing,
    written: WrittenInfo,
    problems: &mut Problems,
) -> Unit {
    let WrittenInfo {
        title,
        description,
        show_individually,
        transferable,
        url,
        front_card_background,
        back_card_background,
        kind,
        amounts,
        input_fee_ppk,
        expires_at,
        max_supply,
    } = written;
    let info = UnitInfo {
        title,
        description,
        show_individually,
        transferable: transferable.unwrap_or(true),
        url,
        front_card_background,
        back_card_background,
        kind,
    };
    let texts = [
        ("title", &info.title),
        ("description", &info.description),
        ("url", &info.url),
        ("front_card_background", &info.front_card_background),
        ("back_card_background", &info.back_card_background),
    ];
    for (key, text) in texts {
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
            let expected = "a text of at most 4,096 bytes";
            problems.add(Problem::WrongForm { name: given.key(key), expected });
        }
    }
    if input_fee_ppk > 10_000 {
        let expected = "thousandths of a base unit for each proof, at most 10000";
        problems.add(Problem::WrongForm { name: given.key("input_fee_ppk"), expected });
    }
    let expires_at = expires_at.and_then(|moment| {
        let read = seconds(&moment).filter(|second| *second > 0);
        if read.is_none() {
            let expected = "a second of Unix time or a date like 2027-01-01T00:00:00Z";
            problems.add(Problem::WrongForm { name: given.key("expires_at"), expected });
        }
        read
    });
    if expires_at.is_some() && given.version_1 {
        problems.add(Problem::Conflict {
            name: given.key("expires_at"),
            why: "keysets of version 1 do not commit to an expiry; use `info.keyset_version = 2`",
        });
    }
    if given.postgres && expires_at.is_some_and(|second| second > POSTGRES_MAX) {
        problems.add(Problem::Conflict {
            name: given.key("expires_at"),
            why: "PostgreSQL's tables of the mint end in January 2038",
        });
    }
    Unit {
        currency,
        backing,
        amounts: amounts_of(given, show_individually, amounts, problems),
        input_fee_ppk,
        expires_at,
        max_supply,
        info,
    }
}

fn amounts_of(
    given: &Given<'_>,
    show_individually: bool,
    written: Option<Vec<u64>>,
    problems: &mut Problems,
) -> Vec<u64> {
    if !(1..=units::MAX_POWERS).contains(&given.powers) {
        problems.add(Problem::WrongForm {
            name: format!("`portal_wallet.supported_units.{}`", given.name),
            expected: "a number of denominations from 1 to 62",
        });
    }
    match written {
        Some(amounts) => {
            let ascending = amounts.windows(2).all(|pair| pair[0] < pair[1]);
            let fits = !amounts.is_empty()
                && amounts.len() <= MAX_AMOUNTS
                && amounts[0] == 1
                && ascending
                && amounts.iter().all(|amount| *amount <= 1 << 62);
            if !fits {
                let expected = "ascending amounts that begin with 1, at most 64 of them";
                problems.add(Problem::WrongForm { name: given.key("amounts"), expected });
            }
            if given.postgres && amounts.iter().any(|amount| *amount > POSTGRES_MAX) {
                problems.add(Problem::Conflict {
                    name: given.key("amounts"),
                    why: "PostgreSQL's tables of the mint hold amounts up to 2147483647",
                });
            }
            amounts
        }
        None if show_individually => vec![1],
        // The key for 2^31 and those above could not be stored.
        None if given.postgres => units::powers_of_two(given.powers.min(31)),
        None => units::powers_of_two(given.powers),
    }
}

fn seconds(moment: &Moment) -> Option<u64> {
    let text = match moment {
        Moment::Seconds(second) => return Some(*second),
        Moment::Date(date) => date.to_string(),
        Moment::Text(text) => text.clone(),
    };
    let second = match chrono::DateTime::parse_from_rfc3339(&text) {
        Ok(time) => time.timestamp(),
        // A day alone ends with its last second, in UTC.
        Err(_) => chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(23, 59, 59)?
            .and_utc()
            .timestamp(),
    };
    u64::try_from(second).ok()
}

/// A name from the file, short enough for a sentence.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}
