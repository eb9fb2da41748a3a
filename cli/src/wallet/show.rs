//! How requests and answers look, to people and to programs.

use nostr::PublicKey;
use portal_core::client::{IncomingRequest, RequestBody};
use portal_core::primitives::{Millisats, StreamId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::relay::RelayAddress;
use portal_core::wallet::bolt11::Bolt11;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::person::Person;
use crate::terminal::{Style, Terminal, clean, npub, sats, short_npub, span};

/// The most characters of a stranger's text.
const MOST: usize = 80;

/// The wallet listens.
pub fn ready(
    terminal: &Terminal,
    person: &Person,
    relays: &[RelayAddress],
    pays_with: &str,
    auto: Option<Millisats>,
) -> Result<(), CliError> {
    let key = person.client.main_key();
    let relays: Vec<&str> = relays.iter().map(RelayAddress::as_str).collect();
    let record = json!({
        "type": "ready", "npub": npub(&key), "hex": key.to_hex(), "relays": relays,
        "pays_with": pays_with, "auto": auto.is_some(),
        "limit_msat": auto.map(Millisats::as_u64),
    });
    terminal.tell(&record, || {
        let pays = match pays_with {
            "nwc" => "your linked lightning wallet",
            "simulated" => "a simulated wallet with play money",
            _ => "nothing: link a wallet with --nwc to pay",
        };
        let answers = match auto {
            None => "you are asked".to_owned(),
            Some(limit) => {
                format!("automatic; payments up to {} each", sats(limit.as_u64()))
            }
        };
        let mut lines = vec![
            String::new(),
            terminal.paint(Style::Bold, "Portal wallet"),
            String::new(),
            field(terminal, "you", &npub(&key)),
            field(terminal, "relays", &relays.join("  ")),
            field(terminal, "pays from", pays),
            field(terminal, "requests", &answers),
            String::new(),
        ];
        if auto.is_none() {
            let hint = "Paste a login URL (portal://…), type `tickets`, or wait for requests. \
                        Ctrl-C ends.";
            lines.push(terminal.paint(Style::Dim, hint));
        }
        lines.join("\n")
    })
}

/// A URL was opened.
pub fn opened(terminal: &Terminal, service: PublicKey) -> Result<(), CliError> {
    let record = json!({"type": "opened", "service": service.to_hex(), "npub": npub(&service)});
    terminal
        .tell(&record, || format!("{} opened the URL of {}", good(terminal), short_npub(&service)))
}

/// A URL was not opened.
pub fn not_opened(terminal: &Terminal, error: &CliError) -> Result<(), CliError> {
    let record = json!({
        "type": "not_opened", "code": error.code(), "message": error.chain(),
        "advice": error.advice(),
    });
    terminal.tell(&record, || {
        let advice = error.advice().map(|advice| format!(" ({advice})")).unwrap_or_default();
        let text = format!("the URL was not opened: {}{advice}", error.chain());
        format!("{} {text}", bad(terminal))
    })
}

/// What a service asks.
pub fn request(
    terminal: &Terminal,
    request: &IncomingRequest,
    name: Option<&str>,
    invoice: Option<&Bolt11>,
    now: Timestamp,
) -> Result<(), CliError> {
    let about = About::of(&request.body, invoice);
    let left = request.expires_at.saturating_since(now);
    let name = name.map(|name| clean(name, MOST)).filter(|name| !name.is_empty());
    let record = json!({
        "type": "request", "id": request.id, "kind": about.kind,
        "service": request.service.to_hex(), "npub": npub(&request.service), "name": name,
        "payment_hash": invoice.map(|invoice| invoice.payment_hash.to_string()),
        "amount_msat": about.msat, "amount": about.amount, "description": about.description,
        "expires_at": request.expires_at, "seconds_left": left.as_secs(),
    });
    terminal.tell(&record, || {
        let who = match &name {
            Some(name) => format!("{name} ({})", short_npub(&request.service)),
            None => short_npub(&request.service),
        };
        let mut lines = vec![
            String::new(),
            format!("{} {}", terminal.paint(Style::Service, &who), about.title),
        ];
        if let Some(amount) = &about.amount {
            lines.push(field(terminal, "amount", &terminal.paint(Style::Bold, amount)));
        }
        if let Some(description) = &about.description {
            lines.push(field(terminal, "for", description));
        }
        if !about.one_way {
            lines.push(field(terminal, "time left", &span(left)));
        }
        if request.replied {
            lines.push(field(terminal, "note", "you were asked this before a restart"));
        }
        lines.join("\n")
    })
}

/// What was answered.
pub fn answered(
    terminal: &Terminal,
    id: StreamId,
    answer: &str,
    reason: Option<&str>,
) -> Result<(), CliError> {
    let record = json!({"type": "answered", "id": id, "answer": answer, "reason": reason});
    terminal.tell(&record, || {
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let mark = if answer == "approved" { good(terminal) } else { bad(terminal) };
        format!("  {mark} {answer}{reason}")
    })
}

/// How a payment ended.
pub fn payment(terminal: &Terminal, id: StreamId, end: PaymentEnd) -> Result<(), CliError> {
    let (record, text) = match end {
        PaymentEnd::Paid { amount, fee } => (
            json!({"type": "paid", "id": id, "amount_msat": amount, "fee_msat": fee}),
            format!(
                "{} paid {}{}",
                good(terminal),
                sats(amount),
                match fee {
                    0 => String::new(),
                    fee => format!(" and {} of fees", sats(fee)),
                }
            ),
        ),
        PaymentEnd::Failed { reason } => (
            json!({"type": "payment_failed", "id": id, "reason": reason}),
            format!("  {} not paid: {}", bad(terminal), clean(&reason, 200)),
        ),
        PaymentEnd::Unknown => (
            json!({"type": "payment_unknown", "id": id}),
            format!(
                "  {} your wallet does not say whether it paid; it is asked again at the next start",
                terminal.paint(Style::Warn, "!")
            ),
        ),
    };
    terminal.tell(&record, || text)
}

/// How a payment ended, for the screen.
pub enum PaymentEnd {
    /// Paid.
    Paid {
        /// Millisatoshi.
        amount: u64,
        /// Millisatoshi.
        fee: u64,
    },
    /// Not paid.
    Failed {
        /// Why.
        reason: String,
    },
    /// Nobody knows yet.
    Unknown,
}

/// Something happened to a request without an answer from here.
pub fn note(
    terminal: &Terminal,
    kind: &str,
    id: Option<StreamId>,
    text: &str,
) -> Result<(), CliError> {
    let record: Value = match id {
        Some(id) => json!({"type": kind, "id": id, "message": text}),
        None => json!({"type": kind, "message": text}),
    };
    terminal.tell(&record, || terminal.paint(Style::Dim, text))
}

/// What is asked, in words.
struct About {
    kind: &'static str,
    title: &'static str,
    amount: Option<String>,
    msat: Option<u64>,
    description: Option<String>,
    one_way: bool,
}

impl About {
    fn of(body: &RequestBody, invoice: Option<&Bolt11>) -> Self {
        let plain = |kind, title| Self {
            kind,
            title,
            amount: None,
            msat: None,
            description: None,
            one_way: false,
        };
        let described = |text: &Option<String>| {
            text.as_deref().map(|text| clean(text, MOST)).filter(|text| !text.is_empty())
        };
        match body {
            RequestBody::Login(_) => plain("login", "asks you to log in"),
            RequestBody::Payment(asked) => {
                // What would be paid is what the invoice says.
                let msat = invoice.and_then(|invoice| invoice.amount).map(Millisats::as_u64);
                let amount = match (&asked.currency, msat) {
                    (Currency::Millisats, msat) => sats(msat.unwrap_or(asked.amount)),
                    (Currency::Fiat(_), Some(msat)) => {
                        format!("{} ({})", money(asked.amount, &asked.currency), sats(msat))
                    }
                    (Currency::Fiat(_), None) => money(asked.amount, &asked.currency),
                };
                let description = described(&asked.description)
                    .or_else(|| invoice.and_then(|invoice| described(&invoice.description)));
                let amount = Some(amount);
                Self { amount, msat, description, ..plain("payment", "asks you to pay") }
            }
            RequestBody::Recurring(asked) => {
                let often = asked.recurrence.calendar.to_string();
                let description = described(&asked.description);
                let description = match description {
                    Some(text) => format!("{text}, {}", clean(&often, MOST)),
                    None => clean(&often, MOST),
                };
                Self {
                    amount: Some(money(asked.amount, &asked.currency)),
                    description: Some(description),
                    ..plain("recurring", "asks to charge you regularly; you approve each charge")
                }
            }
            RequestBody::Invoice(asked) => Self {
                amount: Some(money(asked.amount, &asked.currency)),
                description: described(&asked.description),
                ..plain("invoice", "wants to pay you, and asks for an invoice")
            },
            RequestBody::Ticket(asked) => Self {
                amount: Some(format!("{} {}", asked.amount, clean(&asked.unit, 40))),
                ..plain("ticket", "asks for a ticket")
            },
            RequestBody::TicketGift(_) => {
                Self { one_way: true, ..plain("ticket_gift", "gave you a ticket") }
            }
            RequestBody::SubscriptionClosed(closed) => Self {
                description: described(&closed.reason),
                one_way: true,
                ..plain("subscription_closed", "has ended your subscription")
            },
        }
    }
}

/// An amount in the unit it was written in.
fn money(amount: u64, currency: &Currency) -> String {
    match currency {
        Currency::Millisats => sats(amount),
        // Hundredths on the wire, whatever the currency.
        Currency::Fiat(code) => {
            format!("{}.{:02} {}", amount / 100, amount % 100, clean(code, 12))
        }
    }
}

fn field(terminal: &Terminal, name: &str, value: &str) -> String {
    format!("  {} {value}", terminal.paint(Style::Dim, &format!("{name:<10}")))
}

fn good(terminal: &Terminal) -> String {
    terminal.paint(Style::Good, terminal.either("✔", "ok:"))
}

fn bad(terminal: &Terminal) -> String {
    terminal.paint(Style::Bad, terminal.either("✘", "no:"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portal_core::env::Env;
    use portal_core::primitives::RequestId;
    use portal_core::protocol::payment::SinglePaymentRequest;
    use portal_core::wallet::simulated::SimulatedNetwork;
    use portal_core::wallet::{LightningWallet as _, NewInvoice};

    use super::*;

    fn payment(currency: Currency, amount: u64) -> RequestBody {
        RequestBody::Payment(SinglePaymentRequest {
            amount,
            currency,
            current_exchange_rate: None,
            invoice: String::new(),
            auth_token: None,
            expires_at: Timestamp::from_secs(0),
            subscription_id: None,
            description: Some("Coffee\u{1b}[2J\nand cake".to_owned()),
            request_id: RequestId::new("r"),
        })
    }

    #[tokio::test]
    async fn a_payment_shows_what_the_invoice_takes() {
        let network = SimulatedNetwork::new(Env::system());
        let shop = network.wallet("shop", Millisats::new(0)).expect("in memory");
        let order = NewInvoice {
            amount: Millisats::new(2_000),
            description: None,
            expiry: Duration::from_secs(60),
        };
        let invoice = shop.make_invoice(order).await.expect("made").bolt11;
        let invoice = Bolt11::parse(&invoice).expect("an invoice");
        let about = About::of(&payment(Currency::Millisats, 1_500), Some(&invoice));
        assert_eq!((about.amount.as_deref(), about.msat), (Some("2 sats"), Some(2_000)));
        assert_eq!(about.description.as_deref(), Some("Coffee [2J and cake"));
        let about = About::of(&payment(Currency::from("EUR"), 1250), Some(&invoice));
        assert_eq!(about.amount.as_deref(), Some("12.50 EUR (2 sats)"));
        let about = About::of(&payment(Currency::from("EUR"), 5), None);
        assert_eq!((about.amount.as_deref(), about.msat), (Some("0.05 EUR"), None));
    }
}
