//! What becomes of tickets while the wallet runs: gifts are taken in, requests are answered. Each
//! is work beside the loop, since a mint may take its time.

use std::sync::Arc;
use std::time::Duration;

use portal_core::cashu::{CashuError, Outcome, Received, Recovery, TicketWallet};
use portal_core::client::{Answered, IncomingRequest, RequestBody};
use serde_json::json;

use super::session::{Done, Question, Session};
use super::show;
use crate::error::CliError;
use crate::person::Person;
use crate::terminal::{Style, Terminal};
use crate::tickets::holdings::card;
use crate::tickets::refused;

/// How often what waits for a mint is tried again.
pub const LOOK: Duration = Duration::from_secs(30);
/// How long to wait before an answer is tried again that did not get through.
const AGAIN: Duration = Duration::from_secs(2);

/// Who says yes to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What the person allowed the service.
    Allowance,
    /// The person, now.
    Person,
}

impl Session {
    /// Goes on with what waits for a mint, after a while.
    pub(super) fn look_after_tickets(&mut self, wait: Duration) {
        let wallet = self.tickets.clone();
        self.work.spawn(async move {
            tokio::time::sleep(wait).await;
            Done::Looked(wallet.recover().await)
        });
    }

    /// Takes a gift in. It is written down before it counts as handled.
    pub(super) fn take_gift(&mut self, request: IncomingRequest) {
        let RequestBody::TicketGift(gift) = &request.body else { return };
        let token = gift.token.clone();
        let (person, wallet) = (Arc::clone(&self.person), self.tickets.clone());
        self.work.spawn(async move {
            let taken = person.client.tickets(&wallet).take(&request).await;
            let taken = taken.map_err(CliError::from);
            Done::Taken { request: Box::new(request), token, taken }
        });
    }

    pub(super) fn answer_with_ticket(&mut self, question: Question, by: By) {
        let (person, wallet) = (Arc::clone(&self.person), self.tickets.clone());
        self.work.spawn(async move {
            let answered = answer(&person, &wallet, &question.request, by).await;
            Done::Answered { question: Box::new(question), by, answered }
        });
    }

    pub(super) async fn answered_with_ticket(
        &mut self,
        question: Question,
        by: By,
        answered: Result<Answered, CliError>,
    ) -> Result<(), CliError> {
        let id = question.request.id;
        match answered {
            Ok(Answered::Given) => {
                let how = (by == By::Allowance).then_some("you allowed it");
                show::answered(&self.terminal, id, "approved", how)
            }
            Ok(Answered::InsufficientFunds) => {
                show::answered(&self.terminal, id, "refused", Some("you hold too few"))
            }
            Ok(Answered::Refused) => {
                show::answered(&self.terminal, id, "refused", Some("it cannot be answered"))
            }
            Ok(Answered::AskThePerson) if self.auto.is_some() => {
                let reason = "it is more than this wallet gives by itself";
                self.refuse(question, Some(reason.to_owned())).await
            }
            Ok(Answered::AskThePerson) => {
                self.waiting.push_back(question);
                Ok(())
            }
            Err(error) => self.tolerate(id, Err(error)),
        }
    }
}

/// Answers a request, and tries again as long as it is not known whether that worked and the
/// request is open. Its key makes it the same answer.
///
/// # Errors
/// When it cannot be answered.
async fn answer(
    person: &Person,
    wallet: &TicketWallet,
    request: &IncomingRequest,
    by: By,
) -> Result<Answered, CliError> {
    let tickets = person.client.tickets(wallet);
    loop {
        let answered = match by {
            By::Allowance => tickets.answer_allowed(request).await,
            By::Person => tickets.answer(request, false).await,
        };
        match answered {
            Err(portal_core::Error::Cashu(error))
                if error.outcome() == Outcome::Unknown
                    && request.expires_at > person.client.now() =>
            {
                tracing::debug!(%error, "not answered yet");
                tokio::time::sleep(AGAIN).await;
            }
            other => return Ok(other?),
        }
    }
}

/// A gift was taken in, or not.
///
/// # Errors
/// When the output cannot be written.
pub async fn show_gift(
    terminal: &Terminal,
    wallet: &TicketWallet,
    request: &IncomingRequest,
    token: &str,
    taken: Result<Option<Received>, CliError>,
) -> Result<(), CliError> {
    let id = request.id;
    let what = what(wallet, token).await;
    match taken {
        Ok(Some(received)) => {
            let amount = received.amount;
            let record = json!({"type": "ticket_taken", "id": id, "amount": amount, "what": what});
            terminal.tell(&record, || {
                let mark = terminal.paint(Style::Good, terminal.either("✔", "ok:"));
                format!("  {mark} you have {amount} more: {what}")
            })
        }
        Ok(None) => {
            let record = json!({"type": "ticket_kept", "id": id, "what": what});
            terminal.tell(&record, || {
                let text = "  kept; it is yours as soon as its mint answers";
                terminal.paint(Style::Dim, text)
            })
        }
        Err(error) => {
            let record = json!({
                "type": "ticket_refused", "id": id, "code": error.code(),
                "message": error.chain(), "advice": error.advice(),
            });
            terminal.tell(&record, || {
                let advice = error.advice().map(|text| format!(" ({text})")).unwrap_or_default();
                let mark = terminal.paint(Style::Bad, terminal.either("✘", "no:"));
                format!("  {mark} {}{advice}", error.chain())
            })
        }
    }
}

/// What came of the things that wait for a mint.
///
/// # Errors
/// When the output cannot be written.
pub fn show_look(terminal: &Terminal, found: Result<Recovery, CashuError>) -> Result<(), CliError> {
    let report = match found {
        Ok(report) if report.done > 0 => report,
        Ok(_) => return Ok(()),
        Err(error) => {
            let error = refused(error);
            let record = json!({"type": "tickets_stuck", "message": error.chain()});
            return terminal.tell(&record, || error.chain());
        }
    };
    let record = json!({
        "type": "tickets_moved", "done": report.done, "waiting": report.waiting,
    });
    terminal.tell(&record, || {
        let text = format!("  tickets that waited for their mint arrived: {}", report.done);
        terminal.paint(Style::Dim, &text)
    })
}

/// The card of what a token is of; the unit when its mint has said nothing.
async fn what(wallet: &TicketWallet, token: &str) -> String {
    let Ok(token) = portal_core::cashu::TicketToken::parse(token) else {
        return "no token".to_owned();
    };
    let info = wallet.unit_info(token.mint(), token.unit()).await.ok().flatten();
    card(token.unit().as_str(), info.as_ref())
}
