//! Payment requests that are not of Portal (NUT-18): a text to show at a box office, which any
//! Cashu wallet can answer, and answering such a text.

use std::str::FromStr;

use cdk_common::mint_url::MintUrl;
use cdk_common::nuts::nut18::{Nut10SecretRequest, PaymentRequest, PaymentRequestPayload};
use cdk_common::{Kind, Proof};
use nostr::PublicKey;

use super::lock::point;
use super::token::TicketToken;
use super::{CashuError, Give, Lock, MintAddress, NewSend, Purpose, TicketWallet, Unit};

/// The longest request that is read.
const MOST_REQUEST: usize = 16 * 1024;
/// The most mints of one request.
const MOST_MINTS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTicketRequest {
    /// Names it; comes back in the answer.
    pub id: String,
    /// The mint.
    pub mint: MintAddress,
    /// The unit.
    pub unit: Unit,
    /// In the base of the unit.
    pub amount: u64,
    /// For people.
    pub description: Option<String>,
    /// Only this key can spend the answer.
    pub lock_to: Option<PublicKey>,
}

/// A payment request that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRequest {
    /// Names it.
    pub id: Option<String>,
    /// The mints it may come from; any when there are none.
    pub mints: Vec<MintAddress>,
    /// The unit.
    pub unit: Option<Unit>,
    /// In the base of the unit.
    pub amount: Option<u64>,
    /// For people.
    pub description: Option<String>,
    /// To whom the answer must be locked.
    pub lock_to: Option<PublicKey>,
}

impl NewTicketRequest {
    /// The text to show: `creqA…`.
    ///
    /// # Errors
    /// When the mint or the key cannot be written.
    pub fn to_text(&self) -> Result<String, CashuError> {
        let mint = MintUrl::from_str(self.mint.as_str()).map_err(CashuError::protocol)?;
        let mut builder = PaymentRequest::builder()
            .payment_id(self.id.clone())
            .unit(self.unit.currency())
            .amount(self.amount)
            .single_use(true)
            .mints(vec![mint]);
        if let Some(description) = &self.description {
            builder = builder.description(description.clone());
        }
        if let Some(key) = &self.lock_to {
            let tags: Option<Vec<Vec<String>>> = None;
            builder =
                builder.nut10(Nut10SecretRequest::new(Kind::P2PK, point(key)?.to_hex(), tags));
        }
        Ok(builder.build().to_string())
    }
}

impl TicketRequest {
    /// Reads `creqA…`.
    ///
    /// # Errors
    /// When it cannot be read, or asks for a lock that is not a plain key.
    pub fn parse(text: &str) -> Result<Self, CashuError> {
        let wrong = |reason| CashuError::InvalidToken { reason };
        let text = text.trim();
        if text.len() > MOST_REQUEST {
            return Err(wrong("the request is too long"));
        }
        let request =
            PaymentRequest::from_str(text).map_err(|_| wrong("the request cannot be read"))?;
        if request.mints.len() > MOST_MINTS {
            return Err(wrong("the request names too many mints"));
        }
        let mints = request
            .mints
            .iter()
            .map(|mint| mint.to_string().parse())
            .collect::<Result<Vec<MintAddress>, _>>()?;
        let lock_to = match &request.nut10 {
            None => None,
            Some(lock)
                if lock.kind == Kind::P2PK && lock.tags.as_ref().is_none_or(Vec::is_empty) =>
            {
                let key = cdk_common::PublicKey::from_str(&lock.data)
                    .map_err(|_| wrong("the request's lock is no key"))?;
                Some(PublicKey::from_byte_array(key.x_only_public_key().serialize()))
            }
            Some(_) => return Err(CashuError::UnknownLock),
        };
        Ok(Self {
            id: request.payment_id,
            mints,
            unit: request.unit.as_ref().map(Unit::from_currency).transpose()?,
            amount: request.amount.map(|amount| amount.to_u64()),
            description: request.description,
            lock_to,
        })
    }

    /// Whether this mint may answer.
    #[must_use]
    pub fn accepts(&self, mint: &MintAddress) -> bool {
        self.mints.is_empty() || self.mints.contains(mint)
    }
}

impl TicketWallet {
    /// Answers a payment request out of this wallet: the payload (JSON) that its transport, or the
    /// person, carries to who asked. What was sent is in the journal like any other send.
    ///
    /// Anybody can write such a text, so a ticket that stays with its holder does not answer one:
    /// its holder shows it at the door ([`Purpose::Present`]).
    ///
    /// # Errors
    /// [`CashuError::WrongMint`], [`CashuError::WrongUnit`] when the request wants another,
    /// [`CashuError::NotTransferable`], or those of [`TicketWallet::send`].
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn pay_request(
        &self,
        key: &str,
        request: &TicketRequest,
        mint: &MintAddress,
        unit: &Unit,
        amount: u64,
    ) -> Result<String, CashuError> {
        if !request.accepts(mint) {
            return Err(CashuError::WrongMint);
        }
        if request.unit.as_ref().is_some_and(|wanted| wanted != unit) {
            return Err(CashuError::WrongUnit);
        }
        if let Some(expected) = request.amount.filter(|wanted| *wanted != amount) {
            return Err(CashuError::WrongAmount { expected, found: amount });
        }
        let lock = request.lock_to.map(|to| Lock { to, until: None });
        let new = NewSend {
            mint: mint.clone(),
            unit: unit.clone(),
            amount,
            give: Give { lock, memo: None },
            purpose: Purpose::PassOn,
        };
        let sent = self.send(key, new).await?;
        let token = TicketToken::parse(&sent.token)?;
        let keysets = self.0.known_keysets(mint).await?;
        let payload = PaymentRequestPayload {
            id: request.id.clone(),
            memo: None,
            mint: MintUrl::from_str(mint.as_str()).map_err(CashuError::protocol)?,
            unit: unit.currency(),
            proofs: token.proofs(&keysets)?,
        };
        serde_json::to_string(&payload).map_err(CashuError::protocol)
    }

    /// The token in an answer to a payment request of ours, to be received or burned like any
    /// other.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token_of_payload(&self, payload: &str) -> Result<String, CashuError> {
        if payload.len() > super::MOST_TOKEN_BYTES {
            return Err(CashuError::TooLarge {
                what: "the payload",
                found: payload.len(),
                most: super::MOST_TOKEN_BYTES,
            });
        }
        let payload: PaymentRequestPayload = serde_json::from_str(payload)
            .map_err(|_| CashuError::InvalidToken { reason: "the payload cannot be read" })?;
        let mint: MintAddress = payload.mint.to_string().parse()?;
        let unit = Unit::from_currency(&payload.unit)?;
        let proofs: Vec<Proof> = payload.proofs;
        let token = TicketToken::of(&mint, &unit, proofs, payload.memo)?;
        // Read back, so that every rule about tokens holds for it.
        Ok(TicketToken::parse(&token.to_string())?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let key =
            PublicKey::from_hex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
                .expect("a key");
        let new = NewTicketRequest {
            id: "door-7".into(),
            mint: "https://mint.example.com/".parse().expect("a mint"),
            unit: "vip".parse().expect("a unit"),
            amount: 2,
            description: Some("two seats".into()),
            lock_to: Some(key),
        };
        let text = new.to_text().expect("a text");
        assert!(text.starts_with("creqA"));
        let read = TicketRequest::parse(&format!(" {text}\n")).expect("reads");
        assert_eq!(read.id.as_deref(), Some("door-7"));
        assert_eq!(read.mints, vec![new.mint.clone()]);
        assert_eq!((read.unit, read.amount), (Some(new.unit), Some(2)));
        assert_eq!(read.lock_to, Some(key));
        assert!(TicketRequest::parse(&text[..text.len() / 2]).is_err());
        assert!(TicketRequest::parse("creqA").is_err());
    }
}
