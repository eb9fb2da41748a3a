//! Burning: a ticket that was shown at the door is used up.
//!
//! Where the mint offers it, the proofs are melted: spent, with nothing in return. Money is never
//! destroyed: it goes into the wallet of whoever burns it. So do tickets of a mint that does not
//! offer burning; for their holder they are just as used.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::about::OWN_METHOD;
use super::journal::{Call, Calling, Operation, Order, Source};
use super::knowledge::Need;
use super::token::{self, TicketToken};
use super::transport::CallError;
use super::{CashuError, Inner, MintAddress, TicketWallet, Unit};

/// What a token must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Of this mint.
    pub mint: MintAddress,
    /// Of this unit.
    pub unit: Unit,
    /// Worth exactly this, when somebody said how much.
    pub amount: Option<u64>,
}

/// What was burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burned {
    /// What the token was worth.
    pub amount: u64,
    /// What of it is in the wallet now.
    pub kept: u64,
}

impl TicketWallet {
    /// Uses up a token. Mint, unit and amount are compared with what was asked for before anything
    /// is spent. The same call with the same key is the same burning: it returns what it returned.
    ///
    /// # Errors
    /// [`CashuError::WrongMint`], [`CashuError::WrongUnit`], [`CashuError::WrongAmount`],
    /// [`CashuError::Spent`], [`CashuError::Pending`] and their like.
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn burn(
        &self,
        key: &str,
        token: &str,
        expected: &Expected,
    ) -> Result<Burned, CashuError> {
        let read = TicketToken::parse(token)?;
        read.expect(&expected.mint, &expected.unit, expected.amount)?;
        let order = Order::Burn { token: token.trim().to_owned() };
        let (mint, unit) = (read.mint().clone(), read.unit().clone());
        let now = self.0.now();
        let operation = Operation::new(key, mint, unit, read.amount(), order, now)?;
        let done = self.0.run(operation).await?;
        Ok(Burned { amount: read.amount(), kept: done.kept })
    }
}

#[derive(Serialize)]
struct QuoteBody<'a> {
    method: &'a str,
    request: String,
    unit: &'a str,
    amount: u64,
}

#[derive(Deserialize)]
struct QuoteAnswer {
    quote: String,
    amount: u64,
    #[serde(default)]
    fee_reserve: Option<u64>,
}

impl Inner {
    /// Asked → Calling.
    pub(super) async fn begin_burn(&self, operation: &mut Operation) -> Result<(), CashuError> {
        let Order::Burn { token: text } = &operation.order else {
            return Err(CashuError::NotFound);
        };
        let token = TicketToken::parse(text)?;
        let about = self.about(&operation.mint).await?;
        if !about.burns(&operation.unit) {
            return self.begin_swap_in(operation, &token).await;
        }
        let ids = token.keyset_ids();
        let keysets = self.keysets(&operation.mint, Need { ids: &ids, ..Need::default() }).await?;
        let inputs = self.spendable(token.proofs(&keysets)?, &keysets)?;
        let fee = keysets.fee(inputs.iter().map(|proof| proof.keyset_id))?;
        let amount = token::sum(&inputs)?
            .checked_sub(fee)
            .filter(|amount| *amount > 0)
            .ok_or(CashuError::Amount { reason: "the fee takes all of it" })?;
        let quote = self.burn_quote(operation, amount).await?;
        let call = Call::Melt { method: OWN_METHOD.to_owned(), quote };
        let calling = Calling {
            call,
            inputs,
            source: Source::Outside,
            outputs: Vec::new(),
            since: self.now(),
        };
        self.prepare(operation, calling).await
    }

    /// A quote whose answer is lost has cost nothing.
    async fn burn_quote(&self, operation: &Operation, amount: u64) -> Result<String, CashuError> {
        // Enough to tell two burnings apart in the mint's books, nothing of the caller's key.
        let reference = hex::encode(&Sha256::digest(operation.key.as_bytes())[..8]);
        let body = QuoteBody {
            method: OWN_METHOD,
            request: format!("burn:{amount}:{reference}"),
            unit: operation.unit.as_str(),
            amount,
        };
        let connection = self.connection(&operation.mint).await.map_err(CallError::plain)?;
        let answer: QuoteAnswer = connection
            .post(&["v1", "melt", "quote", OWN_METHOD], &body)
            .await
            .map_err(CallError::plain)?;
        let fits = answer.amount == amount && answer.fee_reserve.unwrap_or(0) == 0;
        if !fits || answer.quote.is_empty() || answer.quote.len() > 512 {
            return Err(CashuError::BadAnswer { reason: "the quote is for something else" });
        }
        Ok(answer.quote)
    }
}
