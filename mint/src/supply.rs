//! The cap on what is sold of a unit.
//!
//! What counts is promised at the quote: a quote reserves its amount, so that whoever has one can
//! use it. A promise that nobody used by its end is given up; whether it was used is read from
//! the books, never guessed. Used late, it takes a new place if there is one.
//!
//! ```text
//! quote asked ─▶ promised ─┬ issued ──────────────────────────────────────▶ sold
//!                          └ its end ─ books say ┬ issued, or money came ─▶ sold
//!                                                └ unused ────────────────▶ free again
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdk::mint::MintQuote;
use cdk_common::QuoteId;
use cdk_common::database::DynMintDatabase;
use tokio::sync::Mutex;

use crate::units::{Backing, Units};

/// After its end a quote may still be at work for this long: a payment on its way.
const GRACE: u64 = 600;

/// The books of all units that have a cap.
#[derive(Default)]
pub struct Supply {
    books: BTreeMap<String, Mutex<Book>>,
}

struct Book {
    cap: u64,
    /// Money came for what is paid: it is sold, also before it is issued.
    paid_is_sold: bool,
    sold: u64,
    promised: HashMap<QuoteId, Promise>,
    /// What quotes are for that are being made.
    making: Arc<AtomicU64>,
}

/// The place of a quote that is being made; free again when it is dropped.
struct Making {
    amount: u64,
    all: Arc<AtomicU64>,
}

impl Making {
    fn of(amount: u64, all: &Arc<AtomicU64>) -> Self {
        all.fetch_add(amount, Ordering::SeqCst);
        Self { amount, all: Arc::clone(all) }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.all.fetch_sub(self.amount, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy)]
struct Promise {
    amount: u64,
    until: u64,
}

/// Why a quote is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SupplyError {
    /// There are not so many left.
    #[error("only {left} are left")]
    SoldOut {
        /// How many there are.
        left: u64,
    },
    /// The books cannot be read.
    #[error("the books cannot be read")]
    Books,
}

impl Supply {
    /// Reads what was sold and promised.
    ///
    /// # Errors
    /// When the books cannot be read.
    pub async fn open(
        units: &Units,
        database: &DynMintDatabase,
        now: u64,
    ) -> Result<Self, SupplyError> {
        let mut books: BTreeMap<String, Book> = units
            .iter()
            .filter_map(|(name, unit)| {
                let paid_is_sold = unit.backing == Backing::Lightning;
                let cap = unit.max_supply?;
                let book = Book {
                    cap,
                    paid_is_sold,
                    sold: 0,
                    promised: HashMap::new(),
                    making: Arc::default(),
                };
                Some((name.clone(), book))
            })
            .collect();
        if !books.is_empty() {
            let quotes = database.get_mint_quotes().await.map_err(|_| SupplyError::Books)?;
            for quote in quotes {
                if let Some(book) = books.get_mut(&quote.unit.to_string()) {
                    book.add(&quote, now);
                }
            }
        }
        let books = books.into_iter().map(|(name, book)| (name, Mutex::new(book))).collect();
        Ok(Self { books })
    }

    /// Whether any unit has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// Does `make` while the place for this amount is held, and keeps it for the quote that comes
    /// of it until `until`.
    ///
    /// # Errors
    /// When not so many are left, or as `make` fails.
    pub async fn promise<T, E: From<SupplyError>>(
        &self,
        unit: &str,
        amount: u64,
        now: u64,
        database: &DynMintDatabase,
        make: impl Future<Output = Result<(T, QuoteId, u64), E>>,
    ) -> Result<T, E> {
        let Some(book) = self.books.get(unit) else { return make.await.map(|(made, ..)| made) };
        // Making may ask a wallet that is slow: the books stay open to others meanwhile.
        let making = {
            let mut book = book.lock().await;
            book.fit(amount, now, database).await?;
            Making::of(amount, &book.making)
        };
        let (made, id, until) = make.await?;
        let mut book = book.lock().await;
        drop(making);
        book.promised.insert(id, Promise { amount, until });
        Ok(made)
    }

    /// Makes sure that a quote may still be issued.
    ///
    /// # Errors
    /// When its promise was given up, and its place was taken by others.
    pub async fn confirm(
        &self,
        quote: &MintQuote,
        now: u64,
        database: &DynMintDatabase,
    ) -> Result<(), SupplyError> {
        let Some(book) = self.books.get(&quote.unit.to_string()) else { return Ok(()) };
        let mut book = book.lock().await;
        if book.is_sold(quote) {
            return Ok(());
        }
        // While it is being issued nobody else may be given its place.
        let until = now.saturating_add(GRACE);
        if let Some(promise) = book.promised.get_mut(&quote.id) {
            promise.until = promise.until.max(until);
            return Ok(());
        }
        let amount = worth(quote);
        book.fit(amount, now, database).await?;
        book.promised.insert(quote.id.clone(), Promise { amount, until });
        Ok(())
    }

    /// Notes that a quote was issued.
    pub async fn issued(&self, quote: &MintQuote) {
        let Some(book) = self.books.get(&quote.unit.to_string()) else { return };
        book.lock().await.issued(quote);
    }
}

impl Book {
    fn add(&mut self, quote: &MintQuote, now: u64) {
        if self.is_sold(quote) {
            self.sold = self.sold.saturating_add(worth(quote));
        } else if quote.expiry.saturating_add(GRACE) > now {
            let promise = Promise { amount: worth(quote), until: quote.expiry };
            self.promised.insert(quote.id.clone(), promise);
        }
    }

    fn issued(&mut self, quote: &MintQuote) {
        // Not in it: noted before, by an answer that was given twice.
        if self.promised.remove(&quote.id).is_some() {
            self.sold = self.sold.saturating_add(worth(quote));
        }
    }

    fn is_sold(&self, quote: &MintQuote) -> bool {
        let paid = self.paid_is_sold && quote.amount_paid().value() > 0;
        paid || quote.amount_issued().value() > 0
    }

    fn left(&self) -> u64 {
        let promised: u64 =
            self.promised.values().fold(0, |sum, one| sum.saturating_add(one.amount));
        let making = self.making.load(Ordering::SeqCst);
        self.cap.saturating_sub(self.sold).saturating_sub(promised).saturating_sub(making)
    }

    /// Fails unless so many are left, once promises past their end are settled.
    async fn fit(
        &mut self,
        amount: u64,
        now: u64,
        database: &DynMintDatabase,
    ) -> Result<(), SupplyError> {
        if amount > self.left() {
            self.settle(now, database).await?;
        }
        let left = self.left();
        if amount > left { Err(SupplyError::SoldOut { left }) } else { Ok(()) }
    }

    async fn settle(&mut self, now: u64, database: &DynMintDatabase) -> Result<(), SupplyError> {
        let ended: Vec<QuoteId> = self
            .promised
            .iter()
            .filter(|(_, promise)| promise.until.saturating_add(GRACE) <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            let quote = database.get_mint_quote(&id).await.map_err(|_| SupplyError::Books)?;
            match quote {
                Some(quote) if self.is_sold(&quote) => self.issued(&quote),
                Some(_) | None => {
                    self.promised.remove(&id);
                }
            }
        }
        Ok(())
    }
}

/// All that a quote is for; what is left of one that was used in part belongs to it still.
fn worth(quote: &MintQuote) -> u64 {
    quote.amount.as_ref().map_or_else(|| quote.amount_paid().value(), cdk_common::Amount::value)
}

#[cfg(test)]
mod tests {
    use cdk::nuts::PaymentMethod;
    use cdk_common::Amount;
    use cdk_common::payment::PaymentIdentifier;

    use super::*;
    use crate::units::{Unit, UnitInfo, currency};

    const NOW: u64 = 1_800_000_000;

    fn units(backing: Backing, cap: u64) -> Units {
        let unit = Unit {
            currency: currency("vip").expect("a name"),
            backing,
            amounts: vec![1],
            input_fee_ppk: 0,
            expires_at: None,
            max_supply: Some(cap),
            info: UnitInfo::default(),
        };
        Units::from([("vip".to_owned(), unit)])
    }

    async fn database() -> DynMintDatabase {
        Arc::new(cdk_sqlite::mint::memory::empty().await.expect("a database"))
    }

    /// A quote in the books.
    async fn quote(database: &DynMintDatabase, amount: u64, paid: u64, expiry: u64) -> MintQuote {
        let unit = currency("vip").expect("a name");
        let id = QuoteId::new();
        let quote = MintQuote::new(
            Some(id.clone()),
            id.to_string(),
            unit.clone(),
            Some(Amount::new(amount, unit.clone())),
            expiry,
            PaymentIdentifier::CustomId(id.to_string()),
            None,
            Amount::new(paid, unit.clone()),
            Amount::new(0, unit),
            PaymentMethod::BOLT11,
            NOW,
            NOW,
            vec![],
            vec![],
            None,
        );
        let mut books = database.begin_transaction().await.expect("begun");
        books.add_mint_quote(quote.clone()).await.expect("added");
        books.commit().await.expect("committed");
        quote
    }

    async fn promise(
        supply: &Supply,
        database: &DynMintDatabase,
        amount: u64,
        now: u64,
    ) -> Result<MintQuote, SupplyError> {
        let make = async {
            let made = quote(database, amount, 0, now + 60).await;
            let id = made.id.clone();
            Ok((made, id, now + 60))
        };
        supply.promise("vip", amount, now, database, make).await
    }

    #[tokio::test]
    async fn a_promise_that_nobody_used_is_free_again_after_its_end() {
        let database = database().await;
        let supply = Supply::open(&units(Backing::Tickets, 2), &database, NOW).await.expect("open");
        promise(&supply, &database, 2, NOW).await.expect("two are left");
        let refused = promise(&supply, &database, 1, NOW + 60).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 0 }), "it may still be at work");
        promise(&supply, &database, 1, NOW + 60 + GRACE).await.expect("free again");
    }

    #[tokio::test]
    async fn a_quote_that_comes_late_takes_what_is_left_or_nothing() {
        let database = database().await;
        let supply = Supply::open(&units(Backing::Tickets, 2), &database, NOW).await.expect("open");
        let late = promise(&supply, &database, 2, NOW).await.expect("two are left");
        let after = NOW + 60 + GRACE;
        promise(&supply, &database, 1, after).await.expect("one of them goes to another");
        let refused = supply.confirm(&late, after, &database).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 1 }));
        let small = quote(&database, 1, 1, NOW).await;
        supply.confirm(&small, after, &database).await.expect("there is a place for one");
        let refused = promise(&supply, &database, 1, after).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 0 }), "which is taken now");
    }

    #[tokio::test]
    async fn a_wallet_that_is_slow_holds_a_place_and_nobody_up() {
        let database = database().await;
        let supply = Supply::open(&units(Backing::Lightning, 3), &database, NOW).await.expect("ok");
        let never = async {
            std::future::pending::<()>().await;
            Ok(((), QuoteId::new(), NOW))
        };
        let mut slow = Box::pin(supply.promise::<(), SupplyError>("vip", 2, NOW, &database, never));
        assert!(futures_util::poll!(slow.as_mut()).is_pending());
        while supply.books["vip"].lock().await.left() != 1 {
            assert!(futures_util::poll!(slow.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        let refused = promise(&supply, &database, 2, NOW).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 1 }), "its place is held");
        promise(&supply, &database, 1, NOW).await.expect("others are served");
        drop(slow);
        promise(&supply, &database, 2, NOW).await.expect("free when it was given up");
    }

    #[tokio::test]
    async fn a_quote_keeps_its_place_while_it_is_issued_at_its_end() {
        let database = database().await;
        let supply = Supply::open(&units(Backing::Tickets, 2), &database, NOW).await.expect("open");
        let late = promise(&supply, &database, 2, NOW).await.expect("two are left");
        let end = NOW + 60 + GRACE;
        supply.confirm(&late, end - 1, &database).await.expect("still its own");
        let refused = promise(&supply, &database, 1, end).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 0 }));
        supply.issued(&late).await;
        let refused = promise(&supply, &database, 1, end + 2 * GRACE).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 0 }), "sold");
    }

    #[tokio::test]
    async fn what_was_promised_is_read_back_and_what_was_paid_for_is_never_free_again() {
        let database = database().await;
        quote(&database, 1, 0, NOW + 60).await;
        quote(&database, 2, 2, NOW - 2 * GRACE).await;
        let tickets = units(Backing::Tickets, 3);
        let supply = Supply::open(&tickets, &database, NOW).await.expect("open");
        promise(&supply, &database, 2, NOW).await.expect("a ticket costs nothing: given up");
        let sats = units(Backing::Lightning, 3);
        let supply = Supply::open(&sats, &database, NOW).await.expect("open");
        let refused = promise(&supply, &database, 1, NOW).await.err();
        assert_eq!(refused, Some(SupplyError::SoldOut { left: 0 }), "two were paid for");
    }
}
