//! Asks the mint, and takes in what it says: yes, no, or nothing.
//!
//! A no is believed only when no earlier request can have done it, and when the mint has a reason:
//! what went wrong inside it, or on the way, says nothing of what it did. Nothing is given up that
//! may have happened.

use std::collections::HashMap;

use cdk_common::{BlindSignature, BlindedMessage, Proof, SwapRequest};
use serde::{Deserialize, Serialize};

use super::engine::names;
use super::evidence::MintState;
use super::journal::{Call, Calling, Operation, Order, Planned, Quote, Source, State};
use super::knowledge::Need;
use super::outputs::Output;
use super::transport::{CallError, refusal};
use super::watch::TicketEvent;
use super::{CashuError, Inner, Outcome};
use crate::storage::sqlite::tickets::{Change, Move, ProofRow, ProofState, Y};

/// How often an operation begins anew before it gives up.
const MOST_ROUNDS: u32 = 4;
/// How long a mint that fails inside is believed to be still at it, in seconds.
const AT_IT_FOR: u64 = 600;
/// How many numbers are passed over when some turn out to be used already.
const SKIPPED_NUMBERS: u32 = 100;

enum Answer {
    Signatures(Vec<BlindSignature>),
    Melt(Option<bool>),
}

#[derive(Deserialize)]
struct SignaturesAnswer {
    signatures: Vec<BlindSignature>,
}

#[derive(Serialize)]
struct MintBody<'a> {
    quote: &'a str,
    outputs: Vec<BlindedMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

#[derive(Serialize)]
struct MeltBody<'a> {
    quote: &'a str,
    inputs: &'a [Proof],
}

#[derive(Deserialize)]
struct MeltAnswer {
    state: String,
}

impl MeltAnswer {
    /// `None`: the mint is still busy with it.
    fn is_paid(&self) -> Option<bool> {
        match self.state.as_str() {
            "PAID" => Some(true),
            "UNPAID" | "FAILED" => Some(false),
            _ => None,
        }
    }
}

impl Inner {
    /// Asks the mint, and takes in what it says.
    pub(super) async fn call(
        &self,
        operation: &mut Operation,
        calling: Calling,
        asked_before: bool,
    ) -> Result<(), CashuError> {
        let connection = match self.connection(&operation.mint).await {
            Ok(connection) => connection,
            Err(error) => {
                return self.not_answered(operation, calling, asked_before, error).await;
            }
        };
        let answer = match &calling.call {
            Call::Swap => {
                let request = self.swap_request(&calling)?;
                connection
                    .post::<SignaturesAnswer>(&["v1", "swap"], &request)
                    .await
                    .map(|answer| Answer::Signatures(answer.signatures))
            }
            Call::Mint(quote) => {
                let request = self.mint_request(quote, &calling)?;
                connection
                    .post::<SignaturesAnswer>(&["v1", "mint", &quote.method], &request)
                    .await
                    .map(|answer| Answer::Signatures(answer.signatures))
            }
            Call::Melt { method, quote } => {
                let request = MeltBody { quote, inputs: &calling.inputs };
                connection
                    .post::<MeltAnswer>(&["v1", "melt", method], &request)
                    .await
                    .map(|answer| Answer::Melt(answer.is_paid()))
            }
        };
        match answer {
            Ok(Answer::Signatures(signatures)) => {
                self.finish_signed(operation, calling, signatures).await
            }
            Ok(Answer::Melt(Some(true))) => self.finish_melted(operation, calling).await,
            Ok(Answer::Melt(Some(false))) => {
                self.release(operation, calling, State::Asked, &[]).await?;
                Err(self.fail(operation, CashuError::Refused { code: 20004 }).await)
            }
            Ok(Answer::Melt(None)) => Err(CashuError::Pending),
            Err(error) => self.not_answered(operation, calling, asked_before, error).await,
        }
    }

    async fn not_answered(
        &self,
        operation: &mut Operation,
        calling: Calling,
        asked_before: bool,
        error: CallError,
    ) -> Result<(), CashuError> {
        match error {
            // The mint cannot know of it, so what was put aside for it is free again.
            CallError::NotSent(error) if !asked_before && calling.source != Source::Outside => {
                let unused = calling.outputs.clone();
                self.release(operation, calling, State::Asked, &[]).await?;
                self.give_back(&unused).await?;
                Err(self.fail(operation, error).await)
            }
            CallError::Lost(error @ CashuError::BadAnswer { .. }) => {
                self.not_said(operation, calling, error).await
            }
            CallError::NotSent(error) | CallError::Lost(error) => Err(error),
            CallError::Refused { code: 0 } => {
                let error = CashuError::BadAnswer { reason: "it says no without a reason" };
                self.not_said(operation, calling, error).await
            }
            CallError::Refused { code } => {
                self.refused(operation, calling, asked_before, code).await
            }
        }
    }

    /// Something answered, and did not say what became of it. That is asked again later; when the
    /// mint goes on like this, and has neither spent nor signed anything, nothing comes of it.
    async fn not_said(
        &self,
        operation: &mut Operation,
        calling: Calling,
        error: CashuError,
    ) -> Result<(), CashuError> {
        // A quote may be paid, and a gift has nobody who would ask again: both wait for their end.
        let ends = !matches!(operation.order, Order::Receive { .. }) && !calling.inputs.is_empty();
        let still_at_it = calling.since.saturating_add(AT_IT_FOR) > self.now();
        if !ends || still_at_it || !self.is_untouched(operation, &calling).await? {
            return Err(error);
        }
        self.release(operation, calling, State::Asked, &[]).await?;
        // Now it is known: nothing has happened.
        Err(self.fail(operation, CashuError::Refused { code: 0 }).await)
    }

    /// Whether all inputs are unspent and no output is signed, as the mint says.
    async fn is_untouched(
        &self,
        operation: &Operation,
        calling: &Calling,
    ) -> Result<bool, CashuError> {
        let inputs = names(&calling.inputs)?;
        let states = self.states(operation, &inputs).await.map_err(not_known)?;
        if states.values().any(|state| *state != MintState::Unspent) {
            return Ok(false);
        }
        if calling.outputs.is_empty() {
            return Ok(true);
        }
        let outputs: Vec<Output> =
            calling.outputs.iter().map(|planned| planned.output.clone()).collect();
        Ok(self.signed(&operation.mint, &outputs).await.map_err(not_known)?.is_empty())
    }

    /// The mint said no. Before that is believed: did an earlier request do it?
    async fn refused(
        &self,
        operation: &mut Operation,
        calling: Calling,
        asked_before: bool,
        code: u16,
    ) -> Result<(), CashuError> {
        // 20001: nothing can have been issued for a quote that is not paid.
        let unpaid = code == 20001 && matches!(calling.call, Call::Mint(_));
        if (asked_before && !unpaid) || code == 20002 {
            match &calling.call {
                Call::Swap | Call::Mint(_) => {
                    let signatures = self.signed_before(operation, &calling).await;
                    if let Some(signatures) = signatures.map_err(not_known)? {
                        return self.finish_signed(operation, calling, signatures).await;
                    }
                }
                Call::Melt { method, quote } => {
                    let melted = self.melted_before(operation, method, quote).await;
                    match melted.map_err(not_known)? {
                        Some(true) => return self.finish_melted(operation, calling).await,
                        Some(false) => {}
                        None => return Err(CashuError::Pending),
                    }
                }
            }
        }
        match (code, &calling.call) {
            (11002 | 11004 | 20005, _) => Err(CashuError::Pending),
            (20001, Call::Mint(quote)) => {
                Err(CashuError::Unpaid { request: quote.request.clone() })
            }
            // It was issued before, and not for these outputs: the quote is worth nothing.
            (20002, Call::Mint(_)) => {
                self.release(operation, calling, State::Asked, &[]).await?;
                Err(self.fail(operation, refusal(code)).await)
            }
            // The keyset was closed meanwhile, or the store is older than the seed's last use of it
            // (a backup): other outputs will do.
            // cdk's mint says 20006 when it mints to outputs that it has signed before. 11005: the
            // fee is another than it was.
            (12002 | 11003, _)
            | (20006, Call::Mint(_))
            | (11005, Call::Swap | Call::Melt { .. }) => {
                let used = matches!(code, 11003 | 20006);
                if let Some(first) = calling.outputs.first().filter(|_| used) {
                    let name = first.output.keyset.to_string();
                    self.store.take_numbers(&name, SKIPPED_NUMBERS).await?;
                }
                let need = Need { unit: Some(&operation.unit), anew: true, ..Need::default() };
                self.keysets(&operation.mint, need).await?;
                let unused = match used || asked_before {
                    true => Vec::new(),
                    false => calling.outputs.clone(),
                };
                self.anew(operation, calling, refusal(code), &[]).await?;
                self.give_back(&unused).await
            }
            (11001, _) if calling.source != Source::Outside => {
                self.settle_spent(operation, calling).await
            }
            // Whatever the reason: the quote may be paid, and is not forgotten before its time. It
            // is ours alone; another token may open the door to it.
            (_, Call::Mint(_)) => Err(refusal(code)),
            // Perhaps somebody between, or a limit of the mint: what was received is given up only
            // when it is worth nothing.
            (_, _) if is_gift(operation) && refusal(code).outcome() != Outcome::Worthless => {
                Err(refusal(code))
            }
            _ => {
                // The only request there ever was: no other one can still be on its way to them.
                let unused = match asked_before {
                    true => Vec::new(),
                    false => calling.outputs.clone(),
                };
                self.release(operation, calling, State::Asked, &[]).await?;
                self.give_back(&unused).await?;
                Err(self.fail(operation, refusal(code)).await)
            }
        }
    }

    /// Gives back the numbers of outputs that the mint has not signed and that no operation has any
    /// more, as far as none were taken since. What stays open is a hole that a restore must bridge:
    /// a stranger's worthless gifts must not make one.
    async fn give_back(&self, outputs: &[Planned]) -> Result<(), CashuError> {
        let Some(first) = outputs.first() else { return Ok(()) };
        let name = first.output.keyset.to_string();
        let numbers = outputs.iter().filter_map(|planned| planned.number).collect();
        Ok(self.store.give_back_numbers(&name, numbers).await?)
    }

    /// Begins anew, a bounded number of times.
    async fn anew(
        &self,
        operation: &mut Operation,
        calling: Calling,
        error: CashuError,
        spent: &[Y],
    ) -> Result<(), CashuError> {
        operation.rounds = operation.rounds.saturating_add(1);
        let next = match &calling.call {
            Call::Mint(quote) => State::Quoted(quote.clone()),
            Call::Swap | Call::Melt { .. } => State::Asked,
        };
        self.release(operation, calling, next, spent).await?;
        if operation.rounds < MOST_ROUNDS {
            return Ok(());
        }
        Err(match operation.state {
            State::Asked if !is_gift(operation) => self.fail(operation, error).await,
            _ => error,
        })
    }

    /// Some of our own proofs turned out to be spent: they are struck off, and the rest is used.
    async fn settle_spent(
        &self,
        operation: &mut Operation,
        calling: Calling,
    ) -> Result<(), CashuError> {
        let all = names(&calling.inputs)?;
        let states = self.states(operation, &all).await?;
        if states.values().any(|state| *state == MintState::Pending) {
            return Err(CashuError::Pending);
        }
        let spent: Vec<Y> =
            all.into_iter().filter(|y| states.get(y) == Some(&MintState::Spent)).collect();
        if spent.is_empty() {
            // The mint contradicts itself; the proofs stay where they are.
            return Err(CashuError::BadAnswer { reason: "spent proofs that are not spent" });
        }
        self.anew(operation, calling, CashuError::Spent, &spent).await
    }

    /// Puts the inputs back where they came from, and the operation into another state. Those that
    /// are `spent` are struck off in the same transaction.
    async fn release(
        &self,
        operation: &mut Operation,
        calling: Calling,
        next: State,
        spent: &[Y],
    ) -> Result<(), CashuError> {
        let (to, holder) = match &calling.source {
            Source::Outside => (None, None),
            Source::Wallet => (Some(ProofState::Unspent), None),
            Source::Given { by } => (Some(ProofState::Given), Some(by.clone())),
        };
        let names = names(&calling.inputs)?;
        let moves = to.into_iter().flat_map(|to| {
            let holder = holder.clone();
            names.iter().map(move |y| {
                let to = if spent.contains(y) { ProofState::Spent } else { to };
                Move { y: *y, from: ProofState::Reserved, to, holder: holder.clone() }
            })
        });
        let mut change = Change { moves: moves.collect(), ..Change::default() };
        if let Source::Given { by } = &calling.source {
            // Somebody claimed it before it could be taken back.
            for row in self.store.known_proofs(spent.to_vec()).await? {
                let row = ProofRow { operation: Some(by.clone()), ..row };
                change.events.push(TicketEvent::used(&row, &operation.mint)?);
            }
        }
        operation.state = next;
        change.operation = Some(operation.to_row()?);
        Ok(self.store.apply(change, self.now()).await?)
    }

    fn swap_request(&self, calling: &Calling) -> Result<SwapRequest, CashuError> {
        let mut request = SwapRequest::new(calling.inputs.clone(), messages(&calling.outputs));
        let signers = calling.inputs.first().map(|proof| self.ring.signers_of_all(proof));
        for key in signers.into_iter().flatten() {
            request.sign_sig_all(key).map_err(CashuError::protocol)?;
        }
        Ok(request)
    }

    /// What the mint has signed of our outputs, when it has signed all of them.
    async fn signed_before(
        &self,
        operation: &Operation,
        calling: &Calling,
    ) -> Result<Option<Vec<BlindSignature>>, CashuError> {
        let all: Vec<Output> =
            calling.outputs.iter().map(|planned| planned.output.clone()).collect();
        let found = self.signed(&operation.mint, &all).await?;
        if found.is_empty() {
            return Ok(None);
        }
        if found.len() != all.len() {
            return Err(CashuError::BadAnswer { reason: "only some outputs were signed" });
        }
        let mut by_name: HashMap<_, _> = found.into_iter().collect();
        let in_order = all.iter().map(|output| by_name.remove(&output.blinded().to_bytes()));
        let in_order: Option<Vec<_>> = in_order.collect();
        in_order.map(Some).ok_or(CashuError::BadAnswer { reason: "it restores something else" })
    }

    async fn melted_before(
        &self,
        operation: &Operation,
        method: &str,
        quote: &str,
    ) -> Result<Option<bool>, CashuError> {
        let connection = self.connection(&operation.mint).await.map_err(CallError::plain)?;
        let answer: MeltAnswer = connection
            .get(&["v1", "melt", "quote", method, quote])
            .await
            .map_err(CallError::plain)?;
        Ok(answer.is_paid())
    }

    fn mint_request<'a>(
        &self,
        quote: &'a Quote,
        calling: &Calling,
    ) -> Result<MintBody<'a>, CashuError> {
        let outputs = messages(&calling.outputs);
        let signature = match quote.signed_by {
            None => None,
            Some(number) => {
                let key = cdk_common::nut20::derive_quote_locking_key(self.seed.expose(), number)
                    .map_err(CashuError::protocol)?;
                let mut request = cdk_common::MintRequest {
                    quote: quote.id.clone(),
                    outputs: outputs.clone(),
                    signature: None,
                };
                request.sign(&key).map_err(CashuError::protocol)?;
                request.signature
            }
        };
        Ok(MintBody { quote: &quote.id, outputs, signature })
    }
}

/// What could not be asked about is not known, whatever the reason.
fn not_known(error: CashuError) -> CashuError {
    match error.outcome() {
        Outcome::Unknown => error,
        Outcome::Nothing | Outcome::Worthless => CashuError::Pending,
    }
}

fn messages(outputs: &[Planned]) -> Vec<BlindedMessage> {
    outputs.iter().map(|planned| planned.output.message()).collect()
}

fn is_gift(operation: &Operation) -> bool {
    matches!(operation.order, Order::Receive { .. })
}
