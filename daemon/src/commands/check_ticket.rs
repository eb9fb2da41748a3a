//! `CheckTicket`: looks at a ticket at the door, and uses it up. Whatever is shown is answered with
//! a verdict, within a second.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The mint of the tickets.
    pub mint_url: String,
    /// The unit of the tickets.
    pub unit: String,
    /// The token that is shown.
    pub token: String,
    /// What one admission takes, in the base of `unit`; any amount when absent.
    #[serde(default)]
    pub amount: Option<u64>,
    /// What goes in while the mint cannot be reached: `nothing` (as when absent), `locked_to_us`,
    /// `signed` or `anything`.
    #[serde(default)]
    pub offline: Option<String>,
    /// Lets the mint know us.
    #[serde(default)]
    pub static_auth_token: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `valid`, `used`, `wrong_event`, `expired`, `pending`, `unreachable` or `refused`.
    pub verdict: &'static str,
    /// What it was worth, when it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// Present and true when the mint has not been asked yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// Why it is no ticket, when it is refused: `unreadable`, `wrong_amount`, `forged`, `unsigned`
    /// or `by_the_mint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

impl Reply {
    /// Whether the verdict stands; otherwise the ticket is to be shown again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self.verdict, "pending" | "unreachable")
    }
}

const WHAT: &str = "Failed to check ticket";

/// Looks.
#[cfg(feature = "cashu")]
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    use portal_core::cashu::{Event, OfflineRule};
    use portal_core::primitives::ErrorCode;

    use super::{failed, input};
    use crate::error::CommandError;

    let wallet = context.tickets(WHAT)?;
    let Request { mint_url, unit, token, amount, offline, static_auth_token } = request;
    let (mint, unit) = input::mint_and_unit(&mint_url, &unit, WHAT)?;
    let offline = match offline.as_deref() {
        None | Some("nothing") => OfflineRule::Nothing,
        Some("locked_to_us") => OfflineRule::LockedToUs,
        Some("signed") => OfflineRule::Signed,
        Some("anything") => OfflineRule::Anything,
        Some(_) => {
            let text = "`offline` must be nothing, locked_to_us, signed or anything";
            return Err(CommandError::new(ErrorCode::InvalidRequest, text).during(WHAT));
        }
    };
    input::mint_token(wallet, &mint, static_auth_token, WHAT).await?;
    let gate = wallet.gate(Event { mint, unit, amount, offline });
    let verdict = gate.check(&token).await.map_err(|error| failed(error.into(), WHAT))?;
    Ok(Reply::from(verdict).into())
}

#[cfg(feature = "cashu")]
impl From<portal_core::cashu::Verdict> for Reply {
    fn from(verdict: portal_core::cashu::Verdict) -> Self {
        use portal_core::cashu::{Refusal, Verdict};

        let plain = |verdict| Self { verdict, amount: None, offline: false, reason: None };
        match verdict {
            Verdict::Valid { amount, offline } => {
                Self { amount: Some(amount), offline, ..plain("valid") }
            }
            Verdict::Used => plain("used"),
            Verdict::WrongEvent => plain("wrong_event"),
            Verdict::Expired => plain("expired"),
            Verdict::Pending => plain("pending"),
            Verdict::Unreachable => plain("unreachable"),
            Verdict::Refused(refusal) => Self {
                reason: Some(match refusal {
                    Refusal::Unreadable => "unreadable",
                    Refusal::WrongAmount => "wrong_amount",
                    Refusal::Forged => "forged",
                    Refusal::Unsigned => "unsigned",
                    Refusal::ByTheMint => "by_the_mint",
                }),
                ..plain("refused")
            },
        }
    }
}

/// Refuses: there is no wallet.
#[cfg(not(feature = "cashu"))]
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(super::no_tickets(WHAT))
}
