//! Payments of wallets: leaves are locked to a payment hash, and go or come back.

use std::collections::HashSet;

use bitcoin::hashes::Hash as _;
use lightning_invoice::Bolt11Invoice;

use super::{
    Heard, Ledger, NextSend, RETURNED, SENDER_KEY_TWEAKED, Send, SendState, State, Swap, Transfer,
};

impl Ledger {
    /// Locks leaves to a payment hash.
    pub(in crate::spark) fn swap(&self, asked: &Swap<'_>) -> Result<Transfer, &'static str> {
        let created = self.now();
        let mut state = self.lock();
        if state.sends.iter().any(|it| it.transfer == asked.id) {
            return Err("preimage request already exists");
        }
        let invoice: Bolt11Invoice = asked.bolt11.parse().map_err(|_| "no invoice")?;
        if invoice.payment_hash().to_byte_array() != asked.hash {
            return Err("another payment hash");
        }
        let fee = state.fee;
        let names: HashSet<&str> = asked.leaves.iter().copied().collect();
        let wallet = state.wallets.get_mut(&asked.wallet).ok_or("no such wallet")?;
        let sum: u64 = names
            .iter()
            .map(|name| wallet.leaves.get(*name).map(|leaf| leaf.sats))
            .sum::<Option<u64>>()
            .ok_or("no such leaf")?;
        if sum != asked.sats + fee || names.len() != asked.leaves.len() {
            return Err("the leaves do not add up");
        }
        let locked = names.iter().filter_map(|name| wallet.leaves.remove(*name)).collect();
        let transfer = Transfer {
            id: asked.id.to_owned(),
            sender: asked.wallet,
            receiver: self.ssp,
            status: 1,
            sats: sum,
            created,
        };
        state.transfers.push(transfer.clone());
        state.sends.push(Send {
            id: format!("LightningSendRequest:{}", asked.id),
            transfer: asked.id.to_owned(),
            bolt11: asked.bolt11.to_owned(),
            created,
            fee,
            state: SendState::Swapped,
            preimage: None,
            hash: asked.hash,
            sats: asked.sats,
            owner: asked.wallet,
            locked,
        });
        Ok(transfer)
    }

    /// Starts the payment of a swap; what the wallet shall hear of it.
    pub(in crate::spark) fn send(&self, transfer: &str) -> Heard {
        let next = self.take_send();
        let mut state = self.lock();
        let Some(send) = state.sends.iter_mut().find(|it| it.transfer == transfer) else {
            return Heard::Nothing;
        };
        if send.state == SendState::Swapped {
            send.state = SendState::Created;
            let hash = send.hash;
            match next {
                NextSend::Arrive | NextSend::RefuseSwap => self.arrive(&mut state, hash),
                NextSend::WrongPreimage => {
                    self.arrive(&mut state, hash);
                    for send in state.sends.iter_mut().filter(|it| it.hash == hash) {
                        send.preimage = Some([1; 32]);
                    }
                }
                NextSend::Fail => self.fail(&mut state, hash),
                NextSend::Hold => {}
                NextSend::LoseAnswer => {
                    self.arrive(&mut state, hash);
                    return Heard::Nothing;
                }
                NextSend::LoseAnswerAndHold => return Heard::Nothing,
                NextSend::GarbleAnswer => {
                    self.arrive(&mut state, hash);
                    return Heard::Nonsense;
                }
            }
        }
        let send = state.sends.iter().find(|it| it.transfer == transfer);
        send.map_or(Heard::Nothing, |send| Heard::State(Box::new(send.clone())))
    }

    /// Lets what is held go on: a payment under way arrives, details become known.
    pub(in crate::spark) fn release(&self, hash: [u8; 32]) {
        let mut state = self.lock();
        for receive in state.receives.iter_mut().filter(|it| it.hash == hash) {
            receive.detailed = true;
        }
        self.arrive(&mut state, hash);
    }

    /// Lets a payment under way fail.
    pub(in crate::spark) fn give_back(&self, hash: [u8; 32]) {
        let mut state = self.lock();
        self.fail(&mut state, hash);
    }

    fn arrive(&self, state: &mut State, hash: [u8; 32]) {
        let under_way = |it: &Send| it.hash == hash && it.state == SendState::Created;
        let Some(place) = state.sends.iter().position(under_way) else { return };
        let sats = state.sends[place].sats;
        let preimage = match state.outside.get(&hash).copied() {
            Some(preimage) => {
                *state.paid.entry(hash).or_default() += 1;
                Some(preimage)
            }
            None => self.credit(state, hash, Some(sats)).ok(),
        };
        match preimage {
            Some(preimage) => {
                let send = &mut state.sends[place];
                send.preimage = Some(preimage);
                send.state = SendState::Succeeded;
                send.locked.clear();
                let id = send.transfer.clone();
                set_status(state, &id, SENDER_KEY_TWEAKED);
            }
            None => self.fail(state, hash),
        }
    }

    fn fail(&self, state: &mut State, hash: [u8; 32]) {
        let under_way = |it: &Send| it.hash == hash && it.state == SendState::Created;
        let Some(place) = state.sends.iter().position(under_way) else { return };
        let send = &mut state.sends[place];
        send.state = SendState::Failed;
        let (owner, id) = (send.owner, send.transfer.clone());
        let returned = std::mem::take(&mut send.locked);
        let wallet = state.wallets.entry(owner).or_default();
        wallet.leaves.extend(returned.into_iter().map(|leaf| (leaf.id.clone(), leaf)));
        set_status(state, &id, RETURNED);
    }
}

fn set_status(state: &mut State, id: &str, status: u64) {
    for transfer in state.transfers.iter_mut().filter(|it| it.id == id) {
        transfer.status = status;
    }
}
