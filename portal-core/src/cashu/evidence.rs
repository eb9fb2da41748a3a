//! What a mint says of the past: which outputs it has signed, where proofs are.

use std::collections::HashMap;

use cdk_common::{BlindSignature, BlindedMessage};
use serde::{Deserialize, Serialize};

use super::journal::Operation;
use super::outputs::Output;
use super::transport::CallError;
use super::{CashuError, Inner, MintAddress};
use crate::storage::sqlite::tickets::Y;

/// How many names one question about their state has.
const STATES_AT_ONCE: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum MintState {
    Unspent,
    Pending,
    Spent,
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

#[derive(Deserialize)]
struct QuoteState {
    #[serde(default)]
    state: Option<String>,
    /// Where there is no state.
    #[serde(default)]
    amount_paid: Option<u64>,
}

impl Inner {
    /// The signatures the mint has given to these outputs (NUT-09).
    pub(super) async fn signed(
        &self,
        mint: &MintAddress,
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

    /// Whether nobody has paid the quote of an operation, after the mint has refused to issue for
    /// it: then nothing is lost when it is forgotten. What the mint does not say is not so.
    pub(super) async fn is_unpaid(&self, operation: &Operation, refused: &CashuError) -> bool {
        if matches!(refused, CashuError::Unpaid { .. }) {
            return true;
        }
        let Some(quote) = operation.quote().filter(|_| refused.is_no()) else { return false };
        let Ok(connection) = self.connection(&operation.mint).await else { return false };
        let route = ["v1", "mint", "quote", &quote.method, &quote.id];
        let said = connection.get::<QuoteState>(&route).await;
        said.is_ok_and(|said| match (said.state.as_deref(), said.amount_paid) {
            (Some(state), _) => state == "UNPAID",
            (None, paid) => paid == Some(0),
        })
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
        mint: &MintAddress,
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
}
