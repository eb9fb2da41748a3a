//! What the library does not remember: which invoices were made, which payment belongs to which
//! hash, and what was already told.
//!
//! The library lists an invoice only once money for it has come. So each invoice is written down
//! in a file beside the library's own, one line each: hash, amount, time made, time of its end.
//! The file is a memory, not an authority: when a line is lost, the payment is still found.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet::PaymentHash;

use crate::api::{SdkPayment, SdkStatus};

const FILE: &str = "portal-invoices";
/// An invoice that ended this long ago is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// More invoices than this are not read back.
const MAX_INVOICES: usize = 500_000;
/// Payments whose second announcement is noticed.
const MAX_TOLD: usize = 4096;

/// An invoice that this wallet made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub amount: Millisats,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Everything that is remembered.
pub(crate) struct Books {
    state: Mutex<State>,
    file: Arc<Mutex<File>>,
}

#[derive(Default)]
struct State {
    made: HashMap<PaymentHash, Made>,
    /// Ids of incoming payments.
    ids: HashMap<PaymentHash, String>,
    /// Whether all older incoming payments are in `ids`.
    complete: bool,
    told: HashSet<String>,
    told_order: VecDeque<String>,
    /// Payments that are being sent now.
    sending: HashSet<PaymentHash>,
}

/// A payment that is being sent; ends when dropped.
pub(crate) struct Sending<'a> {
    books: &'a Books,
    hash: PaymentHash,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.books.lock().sending.remove(&self.hash);
    }
}

impl Books {
    /// Reads the file and drops from it what is long over. Blocks.
    pub(crate) fn open(folder: &Path, now: Timestamp) -> std::io::Result<Self> {
        let path = folder.join(FILE);
        let since = now.saturating_sub(FORGET_AFTER);
        let made = match File::open(&path) {
            Ok(file) => read(file, since)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        let fresh: PathBuf = folder.join(format!("{FILE}.new"));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
        let lines: String = made.iter().map(|(hash, made)| line(*hash, made)).collect();
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        let state = Mutex::new(State { made, ..State::default() });
        Ok(Self { state, file: Arc::new(Mutex::new(file)) })
    }

    /// Remembers an invoice.
    pub(crate) async fn add(&self, hash: PaymentHash, made: Made) {
        self.lock().made.insert(hash, made);
        let file = Arc::clone(&self.file);
        let text = line(hash, &made);
        let written = tokio::task::spawn_blocking(move || {
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
        });
        match written.await {
            Ok(Ok(())) => {}
            // After a restart it is unknown until it is paid: no reason to refuse the invoice.
            Ok(Err(error)) => tracing::warn!(%error, "an invoice was not written down"),
            Err(error) => tracing::warn!(%error, "an invoice was not written down"),
        }
    }

    /// An invoice that was made here.
    pub(crate) fn made(&self, hash: PaymentHash) -> Option<Made> {
        self.lock().made.get(&hash).copied()
    }

    /// Remembers which payment belongs to a hash; whether that is new.
    pub(crate) fn note(&self, payment: &SdkPayment) -> bool {
        match &payment.lightning {
            Some(lightning) if payment.incoming => {
                let ids = &mut self.lock().ids;
                let hash = lightning.payment_hash;
                // Pages come newest first: a try that failed must not hide one that did not.
                if payment.status == SdkStatus::Failed && ids.contains_key(&hash) {
                    return false;
                }
                ids.insert(hash, payment.id.clone()).is_none()
            }
            Some(_) | None => false,
        }
    }

    /// The incoming payment that belongs to a hash.
    pub(crate) fn id(&self, hash: PaymentHash) -> Option<String> {
        self.lock().ids.get(&hash).cloned()
    }

    /// Whether every older payment has been noted.
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().complete
    }

    pub(crate) fn complete(&self) {
        self.lock().complete = true;
    }

    /// Whether this payment is told for the first time.
    pub(crate) fn tell_once(&self, id: &str) -> bool {
        let mut state = self.lock();
        if !state.told.insert(id.to_owned()) {
            return false;
        }
        state.told_order.push_back(id.to_owned());
        if state.told_order.len() > MAX_TOLD
            && let Some(oldest) = state.told_order.pop_front()
        {
            state.told.remove(&oldest);
        }
        true
    }

    /// Marks a payment as being sent, unless it is already.
    pub(crate) fn sending(&self, hash: PaymentHash) -> Option<Sending<'_>> {
        let new = self.lock().sending.insert(hash);
        new.then(|| Sending { books: self, hash })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(hash: PaymentHash, made: &Made) -> String {
    let (amount, from, to) =
        (made.amount.as_u64(), made.created_at.as_secs(), made.expires_at.as_secs());
    format!("{hash} {amount} {from} {to}\n")
}

/// Lines that cannot be read, such as a last one that was cut off, are passed over.
fn read(file: File, since: Timestamp) -> std::io::Result<HashMap<PaymentHash, Made>> {
    let mut made = HashMap::new();
    for text in BufReader::new(file).split(b'\n') {
        let text = text?;
        let parsed = std::str::from_utf8(&text).ok().and_then(parse);
        match parsed {
            Some((hash, one)) if one.expires_at >= since && made.len() < MAX_INVOICES => {
                made.insert(hash, one);
            }
            Some(_) | None => {}
        }
    }
    Ok(made)
}

fn parse(text: &str) -> Option<(PaymentHash, Made)> {
    let mut parts = text.split(' ');
    let mut hash = [0; 32];
    hex::decode_to_slice(parts.next()?, &mut hash).ok()?;
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (amount, from, to) = (number()?, number()?, number()?);
    let made = Made {
        amount: Millisats::new(amount),
        created_at: Timestamp::from_secs(from),
        expires_at: Timestamp::from_secs(to),
    };
    Some((PaymentHash(hash), made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SdkLightning;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn made(expires_at: u64) -> Made {
        Made {
            amount: Millisats::new(5_000),
            created_at: Timestamp::from_secs(1_699_999_000),
            expires_at: Timestamp::from_secs(expires_at),
        }
    }

    #[tokio::test]
    async fn invoices_are_remembered_until_they_are_long_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let (young, old) = (made(1_700_000_600), made(1_690_000_000));
        let books = Books::open(folder.path(), NOW).expect("opened");
        books.add(PaymentHash([1; 32]), young).await;
        books.add(PaymentHash([2; 32]), old).await;
        assert_eq!(books.made(PaymentHash([2; 32])), Some(old));
        drop(books);
        let path = folder.path().join(FILE);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"not a line\n\xff\xfe\n0101 5").expect("written");
        let books = Books::open(folder.path(), NOW).expect("opened again");
        assert_eq!(books.made(PaymentHash([1; 32])), Some(young));
        assert_eq!(books.made(PaymentHash([2; 32])), None);
        books.add(PaymentHash([3; 32]), young).await;
        drop(books);
        let books = Books::open(folder.path(), NOW).expect("opened again");
        assert!(books.made(PaymentHash([1; 32])).is_some());
        assert!(books.made(PaymentHash([3; 32])).is_some());
    }

    #[test]
    fn a_try_that_failed_does_not_hide_a_payment_that_did_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let books = Books::open(folder.path(), NOW).expect("opened");
        let hash = PaymentHash([1; 32]);
        let payment = |id: &str, status, incoming| SdkPayment {
            id: id.to_owned(),
            incoming,
            status,
            amount_sats: 5,
            fees_sats: 0,
            timestamp: 1,
            lightning: Some(SdkLightning {
                payment_hash: hash,
                preimage: None,
                invoice: String::new(),
            }),
        };
        assert!(!books.note(&payment("out", SdkStatus::Completed, false)), "it left");
        assert_eq!(books.id(hash), None);
        assert!(books.note(&payment("failed", SdkStatus::Failed, true)));
        assert_eq!(books.id(hash).as_deref(), Some("failed"), "nothing better is known");
        assert!(!books.note(&payment("paid", SdkStatus::Completed, true)));
        // Pages come newest first, and events as they like.
        assert!(!books.note(&payment("failed", SdkStatus::Failed, true)));
        assert_eq!(books.id(hash).as_deref(), Some("paid"));
    }

    #[test]
    fn a_payment_is_told_once_and_sent_once_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let books = Books::open(folder.path(), NOW).expect("opened");
        assert!(books.tell_once("a") && !books.tell_once("a"));
        for number in 0..MAX_TOLD {
            assert!(books.tell_once(&number.to_string()));
        }
        assert!(books.tell_once("a"), "so long ago that it is forgotten");
        let hash = PaymentHash([1; 32]);
        let first = books.sending(hash).expect("nobody else");
        assert!(books.sending(hash).is_none());
        drop(first);
        assert!(books.sending(hash).is_some());
    }
}
