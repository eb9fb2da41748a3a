//! Sending: proofs out of the wallet, as a token for somebody.

use cdk_common::Proof;

use super::journal::{Call, Calling, Done, Give, Operation, Order, Source, State};
use super::keysets::Keysets;
use super::knowledge::Need;
use super::lock::{Holder, is_locked};
use super::outputs;
use super::token::{self, TicketToken};
use super::{CashuError, Inner, MintAddress, TicketWallet, Unit};
use crate::storage::StorageError;
use crate::storage::sqlite::tickets::{Change, Move, ProofRow, ProofState};

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSend {
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// How much, in the base of the unit.
    pub amount: u64,
    /// To whom, and with which words.
    pub give: Give,
    /// What for.
    pub purpose: Purpose,
}

/// What proofs are sent for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To another holder. Refused where the unit says that tickets stay with who got them.
    #[default]
    PassOn,
    /// To the door: to whoever takes the ticket.
    Present,
}

/// What was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent {
    /// The token. Whoever has it has the value, unless it is locked.
    pub token: String,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sent(..)")
    }
}

impl TicketWallet {
    /// Takes proofs out of the wallet and makes a token of them. Needs the mint only when the
    /// amount must be changed, or the token is to be locked. The token stays in the journal until
    /// it is spent: the same call returns it again, [`TicketWallet::take_back`] takes it back.
    ///
    /// # Errors
    /// [`CashuError::InsufficientFunds`], [`CashuError::NotTransferable`], or what the mint says.
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn send(&self, key: &str, new: NewSend) -> Result<Sent, CashuError> {
        let operation = self.0.send_operation(key, new)?;
        let done = self.0.run(operation).await?;
        done.sent()
    }
}

impl Done {
    pub(super) fn sent(self) -> Result<Sent, CashuError> {
        let token = self.token.ok_or(StorageError::Corrupt { what: "operation" })?;
        Ok(Sent { token })
    }
}

impl Inner {
    pub(super) fn send_operation(&self, key: &str, new: NewSend) -> Result<Operation, CashuError> {
        let NewSend { mint, unit, amount, give, purpose } = new;
        let order = Order::Send { give, present: purpose == Purpose::Present };
        Operation::new(key, mint, unit, amount, order, self.now())
    }

    /// Asked → Done when the wallet has just the right proofs, else → Calling.
    pub(super) async fn begin_send(&self, operation: &mut Operation) -> Result<(), CashuError> {
        let Order::Send { give, present } = operation.order.clone() else {
            return Err(CashuError::NotFound);
        };
        if !present && !self.transferable(&operation.mint, &operation.unit).await? {
            return Err(CashuError::NotTransferable);
        }
        let usable = self.usable(operation).await?;
        let amounts = usable.iter().map(|(row, _)| row.amount);
        let available = amounts.fold(0, u64::saturating_add);
        if available < operation.amount {
            return Err(CashuError::InsufficientFunds { available });
        }
        if give.lock.is_none()
            && let Some(exact) = exactly(&usable, operation.amount)
        {
            return self.give_as_they_are(operation, &usable, &exact, give.memo).await;
        }
        self.change_first(operation, usable, &give, available).await
    }

    /// The proofs that could be spent now, and what they become with our signatures. Those that
    /// can soon not be spent any more come first.
    async fn usable(&self, operation: &Operation) -> Result<Vec<(ProofRow, Proof)>, CashuError> {
        let rows = self
            .store
            .proofs(operation.mint.as_str(), operation.unit.as_str(), ProofState::Unspent)
            .await?;
        let keysets = self.known_keysets(&operation.mint).await?;
        let now = self.now();
        let mut usable = Vec::with_capacity(rows.len());
        for row in rows {
            let mut proof: Proof = serde_json::from_str(&row.body)
                .map_err(|_| StorageError::Corrupt { what: "proof" })?;
            if keysets.get(proof.keyset_id).is_some_and(|keyset| keyset.is_over(now)) {
                continue;
            }
            match self.ring.holder(&proof, now) {
                Holder::Anyone => {}
                Holder::Us { all: false } => self.ring.sign(&mut proof)?,
                // Signed over a whole swap: they are changed when they come in.
                Holder::Us { all: true } | Holder::Other | Holder::Unknown => continue,
            }
            usable.push((row, proof));
        }
        usable.sort_by_key(|(row, proof)| {
            let expiry = keysets.get(proof.keyset_id).and_then(|keyset| keyset.final_expiry);
            (expiry.unwrap_or(u64::MAX), std::cmp::Reverse(row.amount))
        });
        Ok(usable)
    }

    async fn give_as_they_are(
        &self,
        operation: &mut Operation,
        usable: &[(ProofRow, Proof)],
        chosen: &[usize],
        memo: Option<String>,
    ) -> Result<(), CashuError> {
        let mut proofs = Vec::with_capacity(chosen.len());
        let mut moves = Vec::with_capacity(chosen.len());
        for index in chosen {
            let (row, proof) = &usable[*index];
            proofs.push(proof.clone());
            moves.push(Move {
                y: row.y,
                from: ProofState::Unspent,
                to: ProofState::Given,
                holder: Some(operation.key.clone()),
            });
        }
        let token = TicketToken::of(&operation.mint, &operation.unit, proofs, memo)?.to_string();
        let done = Done { kept: 0, token: Some(token), burned: 0 };
        let next = Operation { state: State::Done(done), ..operation.clone() };
        let change = Change { operation: Some(next.to_row()?), moves, ..Change::default() };
        self.store.apply(change, self.now()).await?;
        *operation = next;
        Ok(())
    }

    /// The mint makes other proofs of ours: those to give, and the change.
    async fn change_first(
        &self,
        operation: &mut Operation,
        usable: Vec<(ProofRow, Proof)>,
        give: &Give,
        available: u64,
    ) -> Result<(), CashuError> {
        let about = self.about(&operation.mint).await?;
        let ids: Vec<_> = usable
            .iter()
            .map(|(_, proof)| cdk_common::nut02::ShortKeysetId::from(proof.keyset_id))
            .collect();
        let need = Need { unit: Some(&operation.unit), ids: &ids, ..Need::default() };
        let keysets = self.keysets(&operation.mint, need).await?;
        let keyset =
            keysets.active(&operation.unit, self.now()).ok_or(CashuError::UnsupportedUnit)?;
        let (inputs, fee) = enough(&usable, operation.amount, &keysets)?
            .ok_or(CashuError::InsufficientFunds { available })?;
        if inputs.len() > about.most_items {
            return Err(CashuError::TooLarge {
                what: "one operation",
                found: inputs.len(),
                most: about.most_items,
            });
        }
        let change = token::sum(&inputs)?
            .checked_sub(operation.amount)
            .and_then(|rest| rest.checked_sub(fee))
            .ok_or(CashuError::InsufficientFunds { available })?;
        let given = if self.shown_singly(&operation.mint, &operation.unit).await? {
            outputs::singly(keyset, operation.amount, about.most_items)?
        } else {
            outputs::split(keyset, operation.amount, about.most_items)?
        };
        let kept = outputs::split(keyset, change, about.most_items)?;
        let mut planned = self.make_outputs(keyset, &given, Some(give)).await?;
        planned.extend(self.make_outputs(keyset, &kept, None).await?);
        let calling = Calling {
            call: Call::Swap,
            inputs,
            source: Source::Wallet,
            outputs: planned,
            since: self.now(),
        };
        self.prepare(operation, calling).await
    }
}

/// Proofs that add up to an amount exactly; the largest that fit first. `None` when this way finds
/// none: then the mint changes.
fn exactly(usable: &[(ProofRow, Proof)], amount: u64) -> Option<Vec<usize>> {
    let mut left = amount;
    let mut chosen = Vec::new();
    let mut order: Vec<usize> = (0..usable.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(usable[*index].0.amount));
    for index in order {
        let worth = usable[index].0.amount;
        if worth <= left {
            left -= worth;
            chosen.push(index);
        }
        if left == 0 {
            return Some(chosen);
        }
    }
    None
}

/// Proofs that cover an amount and the fee for spending them.
fn enough(
    usable: &[(ProofRow, Proof)],
    amount: u64,
    keysets: &Keysets,
) -> Result<Option<(Vec<Proof>, u64)>, CashuError> {
    let mut chosen: Vec<Proof> = Vec::new();
    let mut total: u64 = 0;
    // Locked ones first: they have to be changed sooner or later.
    let (locked, open): (Vec<_>, Vec<_>) = usable.iter().partition(|(_, proof)| is_locked(proof));
    for (row, proof) in locked.into_iter().chain(open) {
        chosen.push(proof.clone());
        total = total.saturating_add(row.amount);
        let fee = keysets.fee(chosen.iter().map(|proof| proof.keyset_id))?;
        if total >= amount.saturating_add(fee) {
            return Ok(Some((chosen, fee)));
        }
    }
    Ok(None)
}
