//! `portal-mint config check`: whether the mint could start with the configuration as it is.

use std::io::Write as _;

use portal_mint::{check_wallet, read_tokens};

use super::{Found, Place};

/// Checks.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let Found { config, warnings, file, folder } = place.find()?;
    let tokens = read_tokens(&config.auth)?.len();
    if config.lightning.needed {
        check_wallet(&config.lightning)?;
    }
    let units: Vec<&str> = config.units.keys().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    if place.json {
        let line = serde_json::json!({
            "type": "config",
            "file": file,
            "listen": config.listen.to_string(),
            "url": config.url,
            "units": units,
            "tokens": tokens,
            "data_dir": folder,
            "warnings": warnings,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let file = file.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    writeln!(out, "The configuration is complete.\n")?;
    writeln!(out, "  file    {file}")?;
    writeln!(out, "  listen  {}", config.listen)?;
    writeln!(out, "  units   {}", units.join(", "))?;
    writeln!(out, "  tokens  {tokens}")?;
    writeln!(out, "  data    {}", folder.display())?;
    for warning in &warnings {
        writeln!(out, "\n  warning: {warning}")?;
    }
    Ok(())
}
