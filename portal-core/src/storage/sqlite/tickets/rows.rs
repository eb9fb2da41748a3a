//! The rows of the ticket wallet's file, as plain values: this port knows no ecash.

/// The curve point that names a proof at its mint, compressed.
pub type Y = [u8; 33];

/// What the wallet knows of a mint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MintRow {
    /// Its address, normalised.
    pub url: String,
    /// What it said about itself, JSON.
    pub info: Option<String>,
    /// What it lets us in by; kept, so that a restart can finish what was begun.
    pub token: Option<String>,
    /// When `info` was fetched, in seconds; 0 when never.
    pub fetched_at: u64,
    /// Its owner named it, not a stranger.
    pub named: bool,
}

/// A set of keys of a mint. Keys, unit and id never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysetRow {
    /// The mint.
    pub mint: String,
    /// The id, hex.
    pub id: String,
    /// The unit.
    pub unit: String,
    /// Whether the mint signs with it.
    pub active: bool,
    /// The fee of a thousand inputs.
    pub fee_ppk: u64,
    /// When it ends, in seconds.
    pub final_expiry: Option<u64>,
    /// The keys by amount, JSON.
    pub keys: String,
}

/// How a unit is shown, as its mint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitInfoRow {
    /// JSON.
    pub info: String,
    /// When it was fetched, in seconds.
    pub fetched_at: u64,
}

/// An operation of the wallet: its journal.
#[derive(Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// The caller's key.
    pub key: String,
    /// A stable word.
    pub kind: String,
    /// The mint.
    pub mint: String,
    /// The unit.
    pub unit: String,
    /// What it moves, in the base of the unit.
    pub amount: u64,
    /// Whether it has not ended.
    pub open: bool,
    /// Order and state, JSON. Holds secrets.
    pub body: String,
    /// When it began, in seconds.
    pub created_at: u64,
}

impl std::fmt::Debug for OperationRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperationRow")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Where a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProofState {
    /// In the wallet.
    Unspent,
    /// In the wallet, put aside for an operation.
    Reserved,
    /// Given away by an operation, and not known to be spent.
    Given,
    /// Spent.
    Spent,
}

impl ProofState {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Unspent => 0,
            Self::Reserved => 1,
            Self::Given => 2,
            Self::Spent => 3,
        }
    }

    pub(super) const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Unspent,
            1 => Self::Reserved,
            2 => Self::Given,
            3 => Self::Spent,
            _ => return None,
        })
    }
}

/// A proof: value, for whoever has it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofRow {
    /// Its name at the mint.
    pub y: Y,
    /// The mint.
    pub mint: String,
    /// The unit.
    pub unit: String,
    /// The keyset, hex.
    pub keyset: String,
    /// In the base of the unit.
    pub amount: u64,
    /// Where it is.
    pub state: ProofState,
    /// Which operation has it.
    pub operation: Option<String>,
    /// The proof, JSON.
    pub body: String,
}

impl std::fmt::Debug for ProofRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProofRow")
            .field("amount", &self.amount)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Where proofs go in a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which proof.
    pub y: Y,
    /// It must be in this state, and if [`ProofState::Reserved`] for this operation; otherwise the
    /// change is refused whole.
    pub from: ProofState,
    /// The new state.
    pub to: ProofState,
    /// The operation that has it from now on.
    pub holder: Option<String>,
}

/// One step of an operation: written whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The new journal.
    pub operation: Option<OperationRow>,
    /// Proofs that are new. One that is there already stays as it is.
    pub insert: Vec<ProofRow>,
    /// Proofs that move.
    pub moves: Vec<Move>,
    /// Things to tell: JSON.
    pub events: Vec<String>,
}

/// A sum of proofs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumRow {
    /// The mint.
    pub mint: String,
    /// The unit.
    pub unit: String,
    /// Where they are.
    pub state: ProofState,
    /// In the base of the unit.
    pub amount: u64,
    /// How many proofs.
    pub count: u64,
}

/// What a person allowed a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowanceRow {
    /// The main key of the service, hex.
    pub service: String,
    /// The mint.
    pub mint: String,
    /// The unit.
    pub unit: String,
    /// The most of one request.
    pub most: u64,
    /// What is left in all.
    pub left_over: u64,
    /// Until when, in seconds.
    pub expires_at: Option<u64>,
}

/// Something that a gate let in.
#[derive(Clone, PartialEq, Eq)]
pub struct AdmissionRow {
    /// Names it.
    pub id: String,
    /// JSON. Holds the token.
    pub body: String,
    /// Whether its proofs still have to be swapped.
    pub open: bool,
    /// When, in seconds.
    pub at: u64,
}

impl std::fmt::Debug for AdmissionRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdmissionRow").field("id", &self.id).field("open", &self.open).finish()
    }
}

/// Something that happened to a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketEventRow {
    /// Counted from 1, without end.
    pub number: u64,
    /// JSON.
    pub body: String,
    /// When it was noticed, in seconds.
    pub at: u64,
}
