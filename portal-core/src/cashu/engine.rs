//! Drives operations from state to state. See the drawing in the module above.

use std::collections::HashMap;

use cdk_common::{BlindSignature, BlindedMessage, Proof, SwapRequest};
use serde::{Deserialize, Serialize};

use super::journal::{Call, Calling, Done, Operation, Order, Planned, Quote, Source, State};
use super::knowledge::Need;
use super::outputs::{self, Output};
use super::token::{self, TicketToken};
use super::transport::{CallError, refusal};
use super::watch::TicketEvent;
use super::{CashuError, Inner, Outcome, TicketWallet};
use crate::storage::sqlite::tickets::{Begun, Change, Move, ProofRow, ProofState, Y};

/// How often an operation begins anew before it gives up.
const MOST_ROUNDS: u32 = 4;
/// How long an unpaid quote is asked about after its end, in seconds.
const UNPAID_FOR: u64 = 24 * 3600;
/// How many numbers are passed over when some turn out to be used already.
const SKIPPED_NUMBERS: u32 = 100;
/// How many names one question about their state has.
const STATES_AT_ONCE: usize = 100;

/// What a look at everything unfinished has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Operations that are done now.
    pub done: usize,
    /// Operations that had not happened, and will not.
    pub failed: usize,
    /// Operations whose outcome is still not known.
    pub waiting: usize,
}

impl TicketWallet {
    /// Goes on with everything that was begun and has not ended: call it at every start, and when
    /// the network is back. Never fails because of a mint; what waits is tried again next time.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn recover(&self) -> Result<Recovery, CashuError> {
        let mut report = Recovery::default();
        for row in self.0.store.open_operations().await? {
            let _alone = self.0.alone_with(&row.key).await;
            // Somebody may have gone on with it meanwhile.
            let Some(row) = self.0.store.operation(&row.key).await?.filter(|row| row.open) else {
                continue;
            };
            let operation = Operation::from_row(&row)?;
            match self.0.resume(operation).await {
                Ok(_) => report.done += 1,
                Err(CashuError::Storage(error)) => return Err(error.into()),
                Err(error) if error.outcome() == Outcome::Unknown => {
                    tracing::debug!(%error, "an operation has to wait");
                    report.waiting += 1;
                }
                Err(error) => {
                    tracing::debug!(%error, "an operation has failed");
                    report.failed += 1;
                }
            }
        }
        Ok(report)
    }
}

impl Inner {
    /// Writes an operation down unless it is there, and drives it to its end.
    pub(super) async fn run(&self, operation: Operation) -> Result<Done, CashuError> {
        let _alone = self.alone_with(&operation.key).await;
        let operation = match self.store.begin(operation.to_row()?, self.now()).await? {
            Begun::New => return self.drive(operation, false).await,
            Begun::Existing(row) => {
                let existing = Operation::from_row(&row)?;
                if !existing.asks_the_same(&operation) {
                    return Err(CashuError::Conflict);
                }
                existing
            }
        };
        self.again(operation).await
    }

    /// An operation that was there before, asked for again.
    pub(super) async fn again(&self, mut operation: Operation) -> Result<Done, CashuError> {
        if matches!(operation.state, State::Failed { .. }) {
            operation.state = State::Asked;
            operation.rounds = 0;
            self.write(&operation).await?;
        }
        self.drive(operation, true).await
    }

    /// Goes on with an operation whose caller may be gone.
    async fn resume(&self, mut operation: Operation) -> Result<Done, CashuError> {
        let abandoned = matches!(operation.state, State::Asked)
            && !matches!(operation.order, Order::Receive { .. });
        if abandoned {
            // Nothing has happened, and whoever wanted it will ask again.
            operation.state = State::Failed { code: crate::primitives::ErrorCode::Cancelled };
            self.write(&operation).await?;
            return Err(CashuError::NotFound);
        }
        let over = match &operation.state {
            State::Quoted(quote) => quote.expiry.filter(|expiry| *expiry > 0),
            _ => None,
        }
        .is_some_and(|expiry| expiry.saturating_add(UNPAID_FOR) < self.now());
        match self.drive(operation.clone(), true).await {
            Err(error @ CashuError::Unpaid { .. }) if over => {
                operation.state = State::Failed { code: error.code() };
                self.write(&operation).await?;
                Err(CashuError::NotFound)
            }
            other => other,
        }
    }

    /// Takes step after step. `before`: an earlier run may have asked the mint already.
    async fn drive(&self, mut operation: Operation, before: bool) -> Result<Done, CashuError> {
        let mut asked_before = before;
        loop {
            let was = std::mem::discriminant(&operation.state);
            let step = match operation.state.clone() {
                State::Done(done) => return Ok(done),
                State::Failed { .. } => return Err(CashuError::NotFound),
                State::Asked => {
                    asked_before = false;
                    match &operation.order {
                        Order::Mint { .. } => self.ask_for_quote(&mut operation).await,
                        Order::Send { .. } => self.begin_send(&mut operation).await,
                        Order::Receive { .. } => self.begin_receive(&mut operation).await,
                        Order::Burn { .. } => self.begin_burn(&mut operation).await,
                        Order::TakeBack { .. } => self.begin_take_back(&mut operation).await,
                    }
                }
                State::Quoted(quote) => {
                    asked_before = false;
                    self.begin_mint(&mut operation, quote).await
                }
                State::Calling(calling) => self.call(&mut operation, *calling, asked_before).await,
            };
            if let Err(error) = step {
                return Err(self.gave_up(operation, was, error).await);
            }
        }
    }

    /// An operation in which nothing has happened yet is closed when it cannot begin, so that no
    /// start does it behind its caller's back. What was received stays: it is in the journal.
    async fn gave_up(
        &self,
        mut operation: Operation,
        was: std::mem::Discriminant<State>,
        error: CashuError,
    ) -> CashuError {
        let nothing_happened =
            was == std::mem::discriminant(&State::Asked) && matches!(operation.state, State::Asked);
        let kept = matches!(operation.order, Order::Receive { .. })
            && error.outcome() != Outcome::Worthless;
        if nothing_happened && !kept && !matches!(error, CashuError::Storage(_)) {
            operation.state = State::Failed { code: error.code() };
            if let Err(error) = self.write(&operation).await {
                return error;
            }
        }
        error
    }

    pub(super) async fn write(&self, operation: &Operation) -> Result<(), CashuError> {
        let change = Change { operation: Some(operation.to_row()?), ..Change::default() };
        Ok(self.store.apply(change, self.now()).await?)
    }

    /// Goes to `Calling`: inputs reserved and outputs written down in one transaction.
    pub(super) async fn prepare(
        &self,
        operation: &mut Operation,
        mut calling: Calling,
    ) -> Result<(), CashuError> {
        // In the order of amounts nobody can tell change from gift.
        calling.outputs.sort_by_key(|planned| planned.output.amount);
        let from = match &calling.source {
            Source::Outside => None,
            Source::Wallet => Some(ProofState::Unspent),
            Source::Given { .. } => Some(ProofState::Given),
        };
        let moves = match from {
            None => Vec::new(),
            Some(from) => names(&calling.inputs)?
                .into_iter()
                .map(|y| Move {
                    y,
                    from,
                    to: ProofState::Reserved,
                    holder: Some(operation.key.clone()),
                })
                .collect(),
        };
        let next = Operation { state: State::Calling(Box::new(calling)), ..operation.clone() };
        let change = Change { operation: Some(next.to_row()?), moves, ..Change::default() };
        self.store.apply(change, self.now()).await?;
        *operation = next;
        Ok(())
    }

    /// Asks the mint, and takes in what it says.
    async fn call(
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
                self.release(operation, calling, State::Asked).await?;
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
                self.release(operation, calling, State::Asked).await?;
                Err(self.fail(operation, error).await)
            }
            CallError::NotSent(error) | CallError::Lost(error) => Err(error),
            CallError::Refused { code } => {
                self.refused(operation, calling, asked_before, code).await
            }
        }
    }

    /// The mint said no. Before that is believed: did an earlier request do it?
    async fn refused(
        &self,
        operation: &mut Operation,
        calling: Calling,
        asked_before: bool,
        code: u16,
    ) -> Result<(), CashuError> {
        if asked_before || (code == 20002) {
            match &calling.call {
                Call::Swap | Call::Mint(_) => {
                    if let Some(signatures) = self.signed_before(operation, &calling).await? {
                        return self.finish_signed(operation, calling, signatures).await;
                    }
                }
                Call::Melt { method, quote } => {
                    match self.melted_before(operation, method, quote).await? {
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
            // The quote is ours; another token may open the door to it.
            (30001 | 30002 | 31001 | 31002, Call::Mint(_)) => Err(CashuError::Unauthorized),
            // No mint says no without a reason; the quote may be paid, and is not forgotten.
            (0, Call::Mint(_)) => Err(refusal(code)),
            // Perhaps somebody between: what was received is not given up for that.
            (0 | 30001 | 30002 | 31001 | 31002, _)
                if matches!(operation.order, Order::Receive { .. }) =>
            {
                Err(refusal(code))
            }
            // The keyset was closed meanwhile, or the store is older than the seed's last use of it
            // (a backup): other outputs will do.
            // cdk's mint says 20006 when it mints to outputs that it has signed before.
            (12002 | 11003, _) | (20006, Call::Mint(_)) => {
                if let Some(first) = calling.outputs.first().filter(|_| code != 12002) {
                    let name = first.output.keyset.to_string();
                    self.store.take_numbers(&name, SKIPPED_NUMBERS).await?;
                }
                let need = Need { unit: Some(&operation.unit), anew: true, ..Need::default() };
                self.keysets(&operation.mint, need).await?;
                self.anew(operation, calling, refusal(code)).await
            }
            (11001, _) if calling.source != Source::Outside => {
                self.settle_spent(operation, calling).await
            }
            _ => {
                self.release(operation, calling, State::Asked).await?;
                Err(self.fail(operation, refusal(code)).await)
            }
        }
    }

    /// Begins anew, a bounded number of times.
    async fn anew(
        &self,
        operation: &mut Operation,
        calling: Calling,
        error: CashuError,
    ) -> Result<(), CashuError> {
        operation.rounds = operation.rounds.saturating_add(1);
        let next = match &calling.call {
            Call::Mint(quote) => State::Quoted(quote.clone()),
            Call::Swap | Call::Melt { .. } => State::Asked,
        };
        self.release(operation, calling, next).await?;
        if operation.rounds < MOST_ROUNDS {
            return Ok(());
        }
        Err(match operation.state {
            State::Asked => self.fail(operation, error).await,
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
        self.anew_without(operation, calling, &spent).await
    }

    async fn anew_without(
        &self,
        operation: &mut Operation,
        calling: Calling,
        spent: &[Y],
    ) -> Result<(), CashuError> {
        let source = calling.source.clone();
        self.anew(operation, calling, CashuError::Spent).await?;
        let (from, holder) = match &source {
            Source::Outside => return Ok(()),
            Source::Wallet => (ProofState::Unspent, None),
            Source::Given { by } => (ProofState::Given, Some(by.clone())),
        };
        let moves = spent
            .iter()
            .map(|y| Move { y: *y, from, to: ProofState::Spent, holder: holder.clone() })
            .collect();
        Ok(self.store.apply(Change { moves, ..Change::default() }, self.now()).await?)
    }

    /// Puts the inputs back where they came from, and the operation into another state.
    async fn release(
        &self,
        operation: &mut Operation,
        calling: Calling,
        next: State,
    ) -> Result<(), CashuError> {
        let (to, holder) = match &calling.source {
            Source::Outside => (None, None),
            Source::Wallet => (Some(ProofState::Unspent), None),
            Source::Given { by } => (Some(ProofState::Given), Some(by.clone())),
        };
        let moves = match to {
            None => Vec::new(),
            Some(to) => names(&calling.inputs)?
                .into_iter()
                .map(|y| Move { y, from: ProofState::Reserved, to, holder: holder.clone() })
                .collect(),
        };
        operation.state = next;
        let change = Change { operation: Some(operation.to_row()?), moves, ..Change::default() };
        Ok(self.store.apply(change, self.now()).await?)
    }

    pub(super) async fn fail(&self, operation: &mut Operation, error: CashuError) -> CashuError {
        operation.state = State::Failed { code: error.code() };
        match self.write(operation).await {
            Ok(()) => error,
            Err(error) => error,
        }
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

    /// The signatures the mint has given to these outputs (NUT-09).
    pub(super) async fn signed(
        &self,
        mint: &super::MintAddress,
        all: &[Output],
    ) -> Result<Vec<(Y, BlindSignature)>, CashuError> {
        let connection = self.connection(mint).await.map_err(CallError::plain)?;
        let outputs: Vec<BlindedMessage> = all.iter().map(Output::message).collect();
        let answer: RestoreAnswer = connection
            .post(&["v1", "restore"], &RestoreBody { outputs })
            .await
            .map_err(CallError::plain)?;
        if answer.outputs.len() != answer.signatures.len() || answer.outputs.len() > all.len() {
            return Err(CashuError::BadAnswer { reason: "it restores something else" });
        }
        let names = answer.outputs.iter().map(|output| output.blinded_secret.to_bytes());
        Ok(names.zip(answer.signatures).collect())
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

    /// Where proofs are, as the mint says.
    pub(super) async fn states(
        &self,
        operation: &Operation,
        names: &[Y],
    ) -> Result<HashMap<Y, MintState>, CashuError> {
        self.states_at(&operation.mint, names).await
    }

    pub(super) async fn states_at(
        &self,
        mint: &super::MintAddress,
        names: &[Y],
    ) -> Result<HashMap<Y, MintState>, CashuError> {
        let connection = self.connection(mint).await.map_err(CallError::plain)?;
        let mut found = HashMap::new();
        for some in names.chunks(STATES_AT_ONCE) {
            let body = StatesBody { ys: some.iter().map(hex::encode).collect() };
            let answer: StatesAnswer =
                connection.post(&["v1", "checkstate"], &body).await.map_err(CallError::plain)?;
            for entry in answer.states.into_iter().take(some.len()) {
                let mut y = [0; 33];
                if hex::decode_to_slice(&entry.y, &mut y).is_ok() && some.contains(&y) {
                    found.insert(y, entry.state);
                }
            }
        }
        if found.len() != names.len() {
            return Err(CashuError::BadAnswer { reason: "it does not know all proofs" });
        }
        Ok(found)
    }

    async fn finish_signed(
        &self,
        operation: &mut Operation,
        calling: Calling,
        signatures: Vec<BlindSignature>,
    ) -> Result<(), CashuError> {
        let keysets = self.keysets_of(operation, &calling).await?;
        let proven = self.about(&operation.mint).await?.proves_signatures;
        let all: Vec<Output> =
            calling.outputs.iter().map(|planned| planned.output.clone()).collect();
        let proofs = outputs::unblind(&all, signatures, &keysets, proven)?;
        let mut kept = Vec::new();
        let mut given = Vec::new();
        for (planned, proof) in calling.outputs.iter().zip(proofs) {
            if planned.give { given.push(proof) } else { kept.push(proof) }
        }
        self.finish(operation, &calling, kept, given, 0).await
    }

    async fn finish_melted(
        &self,
        operation: &mut Operation,
        calling: Calling,
    ) -> Result<(), CashuError> {
        let burned = operation.amount;
        self.finish(operation, &calling, Vec::new(), Vec::new(), burned).await
    }

    async fn keysets_of(
        &self,
        operation: &Operation,
        calling: &Calling,
    ) -> Result<std::sync::Arc<super::keysets::Keysets>, CashuError> {
        let ids: Vec<_> = calling
            .outputs
            .iter()
            .map(|planned| cdk_common::nut02::ShortKeysetId::from(planned.output.keyset))
            .collect();
        self.keysets(&operation.mint, Need { ids: &ids, ..Need::default() }).await
    }

    /// It has happened: proofs in, inputs spent, the journal closed, in one transaction.
    pub(super) async fn finish(
        &self,
        operation: &mut Operation,
        calling: &Calling,
        kept: Vec<Proof>,
        given: Vec<Proof>,
        burned: u64,
    ) -> Result<(), CashuError> {
        let memo = match &operation.order {
            Order::Mint { give: Some(give), .. } | Order::Send { give, .. } => give.memo.clone(),
            _ => None,
        };
        let mut insert = self.rows(operation, &kept, ProofState::Unspent, None)?;
        insert.extend(self.rows(
            operation,
            &given,
            ProofState::Given,
            Some(operation.key.clone()),
        )?);
        let token = match given.is_empty() {
            true => None,
            false => {
                Some(TicketToken::of(&operation.mint, &operation.unit, given, memo)?.to_string())
            }
        };
        let (moves, events) = self.spend_inputs(operation, calling).await?;
        let done = Done { kept: token::sum(&kept)?, token, burned };
        let next = Operation { state: State::Done(done), ..operation.clone() };
        let change = Change { operation: Some(next.to_row()?), insert, moves, events };
        self.store.apply(change, self.now()).await?;
        *operation = next;
        Ok(())
    }

    /// What becomes of the inputs, and what is to be told about it.
    async fn spend_inputs(
        &self,
        operation: &Operation,
        calling: &Calling,
    ) -> Result<(Vec<Move>, Vec<String>), CashuError> {
        let inputs = names(&calling.inputs)?;
        if calling.source != Source::Outside {
            let moves = inputs
                .into_iter()
                .map(|y| Move {
                    y,
                    from: ProofState::Reserved,
                    to: ProofState::Spent,
                    holder: None,
                })
                .collect();
            return Ok((moves, Vec::new()));
        }
        // What came from outside may once have been given away by this very wallet.
        let mut moves = Vec::new();
        let mut events = Vec::new();
        for row in self.store.known_proofs(inputs).await? {
            if row.state != ProofState::Given {
                continue;
            }
            moves.push(Move {
                y: row.y,
                from: ProofState::Given,
                to: ProofState::Spent,
                holder: row.operation.clone(),
            });
            events.push(TicketEvent::used(&row, &operation.mint)?);
        }
        Ok((moves, events))
    }

    pub(super) fn rows(
        &self,
        operation: &Operation,
        proofs: &[Proof],
        state: ProofState,
        holder: Option<String>,
    ) -> Result<Vec<ProofRow>, CashuError> {
        proofs
            .iter()
            .map(|proof| {
                Ok(ProofRow {
                    y: token::name(proof)?,
                    mint: operation.mint.to_string(),
                    unit: operation.unit.to_string(),
                    keyset: proof.keyset_id.to_string(),
                    amount: proof.amount.to_u64(),
                    state,
                    operation: holder.clone(),
                    body: serde_json::to_string(proof).map_err(CashuError::protocol)?,
                })
            })
            .collect()
    }
}

fn names(proofs: &[Proof]) -> Result<Vec<Y>, CashuError> {
    proofs.iter().map(token::name).collect()
}

fn messages(outputs: &[Planned]) -> Vec<BlindedMessage> {
    outputs.iter().map(|planned| planned.output.message()).collect()
}

enum Answer {
    Signatures(Vec<BlindSignature>),
    Melt(Option<bool>),
}

#[derive(Deserialize)]
struct SignaturesAnswer {
    signatures: Vec<BlindSignature>,
}

#[derive(Serialize)]
pub(super) struct MintBody<'a> {
    pub(super) quote: &'a str,
    pub(super) outputs: Vec<BlindedMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
}

impl Inner {
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

#[derive(Serialize)]
struct RestoreBody {
    outputs: Vec<BlindedMessage>,
}

#[derive(Deserialize)]
struct RestoreAnswer {
    outputs: Vec<BlindedMessage>,
    signatures: Vec<BlindSignature>,
}

#[derive(Serialize)]
struct StatesBody {
    #[serde(rename = "Ys")]
    ys: Vec<String>,
}

#[derive(Deserialize)]
struct StatesAnswer {
    states: Vec<StateEntry>,
}

#[derive(Deserialize)]
struct StateEntry {
    #[serde(rename = "Y")]
    y: String,
    state: MintState,
}

/// Where a proof is, as its mint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum MintState {
    Unspent,
    Pending,
    Spent,
}
