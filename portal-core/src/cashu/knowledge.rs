//! What the wallet knows of its mints, and when it asks again.

use std::sync::{Arc, PoisonError};

use cdk_common::nut02::ShortKeysetId;
use serde_json::Value;

use super::about::About;
use super::keysets::{self, Keyset, Keysets};
use super::transport::CallError;
use super::{CashuError, Inner, KnownMint, MintAddress, TicketWallet, Unit, UnitInfo};
use crate::primitives::Timestamp;
use crate::storage::sqlite::tickets::{MintRow, UnitInfoRow};

/// How long what a mint says of itself is believed, in seconds.
const ABOUT_FOR: u64 = 600;
/// How long the looks of a unit are shown without asking again, in seconds.
const LOOKS_FOR: u64 = 3600;
/// The longest description of a mint or unit that is kept.
const MOST_KEPT: usize = 64 * 1024;

/// What is needed of the keysets of a mint.
#[derive(Clone, Copy, Default)]
pub(super) struct Need<'a> {
    /// An active keyset of this unit.
    pub(super) unit: Option<&'a Unit>,
    /// These keysets.
    pub(super) ids: &'a [ShortKeysetId],
    /// What is known has turned out to be old.
    pub(super) anew: bool,
    /// Not only the active keysets of the unit: all it ever had.
    pub(super) every: bool,
}

/// What mints say of themselves and of their units.
impl TicketWallet {
    /// The mints the wallet knows.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn mints(&self) -> Result<Vec<KnownMint>, CashuError> {
        let rows = self.0.store.mints().await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let about = row.info.as_deref().and_then(read).unwrap_or_default();
                Some(KnownMint {
                    address: row.url.parse().ok()?,
                    name: about.name,
                    asked_at: Timestamp::from_secs(row.fetched_at),
                })
            })
            .collect())
    }

    /// How a unit is shown. Asks the mint at most once an hour; where there is no network, what it
    /// said last is shown. `None` when it never said anything.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn unit_info(
        &self,
        mint: &MintAddress,
        unit: &Unit,
    ) -> Result<Option<UnitInfo>, CashuError> {
        let kept = self.0.store.unit_info(mint.as_str(), unit.as_str()).await?;
        let fresh = |row: &&UnitInfoRow| row.fetched_at.saturating_add(LOOKS_FOR) > self.0.now();
        if let Some(row) = kept.as_ref().filter(fresh) {
            return Ok(read_looks(row));
        }
        let kept = kept.as_ref().and_then(read_looks);
        match self.0.fetch_looks(mint, unit, kept.as_ref()).await {
            Ok(found) => Ok(found),
            Err(CashuError::Storage(error)) => Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "the looks of a unit are not to be had");
                Ok(kept)
            }
        }
    }
}

/// `None` where the mint was asked and has nothing to say.
fn read_looks(row: &UnitInfoRow) -> Option<UnitInfo> {
    serde_json::from_str(&row.info).ok()
}

fn read(text: &str) -> Option<About> {
    serde_json::from_str::<Value>(text).ok().map(|value| About::read(&value))
}

impl Inner {
    async fn fetch_unit_info(
        &self,
        mint: &MintAddress,
        unit: &Unit,
    ) -> Result<UnitInfo, CashuError> {
        let connection = self.connection(mint).await.map_err(CallError::plain)?;
        let value: Value =
            connection.get(&["v1", "unit", unit.as_str()]).await.map_err(CallError::plain)?;
        Ok(UnitInfo::read(&value))
    }

    /// Asks how a unit is shown, and keeps it. What a mint once said is `kept` when it has nothing
    /// to say any more.
    async fn fetch_looks(
        &self,
        mint: &MintAddress,
        unit: &Unit,
        kept: Option<&UnitInfo>,
    ) -> Result<Option<UnitInfo>, CashuError> {
        let found = match self.fetch_unit_info(mint, unit).await {
            Ok(info) => Some(info),
            // Most mints have no such route.
            Err(CashuError::Refused { .. } | CashuError::UnsupportedUnit) => kept.cloned(),
            Err(error) => return Err(error),
        };
        let text = serde_json::to_string(&found).map_err(CashuError::protocol)?;
        let row = UnitInfoRow { info: text, fetched_at: self.now() };
        self.store.put_unit_info(mint.as_str(), unit.as_str(), row).await?;
        Ok(found)
    }

    /// How a unit is shown. The mint is asked when it never was.
    pub(super) async fn looks(
        &self,
        mint: &MintAddress,
        unit: &Unit,
    ) -> Result<Option<UnitInfo>, CashuError> {
        match self.store.unit_info(mint.as_str(), unit.as_str()).await? {
            Some(row) => Ok(read_looks(&row)),
            None => self.fetch_looks(mint, unit, None).await,
        }
    }

    /// Whether tickets of a unit may be passed on. What is not known and cannot be asked is an
    /// error: a ticket that was passed on cannot be called back.
    pub(super) async fn transferable(
        &self,
        mint: &MintAddress,
        unit: &Unit,
    ) -> Result<bool, CashuError> {
        if unit.is_money() {
            return Ok(true);
        }
        Ok(self.looks(mint, unit).await?.is_none_or(|info| info.transferable))
    }

    /// Whether each of a unit is a ticket of its own.
    pub(super) async fn shown_singly(
        &self,
        mint: &MintAddress,
        unit: &Unit,
    ) -> Result<bool, CashuError> {
        if unit.is_money() {
            return Ok(false);
        }
        match self.looks(mint, unit).await {
            Ok(info) => Ok(info.is_some_and(|info| info.show_individually)),
            Err(CashuError::Storage(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// What the mint says of itself; what it said last when it does not answer.
    pub(super) async fn about(&self, mint: &MintAddress) -> Result<About, CashuError> {
        let kept = self.store.mint(mint.as_str()).await?;
        let about = kept.as_ref().and_then(|row| read(row.info.as_deref()?));
        let fresh =
            kept.as_ref().is_some_and(|row| row.fetched_at.saturating_add(ABOUT_FOR) > self.now());
        if let Some(about) = about.clone().filter(|_| fresh) {
            return Ok(about);
        }
        match self.fetch_about(mint).await {
            Ok(found) => Ok(found),
            Err(error) => about.ok_or(error),
        }
    }

    async fn fetch_about(&self, mint: &MintAddress) -> Result<About, CashuError> {
        let connection = self.connection(mint).await.map_err(CallError::plain)?;
        let value: Value = connection.get(&["v1", "info"]).await.map_err(CallError::plain)?;
        let text = value.to_string();
        if text.len() > MOST_KEPT {
            return Err(CashuError::BadAnswer { reason: "the mint says too much of itself" });
        }
        let row = MintRow {
            url: mint.to_string(),
            info: Some(text),
            fetched_at: self.now(),
            ..MintRow::default()
        };
        self.store.put_mint(row).await?;
        Ok(About::read(&value))
    }

    /// The keysets of a mint, with what is needed of them. Asks the mint only when something is
    /// missing or old.
    pub(super) async fn keysets(
        &self,
        mint: &MintAddress,
        need: Need<'_>,
    ) -> Result<Arc<Keysets>, CashuError> {
        let known = self.known_keysets(mint).await?;
        let now = self.now();
        let enough = need.ids.iter().all(|id| known.knows(id))
            && need.unit.is_none_or(|unit| known.active(unit, now).is_some());
        if enough && !need.anew {
            return Ok(known);
        }
        let connection = self.connection(mint).await.map_err(CallError::plain)?;
        let found = keysets::fetch(&connection, &known, need).await?;
        let rows =
            found.0.iter().map(|keyset| keyset.to_row(mint)).collect::<Result<Vec<_>, _>>()?;
        self.store.put_keysets(mint.as_str(), rows).await?;
        let found = Arc::new(found);
        let mut cache = self.keysets.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(mint.clone(), found.clone());
        Ok(found)
    }

    /// The keysets that are known without asking the mint.
    pub(super) async fn known_keysets(
        &self,
        mint: &MintAddress,
    ) -> Result<Arc<Keysets>, CashuError> {
        let cached = {
            let cache = self.keysets.lock().unwrap_or_else(PoisonError::into_inner);
            cache.get(mint).cloned()
        };
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let rows = self.store.keysets(mint.as_str()).await?;
        let found = Arc::new(Keysets(rows.iter().filter_map(Keyset::from_row).collect()));
        let mut cache = self.keysets.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(cache.entry(mint.clone()).or_insert(found).clone())
    }
}
