//! A place to pay to, in the first line, and what its host answers: the second line first, then
//! always the rest.

#![no_main]

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use libfuzzer_sys::fuzz_target;
use portal_core::payments::instructions::{Instruction, Web, WebError, read, verify};
use portal_core::wallet::PaymentHash;
use url::Url;

/// A host that answers these.
struct Host(Mutex<Vec<Vec<u8>>>);

#[async_trait]
impl Web for Host {
    async fn get(&self, _url: &Url) -> Result<Vec<u8>, WebError> {
        let mut answers = self.0.lock().expect("nobody panics");
        let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
        answer.ok_or(WebError::Unreachable)
    }

    fn allows_plain(&self, host: &str) -> bool {
        host.ends_with(".onion")
    }
}

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n').map(<[u8]>::to_vec);
    let Some(Ok(text)) = lines.next().map(String::from_utf8) else { return };
    let mut answers: Vec<Vec<u8>> = lines.collect();
    answers.reverse();
    for text in [text.as_str(), "lnurlp://host.example/x"] {
        let host = Host(Mutex::new(answers.clone()));
        match now(read(text, None, &host)) {
            Ok(Instruction::LnurlPay(pay)) => {
                assert!(pay.least <= pay.most);
                assert!(matches!(pay.callback.scheme(), "http" | "https"));
                if let Ok(made) = now(pay.invoice(pay.least, Some("x"), &host)) {
                    assert_eq!(made.invoice.amount, Some(pay.least));
                }
            }
            Ok(Instruction::Withdraw(offer)) => {
                assert!(offer.least <= offer.most);
                drop(now(offer.claim(text, &host)));
            }
            // Errors are what is expected; only a panic is a finding.
            Ok(Instruction::Invoice(_) | Instruction::CannotPay { .. }) | Err(_) => {}
        }
        let url = Url::parse("https://host.example/verify").expect("a URL");
        if let Ok(verified) = now(verify(&url, PaymentHash([7; 32]), &host)) {
            assert!(verified.preimage.is_none(), "nobody knows one");
        }
    }
});
