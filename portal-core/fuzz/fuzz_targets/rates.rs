//! An answer of each source of exchange rates. What is read is a price: it is shown and read back,
//! and it survives the wire.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::primitives::CurrencyCode;
use portal_core::rates::Price;
use portal_core::rates::http::PublicSource;

fuzz_target!(|data: &[u8]| {
    for source in PublicSource::ALL {
        for code in ["EUR", "IRR"] {
            let currency = CurrencyCode::parse(code).expect("three letters");
            let Ok(found) = source.read(data, currency) else { continue };
            for (_, price) in found.prices {
                assert_eq!(Price::parse(&price.to_string()), Ok(price));
                assert_eq!(Price::from_wire(price.to_wire()), Ok(price));
            }
        }
    }
});
