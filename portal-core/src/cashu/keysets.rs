//! The keys of a mint, as far as they can be believed.
//!
//! The id of a keyset is a hash of its keys (and, in the newer form, of unit, fee and expiry), so a
//! keyset that does not hash to its id is refused, and one that once was good stays good: its keys
//! are kept and used offline. A mint that later says something else of the same id is refused too.

use std::collections::HashSet;

use cdk_common::nut02::{KeySetVersion, ShortKeysetId};
use cdk_common::nuts::KeySetInfo;
use cdk_common::{Id, KeySet, Keys};
use serde::Deserialize;
use serde_json::Value;

use super::knowledge::Need;
use super::transport::Connection;
use super::unit::MOST_AMOUNT;
use super::{CashuError, MintAddress, Unit};
use crate::storage::sqlite::tickets::KeysetRow;

/// The most keysets of one mint that are looked at.
const MOST_KEYSETS: usize = 4096;
/// The most keysets whose keys are fetched at once.
const MOST_FETCHED: usize = 64;
/// The most keys of a keyset.
const MOST_KEYS: usize = 256;

/// A keyset that hashes to its id.
#[derive(Clone, Debug)]
pub(super) struct Keyset {
    pub(super) id: Id,
    pub(super) unit: Unit,
    pub(super) active: bool,
    pub(super) fee_ppk: u64,
    pub(super) final_expiry: Option<u64>,
    pub(super) keys: Keys,
}

impl Keyset {
    pub(super) fn from_row(row: &KeysetRow) -> Option<Self> {
        Some(Self {
            id: row.id.parse().ok()?,
            unit: row.unit.parse().ok()?,
            active: row.active,
            fee_ppk: row.fee_ppk,
            final_expiry: row.final_expiry,
            keys: serde_json::from_str(&row.keys).ok()?,
        })
    }

    pub(super) fn to_row(&self, mint: &MintAddress) -> Result<KeysetRow, CashuError> {
        Ok(KeysetRow {
            mint: mint.to_string(),
            id: self.id.to_string(),
            unit: self.unit.to_string(),
            active: self.active,
            fee_ppk: self.fee_ppk,
            final_expiry: self.final_expiry,
            keys: serde_json::to_string(&self.keys).map_err(CashuError::protocol)?,
        })
    }

    /// The amounts it has keys for and that are handled, the smallest first. Many mints have keys
    /// for more than anybody has.
    pub(super) fn amounts(&self) -> Vec<u64> {
        let all = self.keys.iter().map(|(amount, _)| amount.to_u64());
        all.filter(|amount| *amount <= MOST_AMOUNT).collect()
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.final_expiry.is_some_and(|expiry| expiry != 0 && expiry <= now)
    }

    fn verify(&self) -> Result<(), CashuError> {
        let lie = |reason| CashuError::LyingKeyset { reason };
        let amounts = self.amounts();
        if amounts.is_empty() || self.keys.iter().count() > MOST_KEYS || amounts.contains(&0) {
            return Err(lie("its amounts are not possible"));
        }
        let set = KeySet {
            id: self.id,
            unit: self.unit.currency(),
            active: Some(self.active),
            keys: self.keys.clone(),
            input_fee_ppk: self.fee_ppk,
            final_expiry: self.final_expiry,
        };
        set.verify_id().map_err(|_| lie("its keys do not hash to its id"))
    }
}

/// All keysets of a mint that are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Keysets(pub(super) Vec<Keyset>);

impl Keysets {
    pub(super) fn get(&self, id: Id) -> Option<&Keyset> {
        self.0.iter().find(|keyset| keyset.id == id)
    }

    /// The keyset new proofs of a unit are made with: active, not over, the cheapest, and of those
    /// the one that lasts.
    pub(super) fn active(&self, unit: &Unit, now: u64) -> Option<&Keyset> {
        self.0
            .iter()
            .filter(|keyset| keyset.active && keyset.unit == *unit && !keyset.is_over(now))
            .min_by_key(|keyset| {
                (
                    keyset.fee_ppk,
                    std::cmp::Reverse(keyset.final_expiry.unwrap_or(u64::MAX)),
                    keyset.id,
                )
            })
    }

    /// As the protocol library wants them, to resolve short ids.
    pub(super) fn infos(&self) -> Vec<KeySetInfo> {
        self.0
            .iter()
            .map(|keyset| KeySetInfo {
                id: keyset.id,
                unit: keyset.unit.currency(),
                active: keyset.active,
                input_fee_ppk: keyset.fee_ppk,
                final_expiry: keyset.final_expiry,
            })
            .collect()
    }

    pub(super) fn knows(&self, id: &ShortKeysetId) -> bool {
        Id::from_short_keyset_id(id, &self.infos()).is_ok_and(|id| self.get(id).is_some())
    }

    /// What spending these inputs costs.
    pub(super) fn fee(&self, inputs: impl Iterator<Item = Id>) -> Result<u64, CashuError> {
        let mut ppk: u64 = 0;
        for id in inputs {
            let fee = self.get(id).ok_or(CashuError::UnknownKeyset)?.fee_ppk;
            ppk = ppk
                .checked_add(fee)
                .ok_or(CashuError::Amount { reason: "the fee is too large" })?;
        }
        Ok(ppk.div_ceil(1000))
    }
}

#[derive(Deserialize)]
struct ListAnswer {
    keysets: Vec<Value>,
}

#[derive(Deserialize)]
struct Listed {
    id: Id,
    unit: String,
    active: bool,
    #[serde(default)]
    input_fee_ppk: u64,
    #[serde(default)]
    final_expiry: Option<u64>,
}

#[derive(Deserialize)]
struct KeysAnswer {
    keysets: Vec<KeysOf>,
}

#[derive(Deserialize)]
struct KeysOf {
    id: Id,
    unit: String,
    keys: Keys,
}

/// Asks the mint for its keysets. Keys are fetched of those that are needed; what is known already
/// is compared.
pub(super) async fn fetch(
    connection: &Connection,
    known: &Keysets,
    need: Need<'_>,
) -> Result<Keysets, CashuError> {
    let answer: ListAnswer =
        connection.get(&["v1", "keysets"]).await.map_err(super::transport::CallError::plain)?;
    if answer.keysets.len() > MOST_KEYSETS {
        return Err(CashuError::BadAnswer { reason: "it lists too many keysets" });
    }
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut fetched = 0_usize;
    for value in answer.keysets {
        // An id or a unit of a later version of the protocol is none of our business.
        let Ok(listed) = serde_json::from_value::<Listed>(value) else { continue };
        let Ok(its_unit) = listed.unit.parse::<Unit>() else { continue };
        if !seen.insert(listed.id) {
            return Err(CashuError::LyingKeyset { reason: "it is listed twice" });
        }
        if let Some(kept) = known.get(listed.id) {
            found.push(compare(kept, &listed, &its_unit)?);
            continue;
        }
        let of_unit =
            (listed.active || need.every) && need.unit.is_some_and(|unit| *unit == its_unit);
        let named = need.ids.iter().any(|short| {
            let bytes = listed.id.to_bytes();
            bytes.starts_with(&short.to_bytes())
        });
        if !(of_unit || named) || fetched >= MOST_FETCHED {
            continue;
        }
        fetched = fetched.saturating_add(1);
        found.push(keys_of(connection, listed, its_unit).await?);
    }
    // What a mint no longer lists can still be verified, and not made any more.
    for kept in &known.0 {
        if !seen.contains(&kept.id) {
            found.push(Keyset { active: false, ..kept.clone() });
        }
    }
    Ok(Keysets(found))
}

fn compare(kept: &Keyset, listed: &Listed, unit: &Unit) -> Result<Keyset, CashuError> {
    if kept.unit != *unit {
        return Err(CashuError::LyingKeyset { reason: "it was of another unit before" });
    }
    let now = Keyset {
        active: listed.active,
        fee_ppk: listed.input_fee_ppk,
        final_expiry: listed.final_expiry.or(kept.final_expiry),
        ..kept.clone()
    };
    // In the newer form the id stands for the fee and the expiry as well.
    if kept.id.get_version() == KeySetVersion::Version01 {
        now.verify().map_err(|_| CashuError::LyingKeyset {
            reason: "its fee or expiry was another before",
        })?;
    }
    Ok(now)
}

async fn keys_of(
    connection: &Connection,
    listed: Listed,
    unit: Unit,
) -> Result<Keyset, CashuError> {
    let id = listed.id.to_string();
    let answer: KeysAnswer =
        connection.get(&["v1", "keys", &id]).await.map_err(super::transport::CallError::plain)?;
    let set =
        answer.keysets.into_iter().find(|set| set.id == listed.id).ok_or(
            CashuError::BadAnswer { reason: "it lists a keyset and does not have its keys" },
        )?;
    if set.unit.parse::<Unit>().ok().as_ref() != Some(&unit) {
        return Err(CashuError::LyingKeyset { reason: "it has two units" });
    }
    let keyset = Keyset {
        id: listed.id,
        unit,
        active: listed.active,
        fee_ppk: listed.input_fee_ppk,
        final_expiry: listed.final_expiry,
        keys: set.keys,
    };
    keyset.verify()?;
    Ok(keyset)
}
