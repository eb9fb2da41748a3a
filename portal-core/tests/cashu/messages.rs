//! Tickets over a real relay: gifts are taken, requests are answered.

use std::time::Duration;

use portal_core::cashu::{Allowance, CashuError, Expected, TicketWallet};
use portal_core::client::{Answered, Client, IncomingRequest, RequestBody};
use portal_core::env::Env;
use portal_core::event::PortalEvent;
use portal_core::identity::LocalKey;
use portal_core::primitives::{ErrorCode, RequestId};
use portal_core::protocol::ticket::CashuStatus;
use portal_core::relay::RelayAddress;
use portal_core::service::{Call, NewCashuRequest, Recipient, Service};
use portal_testkit::mint::{Fault, StockMint};
use portal_testkit::relay::EphemeralRelay;
use tokio::runtime::Handle;

use crate::harness::{Owner, address, given, holds, mint, unit};

const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    mint: StockMint,
    service: Service,
    client: Client,
    shop: TicketWallet,
    phone: TicketWallet,
    owners: [Owner; 2],
    _relay: EphemeralRelay,
}

async fn scene() -> Scene {
    let mint = mint().await;
    let relay = EphemeralRelay::start().await.expect("a relay");
    let relays = vec![RelayAddress::parse(&relay.url()).expect("an address")];
    let env = Env::system();
    let service = Service::builder(LocalKey::generate(&env))
        .relays(relays.clone())
        .allow_private_relays(true)
        .start(Handle::current())
        .await
        .expect("a service");
    let client = Client::builder(LocalKey::generate(&env))
        .relays(relays)
        .allow_private_relays(true)
        .start(Handle::current())
        .await
        .expect("a client");
    let owners = [Owner::new(1, &[&mint]), Owner::new(2, &[&mint])];
    let (shop, phone) = (owners[0].open().await, owners[1].open().await);
    Scene { mint, service, client, shop, phone, owners, _relay: relay }
}

async fn next(client: &Client) -> IncomingRequest {
    tokio::time::timeout(PATIENCE, client.requests().next())
        .await
        .expect("in time")
        .expect("the client runs")
}

async fn send(scene: &Scene, token: &str) -> IncomingRequest {
    let person = Recipient::new(scene.client.main_key());
    let call = Call::default();
    scene.service.tickets().send(person, token.to_owned(), call).await.expect("durable");
    next(&scene.client).await
}

#[tokio::test]
async fn a_gift_is_written_down_before_it_counts_as_handled() {
    let scene = scene().await;
    let minted = scene.shop.mint("m", given(&scene.mint, "vip", 2, None)).await.expect("mints");
    let gift = send(&scene, &minted.token.expect("a token")).await;
    let tickets = scene.client.tickets(&scene.phone);
    scene.mint.faults().once("/v1/swap", Fault::LoseAnswer);
    assert_eq!(tickets.take(&gift).await.expect("written down"), None, "the mint's answer is lost");
    assert!(scene.client.requests().all().is_empty(), "it is not given again");
    scene.phone.close().await;
    let phone = scene.owners[1].open().await;
    assert_eq!(phone.recover().await.expect("recovers").done, 1);
    assert_eq!(holds(&phone, "vip").await, (2, 0, 0));
    let again = scene.client.tickets(&phone).take(&gift).await.expect("the same gift");
    assert_eq!(again.map(|received| received.amount), Some(2), "once, however often it is taken");
    assert_eq!(holds(&phone, "vip").await, (2, 0, 0));
}

#[tokio::test]
async fn what_is_no_token_is_handled_and_said() {
    let scene = scene().await;
    let gift = send(&scene, "cashuBnonsense").await;
    let refused = scene.client.tickets(&scene.phone).take(&gift).await;
    assert!(
        matches!(refused, Err(portal_core::Error::Cashu(CashuError::InvalidToken { .. }))),
        "{refused:?}"
    );
    assert!(scene.client.requests().all().is_empty());
}

#[tokio::test]
async fn a_request_is_answered_within_what_the_person_allowed() {
    let scene = scene().await;
    let minted = scene.shop.mint("m", given(&scene.mint, "vip", 3, None)).await.expect("mints");
    scene.phone.receive("r", &minted.token.expect("a token")).await.expect("receives");
    let ask = async |amount| {
        let person = Recipient::new(scene.client.main_key());
        let new = NewCashuRequest {
            mint_url: format!("{}/", scene.mint.url()),
            unit: "VIP".to_owned(),
            amount,
        };
        let opened =
            scene.service.tickets().request(person, new, Call::default()).await.expect("asked");
        (opened.stream, next(&scene.client).await)
    };
    let answer = async |stream| {
        let waiting = scene.service.streams();
        let event = tokio::time::timeout(PATIENCE, waiting.wait(stream)).await.expect("in time");
        match event.expect("answered") {
            PortalEvent::CashuResponse { status } => status,
            other => panic!("an answer, not {other:?}"),
        }
    };
    let tickets = scene.client.tickets(&scene.phone);
    let (stream, request) = ask(1).await;
    let first = tickets.answer_allowed(&request).await.expect("looks");
    assert_eq!(first, Answered::AskThePerson, "nothing is allowed yet");
    let allowance = Allowance {
        service: scene.service.main_key(),
        mint: address(&scene.mint),
        unit: unit("vip"),
        most: 1,
        left: 2,
        until: None,
    };
    scene.phone.allow(&allowance).await.expect("kept");
    assert_eq!(tickets.answer_allowed(&request).await.expect("answers"), Answered::Given);
    let CashuStatus::Success { token } = answer(stream).await else { panic!("a token") };
    let expected = Expected { mint: address(&scene.mint), unit: unit("vip"), amount: Some(1) };
    scene.shop.burn("b", &token, &expected).await.expect("burns");

    let (stream, request) = ask(2).await;
    let more = tickets.answer_allowed(&request).await.expect("looks");
    assert_eq!(more, Answered::AskThePerson, "more than one at a time");
    assert_eq!(tickets.answer(&request, false).await.expect("the person says so"), Answered::Given);
    assert!(matches!(answer(stream).await, CashuStatus::Success { .. }));

    let (stream, request) = ask(5).await;
    let poor = tickets.answer(&request, false).await.expect("answers");
    assert_eq!(poor, Answered::InsufficientFunds);
    assert_eq!(answer(stream).await, CashuStatus::InsufficientFunds);

    let (stream, request) = ask(1).await;
    tickets.decline(&request, Some("no".into())).await.expect("answers");
    assert_eq!(answer(stream).await, CashuStatus::Rejected { reason: Some("no".into()) });
    assert!(scene.client.requests().all().is_empty());
}

#[tokio::test]
async fn a_token_that_was_not_asked_for_is_no_success() {
    let scene = scene().await;
    let other = crate::harness::mint().await;
    let ticket = async |from: &StockMint, name: &str, amount| {
        let owner = Owner::new(3, &[from]);
        let minted = owner.open().await.mint("m", given(from, name, amount, None)).await;
        minted.expect("mints").token.expect("a token")
    };
    let right = ticket(&scene.mint, "vip", 1).await;
    let loud = crate::hostile::renamed(&right, &format!("{}/", scene.mint.url().to_uppercase()));
    let cases = [
        (ticket(&other, "vip", 1).await, Some((ErrorCode::WrongTicket, "another mint"))),
        (ticket(&scene.mint, "sat", 1).await, Some((ErrorCode::WrongTicket, "another unit"))),
        (ticket(&scene.mint, "vip", 2).await, Some((ErrorCode::WrongTicket, "another amount"))),
        ("cashuBnonsense".to_owned(), Some((ErrorCode::InvalidToken, "not a Cashu token"))),
        (loud, None),
        (right, None),
    ];
    for (token, wrong) in cases {
        let person = Recipient::new(scene.client.main_key());
        let new = NewCashuRequest { mint_url: scene.mint.url(), unit: "vip".to_owned(), amount: 1 };
        let asked = scene.service.tickets().request(person, new, Call::default()).await;
        let stream = asked.expect("asked").stream;
        let request = next(&scene.client).await;
        let status = CashuStatus::Success { token };
        scene.client.replies().ticket(&request, status).await.expect("replies");
        scene.client.requests().handled(request.id).await.expect("handled");
        let waiting = scene.service.streams();
        let event = tokio::time::timeout(PATIENCE, waiting.wait(stream)).await.expect("in time");
        match (event, wrong) {
            (Ok(PortalEvent::CashuResponse { status: CashuStatus::Success { .. } }), None) => {}
            (Err(portal_core::Error::Ended { code, reason }), Some((expected, text))) => {
                assert_eq!(code, expected);
                assert!(reason.contains(text), "{reason}");
            }
            (event, wrong) => panic!("{event:?} instead of {wrong:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_is_as_long_as_a_message_can_carry_and_no_longer() {
    use portal_core::cashu::MOST_MESSAGE_BYTES;

    let scene = scene().await;
    let longest = format!("cashuB{}", "A".repeat(MOST_MESSAGE_BYTES - 6));
    let gift = send(&scene, &longest).await;
    let RequestBody::TicketGift(body) = &gift.body else { panic!("a gift") };
    assert_eq!(body.token, longest, "its recipient can read it");
    let person = Recipient::new(scene.client.main_key());
    let longer = format!("{longest}A");
    let refused = scene.service.tickets().send(person, longer, Call::default()).await;
    assert!(refused.is_err(), "it would be sent, and read by nobody");
}

#[tokio::test]
async fn an_id_of_any_length_has_one_answer() {
    let scene = scene().await;
    let minted = scene.shop.mint("m", given(&scene.mint, "vip", 2, None)).await.expect("mints");
    scene.phone.receive("r", &minted.token.expect("a token")).await.expect("receives");
    let person = Recipient::new(scene.client.main_key());
    let new = NewCashuRequest { mint_url: scene.mint.url(), unit: "vip".to_owned(), amount: 1 };
    scene.service.tickets().request(person, new, Call::default()).await.expect("asked");
    let mut request = next(&scene.client).await;
    let RequestBody::Ticket(asked) = &mut request.body else { panic!("a question") };
    asked.request_id = RequestId::new("x".repeat(2000));
    let tickets = scene.client.tickets(&scene.phone);
    assert_eq!(tickets.answer(&request, false).await.expect("answers"), Answered::Given);
    assert_eq!(holds(&scene.phone, "vip").await, (1, 0, 1));
}

#[tokio::test]
async fn what_is_no_mint_or_no_unit_cannot_be_asked_for() {
    let scene = scene().await;
    for (mint_url, unit) in [("mint.example.com", "vip"), ("https://mint.example.com", "a\nb")] {
        let person = Recipient::new(scene.client.main_key());
        let new =
            NewCashuRequest { mint_url: mint_url.to_owned(), unit: unit.to_owned(), amount: 1 };
        let refused = scene.service.tickets().request(person, new, Call::default()).await;
        assert!(matches!(refused, Err(portal_core::Error::Cashu(_))), "{mint_url} {unit}");
    }
}
