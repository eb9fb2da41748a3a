//! What an offered wallet does for each method of NIP-47.

use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::message::{
    BalanceResult, BudgetResult, Code, InfoResult, ListTransactions, LookupInvoice,
    MakeHoldInvoice, MakeInvoice, Paid, PayInvoiceParams, Refusal, Request, State, Transaction,
    TransactionList,
};
use super::service::{Client, Core, Permission, refusal};
use super::{PAGE, PAY_TIMEOUT, books};
use crate::primitives::{Millisats, Timestamp};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{
    Direction, HoldInvoices, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice,
    PayOutcome, PaymentHash, PaymentState, WalletError,
};

/// What is served for every wallet; `pay_invoice` only to who may spend. `get_budget` is served as
/// well, and not named: it is not in NIP-47, and there are clients to whom a list with a word that
/// they do not know is no list.
const METHODS: [&str; 6] = [
    "get_info",
    "get_balance",
    "make_invoice",
    "lookup_invoice",
    "list_transactions",
    "pay_invoice",
];
/// What is served for wallets that have them.
const HOLD_METHODS: [&str; 3] = ["make_hold_invoice", "settle_hold_invoice", "cancel_hold_invoice"];
/// How long an invoice lives when the client does not say.
const DEFAULT_EXPIRY: u64 = 3600;

/// The methods of this wallet, for clients that may or may not spend.
pub(super) fn methods(wallet: &dyn LightningWallet, spends: bool) -> Vec<String> {
    let holds = HOLD_METHODS.into_iter().filter(|_| wallet.hold_invoices().is_some());
    METHODS
        .into_iter()
        .filter(|method| spends || *method != "pay_invoice")
        .chain(holds)
        .map(str::to_owned)
        .collect()
}

/// The notifications of this wallet.
pub(super) fn notifications(wallet: &dyn LightningWallet) -> Vec<String> {
    let mut words = vec!["payment_received".to_owned(), "payment_sent".to_owned()];
    if wallet.hold_invoices().is_some() {
        words.push("hold_invoice_accepted".to_owned());
    }
    words
}

type Outcome = Result<Value, Refusal>;

pub(super) async fn serve(core: &Core, client: &Client, request: Request) -> Outcome {
    match request {
        Request::GetInfo => get_info(core, client).await,
        Request::GetBalance => {
            let balance = core.wallet.balance().await.map_err(|error| refused(&error))?;
            result(BalanceResult { balance: Some(balance.amount.as_u64()) })
        }
        Request::MakeInvoice(params) => make_invoice(core, params).await,
        Request::PayInvoice(params) => pay_invoice(core, client, params).await,
        Request::LookupInvoice(params) => lookup_invoice(core, params).await,
        Request::ListTransactions(params) => list_transactions(core, params).await,
        Request::GetBudget => get_budget(client),
        Request::MakeHoldInvoice(params) => make_hold_invoice(core, params).await,
        Request::SettleHoldInvoice(params) => {
            let preimage = books::bytes32(&params.preimage)
                .ok_or_else(|| refusal(Code::Unspecified, "the preimage is not one"))?;
            holds(core)?.settle_hold(preimage).await.map_err(|error| refused(&error))?;
            Ok(json!({}))
        }
        Request::CancelHoldInvoice(params) => {
            let hash = payment_hash(&params.payment_hash)?;
            holds(core)?.cancel_hold(hash).await.map_err(|error| refused(&error))?;
            Ok(json!({}))
        }
        Request::Other { .. } => Err(refusal(Code::NotImplemented, "this method is not known")),
    }
}

async fn get_info(core: &Core, client: &Client) -> Outcome {
    let info = core.wallet.info().await.map_err(|error| refused(&error))?;
    let spends = client.permission != Permission::ReceiveOnly;
    result(InfoResult {
        alias: Some(info.kind),
        network: info.network.map(|network| match network.as_str() {
            "bitcoin" => "mainnet".to_owned(),
            _ => network,
        }),
        methods: methods(&*core.wallet, spends),
        notifications: if info.notifies { notifications(&*core.wallet) } else { Vec::new() },
    })
}

async fn make_invoice(core: &Core, params: MakeInvoice) -> Outcome {
    let request = NewInvoice {
        amount: Millisats::new(params.amount),
        description: params.description.clone(),
        expiry: Duration::from_secs(params.expiry.unwrap_or(DEFAULT_EXPIRY)),
    };
    let made = match &params.description_hash {
        None => core.wallet.make_invoice(request).await,
        Some(text) => {
            let hash = books::bytes32(text)
                .ok_or_else(|| refusal(Code::Unspecified, "the description hash is no hash"))?;
            core.wallet.make_invoice_for(request, hash).await
        }
    };
    made_invoice(made.map_err(|error| refused(&error))?, params)
}

async fn make_hold_invoice(core: &Core, params: MakeHoldInvoice) -> Outcome {
    let hash = payment_hash(&params.payment_hash)?;
    let params = params.invoice;
    let request = NewInvoice {
        amount: Millisats::new(params.amount),
        description: params.description.clone(),
        expiry: Duration::from_secs(params.expiry.unwrap_or(DEFAULT_EXPIRY)),
    };
    let made = holds(core)?.make_hold_invoice(request, hash).await;
    made_invoice(made.map_err(|error| refused(&error))?, params)
}

fn made_invoice(made: Invoice, params: MakeInvoice) -> Outcome {
    result(Transaction {
        direction: Some("incoming".to_owned()),
        state: Some(State::Pending),
        invoice: Some(made.bolt11),
        description: params.description,
        payment_hash: Some(made.payment_hash.to_string()),
        amount: Some(params.amount),
        created_at: Some(made.created_at.as_secs()),
        expires_at: Some(made.expires_at.as_secs()),
        ..Transaction::default()
    })
}

async fn lookup_invoice(core: &Core, params: LookupInvoice) -> Outcome {
    let named = params.payment_hash.as_deref().and_then(books::bytes32).map(PaymentHash);
    let read = params.invoice.as_deref().and_then(|text| Bolt11::parse(text).ok());
    let hash = named
        .or(read.map(|read| read.payment_hash))
        .ok_or_else(|| refusal(Code::Unspecified, "no payment hash and no invoice"))?;
    match core.wallet.lookup(hash).await.map_err(|error| refused(&error))? {
        Some(payment) => {
            let mut words = books::write(&payment);
            // Some clients take an answer without the text of the invoice for none.
            words.invoice = match params.invoice {
                Some(text) => Some(text),
                None => core.wallet.invoice_of(hash).await.ok().flatten(),
            };
            if payment.state == PaymentState::Pending
                && payment.direction == Direction::Incoming
                && let Ok(holds) = holds(core)
                && holds.is_held(hash).await.is_ok_and(|held| held)
            {
                words.state = Some(State::Accepted);
            }
            result(words)
        }
        None => Err(refusal(Code::NotFound, "no such payment")),
    }
}

async fn list_transactions(core: &Core, params: ListTransactions) -> Outcome {
    let direction = match params.direction.as_deref() {
        None | Some("") => None,
        Some("incoming") => Some(Direction::Incoming),
        Some("outgoing") => Some(Direction::Outgoing),
        Some(_) => return Err(refusal(Code::Unspecified, "the type is not known")),
    };
    let query = ListPayments {
        since: Timestamp::from_secs(params.from.unwrap_or(0)),
        direction,
        offset: params.offset.unwrap_or(0),
        limit: params.limit.unwrap_or(PAGE).min(PAGE),
    };
    let payments = core.wallet.list(query).await.map_err(|error| refused(&error))?;
    let until = params.until.unwrap_or(u64::MAX);
    let told = payments.iter().filter(|payment| payment.created_at.as_secs() <= until);
    result(TransactionList { transactions: told.map(books::write).collect() })
}

async fn pay_invoice(core: &Core, client: &Client, params: PayInvoiceParams) -> Outcome {
    let Permission::Spend { budget } = client.permission else {
        return Err(refusal(Code::Restricted, "this connection may not pay"));
    };
    let read = Bolt11::parse(&params.invoice)
        .map_err(|_| refusal(Code::PaymentFailed, "the invoice cannot be read"))?;
    let request = PayInvoice {
        bolt11: params.invoice,
        payment_hash: read.payment_hash,
        amount: params.amount.map(Millisats::new),
        max_fee: None,
        timeout: PAY_TIMEOUT,
    };
    // Nothing has left: this is the one place where "wrong request" is as good as "failed".
    let amount = request
        .checked_amount()
        .map_err(|_| refusal(Code::PaymentFailed, "the amount is not right"))?;
    let reserved = reserve(client, budget, read.payment_hash, amount)?;
    let outcome = core.wallet.pay(request).await;
    let certainly_not = match &outcome {
        Ok(PayOutcome::Failed { .. }) => true,
        Ok(PayOutcome::Settled { .. } | PayOutcome::Pending) => false,
        Err(error) => error.nothing_was_sent(),
    };
    if reserved && certainly_not {
        release(client, read.payment_hash);
    }
    match outcome {
        Ok(PayOutcome::Settled { preimage, fee }) => {
            result(Paid { preimage: Some(hex::encode(preimage)), fees_paid: Some(fee.as_u64()) })
        }
        // NIP-47 has no word for this; whoever pays must take INTERNAL as "not known".
        Ok(PayOutcome::Pending) => Err(refusal(Code::Internal, "the payment is under way")),
        Ok(PayOutcome::Failed { reason }) => Err(refusal(Code::PaymentFailed, &reason)),
        Err(error) => Err(refused(&error)),
    }
}

fn get_budget(client: &Client) -> Outcome {
    let Permission::Spend { budget: Some(budget) } = client.permission else {
        return Ok(json!({}));
    };
    let used = client.spent.lock().unwrap_or_else(PoisonError::into_inner).total;
    result(BudgetResult {
        used_budget: Some(used),
        total_budget: Some(budget.as_u64()),
        renews_at: None,
        renewal_period: Some("never".to_owned()),
    })
}

fn holds(core: &Core) -> Result<&dyn HoldInvoices, Refusal> {
    core.wallet
        .hold_invoices()
        .ok_or_else(|| refusal(Code::NotImplemented, "this wallet has no hold invoices"))
}

fn payment_hash(text: &str) -> Result<PaymentHash, Refusal> {
    books::bytes32(text)
        .map(PaymentHash)
        .ok_or_else(|| refusal(Code::Unspecified, "the payment hash is not one"))
}

/// Takes the amount out of the budget, once for each payment. True when it was taken now.
fn reserve(
    client: &Client,
    budget: Option<Millisats>,
    hash: PaymentHash,
    amount: Millisats,
) -> Result<bool, Refusal> {
    let Some(budget) = budget else { return Ok(false) };
    let mut spent = client.spent.lock().unwrap_or_else(PoisonError::into_inner);
    if spent.payments.contains_key(&hash) {
        return Ok(false);
    }
    match spent.total.checked_add(amount.as_u64()) {
        Some(total) if total <= budget.as_u64() => {
            spent.total = total;
            spent.payments.insert(hash, amount.as_u64());
            Ok(true)
        }
        _ => Err(refusal(Code::QuotaExceeded, "the budget of this connection is used up")),
    }
}

fn release(client: &Client, hash: PaymentHash) {
    let mut spent = client.spent.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(amount) = spent.payments.remove(&hash) {
        spent.total = spent.total.saturating_sub(amount);
    }
}

fn result(value: impl Serialize) -> Outcome {
    Ok(serde_json::to_value(value).expect("plain structs have a JSON form"))
}

fn refused(error: &WalletError) -> Refusal {
    let code = match error {
        WalletError::Refused { code, message } => {
            return refusal(Code::from(code.as_str()), message);
        }
        WalletError::Unsupported { .. } => Code::NotImplemented,
        WalletError::BadRequest { .. } => Code::Unspecified,
        WalletError::MaySpend => Code::Restricted,
        WalletError::Timeout
        | WalletError::Unreachable
        | WalletError::BadAnswer { .. }
        | WalletError::ShutDown => Code::Internal,
    };
    refusal(code, &error.to_string())
}
