//! The journal: what was asked, and how far it has come.
//!
//! An operation is written before anything happens, and again before and after everything that
//! cannot be repeated. Its record holds all that is needed to go on: after a crash it is read and
//! driven like one that never stopped.

use cdk_common::Proof;
use serde::{Deserialize, Serialize};

use super::lock::Lock;
use super::outputs::Output;
use super::unit::MOST_AMOUNT;
use super::{CashuError, MintAddress, Unit};
use crate::primitives::ErrorCode;
use crate::storage::StorageError;
use crate::storage::sqlite::tickets::OperationRow;

/// An operation. Holds secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) key: String,
    pub(super) mint: MintAddress,
    pub(super) unit: Unit,
    /// In the base of the unit.
    pub(super) amount: u64,
    pub(super) order: Order,
    pub(super) state: State,
    /// How often it had to begin anew, because keys or proofs were no longer good.
    #[serde(default)]
    pub(super) rounds: u32,
    /// How often it was looked at in vain after its time was over.
    #[serde(default)]
    pub(super) late_looks: u32,
    pub(super) created_at: u64,
}

/// What was asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// New proofs from the mint.
    Mint { description: Option<String>, give: Option<Give> },
    /// Proofs out of the wallet.
    Send { give: Give, present: bool },
    /// Proofs into the wallet.
    Receive { token: String },
    /// Proofs out of the world, or into the wallet when they are money.
    Burn { token: String },
    /// Proofs that another operation gave away, and nobody took.
    TakeBack { of: String },
}

impl Order {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Mint { .. } => "mint",
            Self::Send { .. } => "send",
            Self::Receive { .. } => "receive",
            Self::Burn { .. } => "burn",
            Self::TakeBack { .. } => "take_back",
        }
    }
}

/// How proofs are given away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Give {
    /// Only this holder can spend them.
    pub lock: Option<Lock>,
    /// For the one who gets them.
    pub memo: Option<String>,
}

/// How far it has come; drawn in the documentation of the module.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum State {
    /// Nothing has happened.
    Asked,
    /// The mint has a quote for us.
    Quoted(Quote),
    /// The mint is being asked, and may have acted.
    Calling(Box<Calling>),
    /// It has happened.
    Done(Done),
    /// It has not happened and will not, unless it is asked for again.
    Failed { code: ErrorCode },
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Quote {
    pub(super) method: String,
    pub(super) id: String,
    /// What is to be paid, for people.
    pub(super) request: String,
    /// The number of the key that must sign (NUT-20).
    pub(super) signed_by: Option<u32>,
    pub(super) expiry: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Calling {
    pub(super) call: Call,
    pub(super) inputs: Vec<Proof>,
    /// Where the inputs are from.
    pub(super) source: Source,
    pub(super) outputs: Vec<Planned>,
    /// When it was written down.
    #[serde(default)]
    pub(super) since: u64,
}

/// What the mint is asked.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Call {
    /// Inputs for outputs.
    Swap,
    /// Outputs for a quote.
    Mint(Quote),
    /// Inputs for nothing.
    Melt { method: String, quote: String },
}

/// Where inputs are from, and go when nothing comes of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    /// There are none, or they came with the order.
    Outside,
    /// The wallet: they are reserved.
    Wallet,
    /// Another operation that had given them away: they are reserved.
    Given { by: String },
}

/// An output, and whom it is for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Planned {
    pub(super) output: Output,
    /// It is given away; otherwise the wallet keeps it.
    pub(super) give: bool,
    /// Its number, when it is from the seed.
    #[serde(default)]
    pub(super) number: Option<u32>,
}

/// What came of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// What the wallet has more.
    pub(super) kept: u64,
    /// What was given away.
    pub(super) token: Option<String>,
    /// What is out of the world.
    pub(super) burned: u64,
}

impl Operation {
    pub(super) fn new(
        key: &str,
        mint: MintAddress,
        unit: Unit,
        amount: u64,
        order: Order,
        now: u64,
    ) -> Result<Self, CashuError> {
        /// Longer keys are not used as keys.
        const MOST_KEY: usize = 512;
        if key.is_empty() || key.len() > MOST_KEY {
            return Err(CashuError::TooLarge { what: "the key", found: key.len(), most: MOST_KEY });
        }
        if amount == 0 {
            return Err(CashuError::Amount { reason: "it is zero" });
        }
        if amount > MOST_AMOUNT {
            return Err(CashuError::Amount { reason: "it is too large" });
        }
        Ok(Self {
            key: key.to_owned(),
            mint,
            unit,
            amount,
            order,
            state: State::Asked,
            rounds: 0,
            late_looks: 0,
            created_at: now,
        })
    }

    /// Whether the same was asked.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        self.mint == other.mint
            && self.unit == other.unit
            && self.amount == other.amount
            && self.order == other.order
    }

    /// The quote that it waits for, or mints with.
    pub(super) fn quote(&self) -> Option<&Quote> {
        match &self.state {
            State::Quoted(quote) => Some(quote),
            State::Calling(calling) => match &calling.call {
                Call::Mint(quote) => Some(quote),
                Call::Swap | Call::Melt { .. } => None,
            },
            State::Asked | State::Done(_) | State::Failed { .. } => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        match self.state {
            State::Asked | State::Quoted(_) | State::Calling(_) => true,
            State::Done(_) | State::Failed { .. } => false,
        }
    }

    pub(super) fn to_row(&self) -> Result<OperationRow, CashuError> {
        Ok(OperationRow {
            key: self.key.clone(),
            kind: self.order.kind().to_owned(),
            mint: self.mint.to_string(),
            unit: self.unit.to_string(),
            amount: self.amount,
            open: self.is_open(),
            body: serde_json::to_string(self).map_err(CashuError::protocol)?,
            created_at: self.created_at,
        })
    }

    pub(super) fn from_row(row: &OperationRow) -> Result<Self, CashuError> {
        serde_json::from_str(&row.body)
            .map_err(|_| CashuError::Storage(StorageError::Corrupt { what: "operation" }))
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Asked => "asked",
            State::Quoted(_) => "quoted",
            State::Calling(_) => "calling",
            State::Done(_) => "done",
            State::Failed { .. } => "failed",
        };
        f.debug_struct("Operation")
            .field("kind", &self.order.kind())
            .field("state", &state)
            .field("unit", &self.unit)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}
