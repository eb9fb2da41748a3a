//! `portal-mint accounts` and `portal-mint backup`, beside a mint that may run.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use portal_mint::config::DatabaseConfig;
use portal_mint::{Access, Store, back_up};

use super::{Place, block_on};

/// Tells what was sold, used and is outstanding.
pub fn accounts(place: &Place) -> anyhow::Result<()> {
    let found = place.find()?;
    block_on(async {
        let store = Store::open(&found.config.database, &found.folder, Access::Beside).await?;
        let mut out = std::io::stdout().lock();
        let accounts = store.accounts().await?;
        if place.json {
            writeln!(out, "{}", serde_json::to_string(&accounts)?)?;
            return Ok(());
        }
        writeln!(out, "{:<16} {:>12} {:>12} {:>12}", "unit", "sold", "used", "outstanding")?;
        for account in accounts {
            writeln!(
                out,
                "{:<16} {:>12} {:>12} {:>12}",
                account.unit, account.sold, account.used, account.outstanding
            )?;
        }
        Ok(())
    })
}

/// Copies the database.
pub fn backup(place: &Place, copy: &Path) -> anyhow::Result<()> {
    let found = place.find()?;
    match found.config.database {
        DatabaseConfig::Sqlite => {
            back_up(&found.folder, copy).with_context(|| copy.display().to_string())
        }
        DatabaseConfig::Postgres { .. } => {
            anyhow::bail!("the database is PostgreSQL: copy it with pg_dump")
        }
    }
}
