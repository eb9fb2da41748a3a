//! `portal-mint keys`: look at keysets and make new ones. A mint that runs takes a new keyset
//! into use within seconds.

use std::io::Write as _;

use portal_core::env::Env;
use portal_mint::open_keys;

use super::{Place, block_on};

/// Lists all keysets.
pub fn list(place: &Place) -> anyhow::Result<()> {
    let found = place.find()?;
    block_on(async {
        let keys = open_keys(&found.config, &found.folder, &Env::system()).await?;
        let mut out = std::io::stdout().lock();
        for set in keys.list().await? {
            if place.json {
                writeln!(out, "{}", serde_json::to_string(&set)?)?;
            } else {
                let state = if set.active { "active" } else { "old" };
                let end = set.expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string());
                writeln!(out, "{:<16} {state:<7} ends {end:<12} {}", set.unit, set.id)?;
            }
        }
        Ok(())
    })
}

/// Makes a new keyset for a unit.
pub fn rotate(place: &Place, unit: &str) -> anyhow::Result<()> {
    let found = place.find()?;
    block_on(async {
        let env = Env::system();
        let keys = open_keys(&found.config, &found.folder, &env).await?;
        let id = keys.rotate(&found.config.units, unit, env.now().as_secs()).await?;
        let mut out = std::io::stdout().lock();
        if place.json {
            writeln!(out, "{}", serde_json::json!({ "unit": unit, "keyset": id }))?;
        } else {
            writeln!(out, "{id}")?;
        }
        Ok(())
    })
}
