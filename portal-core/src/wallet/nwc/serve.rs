//! What an offered wallet does for each method of NIP-47.

use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::message::{
    BalanceResult, Code, InfoResult, ListTransactions, LookupInvoice, MakeInvoice, Paid,
    PayInvoiceParams, Refusal, Request, Transaction, TransactionList,
};
use super::service::{Client, Core, Permission, refusal};
use super::{PAGE, PAY_TIMEOUT, books};
use crate::primitives::{Millisats, Timestamp};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{
    Direction, ListPayments, NewInvoice, PayInvoice, PayOutcome, PaymentHash, WalletError,
};

/// Every method that is served.
pub(super) const METHODS: [&str; 6] = [
    "get_info",
    "get_balance",
    "make_invoice",
    "lookup_invoice",
    "list_transactions",
    "pay_invoice",
];
/// How long an invoice lives when the client does not say.
const DEFAULT_EXPIRY: u64 = 3600;

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
        Request::Other { .. } => Err(refusal(Code::NotImplemented, "this method is not known")),
    }
}

async fn get_info(core: &Core, client: &Client) -> Outcome {
    let info = core.wallet.info().await.map_err(|error| refused(&error))?;
    let spends = client.permission != Permission::ReceiveOnly;
    let methods = METHODS.into_iter().filter(|method| spends || *method != "pay_invoice");
    result(InfoResult {
        alias: Some(info.kind),
        network: info.network.map(|network| match network.as_str() {
            "bitcoin" => "mainnet".to_owned(),
            _ => network,
        }),
        methods: methods.map(str::to_owned).collect(),
        notifications: ["payment_received", "payment_sent"]
            .into_iter()
            .filter(|_| info.notifies)
            .map(str::to_owned)
            .collect(),
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
    let made = made.map_err(|error| refused(&error))?;
    result(Transaction {
        direction: Some("incoming".to_owned()),
        state: Some(super::message::State::Pending),
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
        Some(payment) => result(books::write(&payment)),
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
        Err(error) => !error.outcome_unknown(),
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
        WalletError::Timeout
        | WalletError::Unreachable
        | WalletError::BadAnswer { .. }
        | WalletError::ShutDown => Code::Internal,
    };
    refusal(code, &error.to_string())
}
