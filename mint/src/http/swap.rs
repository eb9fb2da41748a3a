//! Swapping, in one transaction.
//!
//! cdk's own swap takes two, signs between them, and keeps a record of what a crash left open. But
//! signing needs no transaction. Here it is done before, and the inputs become spent together with
//! the signatures that replace them: all of it is in the books, or nothing is. That halves what a
//! swap waits for the disk, and no crash leaves proofs pending.
//!
//! ```text
//! asked ─┬ answered a moment ago ─▶ the same answer
//!        └▶ verified ─▶ not in the books yet ─▶ signed ─▶ committed ─▶ answered
//!               │               │                  └ any failure: nothing happened
//!               └───────────────┴▶ refused
//! ```
//!
//! Swaps of cdk that a crash left open are still taken back by cdk at the start.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cdk::mint::Mint;
use cdk::nuts::{
    BlindSignature, BlindedMessage, Id, ProofsMethods as _, PublicKey, State, SwapRequest,
    SwapResponse,
};
use cdk::{Amount, Error};
use cdk_common::SpendingConditionVerification as _;
use cdk_common::database::{self, DynMintTransaction};
use cdk_common::mint::Operation;
use sha2::{Digest as _, Sha256};

use super::{MAX_BODY, Refusal, Shared, body};

pub(super) async fn swap(shared: &Arc<Shared>, request: Request) -> Result<Response, Refusal> {
    let content = body(request, MAX_BODY).await?;
    let asked = hex::encode(Sha256::digest(&content));
    let key = shared.answers.calculate_key(&asked);
    if let Some(key) = &key
        && let Some(answer) = shared.answers.get::<String>(key).await
    {
        return Ok(json(answer));
    }
    let request: SwapRequest = serde_json::from_slice(&content)
        .map_err(|_| Refusal::malformed("a member is missing or has the wrong type"))?;
    let answer = exchange(&shared.mint, &request).await?;
    let answer = serde_json::to_string(&answer).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        Refusal::broken()
    })?;
    if let Some(key) = key {
        shared.answers.set(key, &answer).await;
    }
    Ok(json(answer))
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn exchange(mint: &Mint, request: &SwapRequest) -> Result<SwapResponse, Error> {
    let (inputs, outputs) = (request.inputs(), request.outputs());
    request.input_amount()?;
    let asked = request.output_amount()?;
    if inputs.is_empty() {
        return Err(Error::TransactionUnbalanced(0, asked.to_u64(), 0));
    }
    let redeemed = mint.verify_inputs(inputs).await?;
    request.verify_spending_conditions()?;
    let issued = mint.verify_outputs(outputs)?;
    mint.verify_transaction_balanced(redeemed.clone(), issued.clone(), inputs).await?;
    let fee = mint.get_proofs_fee(inputs).await?;
    let spent = inputs.ys()?;
    // Nothing is signed for proofs that were used: signing costs more than asking.
    not_used(mint, &spent).await?;
    let signatures = mint.blind_sign(outputs.clone()).await?;

    let operation = Operation::new_swap(issued.amount.into(), redeemed.amount.into(), fee.total);
    let mut transaction = mint.localstore().begin_transaction().await?;
    let written = write(&mut transaction, request, &signatures, &operation, &fee.per_keyset).await;
    let committed = match written {
        Ok(()) => transaction.commit().await,
        Err(error) => transaction.rollback().await.and(Err(error)),
    };
    if let Err(error) = committed {
        return Err(reason(mint, error, &spent, outputs).await?);
    }
    let listeners = mint.pubsub_manager();
    for y in spent {
        listeners.proof_state((y, State::Spent));
    }
    Ok(SwapResponse::new(signatures))
}

/// Inputs as spent, outputs with their signatures. What is there already may be noticed only by
/// the commit.
async fn write(
    transaction: &mut DynMintTransaction,
    request: &SwapRequest,
    signatures: &[BlindSignature],
    operation: &Operation,
    fees: &HashMap<Id, Amount>,
) -> Result<(), database::Error> {
    let outputs = request.outputs();
    let mut proofs = transaction.add_proofs(request.inputs().clone(), None, operation).await?;
    transaction.add_blinded_messages(None, outputs, operation).await?;
    transaction.add_blind_signatures(&secrets(outputs), signatures, None).await?;
    transaction.update_proofs_state(&mut proofs, State::Spent).await?;
    transaction.add_completed_operation(operation, fees).await
}

fn secrets(outputs: &[BlindedMessage]) -> Vec<PublicKey> {
    outputs.iter().map(|output| output.blinded_secret).collect()
}

/// Refuses proofs that are in the books.
async fn not_used(mint: &Mint, ys: &[PublicKey]) -> Result<(), Error> {
    let states = mint.localstore().get_proofs_states(ys).await?;
    if states.contains(&Some(State::Spent)) {
        Err(Error::TokenAlreadySpent)
    } else if states.iter().any(Option::is_some) {
        Err(Error::TokenPending)
    } else {
        Ok(())
    }
}

/// What a failed transaction means for the wallet: whoever came first may have finished by now.
async fn reason(
    mint: &Mint,
    error: database::Error,
    ys: &[PublicKey],
    outputs: &[BlindedMessage],
) -> Result<Error, Error> {
    match error {
        database::Error::AttemptUpdateSpentProof => Ok(Error::TokenAlreadySpent),
        database::Error::Duplicate => {
            not_used(mint, ys).await?;
            let signed = mint.localstore().get_blind_signatures(&secrets(outputs)).await?;
            let used = signed.iter().any(Option::is_some);
            // Neither: whoever came first has given up, and it can be tried again.
            Ok(if used { Error::DuplicateOutputs } else { Error::TokenPending })
        }
        error => Ok(error.into()),
    }
}
