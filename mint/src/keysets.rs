//! Keysets: which keys a unit signs with, and since when.
//!
//! cdk makes a new keyset when a unit's amounts or fee change, but knows nothing of the expiry a
//! unit should have, and leaves an expired keyset active. So keysets are brought into the shape
//! of the configuration here, before the mint is built on them. Old keysets stay: their proofs
//! can be spent until they expire.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cdk::nuts::nut02::KeySetVersion;
use cdk::nuts::{CurrencyUnit, PublicKey};
use cdk_signatory::db_signatory::DbSignatory;
use cdk_signatory::embedded::Service;
use cdk_signatory::signatory::{RotateKeyArguments, Signatory, SignatoryKeySet};
use serde::Serialize;

use crate::store::DynKeys;
use crate::units::{Unit, Units};

/// How often a mint looks whether a command beside it has rotated keys. A look costs one read.
const REFRESH: Duration = Duration::from_secs(5);

/// The keys of a mint, which never leave it.
pub struct Keysets {
    signatory: Arc<dyn Signatory + Send + Sync>,
    version: KeySetVersion,
}

/// What people may know of a keyset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeysetInfo {
    /// Its id.
    pub id: String,
    /// Its unit.
    pub unit: String,
    /// Whether it signs.
    pub active: bool,
    /// Its amounts.
    pub amounts: Vec<u64>,
    /// Its fee.
    pub input_fee_ppk: u64,
    /// When it ends.
    pub expires_at: Option<u64>,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysetError {
    /// cdk says no.
    #[error("the keys cannot be used")]
    Keys(#[from] cdk::Error),
    /// The unit is not in the configuration.
    #[error("there is no unit `{unit}`")]
    NoUnit {
        /// Which.
        unit: String,
    },
    /// A keyset that is over cannot be replaced by one that is over too.
    #[error("the unit `{unit}` has ended; give it another `expires_at` first")]
    Ended {
        /// Which.
        unit: String,
    },
}

impl Keysets {
    /// Opens the keys of a seed over the keysets in the database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open(
        keys: DynKeys,
        seed: &[u8],
        units: &Units,
        version_1: bool,
    ) -> Result<Self, KeysetError> {
        let supported: HashMap<CurrencyUnit, (u64, Vec<u64>)> = units
            .values()
            .map(|unit| (unit.currency.clone(), (unit.input_fee_ppk, unit.amounts.clone())))
            .collect();
        let own = Arc::new(DbSignatory::new(keys, seed, supported, HashMap::new()).await?);
        own.spawn_keyset_refresh(Some(REFRESH));
        let version = if version_1 { KeySetVersion::Version00 } else { KeySetVersion::Version01 };
        Ok(Self { signatory: Arc::new(Service::new(own)), version })
    }

    /// For cdk.
    #[must_use]
    pub fn signatory(&self) -> Arc<dyn Signatory + Send + Sync> {
        Arc::clone(&self.signatory)
    }

    /// The public key of the seed.
    ///
    /// # Errors
    /// When the keys cannot be used.
    pub async fn public_key(&self) -> Result<PublicKey, KeysetError> {
        Ok(self.signatory.keysets().await?.pubkey)
    }

    /// All keysets, those that sign first.
    ///
    /// # Errors
    /// When the keys cannot be used.
    pub async fn list(&self) -> Result<Vec<KeysetInfo>, KeysetError> {
        let mut all: Vec<KeysetInfo> =
            self.signatory.keysets().await?.keysets.iter().map(KeysetInfo::from).collect();
        all.sort_by(|a, b| (&a.unit, !a.active, &a.id).cmp(&(&b.unit, !b.active, &b.id)));
        Ok(all)
    }

    /// Makes a keyset for every unit whose active one is not as configured.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn conform(&self, units: &Units, now: u64) -> Result<(), KeysetError> {
        let keysets = self.signatory.keysets().await?.keysets;
        for unit in units.values() {
            let active = keysets.iter().find(|set| set.active && set.unit == unit.currency);
            if let Some(why) = self.misfit(unit, active, now) {
                let over = unit.expires_at.is_some_and(|end| end < now);
                if over {
                    tracing::warn!(unit = unit.name(), "the unit has ended: nothing is issued");
                    // Without any keyset the unit would be unknown; one that is over says why.
                    if active.is_some() {
                        continue;
                    }
                }
                let id = self.rotated(unit).await?;
                tracing::info!(unit = unit.name(), keyset = id, why, "a new keyset");
            }
        }
        Ok(())
    }

    /// Makes a new keyset for a unit; the one before it signs no more.
    ///
    /// # Errors
    /// When there is no such unit, it has ended, or the database cannot be written.
    pub async fn rotate(&self, units: &Units, unit: &str, now: u64) -> Result<String, KeysetError> {
        let found = units.get(unit).ok_or_else(|| KeysetError::NoUnit { unit: unit.to_owned() })?;
        if found.expires_at.is_some_and(|end| end < now) {
            return Err(KeysetError::Ended { unit: unit.to_owned() });
        }
        self.rotated(found).await
    }

    async fn rotated(&self, unit: &Unit) -> Result<String, KeysetError> {
        let arguments = RotateKeyArguments {
            unit: unit.currency.clone(),
            amounts: unit.amounts.clone(),
            input_fee_ppk: unit.input_fee_ppk,
            keyset_id_type: self.version,
            final_expiry: unit.expires_at,
        };
        Ok(self.signatory.rotate_keyset(arguments).await?.id.to_string())
    }

    fn misfit(
        &self,
        unit: &Unit,
        active: Option<&SignatoryKeySet>,
        now: u64,
    ) -> Option<&'static str> {
        let Some(set) = active else { return Some("there is none") };
        if set.amounts != unit.amounts {
            Some("other amounts")
        } else if set.input_fee_ppk != unit.input_fee_ppk {
            Some("another fee")
        } else if set.final_expiry != unit.expires_at {
            Some("another end")
        } else if set.final_expiry.is_some_and(|end| end < now) {
            Some("the one before has ended")
        } else if set.id.get_version() != self.version {
            Some("another version of ids")
        } else {
            None
        }
    }
}

impl From<&SignatoryKeySet> for KeysetInfo {
    fn from(set: &SignatoryKeySet) -> Self {
        Self {
            id: set.id.to_string(),
            unit: set.unit.to_string(),
            active: set.active,
            amounts: set.amounts.clone(),
            input_fee_ppk: set.input_fee_ppk,
            expires_at: set.final_expiry,
        }
    }
}
