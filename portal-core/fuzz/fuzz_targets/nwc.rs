//! What a wallet, or somebody who says to be one, sends by NIP-47, what a client asks of ours, and
//! the link that a person pastes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::wallet::nwc::NwcUri;
use portal_core::wallet::nwc::message::{
    BalanceResult, BudgetResult, InfoResult, Notification, Paid, Request, Response, Transaction,
    TransactionList,
};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(request) = Request::parse(text) {
        assert_eq!(Request::parse(&request.to_json()).expect("we wrote it").method(), request.method());
    }
    if let Ok(response) = Response::parse(text) {
        let again = Response::parse(&response.to_json()).expect("we wrote it");
        assert_eq!(again.result_type, response.result_type);
        match response.outcome {
            Err(refusal) => assert_eq!(again.outcome, Err(refusal)),
            Ok(result) => {
                // Errors are what is expected; only a panic is a finding.
                drop(Response::read::<Paid>(result.clone()));
                drop(Response::read::<BalanceResult>(result.clone()));
                drop(Response::read::<BudgetResult>(result.clone()));
                drop(Response::read::<InfoResult>(result.clone()));
                drop(Response::read::<TransactionList>(result.clone()));
                drop(Response::read::<Transaction>(result));
            }
        }
    }
    drop(Notification::parse(text));

    let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let secret = "01".repeat(32);
    let whole = format!("nostr+walletconnect://{key}?secret={secret}&relay={text}");
    for link in [text, &whole] {
        if let Ok(link) = NwcUri::parse(link) {
            let again = NwcUri::parse(link.to_text().expose()).expect("we wrote it");
            assert_eq!((&again.wallet, &again.relays), (&link.wallet, &link.relays));
            assert_eq!(again.secret.expose(), link.secret.expose());
            assert!(!format!("{link:?}").contains(&secret));
        }
    }
});
