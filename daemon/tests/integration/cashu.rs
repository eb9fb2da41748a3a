//! Tickets through the daemon's socket, with cdk's mint and a person's app.

use portal_core::cashu::{TicketWallet, TicketWalletOptions};
use portal_core::client::Answered;
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::protocol::ticket::CashuStatus;
use portal_core::relay::AddressPolicy;
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_testkit::mint::{Fault, StockMint, StockMintOptions};
use serde_json::{Value, json};

use crate::harness::{Socket, World, soon};

pub async fn wallet(seed: u8) -> TicketWallet {
    let store = TicketStore::in_memory().expect("a store");
    let mut options = TicketWalletOptions::new(Env::system(), Secret::new([seed; 64]), store);
    options.strangers = AddressPolicy::Open;
    TicketWallet::open(options).await.expect("a wallet")
}

pub async fn mint() -> StockMint {
    let options = StockMintOptions { token: Some("secret".into()), ..Default::default() };
    StockMint::start(options).await.expect("a mint")
}

async fn world() -> World {
    let mut world = World::new().await;
    world.tickets = Some(wallet(1).await);
    world
}

fn order(mint: &StockMint, unit: &str, amount: u64) -> Value {
    json!({"mint_url": mint.url(), "unit": unit, "amount": amount, "static_auth_token": "secret"})
}

async fn minted(socket: &mut Socket, key: &str, params: Value) -> String {
    let id = socket.send_once(key, "MintCashu", params).await;
    let answer = socket.answer(&id).await;
    assert_eq!(answer["data"]["type"], "cashu_mint", "{answer}");
    answer["data"]["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_ticket_is_minted_sent_asked_for_and_burned() {
    let world = world().await;
    let mint = mint().await;
    let daemon = world.daemon().await;
    let app = world.app().await;
    let phone = wallet(2).await;
    let mut socket = daemon.socket().await;
    let token = minted(&mut socket, "order-1", order(&mint, "vip", 2)).await;
    assert_eq!(minted(&mut socket, "order-1", order(&mint, "vip", 2)).await, token);

    let params = json!({"main_key": world.person_key(), "subkeys": [], "token": token});
    let sent = socket.data("SendCashuDirect", params).await;
    assert_eq!(sent["message"], "Cashu direct sent");
    let gift = soon("a gift", app.requests().next()).await.expect("the app runs");
    let received = app.tickets(&phone).take(&gift).await.expect("taken");
    assert_eq!(received.map(|received| received.amount), Some(2));

    let params = json!({"recipient_key": world.person_key(), "subkeys": [],
        "mint_url": mint.url(), "unit": "vip", "amount": 1});
    let id = socket.send("RequestCashu", params).await;
    let asked = soon("a request", app.requests().next()).await.expect("the app runs");
    let answered = app.tickets(&phone).answer(&asked, false).await.expect("answers");
    assert_eq!(answered, Answered::Given);
    let answer = socket.answer(&id).await;
    let shown = answer["data"]["status"]["token"].as_str().expect("a token").to_owned();

    let burn = |amount: u64| {
        json!({"mint_url": mint.url(), "unit": "vip", "token": shown,
        "static_auth_token": "secret", "amount": amount})
    };
    let wrong = socket.call("BurnCashu", burn(2)).await;
    assert_eq!(wrong["code"], "wrong_ticket", "{wrong}");
    let burned = socket.data("BurnCashu", burn(1)).await;
    assert_eq!(burned, json!({"type": "cashu_burn", "amount": 1, "kept": 0}));
    let again = socket.call("BurnCashu", burn(1)).await;
    assert_eq!(again["code"], "ticket_spent", "{again}");
    assert!(again["message"].as_str().is_some_and(|it| it.starts_with("Failed to burn cashu")));
    assert_eq!(mint.outstanding("vip").await.expect("says"), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_token_that_was_not_asked_for_is_an_error_and_stays_its_senders() {
    let world = world().await;
    let mint = mint().await;
    let daemon = world.daemon().await;
    let app = world.app().await;
    let mut socket = daemon.socket().await;
    let two = minted(&mut socket, "two", order(&mint, "vip", 2)).await;
    let money = minted(&mut socket, "sat", order(&mint, "sat", 1)).await;
    let one = minted(&mut socket, "one", order(&mint, "vip", 1)).await;
    for (token, code) in [
        (two, Some("wrong_ticket")),
        (money, Some("wrong_ticket")),
        ("cashuBnonsense".to_owned(), Some("invalid_token")),
        (one, None),
    ] {
        // Another spelling of the same mint.
        let url = format!("{}//", mint.url().to_uppercase());
        let params = json!({"recipient_key": world.person_key(), "subkeys": [],
            "mint_url": url, "unit": "VIP", "amount": 1});
        let id = socket.send("RequestCashu", params).await;
        let asked = soon("a request", app.requests().next()).await.expect("the app runs");
        let status = CashuStatus::Success { token: token.clone() };
        app.replies().ticket(&asked, status).await.expect("replies");
        app.requests().handled(asked.id).await.expect("handled");
        let answer = socket.answer(&id).await;
        match code {
            None => assert_eq!(answer["data"]["status"]["token"], token.as_str(), "{answer}"),
            Some(code) => {
                assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)));
                let message = answer["message"].as_str().expect("a text");
                assert!(message.starts_with("Failed to request cashu: "), "{message}");
                assert!(!message.contains("cashuB"), "{message}");
            }
        }
    }
    assert_eq!(mint.outstanding("vip").await.expect("says"), 3, "nothing was spent");
    let refused = socket
        .call(
            "RequestCashu",
            json!({"recipient_key": world.person_key(), "subkeys": [],
                "mint_url": "no mint", "unit": "vip", "amount": 1}),
        )
        .await;
    assert_eq!(refused["code"], "invalid_url", "{refused}");
    daemon.stop().await;
}

#[tokio::test]
async fn what_was_not_delivered_is_listed_and_taken_back() {
    let world = world().await;
    let mint = mint().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let refused =
        socket.call("MintCashu", json!({"mint_url": mint.url(), "unit": "vip", "amount": 1})).await;
    assert_eq!(refused["code"], "mint_unauthorized", "{refused}");
    mint.faults().once("/v1/mint/portal", Fault::LoseAnswer);
    let id = socket.send_once("order", "MintCashu", order(&mint, "vip", 3)).await;
    let lost = socket.answer(&id).await;
    assert_eq!((&lost["code"], &lost["retryable"]), (&json!("mint_unreachable"), &json!(true)));
    let token = minted(&mut socket, "order", order(&mint, "vip", 3)).await;
    assert_eq!(mint.outstanding("vip").await.expect("says"), 3, "minted once");
    let listed = socket.data("GetCashuWallet", json!({})).await;
    assert_eq!(listed["unclaimed"][0]["token"], token.as_str());
    assert_eq!(listed["balances"][0]["given"], 3);
    let back = socket.data("TakeBackCashu", json!({"token": token})).await;
    assert_eq!(back["amount"], 3);
    let listed = socket.data("GetCashuWallet", json!({})).await;
    assert_eq!(
        (&listed["unclaimed"], &listed["balances"][0]["available"]),
        (&json!([]), &json!(3))
    );
    let again = socket.data("TakeBackCashu", json!({"token": token})).await;
    assert_eq!(again["amount"], 3, "whoever did not hear it can ask again");
    let foreign = wallet(3).await;
    let at: portal_core::cashu::MintAddress = mint.url().parse().expect("an address");
    foreign.set_mint_token(&at, &Secret::new("secret".into())).await.expect("kept");
    let new = portal_core::cashu::NewMint {
        mint: at,
        unit: "vip".parse().expect("a unit"),
        amount: 1,
        description: None,
        give: Some(portal_core::cashu::Give::default()),
    };
    let theirs = foreign.mint("m", new).await.expect("mints").token.expect("a token");
    let gone = socket.call("TakeBackCashu", json!({"token": theirs})).await;
    assert_eq!(gone["code"], "not_found", "{gone}");
    daemon.stop().await;
}

#[tokio::test]
async fn what_has_to_be_paid_before_the_mint_issues_is_said() {
    let world = world().await;
    let mint = mint().await;
    mint.pay(false);
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let id = socket.send_once("sats", "MintCashu", order(&mint, "sat", 21)).await;
    let unpaid = socket.answer(&id).await;
    assert_eq!((&unpaid["code"], &unpaid["retryable"]), (&json!("ticket_pending"), &json!(true)));
    let request = unpaid["details"]["request"].as_str().expect("what to pay").to_owned();
    let listed = socket.data("GetCashuWallet", json!({})).await;
    assert_eq!(
        (&listed["open"][0]["kind"], &listed["open"][0]["amount"]),
        (&json!("mint"), &json!(21))
    );
    assert_eq!(listed["open"][0]["unpaid"], request.as_str());
    mint.pay(true);
    assert_eq!(mint.pay_open_quotes().await.expect("paid"), 1);
    minted(&mut socket, "sats", order(&mint, "sat", 21)).await;
    let listed = socket.data("GetCashuWallet", json!({})).await;
    assert_eq!((&listed["open"], &listed["balances"][0]["given"]), (&json!([]), &json!(21)));
    daemon.stop().await;
}

#[tokio::test]
async fn a_verdict_that_does_not_stand_is_not_kept_under_a_key() {
    let world = world().await;
    let mint = mint().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let ticket = minted(&mut socket, "vip", order(&mint, "vip", 1)).await;
    let look = json!({"mint_url": mint.url(), "unit": "vip", "token": ticket, "amount": 1});
    let mut check = async || {
        let id = socket.send_once("door", "CheckTicket", look.clone()).await;
        socket.answer(&id).await["data"]["verdict"].clone()
    };
    mint.faults().always("/v1/info", Fault::Hang);
    mint.faults().always("/v1/melt", Fault::Hang);
    assert_eq!(check().await, "unreachable");
    mint.faults().clear();
    let busy = json!({"code": 11002, "detail": "pending"}).to_string();
    mint.faults().once("/v1/melt/portal", Fault::Answer(400, busy));
    assert_eq!(check().await, "pending");
    assert_eq!(check().await, "valid");
    assert_eq!(check().await, "valid", "the same look, not a second one");
    daemon.stop().await;
}

#[tokio::test]
async fn burned_money_is_the_merchants_and_a_verdict_is_given_at_the_door() {
    let world = world().await;
    let mint = mint().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let phone = wallet(2).await;
    let money = minted(&mut socket, "sat", order(&mint, "sat", 21)).await;
    phone.receive("r", &money).await.expect("receives");
    let new = portal_core::cashu::NewSend {
        mint: mint.url().parse().expect("an address"),
        unit: "sat".parse().expect("a unit"),
        amount: 20,
        give: portal_core::cashu::Give::default(),
        purpose: portal_core::cashu::Purpose::PassOn,
    };
    let paid = phone.send("s", new).await.expect("sends").token;
    let burned = socket
        .data("BurnCashu", json!({"mint_url": mint.url(), "unit": "sat", "token": paid}))
        .await;
    assert_eq!((&burned["amount"], &burned["kept"]), (&json!(20), &json!(20)));

    let ticket = minted(&mut socket, "vip", order(&mint, "vip", 1)).await;
    let look =
        |token: &str| json!({"mint_url": mint.url(), "unit": "vip", "token": token, "amount": 1});
    let verdict = socket.data("CheckTicket", look(&ticket)).await;
    assert_eq!(verdict, json!({"type": "ticket_verdict", "verdict": "valid", "amount": 1}));
    assert_eq!(socket.data("CheckTicket", look(&ticket)).await["verdict"], "used");
    assert_eq!(socket.data("CheckTicket", look(&paid)).await["verdict"], "wrong_event");
    let nonsense = socket.data("CheckTicket", look("hello")).await;
    assert_eq!(
        (&nonsense["verdict"], &nonsense["reason"]),
        (&json!("refused"), &json!("unreadable"))
    );
    let events = socket.data("ListTicketEvents", json!({})).await;
    assert_eq!(events["events"][0]["event"]["type"], "spent", "{events}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_gift_of_many_tickets_is_several_messages() {
    let world = world().await;
    let mint = mint().await;
    let daemon = world.daemon().await;
    let app = world.app().await;
    let phone = wallet(2).await;
    let mut socket = daemon.socket().await;
    let token = minted(&mut socket, "many", order(&mint, "vip", 320)).await;
    let params = json!({"main_key": world.person_key(), "subkeys": [], "token": token});
    socket.data("SendCashuDirect", params).await;
    let mut received = 0;
    for _ in 0..3 {
        let gift = soon("a gift", app.requests().next()).await.expect("the app runs");
        received += app.tickets(&phone).take(&gift).await.expect("taken").expect("received").amount;
    }
    assert_eq!(received, 320);
    daemon.stop().await;
}

#[tokio::test]
async fn without_a_wallet_the_commands_say_so() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let params = json!({"mint_url": "https://mint.example.com", "unit": "vip", "amount": 1,
        "token": "cashuB"});
    for command in ["MintCashu", "BurnCashu", "CheckTicket", "TakeBackCashu", "GetCashuWallet"] {
        let answer = socket.call(command, params.clone()).await;
        assert_eq!(answer["code"], "not_configured", "{command}: {answer}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn who_waits_for_ticket_events_hears_at_once_and_not_for_ever() {
    let world = world().await;
    let shop = world.tickets.clone().expect("a wallet");
    let options =
        StockMintOptions { token: Some("secret".into()), sockets: true, ..Default::default() };
    let mint = StockMint::start(options).await.expect("a mint");
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let ticket = minted(&mut socket, "order", order(&mint, "vip", 1)).await;
    let nothing = socket.data("ListTicketEvents", json!({"wait": 1})).await;
    assert_eq!(nothing["events"], json!([]));
    let asked = socket.send("ListTicketEvents", json!({"after": 0, "wait": 30})).await;
    let told = async {
        wallet(2).await.receive("r", &ticket).await.expect("receives");
        socket.answer(&asked).await
    };
    let answer = tokio::select! {
        ended = shop.listen() => panic!("{ended:?}"),
        answer = told => answer,
    };
    assert_eq!(answer["data"]["events"][0]["event"]["type"], "spent", "{answer}");
    // Who still waits does not keep the daemon from stopping.
    socket.send("ListTicketEvents", json!({"after": 1_000, "wait": 30})).await;
    daemon.stop().await;
}
