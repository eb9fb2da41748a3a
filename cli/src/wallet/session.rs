//! What happens while the wallet runs: requests come, the person (or `--auto`) decides, payments
//! are made, until Ctrl-C.
//!
//! ```text
//!   request ──▶ introduced (name, invoice examined) ──▶ asked ──yes──▶ answered / being paid
//!                     │ must not be paid,               ▲       └no / in time no answer ──▶ over
//!                     │ --auto ──a price in fiat that ──┘
//!                     │          no rate vouches for
//!                     └────────────────────────────────▶ answered without a question
//! ```
//!
//! One question is open at a time; payments go on beside it. A request is marked as handled when
//! it is over, so what a crash interrupts comes again at the next start.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use portal_core::cashu::{CashuError, Received, Recovery, TicketWallet};
use portal_core::client::{Answered, IncomingRequest, RequestBody};
use portal_core::env::Env;
use portal_core::primitives::{Millisats, StreamId};
use portal_core::protocol::Currency;
use portal_core::protocol::auth::AuthStatus;
use portal_core::protocol::handshake::KeyHandshakeUrl;
use portal_core::protocol::payment::PaymentStatus;
use portal_core::protocol::subscription::RecurringStatus;
use portal_core::wallet::NewInvoice;
use portal_core::wallet::bolt11::Bolt11;
use tokio::task::JoinSet;

use super::input::{lines, next_line};
use super::prices;
use super::show::{self, PaymentEnd};
use super::tickets::{self, By};
use crate::error::CliError;
use crate::person::{Outcome, Person, Unpayable};
use crate::signals::Signals;
use crate::terminal::{Style, Terminal};
use crate::tickets::holdings;

/// How long the end waits for payments that are under way.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// What `--auto` does without asking.
#[derive(Clone, Copy, Debug)]
pub struct Automatic {
    /// The most that it pays at once.
    pub limit: Millisats,
    /// How far the rate of a service may be from ours, in thousandths.
    pub tolerance: u16,
}

/// A running wallet.
pub struct Session {
    pub(super) person: Arc<Person>,
    pub(super) tickets: TicketWallet,
    pub(super) terminal: Terminal,
    /// Answer without asking.
    pub(super) auto: Option<Automatic>,
    /// Requests that were seen in this run.
    taken: HashSet<StreamId>,
    pub(super) work: JoinSet<Done>,
    paying: usize,
    pub(super) waiting: VecDeque<Question>,
    open: Option<Question>,
}

/// A request that the person has to decide on.
pub(super) struct Question {
    pub(super) request: IncomingRequest,
    name: Option<String>,
    invoice: Option<Bolt11>,
}

/// What work beside the loop came to.
pub(super) enum Done {
    Opened(Result<KeyHandshakeUrl, CliError>),
    Introduced(Box<Introduction>),
    Paid {
        id: StreamId,
        amount: u64,
        outcome: Outcome,
    },
    Reconciled,
    /// A gift was taken in.
    Taken {
        request: Box<IncomingRequest>,
        token: String,
        taken: Result<Option<Received>, CliError>,
    },
    /// A request for a ticket was answered.
    Answered {
        question: Box<Question>,
        by: By,
        answered: Result<Answered, CliError>,
    },
    /// What waits for a mint was looked at.
    Looked(Result<Recovery, CashuError>),
}

pub(super) struct Introduction {
    request: IncomingRequest,
    name: Option<String>,
    examined: Option<Result<Bolt11, Unpayable>>,
    /// Why `--auto` asks about its price.
    doubt: Option<String>,
    /// The person agreed before a restart.
    agreed: bool,
}

impl Session {
    /// A session of this person.
    pub fn new(
        person: Arc<Person>,
        tickets: TicketWallet,
        terminal: Terminal,
        auto: Option<Automatic>,
    ) -> Self {
        Self {
            person,
            tickets,
            terminal,
            auto,
            taken: HashSet::new(),
            work: JoinSet::new(),
            paying: 0,
            waiting: VecDeque::new(),
            open: None,
        }
    }

    /// Runs until Ctrl-C, or until nobody is left to answer.
    ///
    /// # Errors
    /// When the output cannot be written or the system gives no signals.
    pub async fn run(&mut self, url: Option<String>) -> Result<(), CliError> {
        let mut lines = Some(lines()?);
        let mut signals = Signals::new()?;
        let person = Arc::clone(&self.person);
        let requests = person.client.requests();
        if let Some(url) = url {
            self.open_url(url);
        }
        let reconciling = Arc::clone(&person);
        self.work.spawn(async move {
            reconciling.reconcile().await;
            Done::Reconciled
        });
        self.look_after_tickets(Duration::ZERO);
        loop {
            self.ask_next()?;
            let left = self.time_left();
            tokio::select! {
                stop = signals.next() => {
                    stop?;
                    break;
                }
                request = requests.next_besides(&self.taken) => match request {
                    Some(request) => self.take(request),
                    None => break,
                },
                Some(done) = self.work.join_next(), if !self.work.is_empty() => {
                    if let Ok(done) = done {
                        self.finish(done).await?;
                    }
                }
                line = next_line(&mut lines) => match line {
                    Some(line) => self.line(&line).await?,
                    // Nobody is left to answer.
                    None if self.auto.is_none() => break,
                    None => lines = None,
                },
                () = tokio::time::sleep(left), if self.open.is_some() => self.too_late()?,
            }
        }
        self.end(&mut signals).await
    }

    fn open_url(&mut self, url: String) {
        let person = Arc::clone(&self.person);
        self.work.spawn(async move { Done::Opened(person.open(&url).await) });
    }

    /// Finds out who asks, and whether there is something to decide.
    fn take(&mut self, request: IncomingRequest) {
        self.taken.insert(request.id);
        let (person, auto) = (Arc::clone(&self.person), self.auto);
        self.work.spawn(async move {
            let pricing = async {
                match auto {
                    Some(auto) => prices::doubt(&person.client, &request, auto.tolerance).await,
                    None => None,
                }
            };
            let examining = async {
                let RequestBody::Payment(asked) = &request.body else { return (None, false) };
                let examined = person.examine(asked).await;
                let record = match Bolt11::parse(&asked.invoice) {
                    Ok(invoice) => person.record_of(&invoice).await.ok().flatten(),
                    Err(_) => None,
                };
                (Some(examined), record.is_some())
            };
            let (name, (examined, agreed), doubt) =
                tokio::join!(person.name_of(request.service), examining, pricing);
            Done::Introduced(Box::new(Introduction { request, name, examined, doubt, agreed }))
        });
    }

    async fn finish(&mut self, done: Done) -> Result<(), CliError> {
        match done {
            Done::Opened(Ok(url)) => show::opened(&self.terminal, url.main_key()),
            Done::Opened(Err(error)) => show::not_opened(&self.terminal, &error),
            Done::Introduced(introduction) => self.introduced(*introduction).await,
            Done::Reconciled => Ok(()),
            Done::Taken { request, token, taken } => {
                tickets::show_gift(&self.terminal, &self.tickets, &request, &token, taken).await
            }
            Done::Answered { question, by, answered } => {
                self.answered_with_ticket(*question, by, answered).await
            }
            Done::Looked(found) => {
                self.look_after_tickets(tickets::LOOK);
                tickets::show_look(&self.terminal, found)
            }
            Done::Paid { id, amount, outcome } => {
                self.paying = self.paying.saturating_sub(1);
                let end = match outcome {
                    Outcome::Paid(paid) => PaymentEnd::Paid { amount, fee: paid.fee.as_u64() },
                    Outcome::Failed(reason) => PaymentEnd::Failed { reason },
                    Outcome::Unknown => PaymentEnd::Unknown,
                    Outcome::Broken(error) => {
                        let error = CliError::from(portal_core::Error::from(error));
                        show::note(&self.terminal, "storage_failed", Some(id), &error.chain())?;
                        PaymentEnd::Unknown
                    }
                };
                show::payment(&self.terminal, id, end)
            }
        }
    }

    async fn introduced(&mut self, introduction: Introduction) -> Result<(), CliError> {
        let Introduction { request, name, examined, doubt, agreed } = introduction;
        let (invoice, unpayable) = match examined {
            Some(Ok(invoice)) => (Some(invoice), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let now = self.person.client.now();
        if agreed && let RequestBody::Payment(asked) = &request.body {
            // The money may be on its way: what matters now is how it ended, not the examination.
            if let Ok(invoice) = Bolt11::parse(&asked.invoice) {
                let text = "going on with a payment that was under way";
                show::note(&self.terminal, "resumed", Some(request.id), text)?;
                self.pay(request, invoice);
                return Ok(());
            }
        }
        let question = Question { request, name, invoice };
        if let Some(reason) = unpayable {
            self.present(&question)?;
            let reason = reason.to_string();
            return self.refuse(question, Some(reason)).await;
        }
        match &question.request.body {
            RequestBody::TicketGift(_) => {
                self.present(&question)?;
                self.take_gift(question.request);
                Ok(())
            }
            RequestBody::SubscriptionClosed(_) => {
                self.present(&question)?;
                let handled = self.person.client.requests().handled(question.request.id).await;
                self.tolerate(question.request.id, handled.map_err(CliError::from))
            }
            RequestBody::Ticket(_) => {
                if self.auto.is_some() {
                    self.present(&question)?;
                }
                self.answer_with_ticket(question, By::Allowance);
                Ok(())
            }
            RequestBody::Login(_)
            | RequestBody::Payment(_)
            | RequestBody::Recurring(_)
            | RequestBody::Invoice(_) => match self.auto {
                None => {
                    self.waiting.push_back(question);
                    Ok(())
                }
                Some(Automatic { limit, .. }) => {
                    if let Some(doubt) = doubt.filter(|_| within(&question, limit)) {
                        let text = format!("the price has to be looked at: {doubt}");
                        let id = question.request.id;
                        show::note(&self.terminal, "price_unchecked", Some(id), &text)?;
                        self.waiting.push_back(question);
                        return Ok(());
                    }
                    show::request(
                        &self.terminal,
                        &question.request,
                        question.name.as_deref(),
                        question.invoice.as_ref(),
                        now,
                    )?;
                    if within(&question, limit) {
                        self.approve(question).await
                    } else {
                        let reason = "it is more than this wallet pays by itself";
                        self.refuse(question, Some(reason.to_owned())).await
                    }
                }
            },
        }
    }

    fn present(&self, question: &Question) -> Result<(), CliError> {
        let Question { request, name, invoice } = question;
        let now = self.person.client.now();
        show::request(&self.terminal, request, name.as_deref(), invoice.as_ref(), now)
    }

    /// Puts the next question, when none is open.
    fn ask_next(&mut self) -> Result<(), CliError> {
        if self.open.is_some() {
            return Ok(());
        }
        let Some(question) = self.waiting.pop_front() else { return Ok(()) };
        self.present(&question)?;
        self.open = Some(question);
        self.prompt()
    }

    fn prompt(&self) -> Result<(), CliError> {
        let text = self.terminal.paint(Style::Bold, "  Approve? [y/n] ");
        self.terminal.prompt(&text)
    }

    fn time_left(&self) -> Duration {
        let now = self.person.client.now();
        let end = self.open.as_ref().map(|question| question.request.expires_at);
        end.map(|end| end.saturating_since(now)).unwrap_or_default()
    }

    fn too_late(&mut self) -> Result<(), CliError> {
        let Some(question) = self.open.take() else { return Ok(()) };
        show::note(
            &self.terminal,
            "expired",
            Some(question.request.id),
            "\n  the request has expired",
        )
    }

    /// What the person typed: the answer to the open question, or a URL.
    async fn line(&mut self, line: &str) -> Result<(), CliError> {
        let line = line.trim();
        let is_url = line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("portal:"));
        if is_url {
            self.open_url(line.to_owned());
            return Ok(());
        }
        match (self.open.take(), line.to_ascii_lowercase().as_str()) {
            (Some(question), "y" | "yes") => self.approve(question).await,
            (Some(question), "n" | "no") => self.refuse(question, None).await,
            (open, "tickets") => {
                self.open = open;
                holdings::list(&self.tickets, &self.terminal).await?;
                if self.open.is_some() { self.prompt() } else { Ok(()) }
            }
            (Some(question), _) => {
                self.open = Some(question);
                self.prompt()
            }
            (None, "") => Ok(()),
            (None, _) => {
                let text = "Not a login URL: it begins with portal://";
                show::note(&self.terminal, "not_understood", None, text)
            }
        }
    }

    async fn approve(&mut self, question: Question) -> Result<(), CliError> {
        let Question { request, invoice, .. } = question;
        let id = request.id;
        let person = &self.person;
        let answer = match (&request.body, invoice) {
            (RequestBody::Login(_), _) => person.approve_login(&request).await,
            (RequestBody::Payment(_), Some(invoice)) => {
                show::answered(&self.terminal, id, "approved", None)?;
                self.pay(request, invoice);
                return Ok(());
            }
            (RequestBody::Recurring(asked), _) => {
                let status = RecurringStatus::Confirmed {
                    subscription_id: Env::system().uuid().to_string(),
                    authorized_amount: asked.amount,
                    authorized_currency: asked.currency.clone(),
                    authorized_recurrence: asked.recurrence.clone(),
                };
                confirm(person, &request, person.client.replies().recurring(&request, status)).await
            }
            (RequestBody::Invoice(_), _) => self.give_invoice(&request).await,
            (RequestBody::Ticket(_), _) => {
                let question = Question { request, name: None, invoice: None };
                self.answer_with_ticket(question, By::Person);
                return Ok(());
            }
            // These are never asked about.
            (
                RequestBody::Payment(_)
                | RequestBody::TicketGift(_)
                | RequestBody::SubscriptionClosed(_),
                _,
            ) => Ok(()),
        };
        match answer {
            Ok(()) => show::answered(&self.terminal, id, "approved", None),
            failed => self.tolerate(id, failed),
        }
    }

    pub(super) async fn refuse(
        &mut self,
        question: Question,
        reason: Option<String>,
    ) -> Result<(), CliError> {
        let request = &question.request;
        let person = &self.person;
        let replies = person.client.replies();
        let why = reason.clone();
        let answer = match &request.body {
            RequestBody::Login(_) => {
                let status = AuthStatus::Declined { reason: why };
                confirm(person, request, replies.login(request, status)).await
            }
            RequestBody::Payment(_) => {
                person.refuse_payment(request, PaymentStatus::Rejected { reason: why }).await
            }
            RequestBody::Recurring(_) => {
                let status = RecurringStatus::Rejected { reason: why };
                confirm(person, request, replies.recurring(request, status)).await
            }
            RequestBody::Ticket(_) => {
                let declined = person.client.tickets(&self.tickets).decline(request, why).await;
                declined.map_err(CliError::from)
            }
            // The protocol has no way to say no to these.
            RequestBody::Invoice(_)
            | RequestBody::TicketGift(_)
            | RequestBody::SubscriptionClosed(_) => {
                confirm(person, request, async { Ok(()) }).await
            }
        };
        match answer {
            Ok(()) => show::answered(&self.terminal, request.id, "refused", reason.as_deref()),
            failed => self.tolerate(request.id, failed),
        }
    }

    async fn give_invoice(&self, request: &IncomingRequest) -> Result<(), CliError> {
        let RequestBody::Invoice(asked) = &request.body else { return Ok(()) };
        let not_configured = |what| portal_core::Error::NotConfigured { what };
        if asked.currency != Currency::Millisats {
            return Err(not_configured("a rate for this currency").into());
        }
        let wallet = self.person.wallet().ok_or(not_configured("a lightning wallet"))?;
        let wanted = NewInvoice {
            amount: Millisats::new(asked.amount),
            description: asked.description.clone(),
            expiry: Duration::from_secs(3600),
        };
        let invoice = wallet.make_invoice(wanted).await.map_err(portal_core::Error::from)?;
        let hash = Some(invoice.payment_hash.to_string());
        let replies = self.person.client.replies();
        confirm(&self.person, request, replies.invoice(request, invoice.bolt11, hash)).await
    }

    fn pay(&mut self, request: IncomingRequest, invoice: Bolt11) {
        let person = Arc::clone(&self.person);
        self.paying = self.paying.saturating_add(1);
        self.work.spawn(async move {
            let amount = invoice.amount.map_or(0, Millisats::as_u64);
            let outcome = person.pay(&request, &invoice).await;
            Done::Paid { id: request.id, amount, outcome }
        });
    }

    /// A request that is over, or a relay that is not there, does not end the wallet.
    pub(super) fn tolerate(
        &self,
        id: StreamId,
        result: Result<(), CliError>,
    ) -> Result<(), CliError> {
        match result {
            Err(error @ CliError::Output(_)) => Err(error),
            Err(error) => show::note(&self.terminal, "not_answered", Some(id), &error.chain()),
            Ok(()) => Ok(()),
        }
    }

    /// Waits a moment for payments that are under way; the journal has them in any case.
    async fn end(&mut self, signals: &mut Signals) -> Result<(), CliError> {
        if self.open.is_some() {
            self.terminal.say("")?;
        }
        if self.paying > 0 {
            let text = "Waiting for a payment that is under way; Ctrl-C leaves at once.";
            show::note(&self.terminal, "ending", None, text)?;
            let limit = tokio::time::sleep(LAST_WAIT);
            tokio::pin!(limit);
            while self.paying > 0 {
                tokio::select! {
                    () = &mut limit => break,
                    again = signals.next() => {
                        again?;
                        break;
                    }
                    done = self.work.join_next() => match done {
                        Some(Ok(done @ Done::Paid { .. })) => self.finish(done).await?,
                        Some(_) => {}
                        None => break,
                    },
                }
            }
        }
        show::note(&self.terminal, "ended", None, "The wallet has stopped.")
    }
}

/// Replies, and marks the request as handled.
async fn confirm(
    person: &Person,
    request: &IncomingRequest,
    reply: impl Future<Output = Result<(), portal_core::Error>>,
) -> Result<(), CliError> {
    reply.await?;
    Ok(person.client.requests().handled(request.id).await?)
}

/// Whether `--auto` approves. A subscription is only a promise, each charge is judged again.
fn within(question: &Question, limit: Millisats) -> bool {
    match &question.request.body {
        RequestBody::Payment(_) => {
            let amount = question.invoice.as_ref().and_then(|invoice| invoice.amount);
            amount.is_some_and(|amount| amount <= limit)
        }
        RequestBody::Recurring(asked) => {
            asked.currency == Currency::Millisats && asked.amount <= limit.as_u64()
        }
        RequestBody::Login(_) | RequestBody::Invoice(_) => true,
        RequestBody::Ticket(_)
        | RequestBody::TicketGift(_)
        | RequestBody::SubscriptionClosed(_) => false,
    }
}
