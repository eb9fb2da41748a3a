//! What callers can ask for, in one place: both dialects decode into [`Command`] and call
//! [`Command::execute`]. One file per command: what is asked, what is answered, and the handler.
//! No transport is known here.

mod add_relay;
pub mod answer;
pub mod auth;
mod authenticate_key;
mod burn_cashu;
mod calculate_next_occurrence;
mod cancel_subscription;
mod change_subscription;
mod check_ticket;
mod close_recurring_payment;
mod fetch_nip05_profile;
mod fetch_profile;
mod get_cashu_wallet;
mod get_subscription;
mod get_wallet_info;
pub mod input;
mod issue_jwt;
mod list_subscriptions;
mod list_ticket_events;
mod listen_closed_recurring_payment;
mod listen_lightning_address;
mod lookup_payment;
mod mint_cashu;
mod new_key_handshake_url;
pub mod once;
mod pause_subscription;
mod pay_instruction;
mod pay_invoice;
mod read_payment_instruction;
mod refund_payment;
mod remove_relay;
mod request_cashu;
mod request_invoice;
mod request_payment_raw;
mod request_recurring_payment;
mod request_single_payment;
mod resume_stream;
mod resume_subscription;
mod revoke_static_token;
mod schedule_subscription;
mod send_cashu_direct;
mod set_profile;
mod subscription;
mod take_back_cashu;
mod verify_jwt;
mod withdraw_lnurl;

use std::fmt;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::{ErrorCode, StreamId};
use portal_core::service::{Call, EventSink, Idempotency, Service};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

pub use self::answer::Answer;
use crate::error::CommandError;

type Result<T> = std::result::Result<T, CommandError>;

/// What a command needs besides its request.
pub struct Context<'a> {
    /// The service.
    pub service: &'a Service,
    /// Time and randomness.
    pub env: &'a Env,
    /// Why there is no wallet, when there is none.
    pub wallet_missing: Option<&'static str>,
    /// The ticket wallet.
    #[cfg(feature = "cashu")]
    pub tickets: Option<&'a portal_core::cashu::TicketWallet>,
    /// Cancelled when the daemon stops: nobody waits for anything then.
    pub stopping: &'a CancellationToken,
    /// Who receives the events of the stream that the command opens.
    pub attach: Option<Arc<dyn EventSink>>,
    /// Makes the command safe to repeat.
    pub idempotency: Option<Idempotency>,
}

impl Context<'_> {
    fn call(&self) -> Call {
        Call { idempotency: self.idempotency.clone(), attach: self.attach.clone() }
    }

    /// The index of the last event of a stream so far.
    async fn last_index(&self, stream: StreamId, what: &str) -> Result<Option<u64>> {
        let info = self.service.streams().info(stream).await;
        let info = info.map_err(|error| failed(error, what))?;
        Ok(info.and_then(|info| info.events.checked_sub(1)))
    }

    /// What was found the first time under the caller's idempotency key; found now when there is
    /// none.
    async fn once<T, F>(&self, find: impl FnOnce() -> F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T>>,
    {
        let Some(idempotency) = self.idempotency.clone() else { return find().await };
        let answers = self.service.idempotency();
        let find = || async {
            serde_json::to_string(&find().await?)
                .map_err(|_| CommandError::new(ErrorCode::Internal, "the answer cannot be kept"))
        };
        let kept = answers.once::<CommandError, _>(idempotency, find).await?;
        serde_json::from_str(&kept).map_err(|_| {
            CommandError::new(ErrorCode::StorageFailed, "the kept answer is unreadable")
        })
    }

    /// The ticket wallet, or why there is none.
    #[cfg(feature = "cashu")]
    fn tickets(&self, what: &str) -> Result<&portal_core::cashu::TicketWallet> {
        self.tickets.ok_or_else(|| not_configured(NO_TICKETS).during(what))
    }

    /// A key for an operation of the ticket wallet: the caller's, so that a repeated command is the
    /// same operation also when its answer was lost; a new one when the caller has none.
    #[cfg(feature = "cashu")]
    fn ticket_key(&self, kind: &str) -> String {
        match &self.idempotency {
            Some(Idempotency { key, .. }) => format!("{kind}:{key}"),
            None => format!("{kind}:{}", self.env.uuid()),
        }
    }

    /// Refuses when there is no wallet.
    fn wallet(&self, what: &str) -> Result<()> {
        self.wallet_missing.map_or(Ok(()), |why| Err(not_configured(why).during(what)))
    }
}

/// What became of a command.
#[derive(Debug)]
pub enum Outcome {
    /// Done.
    Done(Reply),
    /// Done before, under the same idempotency key: the answer of that time, as JSON.
    Repeated(Box<RawValue>),
    /// Done; a stream was opened, and its events follow.
    Opened {
        /// The stream.
        stream: StreamId,
        /// The answer.
        reply: Reply,
        /// Whether the stream was, or can be, opened more than once.
        shared: bool,
    },
    /// Under way: the end of a stream is the answer.
    Waiting {
        /// The stream.
        stream: StreamId,
        /// How its end becomes an answer.
        answer: Answer,
    },
    /// Done; the events of a stream that was there before follow.
    Attach {
        /// The stream.
        stream: StreamId,
        /// The index of the last event that is known.
        after: Option<u64>,
        /// The answer.
        reply: Reply,
        /// Whether events follow that the 0.3 clients do not know.
        all: bool,
        /// Whether it makes a new beginning for a caller that hears the stream already.
        again: bool,
    },
}

impl Outcome {
    /// The stream whose events follow.
    #[must_use]
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Opened { stream, .. }
            | Self::Waiting { stream, .. }
            | Self::Attach { stream, .. } => Some(*stream),
            Self::Done(_) | Self::Repeated(_) => None,
        }
    }
}

/// A fault of the core, with what was tried before its text. Cold, and so in the program once and
/// not in each handler.
#[cold]
#[inline(never)]
fn failed(error: portal_core::Error, what: &str) -> CommandError {
    CommandError::from(error).during(what)
}

/// What ticket commands answer when there is no wallet for them.
#[cfg(feature = "cashu")]
const NO_TICKETS: &str = "the ticket wallet is switched off: set `cashu.enabled`";

/// What ticket commands answer in a build without the wallet.
#[cfg(not(feature = "cashu"))]
fn no_tickets(what: &str) -> CommandError {
    not_configured("this build has no ticket wallet").during(what)
}

#[cold]
#[inline(never)]
fn not_configured(text: &str) -> CommandError {
    CommandError::new(ErrorCode::NotConfigured, text)
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $module:ident;)+) => {
        /// Something a caller asks for. `Debug` shows only the name: the rest may be secret.
        #[derive(Clone)]
        pub enum Command {
            /// Shows the token.
            Auth(auth::Request),
            $($(#[$doc])* $name($module::Request),)+
        }

        impl Command {
            /// The names of all commands.
            pub const NAMES: &'static [&'static str] = &["Auth", $(stringify!($name)),+];

            /// The name of this command.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    Self::Auth(_) => "Auth",
                    $(Self::$name(_) => stringify!($name),)+
                }
            }

            /// Reads a command from its name and its parameters, which are JSON.
            ///
            /// # Errors
            /// When there is no such command, or the parameters are not what it takes.
            pub fn read(name: &str, params: &str) -> Result<Self> {
                match name {
                    "Auth" => read_params(params).map(Self::Auth),
                    $(stringify!($name) => read_params(params).map(Self::$name),)+
                    _ => Err(unknown(name)),
                }
            }

            /// Does it.
            ///
            /// # Errors
            /// When it cannot be done; the error is ready to be shown.
            ///
            /// # Cancel safety
            /// What was begun goes on, also when the future is dropped.
            pub async fn execute(self, context: Context<'_>) -> Result<Outcome> {
                match self {
                    Self::Auth(_) => Ok(auth::Reply::default().into()),
                    // Boxed: a command that runs takes what it needs, not what the largest needs.
                    $(Self::$name(request) => Box::pin($module::handle(request, context)).await,)+
                }
            }
        }
    };
}

commands! {
    /// A URL that a person opens to say who they are.
    NewKeyHandshakeUrl = new_key_handshake_url;
    /// Asks a person to prove that they hold their key.
    AuthenticateKey = authenticate_key;
    /// Asks a person to agree to a subscription.
    RequestRecurringPayment = request_recurring_payment;
    /// Asks a person to pay an invoice that our wallet makes.
    RequestSinglePayment = request_single_payment;
    /// Asks a person to pay an invoice that the caller made.
    RequestPaymentRaw = request_payment_raw;
    /// The public profile of a key.
    FetchProfile = fetch_profile;
    /// Publishes the profile of the service.
    SetProfile = set_profile;
    /// Tells a person that their subscription has ended.
    CloseRecurringPayment = close_recurring_payment;
    /// Hears of subscriptions that people close.
    ListenClosedRecurringPayment = listen_closed_recurring_payment;
    /// Hears of payments to our Lightning addresses.
    ListenLightningAddress = listen_lightning_address;
    /// Asks a person for an invoice.
    RequestInvoice = request_invoice;
    /// A token for someone, signed by the key of the service.
    IssueJwt = issue_jwt;
    /// Whom a token is for.
    VerifyJwt = verify_jwt;
    /// Asks a person for a Cashu token.
    RequestCashu = request_cashu;
    /// Gives a person a Cashu token.
    SendCashuDirect = send_cashu_direct;
    /// Makes a token at a mint.
    MintCashu = mint_cashu;
    /// Redeems a token at its mint.
    BurnCashu = burn_cashu;
    /// Takes back a token that nobody has claimed.
    TakeBackCashu = take_back_cashu;
    /// What is in the ticket wallet.
    GetCashuWallet = get_cashu_wallet;
    /// What happened to tickets that were given away.
    ListTicketEvents = list_ticket_events;
    /// Looks at a ticket at the door, and uses it up.
    CheckTicket = check_ticket;
    /// One more relay of our own.
    AddRelay = add_relay;
    /// One relay of our own less.
    RemoveRelay = remove_relay;
    /// When a calendar is due next.
    CalculateNextOccurrence = calculate_next_occurrence;
    /// The key and the relays behind `name@domain`.
    FetchNip05Profile = fetch_nip05_profile;
    /// Pays from our wallet.
    PayInvoice = pay_invoice;
    /// Gives back what was paid.
    RefundPayment = refund_payment;
    /// What an invoice, a URI, an LNURL or a Lightning address asks for.
    ReadPaymentInstruction = read_payment_instruction;
    /// Pays to any of them.
    PayInstruction = pay_instruction;
    /// Takes money that an LNURL offers.
    WithdrawLnurl = withdraw_lnurl;
    /// Where a payment of our wallet stands.
    LookupPayment = lookup_payment;
    /// Which wallet this is and what is in it.
    GetWalletInfo = get_wallet_info;
    /// Attaches to a stream that was opened before.
    ResumeStream = resume_stream;
    /// Ends a static token.
    RevokeStaticToken = revoke_static_token;
    /// Charges a subscription that a person agreed to earlier.
    ScheduleSubscription = schedule_subscription;
    /// Charges nothing until it is resumed.
    PauseSubscription = pause_subscription;
    /// Charges a subscription again.
    ResumeSubscription = resume_subscription;
    /// Changes the amount of a subscription.
    ChangeSubscription = change_subscription;
    /// Ends a subscription.
    CancelSubscription = cancel_subscription;
    /// Where a subscription stands.
    GetSubscription = get_subscription;
    /// The subscriptions that are charged by the schedule.
    ListSubscriptions = list_subscriptions;
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Command {
    /// Whether it opens a conversation, which keeps the idempotency key itself.
    #[must_use]
    pub const fn opens_stream(&self) -> bool {
        match self {
            Self::NewKeyHandshakeUrl(_)
            | Self::AuthenticateKey(_)
            | Self::RequestRecurringPayment(_)
            | Self::RequestSinglePayment(_)
            | Self::RequestPaymentRaw(_)
            | Self::CloseRecurringPayment(_)
            | Self::RequestInvoice(_)
            | Self::RefundPayment(_)
            | Self::RequestCashu(_)
            | Self::SendCashuDirect(_) => true,
            Self::Auth(_)
            | Self::FetchProfile(_)
            | Self::SetProfile(_)
            | Self::ListenClosedRecurringPayment(_)
            | Self::ListenLightningAddress(_)
            | Self::IssueJwt(_)
            | Self::VerifyJwt(_)
            | Self::MintCashu(_)
            | Self::BurnCashu(_)
            | Self::TakeBackCashu(_)
            | Self::GetCashuWallet(_)
            | Self::ListTicketEvents(_)
            | Self::CheckTicket(_)
            | Self::AddRelay(_)
            | Self::RemoveRelay(_)
            | Self::CalculateNextOccurrence(_)
            | Self::FetchNip05Profile(_)
            | Self::PayInvoice(_)
            | Self::ReadPaymentInstruction(_)
            | Self::PayInstruction(_)
            | Self::WithdrawLnurl(_)
            | Self::LookupPayment(_)
            | Self::GetWalletInfo(_)
            | Self::ResumeStream(_)
            | Self::RevokeStaticToken(_)
            | Self::ScheduleSubscription(_)
            | Self::PauseSubscription(_)
            | Self::ResumeSubscription(_)
            | Self::ChangeSubscription(_)
            | Self::CancelSubscription(_)
            | Self::GetSubscription(_)
            | Self::ListSubscriptions(_) => false,
        }
    }

    /// Whether repeating it could change something, so that its answer is kept under the
    /// caller's idempotency key. What only looks is simply done again.
    #[must_use]
    pub const fn keeps_answer(&self) -> bool {
        matches!(
            self,
            Self::SetProfile(_)
                | Self::IssueJwt(_)
                | Self::MintCashu(_)
                | Self::BurnCashu(_)
                | Self::TakeBackCashu(_)
                | Self::CheckTicket(_)
                | Self::AddRelay(_)
                | Self::RemoveRelay(_)
                | Self::PayInvoice(_)
                | Self::PayInstruction(_)
                | Self::WithdrawLnurl(_)
                | Self::RevokeStaticToken(_)
                | Self::ScheduleSubscription(_)
                | Self::PauseSubscription(_)
                | Self::ResumeSubscription(_)
                | Self::ChangeSubscription(_)
                | Self::CancelSubscription(_)
        )
    }
}

fn read_params<T: DeserializeOwned>(params: &str) -> Result<T> {
    serde_json::from_str(object(params)?).map_err(unreadable)
}

fn object(params: &str) -> Result<&str> {
    if params.trim_start().starts_with('{') {
        return Ok(params);
    }
    Err(CommandError::unreadable("`params` must be an object"))
}

#[cold]
#[inline(never)]
fn unreadable(error: serde_json::Error) -> CommandError {
    CommandError::unreadable(error)
}

fn unknown(name: &str) -> CommandError {
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(40).collect();
    CommandError::new(
        ErrorCode::UnknownCommand,
        format!("Invalid command format: there is no command `{name}`"),
    )
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident($reply:path);)+) => {
        /// The `data` of a success: its `type` and its members.
        #[derive(Clone, Debug, Serialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum Reply {
            $($(#[$doc])* $name($reply),)+
        }

        impl Reply {
            /// Whether the same command would be answered like this for ever. What is only so for
            /// the moment is not kept under an idempotency key.
            #[must_use]
            pub fn is_final(&self) -> bool {
                match self {
                    Self::TicketVerdict(reply) => reply.is_final(),
                    _ => true,
                }
            }
        }

        $(impl From<$reply> for Reply {
            fn from(reply: $reply) -> Self {
                Self::$name(reply)
            }
        }

        impl From<$reply> for Outcome {
            fn from(reply: $reply) -> Self {
                Self::Done(Reply::$name(reply))
            }
        })+
    };
}

replies! {
    /// To `Auth`.
    AuthSuccess(auth::Reply);
    /// To `NewKeyHandshakeUrl`.
    KeyHandshakeUrl(new_key_handshake_url::Reply);
    /// To `AuthenticateKey`.
    AuthResponse(authenticate_key::Reply);
    /// To `RequestRecurringPayment`.
    RecurringPayment(request_recurring_payment::Reply);
    /// To `RequestSinglePayment` and `RequestPaymentRaw`.
    SinglePayment(request_single_payment::Reply);
    /// To `FetchProfile` and `SetProfile`.
    Profile(fetch_profile::Reply);
    /// To `CloseRecurringPayment`.
    CloseRecurringPaymentSuccess(close_recurring_payment::Reply);
    /// To `ListenClosedRecurringPayment`.
    ListenClosedRecurringPayment(listen_closed_recurring_payment::Reply);
    /// To `ListenLightningAddress`.
    ListenLightningAddress(listen_lightning_address::Reply);
    /// To `RequestInvoice`.
    InvoicePayment(request_invoice::Reply);
    /// To `IssueJwt`.
    IssueJwt(issue_jwt::Reply);
    /// To `VerifyJwt`.
    VerifyJwt(verify_jwt::Reply);
    /// To `RequestCashu`.
    CashuResponse(request_cashu::Reply);
    /// To `SendCashuDirect`.
    SendCashuDirectSuccess(send_cashu_direct::Reply);
    /// To `MintCashu`.
    CashuMint(mint_cashu::Reply);
    /// To `BurnCashu`.
    CashuBurn(burn_cashu::Reply);
    /// To `TakeBackCashu`.
    CashuTakeBack(take_back_cashu::Reply);
    /// To `GetCashuWallet`.
    CashuWallet(get_cashu_wallet::Reply);
    /// To `ListTicketEvents`.
    TicketEvents(list_ticket_events::Reply);
    /// To `CheckTicket`.
    TicketVerdict(check_ticket::Reply);
    /// To `AddRelay`.
    AddRelay(add_relay::Reply);
    /// To `RemoveRelay`.
    RemoveRelay(remove_relay::Reply);
    /// To `CalculateNextOccurrence`.
    CalculateNextOccurrence(calculate_next_occurrence::Reply);
    /// To `FetchNip05Profile`.
    FetchNip05Profile(fetch_nip05_profile::Reply);
    /// To `PayInvoice`.
    PayInvoice(pay_invoice::Reply);
    /// To `RefundPayment`.
    RefundPayment(refund_payment::Reply);
    /// To `ReadPaymentInstruction`.
    PaymentInstruction(read_payment_instruction::Reply);
    /// To `WithdrawLnurl`.
    WithdrawLnurl(withdraw_lnurl::Reply);
    /// To `LookupPayment`.
    LookupPayment(lookup_payment::Reply);
    /// To `GetWalletInfo`.
    WalletInfo(get_wallet_info::Reply);
    /// To `ResumeStream`.
    StreamResumed(resume_stream::Reply);
    /// To `RevokeStaticToken`.
    RevokeStaticToken(revoke_static_token::Reply);
    /// To `ScheduleSubscription`, `PauseSubscription`, `ResumeSubscription`, `ChangeSubscription`
    /// and `GetSubscription`.
    Subscription(subscription::Reply);
    /// To `CancelSubscription`.
    SubscriptionCancelled(cancel_subscription::Reply);
    /// To `ListSubscriptions`.
    Subscriptions(list_subscriptions::Reply);
}
