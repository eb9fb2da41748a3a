//! Finding payments in the library's books.
//!
//! The library finds a payment by its id and lists all of them; nobody asks it for a payment hash.
//! The id of a payment that left is made from its hash, and those of payments that came in are noted
//! once each, so that a look-up costs the same however many there are.

use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet::{
    Direction, ListPayments, PaymentHash, PaymentState, WalletError, WalletPayment,
};

use crate::api::{Query, SdkPayment, SdkStatus};
use crate::pay::{amount_and_fee, checked_preimage};
use crate::wallet::Inner;

/// How many payments are read from the library's books at once.
const PAGE: u32 = 100;
/// More payments than this are not listed in one call.
const MOST: u32 = 10_000;
impl Inner {
    /// A payment in the library's own books, either way.
    pub(crate) async fn find(&self, hash: PaymentHash) -> Result<Option<SdkPayment>, WalletError> {
        if let Some(payment) = self.noted(hash).await? {
            return Ok(Some(payment));
        }
        if let Some(payment) = self.sent(hash).await? {
            return Ok(Some(payment));
        }
        self.note_new().await?;
        self.noted(hash).await
    }

    async fn noted(&self, hash: PaymentHash) -> Result<Option<SdkPayment>, WalletError> {
        let Some(id) = self.books.id(hash) else { return Ok(None) };
        match self.sdk.payment(&id).await {
            Ok(payment) => Ok(Some(payment)),
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(error.harmless()),
        }
    }

    /// Notes incoming payments, newest first, until a page brings nothing new. The first time
    /// that goes through all of them.
    async fn note_new(&self) -> Result<(), WalletError> {
        let mut offset = 0u32;
        loop {
            let query = Query { since: 0, incoming: Some(true), offset, limit: PAGE };
            let page = self.sdk.payments(&query).await.map_err(|error| error.harmless())?;
            let new = page.iter().filter(|payment| self.books.note(payment)).count();
            if page.len() < PAGE as usize {
                self.books.complete();
                return Ok(());
            }
            if new == 0 && self.books.is_complete() {
                return Ok(());
            }
            offset = offset.saturating_add(PAGE);
        }
    }

    pub(crate) async fn look_up(
        &self,
        hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        let is_done = |payment: &SdkPayment| payment.status == SdkStatus::Completed;
        if let Some(payment) = self.find(hash).await?.filter(is_done) {
            return Ok(translate(&payment));
        }
        let fresh = self.refresh().await;
        if let Some(payment) = self.find(hash).await? {
            // The library marks as failed what it could not finish itself; the operators know
            // better, and have to be asked before it is believed.
            if payment.status == SdkStatus::Failed {
                fresh?;
            }
            return Ok(translate(&payment));
        }
        if let Some(made) = self.books.made(hash) {
            return Ok(Some(WalletPayment {
                payment_hash: hash,
                direction: Direction::Incoming,
                state: PaymentState::Pending,
                amount: made.amount,
                fee: Millisats::new(0),
                created_at: made.created_at,
            }));
        }
        // Old books that do not have it prove nothing.
        fresh.map(|_| None)
    }

    pub(crate) async fn list(
        &self,
        query: ListPayments,
    ) -> Result<Vec<WalletPayment>, WalletError> {
        let limit = query.limit.min(MOST);
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.refresh().await?;
        let mut listed = Vec::new();
        let mut offset = query.offset;
        while listed.len() < limit as usize {
            let left = limit.saturating_sub(u32::try_from(listed.len()).unwrap_or(limit));
            let page = Query {
                since: query.since.as_secs(),
                incoming: query.direction.map(|it| it == Direction::Incoming),
                offset,
                limit: left.min(PAGE),
            };
            let asked = page.limit;
            let found = self.sdk.payments(&page).await.map_err(|error| error.harmless())?;
            let full = found.len() == asked as usize;
            for payment in &found {
                self.books.note(payment);
            }
            listed.extend(found.iter().filter_map(translate));
            if !full {
                break;
            }
            offset = offset.saturating_add(asked);
        }
        Ok(listed)
    }
}

/// A payment in the words of the port; `None` when it did not go over Lightning.
pub(crate) fn translate(payment: &SdkPayment) -> Option<WalletPayment> {
    let lightning = payment.lightning.as_ref()?;
    let hash = lightning.payment_hash;
    let at = Timestamp::from_secs(payment.timestamp);
    let state = match payment.status {
        SdkStatus::Pending => PaymentState::Pending,
        SdkStatus::Failed => PaymentState::Failed,
        SdkStatus::Completed => {
            let preimage = checked_preimage(lightning.preimage.as_deref(), hash);
            PaymentState::Settled { preimage, at }
        }
    };
    let (amount, fee) = amount_and_fee(payment);
    Some(WalletPayment {
        payment_hash: hash,
        direction: if payment.incoming { Direction::Incoming } else { Direction::Outgoing },
        state,
        amount,
        fee,
        created_at: at,
    })
}
