//! What a wallet's words mean for money, in both directions.
//!
//! A payment is settled when the wallet says so, or when it gives a time and a preimage that fits.
//! A preimage that does not fit is dropped; everything unclear is pending.

use nostr::hashes::{Hash, sha256};

use super::message::{State, Transaction};
use crate::primitives::{Millisats, Timestamp};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{Direction, PaymentHash, PaymentState, WalletPayment};

/// The words do not name a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear(pub(super) &'static str);

/// 32 bytes from hexadecimal digits.
pub(super) fn bytes32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).ok()?;
    Some(bytes)
}

/// The preimage, if it is one of this payment.
pub(super) fn fitting_preimage(text: Option<&str>, hash: PaymentHash) -> Option<[u8; 32]> {
    bytes32(text?).filter(|bytes| sha256::Hash::hash(bytes).to_byte_array() == hash.0)
}

/// Reads the wallet's words about a payment. `asked` is the payment we asked about, which the
/// answer must not contradict.
pub(super) fn read(
    words: &Transaction,
    asked: Option<PaymentHash>,
    now: Timestamp,
) -> Result<WalletPayment, Unclear> {
    let invoice = words.invoice.as_deref().and_then(|text| Bolt11::parse(text).ok());
    let named = match words.payment_hash.as_deref() {
        Some(text) if !text.is_empty() => {
            Some(PaymentHash(bytes32(text).ok_or(Unclear("the payment hash is not one"))?))
        }
        _ => invoice.as_ref().map(|invoice| invoice.payment_hash),
    };
    let payment_hash = match (named, asked) {
        (Some(named), Some(asked)) if named != asked => {
            return Err(Unclear("it is about another payment"));
        }
        (Some(hash), _) | (None, Some(hash)) => hash,
        (None, None) => return Err(Unclear("there is no payment hash")),
    };
    let direction = match words.direction.as_deref() {
        // Wallets that leave it out do so for invoices of their own.
        None | Some("incoming") => Direction::Incoming,
        Some("outgoing") => Direction::Outgoing,
        Some(_) => return Err(Unclear("the direction is unknown")),
    };
    let amount = words
        .amount
        .map(Millisats::new)
        .or_else(|| invoice.as_ref().and_then(|invoice| invoice.amount))
        .ok_or(Unclear("there is no amount"))?;
    let created_at = words
        .created_at
        .map(Timestamp::from_secs)
        .or_else(|| invoice.as_ref().map(|invoice| invoice.created_at))
        .unwrap_or(now);
    let preimage = fitting_preimage(words.preimage.as_deref(), payment_hash);
    let settled_at = words.settled_at.filter(|at| *at > 0).map(Timestamp::from_secs);
    let state = match (&words.state, settled_at) {
        (Some(State::Settled), at) => PaymentState::Settled { preimage, at: at.unwrap_or(now) },
        (_, Some(at)) if preimage.is_some() => PaymentState::Settled { preimage, at },
        (Some(State::Expired | State::Failed), _) => PaymentState::Failed,
        _ => PaymentState::Pending,
    };
    let fee = Millisats::new(words.fees_paid.unwrap_or(0));
    Ok(WalletPayment { payment_hash, direction, state, amount, fee, created_at })
}

/// Writes a payment in the words of NIP-47.
pub(super) fn write(payment: &WalletPayment) -> Transaction {
    let (state, preimage, settled_at) = match &payment.state {
        PaymentState::Pending => (State::Pending, None, None),
        PaymentState::Failed => (State::Failed, None, None),
        PaymentState::Settled { preimage, at } => {
            (State::Settled, preimage.map(hex::encode), Some(at.as_secs()))
        }
    };
    Transaction {
        direction: Some(
            match payment.direction {
                Direction::Incoming => "incoming",
                Direction::Outgoing => "outgoing",
            }
            .to_owned(),
        ),
        state: Some(state),
        preimage,
        payment_hash: Some(payment.payment_hash.to_string()),
        amount: Some(payment.amount.as_u64()),
        fees_paid: Some(payment.fee.as_u64()),
        created_at: Some(payment.created_at.as_secs()),
        settled_at,
        ..Transaction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn hash_of(preimage: [u8; 32]) -> PaymentHash {
        PaymentHash(sha256::Hash::hash(&preimage).to_byte_array())
    }

    fn words() -> Transaction {
        Transaction {
            direction: Some("incoming".to_owned()),
            payment_hash: Some(hash_of([1; 32]).to_string()),
            amount: Some(5),
            created_at: Some(7),
            ..Transaction::default()
        }
    }

    #[test]
    fn only_the_wallets_word_or_a_time_with_proof_settles() {
        let right = Some(hex::encode([1; 32]));
        let wrong = Some(hex::encode([2; 32]));
        let at = Some(9);
        let settled = |preimage, at| PaymentState::Settled { preimage, at };
        let pending = PaymentState::Pending;
        let nine = Timestamp::from_secs(9);
        for (state, preimage, settled_at, expected) in [
            (None, None, None, pending.clone()),
            (None, right.clone(), None, pending.clone()),
            (None, wrong.clone(), at, pending.clone()),
            (None, right.clone(), Some(0), pending.clone()),
            (None, right.clone(), at, settled(Some([1; 32]), nine)),
            (Some(State::Pending), right.clone(), None, pending.clone()),
            (Some(State::Accepted), None, None, pending.clone()),
            (Some(State::Other("odd".to_owned())), None, at, pending),
            (Some(State::Settled), None, None, settled(None, NOW)),
            (Some(State::Settled), wrong, at, settled(None, nine)),
            (Some(State::Settled), right.clone(), at, settled(Some([1; 32]), nine)),
            (Some(State::Expired), None, None, PaymentState::Failed),
            (Some(State::Failed), right, at, settled(Some([1; 32]), nine)),
        ] {
            let words = Transaction { state, preimage, settled_at, ..words() };
            assert_eq!(read(&words, None, NOW).expect("clear").state, expected, "{words:?}");
        }
    }

    #[test]
    fn words_about_another_payment_or_none_are_refused() {
        let asked = Some(hash_of([3; 32]));
        assert!(read(&words(), asked, NOW).is_err());
        let nameless = Transaction { payment_hash: None, ..words() };
        assert!(read(&nameless, None, NOW).is_err());
        assert_eq!(read(&nameless, asked, NOW).map(|read| read.payment_hash).ok(), asked);
        for odd in [
            Transaction { payment_hash: Some("zz".to_owned()), ..words() },
            Transaction { direction: Some("sideways".to_owned()), ..words() },
            Transaction { amount: None, ..words() },
        ] {
            assert!(read(&odd, None, NOW).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn what_we_write_we_read() {
        for state in [
            PaymentState::Pending,
            PaymentState::Failed,
            PaymentState::Settled { preimage: Some([1; 32]), at: NOW },
        ] {
            for direction in [Direction::Incoming, Direction::Outgoing] {
                let payment = WalletPayment {
                    payment_hash: hash_of([1; 32]),
                    direction,
                    state: state.clone(),
                    amount: Millisats::new(11),
                    fee: Millisats::new(1),
                    created_at: NOW,
                };
                assert_eq!(read(&write(&payment), None, NOW), Ok(payment));
            }
        }
    }
}
