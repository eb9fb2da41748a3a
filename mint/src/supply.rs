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
                let book = Book { cap, paid_is_sold, sold: 0, promised: HashMap::new() };
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
        let mut book = book.lock().await;
        book.fit(amount, now, database).await?;
        let (made, id, until) = make.await?;
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
        if book.promised.contains_key(&quote.id) || book.is_sold(quote) {
            return Ok(());
        }
        let amount = worth(quote);
        book.fit(amount, now, database).await?;
        let until = now.saturating_add(GRACE);
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
        self.cap.saturating_sub(self.sold).saturating_sub(promised)
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
