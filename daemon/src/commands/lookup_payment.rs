//! `LookupPayment`: where a payment of our wallet stands, by the wallet's word.

use portal_core::primitives::{ErrorCode, Millisats, Timestamp};
use portal_core::wallet::{Direction, PaymentHash, PaymentState};
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};
use crate::error::CommandError;

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// 64 hex digits.
    pub payment_hash: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `null` when the wallet does not know it.
    pub payment: Option<Payment>,
}

/// A payment in the wallet's books.
#[derive(Clone, Debug, Serialize)]
pub struct Payment {
    /// `incoming` or `outgoing`.
    pub direction: &'static str,
    /// `pending`, `settled` or `failed`.
    pub state: &'static str,
    /// Without fees.
    pub amount_msat: Millisats,
    /// Of one that left.
    pub fees_paid_msat: Millisats,
    /// When it settled.
    pub settled_at: Option<Timestamp>,
}

/// Asks the wallet.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to look up payment";
    context.wallet(what)?;
    let mut hash = [0; 32];
    hex::decode_to_slice(request.payment_hash.trim(), &mut hash).map_err(|_| {
        CommandError::new(ErrorCode::InvalidRequest, "`payment_hash` must have 64 hex digits")
            .during(what)
    })?;
    let found = context
        .service
        .payments()
        .look_up(PaymentHash(hash))
        .await
        .map_err(|error| super::failed(error, what))?;
    let payment = found.map(|payment| {
        let (state, settled_at) = match payment.state {
            PaymentState::Pending => ("pending", None),
            PaymentState::Settled { at, .. } => ("settled", Some(at)),
            PaymentState::Failed => ("failed", None),
        };
        Payment {
            direction: match payment.direction {
                Direction::Incoming => "incoming",
                Direction::Outgoing => "outgoing",
            },
            state,
            amount_msat: payment.amount,
            fees_paid_msat: payment.fee,
            settled_at,
        }
    });
    Ok(Reply { payment }.into())
}
