//! A frame of the socket: read, and whatever comes of it can be answered as JSON with the id that
//! was sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_daemon::error::CommandError;
use portal_daemon::transport::ws::frame;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (id, answer) = match frame::read(text) {
        Ok(command) => {
            let answer = frame::error(&command.id, &CommandError::not_authenticated());
            (command.id, answer)
        }
        Err(bad) => {
            assert!(bad.error.message.starts_with("Invalid command format: "));
            let answer = frame::error(&bad.id, &bad.error);
            (bad.id, answer)
        }
    };
    // A number may be larger than any type; then the text alone is compared.
    assert!(answer.contains(id.as_json()));
    if id.as_json().starts_with('"') {
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("answers are JSON");
        let id: serde_json::Value = serde_json::from_str(id.as_json()).expect("ids are JSON");
        assert_eq!(answer["id"], id);
    }
});
