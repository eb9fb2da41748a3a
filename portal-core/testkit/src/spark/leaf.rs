//! A leaf: an amount that belongs to a wallet together with the operators.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::{PublicKey, SECP256K1};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};

use super::keys::{self, WalletKeys};
use super::ledger::THRESHOLD;
use super::proto::Message;

/// Shorter refund times make a wallet renew the leaf.
const REFUND_AFTER: u32 = 2000;

/// An amount of a wallet.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) id: String,
    pub(super) sats: u64,
    node_tx: Vec<u8>,
    refund_tx: Vec<u8>,
    verifying_key: PublicKey,
    keyshare: PublicKey,
}

/// Makes a leaf that the wallet takes for its own: its key and the operators' add up.
pub(super) fn make(wallet: &WalletKeys, id: &str, sats: u64, seed: [u8; 32]) -> Leaf {
    let keyshare = keys::fixed(&format!("share of {id}")).public_key(SECP256K1);
    let verifying_key = wallet.leaf(id).combine(&keyshare).expect("unrelated keys");
    let node = spend(OutPoint::new(Txid::from_byte_array(seed), 0), sats, &verifying_key);
    let refund = spend(OutPoint::new(node.compute_txid(), 0), sats, &verifying_key);
    Leaf {
        id: id.to_owned(),
        sats,
        node_tx: serialize(&node),
        refund_tx: serialize(&refund),
        verifying_key,
        keyshare,
    }
}

impl Leaf {
    pub(super) fn encode(&self, owner: &PublicKey) -> Message {
        let keyshare =
            Message::default().number(2, u64::from(THRESHOLD)).bytes(3, self.keyshare.serialize());
        Message::default()
            .bytes(1, &self.id)
            .bytes(2, "00000000-0000-7000-8000-000000000001")
            .number(3, self.sats)
            .bytes(5, &self.node_tx)
            .bytes(6, &self.refund_tx)
            .bytes(8, self.verifying_key.serialize())
            .bytes(9, owner.serialize())
            .message(10, &keyshare)
            .bytes(11, "AVAILABLE")
            .number(12, 2)
            .number(19, 1)
    }
}

fn spend(from: OutPoint, sats: u64, key: &PublicKey) -> Transaction {
    // A taproot output: version 1, 32 bytes of a key.
    let script = [&[0x51, 0x20], key.x_only_public_key().0.serialize().as_slice()].concat();
    Transaction {
        version: Version(3),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: from,
            script_sig: ScriptBuf::new(),
            sequence: Sequence(REFUND_AFTER),
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(sats),
            script_pubkey: ScriptBuf::from_bytes(script),
        }],
    }
}

/// Values that add up to `total`, from which every amount up to it can be put together exactly.
pub(super) fn denominations(total: u64) -> Vec<u64> {
    let mut values = Vec::new();
    let mut left = total;
    while left > 0 {
        // Powers of two from one up, as often as they fit: small amounts can be paid many times.
        let mut value = 1;
        while value <= left && value <= total / 4 + 1 {
            values.push(value);
            left -= value;
            value *= 2;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denominations_add_up_and_make_every_amount() {
        for total in [1, 2, 7, 100, 1000, 12_345] {
            let values = denominations(total);
            assert_eq!(values.iter().sum::<u64>(), total);
            let mut sums = std::collections::BTreeSet::from([0]);
            for value in values {
                sums.extend(sums.clone().into_iter().map(|sum| sum + value));
            }
            assert!((0..=total).all(|sum| sums.contains(&sum)), "{total}");
        }
    }
}
