//! A Cashu token, a request for one, and the frames of an animated code: as they come, and as the
//! content of texts that are wrapped rightly.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use libfuzzer_sys::fuzz_target;
use portal_core::cashu::{QrFrames, QrReader, TicketRequest, TicketToken};

fuzz_target!(|data: &[u8]| {
    let content = URL_SAFE.encode(data);
    for text in [format!("cashuA{content}"), format!("cashuB{content}")] {
        token(&text);
    }
    drop(TicketRequest::parse(&format!("creqA{content}")));
    let Ok(text) = std::str::from_utf8(data) else { return };
    token(text);
    drop(TicketRequest::parse(text));
    let mut reader = QrReader::default();
    for frame in text.lines() {
        // Errors are what is expected; only a panic is a finding.
        if let Ok(Some(read)) = reader.take(frame) {
            token(&read);
        }
    }
});

/// What can be read has a sum, and can be shown.
fn token(text: &str) {
    let Ok(token) = TicketToken::parse(text) else { return };
    assert!(token.amount() > 0 && i64::try_from(token.amount()).is_ok());
    if let Ok(mut frames) = QrFrames::new(text) {
        drop(frames.next_frame());
    }
}
