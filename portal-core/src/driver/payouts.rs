//! Pays what conversations have to pay (refunds), and keeps the accounts of the wallet.
//!
//! The conversation is durable before this hears of it, and hears how it ended; a payment that it
//! is told of again after a restart is not made again, only asked about. Each invoice is reserved
//! for its conversation before the first attempt, so that a payment of the same invoice for
//! something else is told from our own by name and not by the clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::machine_loop::Job;
use super::tasks::Tasks;
use crate::conversation::refund::PaidOut;
use crate::payments::{PayError, PayRequest, Payer};
use crate::primitives::{ErrorCode, StreamId};
use crate::wallet::WalletError;
use crate::wallet::bolt11::Bolt11;

/// How soon a payment that could not be made, or whose outcome is not known, is looked at again;
/// then at growing intervals.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest of these intervals.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Something to pay.
#[derive(Debug)]
pub struct Payout {
    /// For whom.
    pub stream: StreamId,
    /// BOLT11.
    pub invoice: String,
}

/// Starts paying what is sent, and asking about what is not known.
pub fn start(
    tasks: &Tasks,
    payer: &Arc<Payer>,
    jobs: mpsc::UnboundedSender<Job>,
) -> mpsc::UnboundedSender<Payout> {
    let (sender, mut payouts) = mpsc::unbounded_channel::<Payout>();
    let accountant = payer.clone();
    let stop = tasks.clone();
    // Before the task runs: what the wallet says from now on is not missed.
    let events = accountant.wallet().events();
    tasks.spawn(async move {
        tokio::select! {
            () = accountant.keep_accounts(events) => {}
            () = stop.stopping() => {}
        }
    });
    let (spawner, payer) = (tasks.clone(), payer.clone());
    tasks.spawn(async move {
        loop {
            let payout = tokio::select! {
                payout = payouts.recv() => payout,
                () = spawner.stopping() => return,
            };
            let Some(Payout { stream, invoice }) = payout else { return };
            let (payer, jobs, stop) = (payer.clone(), jobs.clone(), spawner.clone());
            spawner.spawn(async move {
                tokio::select! {
                    outcome = pay_out(&payer, stream, &invoice) => {
                        // The loop only goes away when the node stops.
                        drop(jobs.send(Job::PaidOut { stream, outcome }));
                    }
                    () = stop.stopping() => {}
                }
            });
        }
    });
    sender
}

/// Pays, however long it takes to know how that ended.
async fn pay_out(payer: &Payer, stream: StreamId, invoice: &str) -> PaidOut {
    let Ok(read) = Bolt11::parse(invoice) else {
        let reason = "it is not a BOLT11 invoice".to_owned();
        return PaidOut::NotPaid { code: ErrorCode::InvalidInvoice, reason };
    };
    let request = PayRequest::new(invoice);
    let mut pause = FIRST_PAUSE;
    let mut reserved = false;
    loop {
        if !reserved {
            match payer.reserve(read.payment_hash.0, stream).await {
                Ok(true) => reserved = true,
                Ok(false) => {
                    let reason = "the invoice was paid before".to_owned();
                    return PaidOut::NotPaid { code: ErrorCode::InvalidInvoice, reason };
                }
                // Nothing is paid that could not be known as ours afterwards.
                Err(error) => tracing::warn!(%error, "an invoice cannot be reserved"),
            }
        }
        if reserved {
            match payer.pay(&request).await {
                Ok(paid) => {
                    return PaidOut::Settled { preimage: paid.preimage, fee: paid.fee };
                }
                // Not known, or nothing was sent and it can be tried until the invoice ends.
                Err(
                    PayError::Pending
                    | PayError::Storage(_)
                    | PayError::Wallet(
                        WalletError::Timeout | WalletError::Unreachable | WalletError::ShutDown,
                    ),
                ) => {}
                Err(error) => {
                    return PaidOut::NotPaid { code: error.code(), reason: error.to_string() };
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}
