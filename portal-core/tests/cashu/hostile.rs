//! Bad input, and mints that misbehave: each a typed error, and the value still accounted for.

use std::str::FromStr;
use std::time::Duration;

use cdk_common::mint_url::MintUrl;
use cdk_common::nuts::nut00::token::TokenV4;
use portal_core::cashu::{
    CashuError, Expected, MintAddress, Outcome, Patience, TicketEvent, TicketToken,
};
use portal_core::env::{Env, mock};
use portal_testkit::mint::{Fault, StockMint, StockMintOptions, StockUnit};
use serde_json::{Value, json};

use crate::harness::{Owner, address, given, holds, mint, new_mint, new_send, unit};

fn v4(token: &str) -> TokenV4 {
    TokenV4::from_str(token).expect("a token")
}

/// The same proofs, said to be of another mint.
pub fn renamed(token: &str, url: &str) -> String {
    let mut token = v4(token);
    token.mint_url = MintUrl::from_str(url).expect("a url");
    token.to_string()
}

/// The same proofs, said to be of the keyset of another token.
pub fn with_keyset_of(token: &str, other: &str) -> String {
    let mut token = v4(token);
    token.token[0].keyset_id = v4(other).token[0].keyset_id.clone();
    token.to_string()
}

/// The same proofs without the proofs that their signatures are the mint's.
pub fn without_proofs_of_signature(token: &str) -> String {
    let mut token = v4(token);
    for proof in &mut token.token[0].proofs {
        proof.dleq = None;
    }
    token.to_string()
}

/// The proofs of one token with the signatures of another, without proofs of them.
pub fn with_signature_of(token: &str, other: &str) -> String {
    let mut token = v4(&without_proofs_of_signature(token));
    token.token[0].proofs[0].c = v4(other).token[0].proofs[0].c;
    token.to_string()
}

#[tokio::test]
async fn spellings_of_one_mint_are_one_mint() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 2, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let loud = renamed(&token, &format!("{}/", mint.url().to_uppercase()));
    let read = TicketToken::parse(&loud).expect("reads");
    assert_eq!(*read.mint(), address(&mint));
    let other = Owner::new(2, &[&mint]).open().await;
    other.receive("r", &loud).await.expect("it is the same mint");
    assert_eq!(other.balances().await.expect("reads").len(), 1);
    let sent = other.send("s", new_send(&mint, "vip", 1)).await.expect("sends");
    let expected = Expected {
        mint: format!("{}///", mint.url()).parse().expect("an address"),
        unit: unit(" VIP "),
        amount: Some(1),
    };
    wallet.burn("b", &sent.token, &expected).await.expect("also in what is expected");
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_burned() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 2, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let expect = |address: MintAddress, name: &str, amount| Expected {
        mint: address,
        unit: unit(name),
        amount,
    };
    let at = address(&mint);
    let burn = async |expected: Expected| wallet.burn("b", &token, &expected).await;
    let foreign: MintAddress = "https://mint.example.com".parse().expect("an address");
    assert!(matches!(burn(expect(foreign, "vip", None)).await, Err(CashuError::WrongMint)));
    assert!(matches!(burn(expect(at.clone(), "sat", None)).await, Err(CashuError::WrongUnit)));
    let amount = burn(expect(at.clone(), "vip", Some(1))).await;
    assert!(matches!(amount, Err(CashuError::WrongAmount { expected: 1, found: 2 })));
    assert_eq!(mint.faults().asked("/v1/melt"), 0, "the mint was not even asked");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 2);
    assert_eq!(burn(expect(at, "vip", Some(2))).await.expect("burns").amount, 2);
}

#[tokio::test]
async fn broken_and_enormous_tokens_are_refused_without_asking_anyone() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 3, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    // What fills up the last group may be left out.
    for length in 0..token.trim_end_matches('=').len() {
        let cut = wallet.receive("r", &token[..length]).await;
        assert!(matches!(cut, Err(CashuError::InvalidToken { .. })), "{length}: {cut:?}");
    }
    let long = format!("cashuB{}", "A".repeat(2_000_000));
    assert!(matches!(wallet.receive("r", &long).await, Err(CashuError::TooLarge { .. })));
    let mut many = v4(&token);
    let proof = many.token[0].proofs[0].clone();
    many.token[0].proofs = (0..1001)
        .map(|number| {
            let mut proof = proof.clone();
            proof.secret = cdk_common::secret::Secret::new(format!("secret {number}"));
            proof
        })
        .collect();
    let many = wallet.receive("r", &many.to_string()).await;
    assert!(matches!(many, Err(CashuError::TooLarge { found: 1001, .. })), "{many:?}");
    let mut twice = v4(&token);
    twice.token[0].proofs = vec![proof.clone(), proof.clone()];
    let twice = wallet.receive("r", &twice.to_string()).await;
    assert!(matches!(twice, Err(CashuError::InvalidToken { .. })), "{twice:?}");
    let mut huge = v4(&token);
    huge.token[0].proofs.truncate(1);
    huge.token[0].proofs[0].amount = cdk_common::Amount::from(u64::MAX);
    let huge = wallet.receive("r", &huge.to_string()).await;
    assert!(matches!(huge, Err(CashuError::InvalidToken { .. })), "{huge:?}");
    let mut worth = v4(&token);
    worth.token[0].proofs[0].amount = cdk_common::Amount::from(64);
    let worth = wallet.receive("r", &worth.to_string()).await;
    assert!(matches!(worth, Err(CashuError::InvalidToken { .. })), "{worth:?}");
}

#[tokio::test]
async fn a_token_of_another_unit_is_not_taken_for_this_one() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "sat", 1, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let mut dressed_up = v4(&token);
    dressed_up.unit = "vip".parse().expect("a unit");
    let refused = wallet.receive("r", &dressed_up.to_string()).await;
    assert!(matches!(refused, Err(CashuError::WrongUnit)), "{refused:?}");
    assert_eq!(holds(&wallet, "vip").await, (0, 0, 0));
}

#[tokio::test]
async fn strangers_mints_on_private_addresses_are_not_asked() {
    let mint = mint().await;
    let merchant = Owner::new(1, &[&mint]).open().await;
    let minted = merchant.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let careful = Owner::new(2, &[]).open().await;
    let asked = mint.faults().asked("/");
    let refused = careful.receive("r", &token).await;
    assert!(matches!(refused, Err(CashuError::ForbiddenMint(_))), "{refused:?}");
    assert_eq!(mint.faults().asked("/"), asked);
}

#[tokio::test]
async fn amounts_as_strings_are_no_amounts() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    mint.faults().once(
        "/v1/mint/portal",
        Fault::rewrite(|mut answer| {
            for signature in answer["signatures"].as_array_mut().expect("signatures") {
                signature["amount"] = json!(signature["amount"].to_string());
            }
            answer
        }),
    );
    let refused = wallet.mint("m", given(&mint, "vip", 2, None)).await;
    assert!(matches!(refused, Err(CashuError::BadAnswer { .. })), "{refused:?}");
    assert_eq!(wallet.recover().await.expect("recovers").done, 1, "the value is still there");
    assert_eq!(holds(&wallet, "vip").await, (0, 0, 2));
    mint.faults().once(
        "/v1/melt/quote",
        Fault::rewrite(|mut answer| {
            answer["amount"] = json!("1");
            answer
        }),
    );
    let sent = wallet.unclaimed().await.expect("reads")[0].token.clone();
    let expected = Expected { mint: address(&mint), unit: unit("vip"), amount: None };
    let refused = wallet.burn("b", &sent, &expected).await;
    assert!(matches!(refused, Err(CashuError::BadAnswer { .. })), "{refused:?}");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 2, "nothing was spent");
}

#[tokio::test]
async fn keysets_that_lie_about_their_id_are_not_used() {
    let mint = mint().await;
    let other = StockMint::start(StockMintOptions { seed: [8; 32], ..Default::default() })
        .await
        .expect("a mint");
    let keys: Value = reqwest_get(&format!("{}/v1/keys", other.url())).await;
    let vip = keys["keysets"]
        .as_array()
        .and_then(|sets| sets.iter().find(|set| set["unit"] == "vip"))
        .expect("its keys")["keys"]
        .clone();
    mint.faults().always(
        "/v1/keys/",
        Fault::rewrite(move |mut answer| {
            answer["keysets"][0]["keys"] = vip.clone();
            answer
        }),
    );
    let wallet = Owner::new(1, &[&mint]).open().await;
    let refused = wallet.mint("m", given(&mint, "vip", 1, None)).await;
    assert!(matches!(refused, Err(CashuError::LyingKeyset { .. })), "{refused:?}");
    assert_eq!(mint.faults().asked("/v1/mint/"), 0, "nothing was asked for");
}

async fn reqwest_get(url: &str) -> Value {
    let address = url.strip_prefix("http://").expect("http");
    let (host, path) = address.split_once('/').expect("a path");
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connects");
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).expect("json")
}

#[tokio::test]
async fn a_mint_that_says_something_else_of_its_keyset_than_before_is_refused() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    wallet.mint("m", new_mint(&mint, "vip", 1)).await.expect("mints");
    for change in [
        Box::new(|set: &mut Value| set["unit"] = json!("sat"))
            as Box<dyn Fn(&mut Value) + Send + Sync>,
        Box::new(|set: &mut Value| set["input_fee_ppk"] = json!(999)),
        Box::new(|set: &mut Value| set["final_expiry"] = json!(4_000_000_000_u64)),
    ] {
        mint.faults().once(
            "/v1/keysets",
            Fault::rewrite(move |mut answer| {
                for set in answer["keysets"].as_array_mut().expect("keysets") {
                    if set["unit"] == "vip" {
                        change(set);
                    }
                }
                answer
            }),
        );
        let event = portal_core::cashu::Event {
            mint: address(&mint),
            unit: unit("vip"),
            amount: None,
            offline: portal_core::cashu::OfflineRule::Nothing,
        };
        let refused = wallet.prepare_gate(&event).await;
        assert!(matches!(refused, Err(CashuError::LyingKeyset { .. })), "{refused:?}");
    }
    assert_eq!(holds(&wallet, "vip").await, (1, 0, 0));
}

#[tokio::test]
async fn a_mint_that_times_out_leaves_the_operation_open() {
    let mint = mint().await;
    let mut owner = Owner::new(1, &[&mint]);
    owner.patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(1) };
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    mint.faults().once("/v1/swap", Fault::Hang);
    let late = wallet.send("s", new_send(&mint, "sat", 10)).await;
    assert!(matches!(late, Err(CashuError::Unreachable)), "{late:?}");
    assert_eq!(holds(&wallet, "sat").await, (0, 64, 0));
    wallet.send("s", new_send(&mint, "sat", 10)).await.expect("the same call goes on");
    assert_eq!(holds(&wallet, "sat").await, (54, 0, 10));
}

#[tokio::test]
async fn a_mint_that_changed_all_its_keys_makes_old_tickets_worthless_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = mint().await;
    let owner = Owner::new(1, &[&before]);
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&before, "vip", 1)).await.expect("mints");
    // The same address answers with the keys of another mint.
    let after = StockMint::start(StockMintOptions { seed: [8; 32], ..Default::default() })
        .await
        .expect("a mint");
    for path in ["/v1/keysets", "/v1/keys"] {
        let body = reqwest_get(&format!("{}{path}", after.url())).await.to_string();
        before.faults().always(path, Fault::Answer(200, body));
    }
    let unknown = r#"{"code":12001,"detail":"keyset is not known"}"#.to_owned();
    before.faults().always("/v1/swap", Fault::Answer(400, unknown.clone()));
    before.faults().always("/v1/melt/portal", Fault::Answer(400, unknown));
    let sent = wallet.send("s", new_send(&before, "vip", 1)).await.expect("needs no mint");
    let expected = Expected { mint: address(&before), unit: unit("vip"), amount: None };
    let refused = wallet.burn("b", &sent.token, &expected).await;
    assert!(matches!(refused, Err(CashuError::UnknownKeyset)), "{refused:?}");
    assert_eq!(holds(&wallet, "vip").await, (0, 0, 1), "still in the books");
    drop(folder);
}

#[tokio::test]
async fn somebody_elses_signatures_are_not_taken() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    type Change = fn(&mut Value);
    let changes: [Change; 5] = [
        // The signature of another output.
        |answer| {
            let first = answer["signatures"][0]["C_"].clone();
            answer["signatures"][1]["C_"] = first;
        },
        // No proof that it is the mint's.
        |answer| {
            answer["signatures"][0].as_object_mut().expect("an object").remove("dleq");
        },
        // Another amount.
        |answer| answer["signatures"][0]["amount"] = json!(1_048_576),
        // Fewer.
        |answer| {
            answer["signatures"].as_array_mut().expect("a list").pop();
        },
        // Of another keyset.
        |answer| answer["signatures"][0]["id"] = json!("009a1f293253e41e"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let before = holds(&wallet, "sat").await;
        mint.faults().once(
            "/v1/swap",
            Fault::rewrite(move |mut answer| {
                change(&mut answer);
                answer
            }),
        );
        let key = format!("s{number}");
        // With a lock, so that the mint is always asked.
        let lock = portal_core::cashu::Lock { to: wallet.key(), until: None };
        let new = portal_core::cashu::NewSend {
            give: portal_core::cashu::Give { lock: Some(lock), memo: None },
            ..new_send(&mint, "sat", 5)
        };
        let refused = wallet.send(&key, new.clone()).await;
        assert!(matches!(refused, Err(CashuError::WrongSignature { .. })), "{number}: {refused:?}");
        assert_eq!(refused.expect_err("refused").outcome(), Outcome::Unknown);
        assert_eq!(holds(&wallet, "sat").await.0 + holds(&wallet, "sat").await.1, before.0);
        wallet.recover().await.expect("recovers");
        wallet.send(&key, new).await.expect("the mint has the right ones");
        assert_eq!(holds(&wallet, "sat").await.0, before.0 - 5);
    }
    assert_eq!(mint.outstanding("sat").await.expect("says"), 64);
}

#[tokio::test]
async fn the_codes_of_the_protocol_are_errors_of_their_own() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    type Is = fn(&CashuError) -> bool;
    let codes: [(u16, Is); 6] = [
        (11006, |error| matches!(error, CashuError::AmountLimits)),
        (11013, |error| matches!(error, CashuError::UnsupportedUnit)),
        (30001, |error| matches!(error, CashuError::Unauthorized)),
        (20003, |error| matches!(error, CashuError::Unsupported { .. })),
        (11009, |error| matches!(error, CashuError::Refused { code: 11009 })),
        (11002, |error| matches!(error, CashuError::Pending)),
    ];
    for (code, is) in codes {
        let body = json!({"code": code, "detail": "no"}).to_string();
        mint.faults().once("/v1/mint/quote/portal", Fault::Answer(400, body));
        let refused = wallet.mint("m", given(&mint, "vip", 1, None)).await;
        let error = refused.expect_err("refused");
        assert!(is(&error), "{code}: {error:?}");
    }
    let unknown = wallet.mint("u", given(&mint, "nothing", 1, None)).await;
    assert!(matches!(unknown, Err(CashuError::UnsupportedUnit)), "{unknown:?}");
}

#[tokio::test]
async fn proofs_that_turn_out_to_be_spent_are_struck_off_and_the_rest_is_used() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&mint, "sat", 7)).await.expect("mints");
    // A copy of the same seed spends behind the back of this one.
    let copy = Owner::new(1, &[&mint]).open().await;
    copy.restore(&address(&mint), &unit("sat")).await.expect("restores");
    let sent = copy.send("s", new_send(&mint, "sat", 4)).await.expect("sends");
    Owner::new(2, &[&mint]).open().await.receive("r", &sent.token).await.expect("receives");
    let poor = wallet
        .send(
            "a",
            portal_core::cashu::NewSend {
                give: portal_core::cashu::Give {
                    lock: Some(portal_core::cashu::Lock { to: copy.key(), until: None }),
                    memo: None,
                },
                ..new_send(&mint, "sat", 7)
            },
        )
        .await;
    assert!(matches!(poor, Err(CashuError::InsufficientFunds { available: 3 })), "{poor:?}");
    assert_eq!(holds(&wallet, "sat").await, (3, 0, 0), "what is gone is gone, the rest is free");
}

#[tokio::test]
async fn answers_without_end_are_not_read() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let endless = format!("{{\"keysets\":[],\"x\":\"{}\"}}", "y".repeat(4 * 1024 * 1024));
    mint.faults().always("/v1/keysets", Fault::Answer(200, endless));
    let refused = wallet.mint("m", given(&mint, "vip", 1, None)).await;
    assert!(matches!(refused, Err(CashuError::BadAnswer { .. })), "{refused:?}");
    mint.faults().clear();
    mint.faults().always("/v1/keysets", Fault::Answer(301, String::new()));
    let redirected = wallet.mint("m", given(&mint, "vip", 1, None)).await;
    assert!(matches!(redirected, Err(CashuError::Unreachable)), "{redirected:?}");
}

#[tokio::test]
async fn a_gift_of_a_mint_that_cannot_be_found_waits() {
    let mint = mint().await;
    let merchant = Owner::new(1, &[&mint]).open().await;
    let minted = merchant.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
    let gift = renamed(&minted.token.expect("a token"), "https://nobody.invalid");
    let phone = Owner::new(2, &[]).open().await;
    phone.accept("gift", &gift).await.expect("written down");
    let refused = phone.receive("gift", &gift).await;
    assert!(matches!(refused, Err(CashuError::Unreachable)), "{refused:?}");
    assert_eq!(refused.expect_err("not yet").outcome(), Outcome::Unknown);
    assert_eq!(phone.open_operations().await.expect("reads").len(), 1, "it is not given up");
    let report = phone.recover().await.expect("looks");
    assert_eq!((report.done, report.failed, report.waiting), (0, 0, 1));
    assert_eq!(phone.open_operations().await.expect("reads").len(), 1);
}

#[tokio::test]
async fn a_gift_of_a_forbidden_mint_waits_for_its_owners_word() {
    let mint = mint().await;
    let merchant = Owner::new(1, &[&mint]).open().await;
    let minted = merchant.mint("m", given(&mint, "vip", 2, None)).await.expect("mints");
    let gift = minted.token.expect("a token");
    let phone = Owner::new(2, &[]).open().await;
    let refused = phone.receive("gift", &gift).await;
    assert!(matches!(refused, Err(CashuError::ForbiddenMint(_))), "{refused:?}");
    let report = phone.recover().await.expect("looks");
    assert_eq!((report.done, report.failed, report.waiting), (0, 0, 1), "still in the journal");
    phone.trust(&address(&mint));
    assert_eq!(phone.recover().await.expect("looks").done, 1);
    assert_eq!(holds(&phone, "vip").await, (2, 0, 0));
}

#[tokio::test]
async fn a_no_without_a_reason_does_not_cost_what_was_received() {
    let mint = mint().await;
    let merchant = Owner::new(1, &[&mint]).open().await;
    for (number, (status, body)) in [
        (403, "<html>"),
        (404, ""),
        (422, "a word"),
        (401, r#"{"code":30001,"detail":"no"}"#),
        (400, r#"{"code":11014,"detail":"too many inputs"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("g{number}");
        let minted = merchant.mint(&key, given(&mint, "vip", 1, None)).await.expect("mints");
        let gift = minted.token.expect("a token");
        let phone = Owner::new(2, &[&mint]).open().await;
        mint.faults().once("/v1/swap", Fault::Answer(status, body.to_owned()));
        assert!(phone.receive("gift", &gift).await.is_err(), "{status}");
        assert_eq!(phone.recover().await.expect("goes on").done, 1, "{status}");
        assert_eq!(holds(&phone, "vip").await, (1, 0, 0));
    }
}

#[tokio::test]
async fn a_quote_that_may_be_paid_is_not_forgotten_for_a_no() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let disabled = r#"{"code":20003,"detail":"minting is disabled"}"#;
    for (number, (status, body)) in
        [(422, "what?"), (404, "<html>"), (400, disabled)].into_iter().enumerate()
    {
        let key = format!("m{number}");
        let before = mint.faults().asked("/v1/mint/quote/");
        mint.faults().once("/v1/mint/portal", Fault::Answer(status, body.to_owned()));
        let refused = wallet.mint(&key, new_mint(&mint, "vip", 1)).await;
        assert!(refused.is_err(), "{status}");
        assert_eq!(wallet.open_operations().await.expect("reads").len(), 1, "{status}");
        wallet.mint(&key, new_mint(&mint, "vip", 1)).await.expect("the same quote");
        assert_eq!(mint.faults().asked("/v1/mint/quote/"), before + 1, "no second quote");
    }
    // What is certain to be worth nothing is forgotten.
    let issued = r#"{"code":20002,"detail":"tokens are issued"}"#.to_owned();
    mint.faults().once("/v1/mint/portal", Fault::Answer(400, issued));
    let refused = wallet.mint("over", new_mint(&mint, "vip", 1)).await;
    assert!(matches!(refused, Err(CashuError::Refused { code: 20002 })), "{refused:?}");
    assert!(wallet.open_operations().await.expect("reads").is_empty());
    wallet.mint("over", new_mint(&mint, "vip", 1)).await.expect("with another quote");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 4);
}

#[tokio::test]
async fn a_quote_that_nobody_pays_is_given_up_long_after_its_end() {
    let mint = mint().await;
    mint.pay(false);
    let (env, clock) = mock::env(Env::system().now(), 7);
    let wallet = Owner::new(1, &[&mint]).open_with(env).await;
    let unpaid = wallet.mint("m", new_mint(&mint, "sat", 8)).await;
    assert!(matches!(unpaid, Err(CashuError::Unpaid { .. })), "{unpaid:?}");
    let open = wallet.open_operations().await.expect("reads");
    assert!(open[0].unpaid.as_deref().is_some_and(|it| it.starts_with("pay ")), "what to pay");
    assert_eq!(wallet.recover().await.expect("looks").waiting, 1);
    clock.advance(Duration::from_secs(40 * 24 * 3600));
    let report = wallet.recover().await.expect("looks");
    assert_eq!((report.failed, report.waiting), (1, 0));
    assert!(wallet.open_operations().await.expect("reads").is_empty());
}

#[tokio::test]
async fn a_fee_that_has_changed_is_noticed() {
    let units = vec![StockUnit::fungible("sat").with_fee(1000)];
    let options = StockMintOptions { units, newer_keysets: false, ..StockMintOptions::default() };
    let mint = StockMint::start(options).await.expect("a mint");
    let wallet = Owner::new(1, &[&mint]).open().await;
    mint.faults().once(
        "/v1/keysets",
        Fault::rewrite(|mut answer| {
            for set in answer["keysets"].as_array_mut().expect("keysets") {
                set["input_fee_ppk"] = json!(0);
            }
            answer
        }),
    );
    wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    wallet.send("s", new_send(&mint, "sat", 10)).await.expect("the fee is asked for again");
    assert_eq!(holds(&wallet, "sat").await, (53, 0, 10));
    assert_eq!(mint.outstanding("sat").await.expect("says"), 63);
}

#[tokio::test]
async fn what_was_claimed_while_it_was_taken_back_is_told() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let phone = Owner::new(2, &[&mint]).open().await;
    let minted = shop.mint("order", given(&mint, "vip", 1, None)).await.expect("mints");
    phone.receive("gift", &minted.token.expect("a token")).await.expect("receives");
    // As if it were claimed only after the question.
    mint.faults().once(
        "/v1/checkstate",
        Fault::rewrite(|mut answer| {
            answer["states"][0]["state"] = json!("UNSPENT");
            answer
        }),
    );
    let late = shop.take_back("order").await;
    assert!(matches!(late, Err(CashuError::Claimed)), "{late:?}");
    assert!(shop.unclaimed().await.expect("reads").is_empty());
    let events = shop.events(0, 10).await.expect("reads");
    assert!(
        matches!(&events[..], [(_, _, TicketEvent::Spent { key, .. })] if key == "order"),
        "{events:?}"
    );
}

#[tokio::test]
async fn mints_that_are_away_do_not_hold_up_the_others() {
    let (here, away) = (mint().await, mint().await);
    let merchant = Owner::new(1, &[&here, &away]).open().await;
    let mut owner = Owner::new(2, &[&here, &away]);
    owner.patience = Patience { connect: Duration::from_secs(1), answer: Duration::from_secs(1) };
    let phone = owner.open().await;
    for number in 0..10 {
        let key = format!("away{number}");
        let gift = merchant.mint(&key, given(&away, "vip", 1, None)).await.expect("mints");
        phone.accept(&key, &gift.token.expect("a token")).await.expect("written down");
    }
    let gift = merchant.mint("here", given(&here, "vip", 1, None)).await.expect("mints");
    phone.accept("here", &gift.token.expect("a token")).await.expect("written down");
    away.faults().always("/", Fault::Hang);
    let before = away.faults().asked("/");
    let report = phone.recover().await.expect("looks");
    assert_eq!((report.done, report.failed, report.waiting), (1, 0, 10));
    assert_eq!(away.faults().asked("/") - before, 3, "who is silent is soon left alone");
    away.faults().clear();
    assert_eq!(phone.recover().await.expect("looks").done, 10);
}
