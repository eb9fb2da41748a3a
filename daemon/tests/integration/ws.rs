//! What a backend does over the socket.

use futures_util::{SinkExt, StreamExt};
use portal_core::client::RequestBody;
use portal_core::protocol::payment::PaymentStatus;
use portal_core::protocol::subscription::RecurringStatus;
use portal_core::protocol::ticket::CashuStatus;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Options, World, approve_login, asked, soon, wallet_app};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_opens_the_url_and_is_logged_in() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let opened = socket.data("NewKeyHandshakeUrl", json!({})).await;
    assert_eq!(opened["type"], "key_handshake_url");
    let url = opened["url"].as_str().expect("a URL");
    app.handshakes().send(url, wallet_app()).await.expect("sent");
    let stream = opened["stream_id"].as_str().expect("a stream");
    let heard = socket.notification(stream).await;
    assert_eq!(heard["index"], 0);
    assert_eq!(heard["data"]["type"], "key_handshake");
    assert_eq!(heard["data"]["main_key"], world.person_key());
    assert_eq!(heard["data"]["preferred_relays"], json!([world.relay.url()]));

    let login = json!({"main_key": world.person_key(), "subkeys": []});
    let id = socket.send("AuthenticateKey", login).await;
    approve_login(&app).await;
    let answer = socket.answer(&id).await;
    assert_eq!(answer["type"], "success");
    assert_eq!(answer["data"]["type"], "auth_response");
    let event = &answer["data"]["event"];
    assert_eq!(event["user_key"], world.person_key());
    assert_eq!(event["recipient"], world.person_key());
    assert_eq!(event["status"]["status"], "approved");
    assert_eq!(event["status"]["session_token"], "session");
    socket.assert_quiet().await;
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_goes_its_way_and_ends_with_the_wallets_word() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let opened = socket
        .data(
            "RequestSinglePayment",
            json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"description": "Coffee", "amount": 2000, "currency": "Millisats"}}),
        )
        .await;
    assert_eq!(opened["type"], "single_payment");
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    assert_eq!(wanted.description.as_deref(), Some("Coffee"));
    assert!(wanted.request_id.as_str().parse::<uuid::Uuid>().is_ok(), "random, not the id");
    app.replies().payment(&request, PaymentStatus::Approved).await.expect("replied");
    let heard = socket.notification(&stream).await;
    assert_eq!(
        heard["data"],
        json!({"type": "payment_status_update",
        "status": {"status": "user_approved"}})
    );
    world.pay(&wanted.invoice).await;
    let heard = socket.notification(&stream).await;
    assert_eq!((&heard["index"], &heard["data"]["status"]["status"]), (&json!(1), &json!("paid")));
    assert!(heard["data"]["status"]["preimage"].is_string());

    let (status, read) =
        daemon.get_json(&format!("/events/{stream}?after=0"), Some("0123456789")).await;
    assert_eq!(status, 200);
    assert_eq!(read["data"]["events"][0]["index"], 1);
    assert_eq!(read["data"]["events"][0]["status"], heard["data"]["status"]);
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_invoices_and_tickets_are_answered_by_the_person() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let key = world.person_key();
    let closes = socket.data("ListenClosedRecurringPayment", Value::Null).await;

    let id = socket
        .send(
            "RequestRecurringPayment",
            json!({"main_key": key, "subkeys": [], "payment_request": {
            "amount": 10_000, "currency": "Millisats", "expires_at": 4_000_000_000_u64,
            "recurrence": {"calendar": "monthly", "first_payment_due": "4000000000"}}}),
        )
        .await;
    // An end that far away is refused, whichever way it is written.
    assert_eq!(socket.answer(&id).await["code"], "invalid_time");
    let in_an_hour = portal_core::env::Env::system().now().as_secs() + 3600;
    let id = socket
        .send(
            "RequestRecurringPayment",
            json!({"main_key": key, "subkeys": [], "payment_request": {
            "amount": 10_000, "currency": "Millisats", "expires_at": in_an_hour,
            "recurrence": {"calendar": "monthly", "first_payment_due": in_an_hour.to_string()}}}),
        )
        .await;
    let request = asked(&app).await;
    let RequestBody::Recurring(wanted) = &request.body else { panic!("{request:?}") };
    let confirmed = RecurringStatus::Confirmed {
        subscription_id: "sub-1".into(),
        authorized_amount: wanted.amount,
        authorized_currency: wanted.currency.clone(),
        authorized_recurrence: wanted.recurrence.clone(),
    };
    app.replies().recurring(&request, confirmed).await.expect("replied");
    let answer = socket.answer(&id).await;
    assert_eq!(answer["data"]["type"], "recurring_payment");
    let status = &answer["data"]["status"]["status"];
    assert_eq!(
        (&status["status"], &status["subscription_id"]),
        (&json!("confirmed"), &json!("sub-1"))
    );
    assert_eq!(status["authorized_recurrence"]["first_payment_due"], in_an_hour.to_string());

    let id = socket
        .send(
            "RequestCashu",
            json!({"recipient_key": key, "subkeys": [],
            "mint_url": "https://mint.example.com", "unit": "sat", "amount": 1}),
        )
        .await;
    let request = asked(&app).await;
    app.replies().ticket(&request, CashuStatus::InsufficientFunds).await.expect("replied");
    assert_eq!(
        socket.answer(&id).await["data"],
        json!({"type": "cashu_response", "status": {"status": "insufficient_funds"}})
    );

    let gift = json!({"main_key": key, "subkeys": [], "token": "cashuBtoken"});
    assert_eq!(
        socket.data("SendCashuDirect", gift).await,
        json!({"type": "send_cashu_direct_success", "message": "Cashu direct sent"})
    );
    assert!(matches!(asked(&app).await.body, RequestBody::TicketGift(_)));
    let close = json!({"main_key": key, "subkeys": [], "subscription_id": "sub-1"});
    assert_eq!(
        socket.data("CloseRecurringPayment", close).await,
        json!({"type": "close_recurring_payment_success", "message": "Recurring payment closed"})
    );

    let service = daemon.state.service.main_key();
    app.subscriptions().close(service, "sub-1".into(), None).await.expect("sent");
    let heard = socket.notification(closes["stream_id"].as_str().expect("a stream")).await;
    assert_eq!(heard["data"]["type"], "closed_recurring_payment");
    assert_eq!(heard["data"]["subscription_id"], "sub-1");
    assert_eq!(heard["data"]["main_key"], key);
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_relay_took_is_not_called_sent() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    world.relay.stop().await;
    let gift = json!({"main_key": world.person_key(), "subkeys": [], "token": "cashuBtoken"});
    let answer = socket.call("SendCashuDirect", gift).await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("not_delivered")));
    assert_eq!(answer["retryable"], true);
    let message = answer["message"].as_str().expect("a text");
    assert!(message.starts_with("Failed to send cashu direct: "), "{message}");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_commands_are_answered() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let key = world.person_key();
    assert_eq!(
        socket
            .data(
                "CalculateNextOccurrence",
                json!({"calendar": "*-*-01 00:00:00", "from": "1767225600"})
            )
            .await,
        json!({"type": "calculate_next_occurrence", "next_occurrence": "1767225600"})
    );
    assert_eq!(
        socket
            .data(
                "CalculateNextOccurrence",
                json!({"calendar": "*-*-01 00:00:00", "from": 1_767_225_600, "exclusive": true})
            )
            .await,
        json!({"type": "calculate_next_occurrence", "next_occurrence": "1769904000"})
    );
    let issued = socket.data("IssueJwt", json!({"target_key": key, "duration_hours": 1})).await;
    let pubkey = daemon.state.service.public_key().to_hex();
    let verified =
        socket.data("VerifyJwt", json!({"pubkey": pubkey, "token": issued["token"]})).await;
    assert_eq!(verified, json!({"type": "verify_jwt", "target_key": key}));
    let forged = socket.call("VerifyJwt", json!({"pubkey": key, "token": issued["token"]})).await;
    assert_eq!(forged["code"], "invalid_token");
    let mut wallet = socket.data("GetWalletInfo", json!({})).await;
    let at = wallet["balance_at"].take();
    assert!(at.as_str().is_some_and(|at| at.parse::<u64>().is_ok()), "a moment: {at}");
    assert_eq!(
        wallet,
        json!({"type": "wallet_info", "wallet_type": "simulated", "balance_msat": 1_000_000,
            "balance_at": null, "stale": false, "network": "regtest", "caps_fees": true})
    );
    let relay = json!({"relay": world.relay.url()});
    assert_eq!(socket.data("AddRelay", relay.clone()).await["relay"], world.relay.url());
    assert_eq!(socket.call("AddRelay", json!({"relay": "http://x"})).await["code"], "invalid_url");
    let profile = json!({"profile": {"id": "x", "pubkey": "y", "name": "shop", "about": "z"}});
    let set = socket.data("SetProfile", profile).await;
    assert_eq!(
        set,
        json!({"type": "profile", "profile": {"name": "shop", "display_name": null,
        "picture": null, "nip05": null}})
    );
    for (cmd, params) in [
        ("AuthenticateKey", json!({"main_key": "zz", "subkeys": []})),
        ("FetchProfile", json!({"main_key": ""})),
    ] {
        let answer = socket.call(cmd, params).await;
        assert_eq!(answer["code"], "invalid_key");
        assert!(answer["message"].as_str().expect("a text").starts_with("Invalid main key: "));
    }
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_set_up_is_called_not_configured() {
    let world = World::new().await;
    let daemon = world.daemon_with(Options { wallet: false, ..Options::default() }).await;
    let mut socket = daemon.socket().await;
    let key = world.person_key();
    let payment = |currency: &str| {
        json!({"main_key": key, "subkeys": [],
        "payment_request": {"description": "x", "amount": 1999, "currency": currency}})
    };
    let mint = json!({"mint_url": "https://m.example", "unit": "sat", "amount": 1});
    let burn = json!({"mint_url": "https://m.example", "unit": "sat", "token": "cashuB"});
    for (cmd, params) in [
        ("GetWalletInfo", Value::Null),
        ("PayInvoice", json!({"invoice": "lnbc1"})),
        ("RequestSinglePayment", payment("Millisats")),
        ("RequestSinglePayment", payment("EUR")),
        ("MintCashu", mint),
        ("BurnCashu", burn),
    ] {
        let answer = socket.call(cmd, params).await;
        assert_eq!(answer["code"], "not_configured", "{cmd}: {answer}");
        assert!(answer["message"].as_str().expect("a text").starts_with("Failed to "), "{answer}");
    }
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_token_is_one_url_and_one_stream_for_everyone() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let params = json!({"static_token": "table 7 & more", "no_request": null});
    let first = socket.data("NewKeyHandshakeUrl", params.clone()).await;
    let again = socket.data("NewKeyHandshakeUrl", params.clone()).await;
    assert_eq!((&first["url"], &first["stream_id"]), (&again["url"], &again["stream_id"]));
    let url = first["url"].as_str().expect("a URL");
    let stream = first["stream_id"].as_str().expect("a stream");
    for index in 0..2 {
        app.handshakes().send(url, wallet_app()).await.expect("sent");
        assert_eq!(socket.notification(stream).await["index"], index);
    }
    socket.assert_quiet().await;
    let later = daemon.socket().await.data("NewKeyHandshakeUrl", params).await;
    assert_eq!(later["last_index"], 1, "what happened before is not repeated");
    let mistakable = json!({"static_token": "table%207%20%26%20more"});
    let refused = socket.call("NewKeyHandshakeUrl", mistakable).await;
    assert_eq!(refused["code"], "invalid_token", "{refused}");
    let revoke = json!({"static_token": "table 7 & more"});
    assert_eq!(socket.data("RevokeStaticToken", revoke.clone()).await["revoked"], true);
    assert_eq!(socket.data("RevokeStaticToken", revoke).await["revoked"], false);
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_command_is_found_again_after_a_lost_socket() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let login = json!({"main_key": world.person_key(), "subkeys": []});
    let mut socket = daemon.socket().await;
    socket.send_once("login-1", "AuthenticateKey", login.clone()).await;
    let request = asked(&app).await;
    drop(socket);
    let mut socket = daemon.socket().await;
    let id = socket.send_once("login-1", "AuthenticateKey", login.clone()).await;
    app.replies().login(&request, crate::harness::yes()).await.expect("replied");
    let answer = socket.answer(&id).await;
    assert_eq!(answer["data"]["type"], "auth_response");
    let id = socket.send_once("login-1", "AuthenticateKey", login).await;
    assert_eq!(socket.answer(&id).await["data"], answer["data"], "answered for good");
    let other = json!({"main_key": daemon.state.service.main_key(), "subkeys": []});
    let id = socket.send_once("login-1", "AuthenticateKey", other).await;
    assert_eq!(socket.answer(&id).await["code"], "idempotency_conflict");
    assert!(app.requests().all().is_empty(), "the person was asked once");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_resumed_from_its_cursor() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let opened = socket
        .data(
            "RequestSinglePayment",
            json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"description": "x", "amount": 2000, "currency": "Millisats"}}),
        )
        .await;
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    app.replies().payment(&request, PaymentStatus::Approved).await.expect("replied");
    assert_eq!(socket.notification(&stream).await["index"], 0);
    drop(socket);
    world.pay(&wanted.invoice).await;
    let mut socket = daemon.socket().await;
    let resumed = socket.data("ResumeStream", json!({"stream_id": stream, "after": 0})).await;
    assert_eq!(
        (&resumed["type"], &resumed["stream_id"]),
        (&json!("stream_resumed"), &json!(stream))
    );
    let heard = socket.notification(&stream).await;
    assert_eq!((&heard["index"], &heard["data"]["status"]["status"]), (&json!(1), &json!("paid")));
    socket.data("ResumeStream", json!({"stream_id": stream})).await;
    assert_eq!(socket.notification(&stream).await["index"], 0);
    assert_eq!(socket.notification(&stream).await["index"], 1);
    for unknown in ["x", "01890a5d-ac96-774b-bcce-b302099a8057"] {
        let answer = socket.call("ResumeStream", json!({"stream_id": unknown})).await;
        assert_eq!(answer["code"], "stream_not_found");
    }
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_paid_once_for_one_key() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let invoice = portal_core::wallet::LightningWallet::make_invoice(
        &*world.person,
        portal_core::wallet::NewInvoice {
            amount: portal_core::primitives::Millisats::new(5_000),
            description: None,
            expiry: std::time::Duration::from_secs(600),
        },
    )
    .await
    .expect("made");
    let mut socket = daemon.socket().await;
    let params = json!({"invoice": invoice.bolt11});
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(socket.send_once("pay-1", "PayInvoice", params.clone()).await);
    }
    let mut answers = Vec::new();
    for id in &ids {
        answers.push(socket.answer(id).await["data"].clone());
    }
    assert_eq!(answers[0]["type"], "pay_invoice");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let left = socket.data("GetWalletInfo", Value::Null).await["balance_msat"].clone();
    assert!(left.as_u64().expect("a number") <= 995_000, "{left}");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_told_when_the_daemon_stops() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let closing = async { while socket.try_frame().await.is_ok() {} };
    tokio::join!(soon("a goodbye", closing), daemon.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_of_the_protocol_is_answered_with_its_own_content() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    soon("written", socket.stream.send(Message::Ping("hello".into()))).await.expect("open");
    let answered = async {
        loop {
            match socket.stream.next().await.expect("open").expect("readable") {
                Message::Pong(content) => break content,
                Message::Ping(_) | Message::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(soon("a pong", answered).await.as_ref(), b"hello");
    socket.assert_quiet().await;
    drop(socket);
    daemon.stop().await;
}
