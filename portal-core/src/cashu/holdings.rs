//! What is in the wallet, what is on its way, and what a person allows services to take.

use nostr::PublicKey;

use super::journal::{Operation, State};
use super::send::{NewSend, Purpose, Sent};
use super::take_back::TAKE_BACK;
use super::{CashuError, Give, MintAddress, Outcome, TicketWallet, Unit};
use crate::primitives::Timestamp;
use crate::storage::sqlite::tickets::{AllowanceRow, OperationRow, ProofRow, ProofState};

/// What the wallet holds of one unit of one mint, in the base of the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// Can be given.
    pub available: u64,
    /// How many proofs that is: of tickets, how many tickets.
    pub proofs: u64,
    /// Put aside for operations that have not ended.
    pub reserved: u64,
    /// Given away, and not known to be spent.
    pub given: u64,
}

/// An operation that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOperation {
    /// Its key.
    pub key: String,
    /// `mint`, `send`, `receive`, `burn` or `take_back`.
    pub kind: &'static str,
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// In the base of the unit.
    pub amount: u64,
    /// When it began.
    pub since: Timestamp,
    /// What has to be paid, when the mint waits for that.
    pub unpaid: Option<String>,
}

/// Something that was given away and is not known to be spent.
#[derive(Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// The key of the operation: take it back with this.
    pub key: String,
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// What is left of it, in the base of the unit.
    pub amount: u64,
    /// Since when.
    pub since: Timestamp,
    /// The token, to be delivered again.
    pub token: String,
}

impl std::fmt::Debug for Unclaimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unclaimed")
            .field("unit", &self.unit)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

/// What a person allows a service to take without asking each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The main key of the service.
    pub service: PublicKey,
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// The most of one request, in the base of the unit.
    pub most: u64,
    /// The most in all; what is taken is subtracted.
    pub left: u64,
    /// Until when.
    pub until: Option<Timestamp>,
}

impl TicketWallet {
    /// What the wallet holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn balances(&self) -> Result<Vec<Balance>, CashuError> {
        let mut found: Vec<Balance> = Vec::new();
        for row in self.0.store.sums().await? {
            let (mint, unit) = (row.mint.parse::<MintAddress>()?, row.unit.parse::<Unit>()?);
            let same = |balance: &Balance| balance.mint == mint && balance.unit == unit;
            let place = match found.iter().position(same) {
                Some(place) => place,
                None => {
                    let (available, proofs, reserved, given) = (0, 0, 0, 0);
                    found.push(Balance { mint, unit, available, proofs, reserved, given });
                    found.len() - 1
                }
            };
            let balance = &mut found[place];
            match row.state {
                ProofState::Unspent => {
                    balance.available = row.amount;
                    balance.proofs = row.count;
                }
                ProofState::Reserved => balance.reserved = row.amount,
                ProofState::Given => balance.given = row.amount,
                ProofState::Spent => {}
            }
        }
        Ok(found)
    }

    /// Operations that have not ended: their value is neither here nor there yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn open_operations(&self) -> Result<Vec<OpenOperation>, CashuError> {
        let rows = self.0.store.open_operations().await?;
        rows.iter()
            .map(|row| {
                let operation = Operation::from_row(row)?;
                let unpaid = operation.quote().map(|quote| quote.request.clone());
                Ok(OpenOperation {
                    kind: operation.order.kind(),
                    key: operation.key,
                    mint: operation.mint,
                    unit: operation.unit,
                    amount: operation.amount,
                    since: Timestamp::from_secs(operation.created_at),
                    unpaid,
                })
            })
            .collect()
    }

    /// What was given away and is not known to be spent, oldest first: it can be delivered again,
    /// or taken back.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn unclaimed(&self) -> Result<Vec<Unclaimed>, CashuError> {
        let mut found = Vec::new();
        for row in self.0.store.unclaimed_operations().await? {
            let operation = Operation::from_row(&row)?;
            let State::Done(done) = operation.state else { continue };
            let Some(token) = done.token else { continue };
            let given = self.0.store.proofs_of(&operation.key, ProofState::Given).await?;
            found.push(Unclaimed {
                key: operation.key,
                mint: operation.mint,
                unit: operation.unit,
                amount: given.iter().map(|row| row.amount).fold(0, u64::saturating_add),
                since: Timestamp::from_secs(operation.created_at),
                token,
            });
        }
        Ok(found)
    }

    /// The operation that gave a token away, when it was one of this wallet; also when the token was
    /// taken back or claimed since.
    ///
    /// # Errors
    /// When it is no token, or the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn giver_of(&self, token: &str) -> Result<Option<String>, CashuError> {
        let names = super::TicketToken::parse(token)?.names()?;
        let known = self.0.store.known_proofs(names).await?;
        let giver = |row: &ProofRow| {
            let holder = row.operation.as_deref()?;
            match row.state {
                ProofState::Given | ProofState::Spent => Some(holder.to_owned()),
                ProofState::Reserved => holder.strip_prefix(TAKE_BACK).map(str::to_owned),
                ProofState::Unspent => None,
            }
        };
        Ok(known.iter().find_map(giver))
    }

    /// Lets a service take tickets without asking each time; replaces what it was allowed before.
    ///
    /// # Errors
    /// When it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be saved also when the future is dropped.
    pub async fn allow(&self, allowance: &Allowance) -> Result<(), CashuError> {
        let row = AllowanceRow {
            service: allowance.service.to_hex(),
            mint: allowance.mint.to_string(),
            unit: allowance.unit.to_string(),
            most: allowance.most,
            left_over: allowance.left,
            expires_at: allowance.until.map(Timestamp::as_secs),
        };
        Ok(self.0.store.put_allowance(row).await?)
    }

    /// Ends what a service was allowed. No error when it was allowed nothing.
    ///
    /// # Errors
    /// When it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be saved also when the future is dropped.
    pub async fn disallow(
        &self,
        service: &PublicKey,
        mint: &MintAddress,
        unit: &Unit,
    ) -> Result<(), CashuError> {
        let service = service.to_hex();
        Ok(self.0.store.remove_allowance(&service, mint.as_str(), unit.as_str()).await?)
    }

    /// Everything that services are allowed.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn allowances(&self) -> Result<Vec<Allowance>, CashuError> {
        let rows = self.0.store.allowances().await?;
        rows.into_iter()
            .map(|row| {
                Ok(Allowance {
                    service: PublicKey::from_hex(&row.service).map_err(CashuError::protocol)?,
                    mint: row.mint.parse()?,
                    unit: row.unit.parse()?,
                    most: row.most,
                    left: row.left_over,
                    until: row.expires_at.map(Timestamp::from_secs),
                })
            })
            .collect()
    }

    /// Sends what a service asks for, if the person has allowed it: the allowance is charged and
    /// the operation written down in one transaction. The same key is the same answer.
    ///
    /// # Errors
    /// [`CashuError::NotAllowed`], or those of [`TicketWallet::send`].
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn send_allowed(
        &self,
        key: &str,
        service: &PublicKey,
        mint: MintAddress,
        unit: Unit,
        amount: u64,
        give: Give,
    ) -> Result<Sent, CashuError> {
        let new = NewSend { mint, unit, amount, give, purpose: Purpose::Present };
        let operation = self.0.send_operation(key, new)?;
        // From the charge to the end of it: whoever asks for the same meanwhile waits.
        let _alone = self.0.alone_with(key).await;
        let asked = operation.clone();
        let failed = move |row: &OperationRow| {
            let same = |found: Operation| {
                matches!(found.state, State::Failed { .. }) && found.asks_the_same(&asked)
            };
            Operation::from_row(row).is_ok_and(same)
        };
        let row = operation.to_row()?;
        let begun = self.0.store.begin_allowed(row, service.to_hex(), failed, self.0.now()).await?;
        let begun = begun.ok_or(CashuError::NotAllowed)?;
        // Written down; from here on it is a send like any other.
        let error = match self.0.go_on(begun, operation).await {
            Ok(done) => return done.sent(),
            Err(error) => error,
        };
        if error.outcome() == Outcome::Nothing && !matches!(error, CashuError::Conflict) {
            self.0.store.undo_allowed(key).await?;
        }
        Err(error)
    }
}
