//! Tickets between a merchant and a person: asking for one, sending one.
//!
//! A token is opaque here; making and checking tokens is for a Cashu wallet.

use std::time::Duration;

use super::call::bounded;
use super::logins::json;
use super::subscriptions::send;
use super::{Call, Opened, PATIENCE, Recipient};
use crate::conversation::Conversation;
use crate::conversation::ask::{Ask, Question};
use crate::driver::Node;
use crate::error::Error;
use crate::primitives::RequestId;
use crate::protocol::kinds;
use crate::protocol::ticket::{CashuDirect, CashuRequest};

/// A token is worth something: relays get a day to take it.
const TOKEN_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// The longest token that fits a message: sealed and padded (in steps of 8 KiB) it must still be an
/// event of at most 64 KiB, or its recipient does not read it.
const MAX_TOKEN: usize = 40_000;
#[cfg(feature = "cashu")]
const _: () = assert!(MAX_TOKEN == crate::cashu::MOST_MESSAGE_BYTES);

/// Tickets.
#[derive(Clone, Copy)]
pub struct Tickets<'a>(pub(super) &'a Node);

/// A ticket to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCashuRequest {
    /// The mint.
    pub mint_url: String,
    /// The unit of the mint.
    pub unit: String,
    /// In the base of `unit`, more than zero.
    pub amount: u64,
}

impl Tickets<'_> {
    /// Asks a person for a token. The stream ends with
    /// [`CashuResponse`](crate::event::PortalEvent::CashuResponse). A token of another mint, unit or
    /// amount than was asked for ends it with an error (`wrong_ticket`): it stays its sender's.
    /// Builds without the feature `cashu` cannot read tokens, and pass on what comes.
    ///
    /// # Errors
    /// When the amount is zero, the mint or unit is none, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn request(
        &self,
        recipient: Recipient,
        new: NewCashuRequest,
        call: Call,
    ) -> Result<Opened, Error> {
        let node = self.0;
        if new.amount == 0 {
            return Err(Error::ZeroAmount);
        }
        bounded(&new.mint_url, "the mint's address", 2048)?;
        bounded(&new.unit, "the unit", 256)?;
        #[cfg(feature = "cashu")]
        {
            // What is no mint or no unit nobody could answer.
            new.mint_url.parse::<crate::cashu::MintAddress>()?;
            new.unit.parse::<crate::cashu::Unit>()?;
        }
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let request_id = RequestId::from(node.env().uuid());
            let expires_at = node.env().now().saturating_add(PATIENCE);
            let message = CashuRequest {
                request_id: request_id.clone(),
                mint_url: new.mint_url,
                unit: new.unit,
                amount: new.amount,
                expires_at,
            };
            Ok(Conversation::Ask(Box::new(Ask {
                peer,
                question: Question::Cashu { request_id },
                message: json(&message).into(),
                expires_at,
            })))
        })
        .await
    }

    /// Sends a person a token. The stream ends with
    /// [`Delivery`](crate::event::PortalEvent::Delivery); until a relay has taken it, it is sent
    /// again on every connection, for a day.
    ///
    /// # Errors
    /// When the token is empty or too long, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The message may be sent also when the future is dropped.
    pub async fn send(
        &self,
        recipient: Recipient,
        token: String,
        call: Call,
    ) -> Result<Opened, Error> {
        bounded(&token, "the token", MAX_TOKEN)?;
        let message = json(&CashuDirect { token });
        send(self.0, recipient, kinds::CASHU_DIRECT, message, TOKEN_PATIENCE, call).await
    }
}
