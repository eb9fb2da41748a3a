//! The exchange rates of `--dev`: round numbers that never change, so that amounts in fiat
//! currencies work without a network and come to the same each time.

use portal_core::rates::PriceError;
use portal_core::rates::memory::MemorySource;

/// Units for a bitcoin.
const PRICES: [(&str, &str); 12] = [
    ("USD", "100000"),
    ("EUR", "90000"),
    ("GBP", "75000"),
    ("CHF", "80000"),
    ("JPY", "15000000"),
    ("KRW", "140000000"),
    ("KWD", "30000"),
    ("RON", "450000"),
    ("ARS", "140000000"),
    ("BRL", "550000"),
    ("INR", "8500000"),
    ("IRR", "110000000000"),
];

/// The source of these rates.
pub(super) fn simulated() -> Result<MemorySource, PriceError> {
    MemorySource::with("simulated", &PRICES)
}
