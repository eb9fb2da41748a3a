//! What is in a ticket wallet, as people read it.

use portal_core::cashu::{Balance, TicketWallet, UnitInfo, UnitKind};
use serde_json::json;

use super::refused;
use crate::error::CliError;
use crate::terminal::{Style, Terminal, clean};

/// The most characters of what a mint says.
const MOST: usize = 60;

/// Lists what is held, and what is under way.
///
/// # Errors
/// When the wallet cannot be read, or the output cannot be written.
pub async fn list(wallet: &TicketWallet, terminal: &Terminal) -> Result<(), CliError> {
    let held = wallet.balances().await.map_err(refused)?;
    let open = wallet.open_operations().await.map_err(refused)?;
    for balance in &held {
        let Balance { mint, unit, available, proofs, reserved, given } = balance;
        let info = wallet.unit_info(mint, unit).await.map_err(refused)?;
        let card = card(unit.as_str(), info.as_ref());
        let record = json!({
            "type": "tickets", "mint_url": mint.as_str(), "unit": unit.as_str(), "card": card,
            "available": available, "proofs": proofs, "reserved": reserved, "given": given,
        });
        terminal.tell(&record, || {
            let what = terminal.paint(Style::Bold, &format!("{available} × {card}"));
            let mut line = format!("  {what}  {}", terminal.paint(Style::Dim, mint.as_str()));
            for (amount, how) in [(reserved, "under way"), (given, "given, not claimed yet")] {
                if *amount > 0 {
                    line.push_str(&format!("\n      {amount} {how}"));
                }
            }
            line
        })?;
    }
    for operation in &open {
        let record = json!({
            "type": "under_way", "what": operation.kind, "mint_url": operation.mint.as_str(),
            "unit": operation.unit.as_str(), "amount": operation.amount,
            "since": operation.since, "unpaid": operation.unpaid,
        });
        terminal.tell(&record, || {
            let text =
                format!("  under way: {} {} {}", operation.kind, operation.amount, operation.unit);
            terminal.paint(Style::Dim, &text)
        })?;
    }
    if held.is_empty() && open.is_empty() {
        terminal.say("No tickets.")?;
    }
    Ok(())
}

/// A ticket as a line: its title, then when and where. A mint is a stranger.
pub fn card(unit: &str, info: Option<&UnitInfo>) -> String {
    let title = info.and_then(|info| info.title.as_deref()).unwrap_or(unit);
    let text = match info.and_then(|info| info.kind.as_ref()) {
        Some(UnitKind::Event { date, location }) => format!("{title}, {date}, {location}"),
        Some(UnitKind::Other) | None => title.to_owned(),
    };
    clean(&text, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_reads_as_a_line() {
        let mut info = UnitInfo { title: Some("VIP Pass".to_owned()), ..UnitInfo::default() };
        assert_eq!(card("vip", Some(&info)), "VIP Pass");
        info.kind =
            Some(UnitKind::Event { date: "2030-12-31".into(), location: "Turin".to_owned() });
        assert_eq!(card("vip", Some(&info)), "VIP Pass, 2030-12-31, Turin");
        assert_eq!(card("vip", Some(&UnitInfo::default())), "vip");
        assert_eq!(card("vip", None), "vip");
        info.title = Some("\u{1b}[2Jgone".to_owned());
        assert!(!card("vip", Some(&info)).contains('\u{1b}'), "nothing that moves the cursor");
    }
}
