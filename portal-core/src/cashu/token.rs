//! Tokens as they come in and go out (NUT-00, V3 and V4).

use std::collections::HashSet;
use std::str::FromStr;

use cdk_common::mint_url::MintUrl;
use cdk_common::nut02::ShortKeysetId;
use cdk_common::{Proof, Token};

use super::keysets::Keysets;
use super::unit::MOST_AMOUNT;
use super::{CashuError, MintAddress, Unit};
use crate::storage::sqlite::tickets::Y;

/// The longest token that is read.
pub const MOST_TOKEN_BYTES: usize = 1024 * 1024;
/// The most proofs of one token that are read.
pub const MOST_TOKEN_PROOFS: usize = 1000;
/// The most proofs that one message carries. A thousand would pass every limit on the way.
pub const MOST_MESSAGE_PROOFS: usize = 150;
/// The longest token that one message carries: sealed and padded (in steps of 8 KiB) it must still
/// be an event of at most 64 KiB, or its recipient does not read it.
pub const MOST_MESSAGE_BYTES: usize = 40_000;

/// A token that was read: of one mint and one unit, its secrets all different, its sum known.
#[derive(Clone, PartialEq)]
pub struct TicketToken {
    mint: MintAddress,
    unit: Unit,
    amount: u64,
    token: Token,
}

impl TicketToken {
    /// Reads `cashuA…` or `cashuB…`, with or without `cashu:` before it.
    ///
    /// # Errors
    /// When it is too long, cut off, of several mints, of no unit, or holds a proof twice.
    pub fn parse(text: &str) -> Result<Self, CashuError> {
        let wrong = |reason| CashuError::InvalidToken { reason };
        let text = text.trim();
        if text.len() > MOST_TOKEN_BYTES {
            return Err(CashuError::TooLarge {
                what: "the token",
                found: text.len(),
                most: MOST_TOKEN_BYTES,
            });
        }
        let text = text.strip_prefix("cashu://").or(text.strip_prefix("cashu:")).unwrap_or(text);
        let token = Token::from_str(text).map_err(|_| wrong("it cannot be read"))?;
        let secrets = token.token_secrets();
        let count = secrets.len();
        if count == 0 {
            return Err(wrong("it holds nothing"));
        }
        if count > MOST_TOKEN_PROOFS {
            return Err(CashuError::TooLarge {
                what: "the token",
                found: count,
                most: MOST_TOKEN_PROOFS,
            });
        }
        if secrets.into_iter().collect::<HashSet<_>>().len() != count {
            return Err(wrong("it holds a proof twice"));
        }
        let mint = token.mint_url().map_err(|_| wrong("it is of several mints or none"))?;
        let unit = token.unit().ok_or(wrong("it has no unit"))?;
        let amount = token.value().map_err(|_| wrong("its sum is not possible"))?.to_u64();
        if amount == 0 || amount > MOST_AMOUNT {
            return Err(wrong("its sum is not possible"));
        }
        Ok(Self {
            mint: mint.to_string().parse()?,
            unit: Unit::from_currency(&unit)?,
            amount,
            token,
        })
    }

    /// Puts proofs of one mint and unit together.
    pub(super) fn of(
        mint: &MintAddress,
        unit: &Unit,
        proofs: Vec<Proof>,
        memo: Option<String>,
    ) -> Result<Self, CashuError> {
        let amount = sum(&proofs)?;
        let address = MintUrl::from_str(mint.as_str()).map_err(CashuError::protocol)?;
        let token = Token::new(address, proofs, memo, unit.currency());
        Ok(Self { mint: mint.clone(), unit: unit.clone(), amount, token })
    }

    /// The mint.
    #[must_use]
    pub const fn mint(&self) -> &MintAddress {
        &self.mint
    }

    /// The unit.
    #[must_use]
    pub const fn unit(&self) -> &Unit {
        &self.unit
    }

    /// What it is worth, in the base of its unit, as it says.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// How many proofs it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.token.token_secrets().len()
    }

    /// What its sender wrote.
    #[must_use]
    pub fn memo(&self) -> Option<&str> {
        self.token.memo().as_deref()
    }

    /// Refuses a token that is not what was asked for.
    ///
    /// # Errors
    /// [`CashuError::WrongMint`], [`CashuError::WrongUnit`] or [`CashuError::WrongAmount`].
    pub fn expect(
        &self,
        mint: &MintAddress,
        unit: &Unit,
        amount: Option<u64>,
    ) -> Result<(), CashuError> {
        if self.mint != *mint {
            return Err(CashuError::WrongMint);
        }
        if self.unit != *unit {
            return Err(CashuError::WrongUnit);
        }
        match amount {
            Some(expected) if expected != self.amount => {
                Err(CashuError::WrongAmount { expected, found: self.amount })
            }
            _ => Ok(()),
        }
    }

    /// Names of the proofs at the mint.
    pub(super) fn names(&self) -> Result<Vec<Y>, CashuError> {
        self.token
            .token_secrets()
            .into_iter()
            .map(|secret| {
                cdk_common::dhke::hash_to_curve(secret.as_bytes())
                    .map(|point| point.to_bytes())
                    .map_err(CashuError::protocol)
            })
            .collect()
    }

    pub(super) fn keyset_ids(&self) -> Vec<ShortKeysetId> {
        let mut ids: Vec<ShortKeysetId> = match &self.token {
            Token::TokenV3(token) => token
                .token
                .iter()
                .flat_map(|part| part.proofs.iter().map(|proof| proof.keyset_id.clone()))
                .collect(),
            Token::TokenV4(token) => {
                token.token.iter().map(|part| part.keyset_id.clone()).collect()
            }
        };
        ids.sort();
        ids.dedup();
        ids
    }

    /// The proofs. Every keyset must be one of the mint and of the token's unit, and every
    /// signature that comes with its proof must be by the mint's key.
    pub(super) fn proofs(&self, keysets: &Keysets) -> Result<Vec<Proof>, CashuError> {
        let infos = keysets.infos();
        let proofs = self.token.proofs(&infos).map_err(|_| CashuError::UnknownKeyset)?;
        for proof in &proofs {
            let keyset = keysets.get(proof.keyset_id).ok_or(CashuError::UnknownKeyset)?;
            if keyset.unit != self.unit {
                return Err(CashuError::WrongUnit);
            }
            let key = super::outputs::key_of(keyset, proof.amount.to_u64())
                .map_err(|_| CashuError::InvalidToken { reason: "the mint has no such amount" })?;
            if proof.dleq.is_some() && proof.verify_dleq(key).is_err() {
                return Err(CashuError::InvalidToken { reason: "it is not signed by the mint" });
            }
        }
        Ok(proofs)
    }
}

impl std::fmt::Display for TicketToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.token.fmt(f)
    }
}

/// The token itself is money: only what it is of is shown.
impl std::fmt::Debug for TicketToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketToken")
            .field("mint", &self.mint)
            .field("unit", &self.unit)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

/// What proofs are worth together.
pub(super) fn sum(proofs: &[Proof]) -> Result<u64, CashuError> {
    proofs
        .iter()
        .try_fold(0_u64, |sum, proof| sum.checked_add(proof.amount.to_u64()))
        .ok_or(CashuError::Amount { reason: "the sum is too large" })
}

/// The name of a proof at its mint.
pub(super) fn name(proof: &Proof) -> Result<Y, CashuError> {
    proof.y().map(|point| point.to_bytes()).map_err(CashuError::protocol)
}

/// Cuts a token into several that each fit one message: at most [`MOST_MESSAGE_PROOFS`] proofs
/// and [`MOST_MESSAGE_BYTES`] bytes. One that fits is returned as it is. Needs nobody's help: the
/// proofs stay what they are.
///
/// # Errors
/// When it is no token.
pub fn fit_messages(text: &str) -> Result<Vec<String>, CashuError> {
    let token = TicketToken::parse(text)?;
    if token.count() <= MOST_MESSAGE_PROOFS && text.len() <= MOST_MESSAGE_BYTES {
        return Ok(vec![text.to_owned()]);
    }
    cut(&token)
}

/// The form that is sent (V4) names keysets by the first bytes of their ids, so a token can be
/// taken apart without knowing the keysets.
fn cut(token: &TicketToken) -> Result<Vec<String>, CashuError> {
    use cdk_common::nuts::nut00::token::{TokenV4, TokenV4Token};
    let whole = match &token.token {
        Token::TokenV4(token) => token.clone(),
        Token::TokenV3(older) => TokenV4::try_from(older.clone())
            .map_err(|_| CashuError::InvalidToken { reason: "it cannot be taken apart" })?,
    };
    let all: Vec<_> = whole
        .token
        .iter()
        .flat_map(|part| part.proofs.iter().map(|proof| (part.keyset_id.clone(), proof.clone())))
        .collect();
    let put_together = |proofs: &[(ShortKeysetId, cdk_common::nut00::ProofV4)]| {
        let mut parts: Vec<TokenV4Token> = Vec::new();
        for (keyset_id, proof) in proofs {
            match parts.iter_mut().find(|part| part.keyset_id == *keyset_id) {
                Some(part) => part.proofs.push(proof.clone()),
                None => parts.push(TokenV4Token {
                    keyset_id: keyset_id.clone(),
                    proofs: vec![proof.clone()],
                }),
            }
        }
        TokenV4 {
            mint_url: whole.mint_url.clone(),
            unit: whole.unit.clone(),
            memo: whole.memo.clone(),
            token: parts,
        }
        .to_string()
    };
    // Proofs of one token are about equally long.
    let each = (put_together(&all).len() / all.len().max(1)).max(1);
    let at_once = (MOST_MESSAGE_BYTES / each).clamp(1, MOST_MESSAGE_PROOFS);
    let mut texts = Vec::new();
    let mut waiting: Vec<&[_]> = all.chunks(at_once).rev().collect();
    while let Some(part) = waiting.pop() {
        let text = put_together(part);
        if text.len() <= MOST_MESSAGE_BYTES || part.len() == 1 {
            texts.push(text);
        } else {
            let (first, rest) = part.split_at(part.len() / 2);
            waiting.push(rest);
            waiting.push(first);
        }
    }
    Ok(texts)
}
