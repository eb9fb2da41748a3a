//! Minting: new proofs for the wallet, or for somebody else at once.

use serde::{Deserialize, Serialize};

use super::about::BOLT11;
use super::journal::{Call, Calling, Done, Give, Operation, Order, Planned, Quote, Source, State};
use super::keysets::Keyset;
use super::knowledge::Need;
use super::outputs;
use super::transport::{CallError, refusal};
use super::{CashuError, Inner, MintAddress, TicketWallet, Unit};
use crate::wallet::bolt11::Bolt11;

/// The counter of the keys that lock quotes (NUT-20).
const QUOTE_KEYS: &str = "nut20";
/// The longest description that is handed on.
const MOST_DESCRIPTION: usize = 640;

/// What is to be minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMint {
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// How much, in the base of the unit: 3 are three tickets.
    pub amount: u64,
    /// For the mint's books and the payer's eyes.
    pub description: Option<String>,
    /// Given away at once; `None`: into the wallet.
    pub give: Option<Give>,
}

/// What was minted.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// How much the wallet has more.
    pub kept: u64,
    /// The token, when it was to be given away.
    pub token: Option<String>,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl TicketWallet {
    /// Mints. At a mint whose quotes are paid at once it is done when this returns; elsewhere the
    /// error [`CashuError::Unpaid`] says what to pay, and the same call with the same key goes on.
    ///
    /// What is given away stays in the journal until it is spent: the same call returns the same
    /// token, and [`TicketWallet::take_back`] takes back what nobody has claimed.
    ///
    /// # Errors
    /// When the mint refuses or does not answer; see [`CashuError::outcome`].
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn mint(&self, key: &str, new: NewMint) -> Result<Minted, CashuError> {
        let NewMint { mint, unit, amount, description, give } = new;
        let description = description
            .map(|text| text.chars().take(MOST_DESCRIPTION).collect::<String>())
            .filter(|text| !text.is_empty());
        let order = Order::Mint { description, give };
        let operation = Operation::new(key, mint, unit, amount, order, self.0.now())?;
        let Done { kept, token, burned: _ } = self.0.run(operation).await?;
        Ok(Minted { kept, token })
    }
}

#[derive(Serialize)]
struct QuoteBody<'a> {
    amount: u64,
    unit: &'a str,
    pubkey: cdk_common::PublicKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Deserialize)]
struct QuoteAnswer {
    quote: String,
    #[serde(default)]
    request: String,
    #[serde(default)]
    pubkey: Option<String>,
    #[serde(default)]
    expiry: Option<u64>,
}

impl Inner {
    /// Asked → Quoted. A quote whose answer is lost has cost nothing.
    pub(super) async fn ask_for_quote(&self, operation: &mut Operation) -> Result<(), CashuError> {
        let about = self.about(&operation.mint).await?;
        let method = about.mint_method(&operation.unit)?;
        // Before anyone pays: can it be split at all?
        let need = Need { unit: Some(&operation.unit), ..Need::default() };
        let keysets = self.keysets(&operation.mint, need).await?;
        let keyset =
            keysets.active(&operation.unit, self.now()).ok_or(CashuError::UnsupportedUnit)?;
        self.parts(operation, keyset, about.most_items).await?;
        let number = self.store.take_numbers(QUOTE_KEYS, 1).await?;
        let key = cdk_common::nut20::derive_quote_locking_key(self.seed.expose(), number)
            .map_err(CashuError::protocol)?
            .public_key();
        let description = match &operation.order {
            Order::Mint { description, .. } if method == BOLT11 => description.as_deref(),
            _ => None,
        };
        let body = QuoteBody {
            amount: operation.amount,
            unit: operation.unit.as_str(),
            pubkey: key,
            description,
        };
        let connection = self.connection(&operation.mint).await.map_err(CallError::plain)?;
        let answer: QuoteAnswer = connection
            .post(&["v1", "mint", "quote", method], &body)
            .await
            .map_err(|error| match error {
                CallError::Refused { code } => refusal(code),
                other => other.plain(),
            })?;
        if answer.quote.is_empty() || answer.quote.len() > 512 || answer.request.len() > 8192 {
            return Err(CashuError::BadAnswer { reason: "the quote is not possible" });
        }
        if asks_for_more(&answer.request, &operation.unit, operation.amount) {
            return Err(CashuError::BadAnswer { reason: "the invoice is for more than was asked" });
        }
        let locked = answer.pubkey.is_some_and(|echo| echo.eq_ignore_ascii_case(&key.to_hex()));
        operation.state = State::Quoted(Quote {
            method: method.to_owned(),
            id: answer.quote,
            request: answer.request,
            signed_by: locked.then_some(number),
            expiry: answer.expiry,
        });
        self.write(operation).await
    }

    /// Quoted → Calling.
    pub(super) async fn begin_mint(
        &self,
        operation: &mut Operation,
        quote: Quote,
    ) -> Result<(), CashuError> {
        let about = self.about(&operation.mint).await?;
        let need = Need { unit: Some(&operation.unit), ..Need::default() };
        let keysets = self.keysets(&operation.mint, need).await?;
        let keyset =
            keysets.active(&operation.unit, self.now()).ok_or(CashuError::UnsupportedUnit)?;
        let parts = self.parts(operation, keyset, about.most_items).await?;
        let give = match &operation.order {
            Order::Mint { give, .. } => give.clone(),
            _ => None,
        };
        let outputs = self.make_outputs(keyset, &parts, give.as_ref()).await?;
        let calling = Calling {
            call: Call::Mint(quote),
            inputs: Vec::new(),
            source: Source::Outside,
            outputs,
            since: self.now(),
        };
        self.prepare(operation, calling).await
    }

    async fn parts(
        &self,
        operation: &Operation,
        keyset: &Keyset,
        most: usize,
    ) -> Result<Vec<u64>, CashuError> {
        if self.shown_singly(&operation.mint, &operation.unit).await? {
            outputs::singly(keyset, operation.amount, most)
        } else {
            outputs::split(keyset, operation.amount, most)
        }
    }

    /// Outputs of these amounts: for the wallet (`give` is `None`), or to be given away.
    pub(super) async fn make_outputs(
        &self,
        keyset: &Keyset,
        amounts: &[u64],
        give: Option<&Give>,
    ) -> Result<Vec<Planned>, CashuError> {
        let mut numbers = None;
        let made = match give.and_then(|give| give.lock.as_ref()) {
            Some(lock) => outputs::locked(&self.env, lock, &self.ring.own(), keyset.id, amounts)?,
            None => {
                let count = u32::try_from(amounts.len())
                    .map_err(|_| CashuError::Amount { reason: "it has too many parts" })?;
                let name = keyset.id.to_string();
                let start = self.store.take_numbers(&name, count).await?;
                numbers = Some(start..);
                outputs::from_seed(&self.seed, keyset.id, start, amounts)?
            }
        };
        let give = give.is_some();
        Ok(made
            .into_iter()
            .map(|output| Planned {
                output,
                give,
                number: numbers.as_mut().and_then(Iterator::next),
            })
            .collect())
    }
}

/// Whether an invoice takes more than the quote is for. What is no invoice, or of a unit that is not
/// bitcoin, nobody here can tell.
fn asks_for_more(request: &str, unit: &Unit, amount: u64) -> bool {
    let most = match unit.as_str() {
        "sat" => amount.saturating_mul(1000),
        "msat" => amount,
        _ => return false,
    };
    Bolt11::parse(request)
        .is_ok_and(|invoice| invoice.amount.is_none_or(|found| found.as_u64() > most))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::env::Env;
    use crate::primitives::Millisats;
    use crate::wallet::simulated::SimulatedNetwork;
    use crate::wallet::{LightningWallet as _, NewInvoice};

    #[tokio::test]
    async fn an_invoice_over_more_than_the_quote_is_not_shown_to_who_pays() {
        let network = SimulatedNetwork::new(Env::system());
        let wallet = network.wallet("mint", Millisats::new(0)).expect("new");
        let expiry = Duration::from_secs(60);
        let new = NewInvoice { amount: Millisats::new(21_000), description: None, expiry };
        let invoice = wallet.make_invoice(new).await.expect("made").bolt11;
        let open = wallet.make_amountless_invoice(None, expiry).expect("made").bolt11;
        let unit = |name: &str| name.parse::<Unit>().expect("a unit");
        assert!(!asks_for_more(&invoice, &unit("sat"), 21));
        assert!(asks_for_more(&invoice, &unit("sat"), 20));
        assert!(asks_for_more(&invoice, &unit("msat"), 20_999));
        assert!(asks_for_more(&open, &unit("sat"), 21), "whoever pays would choose");
        assert!(!asks_for_more(&invoice, &unit("vip"), 1), "a ticket has no price here");
        assert!(!asks_for_more("pay me", &unit("sat"), 1));
    }
}
