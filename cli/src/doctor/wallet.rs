//! Does the linked lightning wallet answer, and what does its link allow?

use std::time::{Duration, Instant};

use portal_core::primitives::Secret;
use portal_core::wallet::nwc::NwcUri;
use portal_core::wallet::{LightningWallet, WalletError};

use super::Finding;
use crate::person::link;
use crate::terminal::{sats, took};

const AREA: &str = "wallet";
/// How long the wallet may take for everything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the daemon is told that its link may be one that can spend.
const ALLOW_SPENDING: &str = "PORTAL__WALLET__NWC__ALLOW_SPENDING";

/// Asks the wallet what it is and what it has.
pub(super) async fn check(text: Option<&Secret<String>>) -> Vec<Finding> {
    let Some(text) = text else {
        return vec![Finding::warn(
            AREA,
            "no lightning wallet was named, so none was looked at",
            "set NWC_URL, or --nwc, to the link of a wallet (nostr+walletconnect://…)",
        )];
    };
    let linked = NwcUri::parse(text.expose()).map_err(Into::into).and_then(|uri| link(&uri));
    let wallet = match linked {
        Ok(wallet) => wallet,
        Err(error) => {
            let advice = "copy the whole link from the wallet again";
            return vec![Finding::bad(AREA, error.chain(), advice)];
        }
    };
    let allowed = std::env::var(ALLOW_SPENDING).is_ok_and(|text| is_yes(&text));
    let findings = tokio::time::timeout(PATIENCE, examine(wallet.as_ref(), allowed)).await;
    wallet.shutdown().await;
    findings.unwrap_or_else(|_| vec![silent(&WalletError::Timeout)])
}

/// The forms of yes that the daemon takes.
fn is_yes(text: &str) -> bool {
    matches!(text, "true" | "1" | "yes" | "on")
}

/// Asks it. A link that may spend is one a daemon uses only where that is allowed.
async fn examine(wallet: &dyn LightningWallet, spending_allowed: bool) -> Vec<Finding> {
    let asked = Instant::now();
    let info = match wallet.info().await {
        Ok(info) => info,
        Err(error) => return vec![silent(&error)],
    };
    let network = info.network.as_deref().unwrap_or("an unnamed network");
    let mut findings = vec![Finding::ok(
        AREA,
        format!("the linked wallet answers in {}, on {network}", took(asked.elapsed())),
    )];
    let may = |name: &str| info.methods.iter().any(|method| method == name);
    let (receive, pay) = (may("make_invoice") && may("lookup_invoice"), may("pay_invoice"));
    findings.push(match (receive, pay) {
        (true, true) if spending_allowed => {
            Finding::ok(AREA, format!("its link may receive and pay, as {ALLOW_SPENDING} allows"))
        }
        (true, true) => Finding::warn(
            AREA,
            "its link may receive and pay: fit for a person's wallet; a daemon does not use it",
            format!(
                "for a daemon make a link that may only receive; or, to pay out as well, set \
                 {ALLOW_SPENDING}=true"
            ),
        ),
        (true, false) => Finding::ok(AREA, "its link may receive, not pay: right for a daemon"),
        (false, true) => Finding::warn(
            AREA,
            "its link may pay, not receive: fit for a person's wallet alone",
            "for a daemon allow make_invoice and lookup_invoice in the wallet",
        ),
        (false, false) => Finding::bad(
            AREA,
            "its link may neither receive nor pay",
            "make a new link that allows make_invoice and lookup_invoice, or pay_invoice",
        ),
    });
    if may("get_balance") {
        findings.push(match wallet.balance().await {
            Ok(balance) => Finding::ok(AREA, format!("it holds {}", sats(balance.amount.as_u64()))),
            Err(error) => Finding::warn(
                AREA,
                format!("it does not tell its balance: {error}"),
                "nothing to do, unless payments out of it fail",
            ),
        });
    }
    findings
}

fn silent(error: &WalletError) -> Finding {
    Finding::bad(
        AREA,
        format!("the linked wallet cannot be used: {error}"),
        "check that the wallet is running, that its relay is reachable, and that the link was \
         not revoked",
    )
}

#[cfg(test)]
mod tests {
    use portal_core::env::Env;
    use portal_core::primitives::Millisats;
    use portal_core::wallet::simulated::SimulatedNetwork;

    use super::super::Level;
    use super::*;

    #[tokio::test]
    async fn a_wallet_that_answers_is_fine_and_one_that_is_shut_is_not() {
        let network = SimulatedNetwork::new(Env::system());
        let wallet = network.wallet("a", Millisats::new(5_000)).expect("new");
        let findings = examine(wallet.as_ref(), true).await;
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
        assert!(findings[2].message.ends_with("5 sats"));
        wallet.shutdown().await;
        assert_eq!(examine(wallet.as_ref(), true).await[0].level, Level::Bad);
    }

    #[tokio::test]
    async fn a_link_that_the_daemon_would_refuse_is_not_called_fine() {
        let network = SimulatedNetwork::new(Env::system());
        let wallet = network.wallet("a", Millisats::new(5_000)).expect("new");
        let findings = examine(wallet.as_ref(), false).await;
        assert_eq!(findings[1].level, Level::Warn, "{findings:?}");
        let advice = findings[1].advice.as_deref().expect("advice");
        assert!(advice.contains("PORTAL__WALLET__NWC__ALLOW_SPENDING=true"), "{advice}");
        assert!(is_yes("true") && !is_yes("") && !is_yes("false"));
    }

    #[tokio::test]
    async fn a_bad_link_is_told_without_repeating_it() {
        let text = Secret::new("nostr+walletconnect://hunter2?secret=hunter2".to_owned());
        let findings = check(Some(&text)).await;
        assert_eq!(findings[0].level, Level::Bad);
        assert!(!format!("{findings:?}").contains("hunter2"));
        assert_eq!(check(None).await[0].level, Level::Warn);
    }
}
