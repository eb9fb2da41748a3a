//! A daemon that stops and comes back with what it had.

use portal_core::client::RequestBody;
use serde_json::{Value, json};

use crate::harness::{TOKEN, World, asked, wallet_app, yes};

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_login_survives_a_restart() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let login = json!({"main_key": world.person_key(), "subkeys": []});
    let mut socket = daemon.socket().await;
    socket.send_once("login", "AuthenticateKey", login.clone()).await;
    let request = asked(&app).await;
    daemon.stop().await;
    let daemon = world.daemon().await;
    app.replies().login(&request, yes()).await.expect("replied");
    let mut socket = daemon.socket().await;
    let id = socket.send_once("login", "AuthenticateKey", login).await;
    let answer = socket.answer(&id).await;
    assert_eq!(answer["data"]["event"]["user_key"], world.person_key(), "{answer}");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_came_while_nobody_listened_is_read_later() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let opened = socket
        .data(
            "RequestSinglePayment",
            json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"description": "x", "amount": 3000, "currency": "Millisats"}}),
        )
        .await;
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    daemon.stop().await;
    world.pay(&wanted.invoice).await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    socket.data("ResumeStream", json!({"stream_id": stream})).await;
    let heard = socket.notification(&stream).await;
    assert_eq!((&heard["index"], &heard["data"]["status"]["status"]), (&json!(0), &json!("paid")));
    let (status, read) = daemon.get_json(&format!("/events/{stream}"), Some(TOKEN)).await;
    assert_eq!(status, 200);
    assert_eq!(read["data"]["events"].as_array().map(Vec::len), Some(1));
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_tag_works_after_a_restart() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let params = json!({"static_token": "tag"});
    let before = daemon.socket().await.data("NewKeyHandshakeUrl", params.clone()).await;
    daemon.stop().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let after = socket.data("NewKeyHandshakeUrl", params).await;
    assert_eq!(before, after);
    let url = after["url"].as_str().expect("a URL");
    app.handshakes().send(url, wallet_app()).await.expect("sent");
    let heard = socket.notification(after["stream_id"].as_str().expect("a stream")).await;
    assert_eq!(heard["data"]["main_key"], world.person_key());
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_are_not_repeated_unless_they_are_asked_for() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let closes = socket.data("ListenClosedRecurringPayment", Value::Null).await;
    let stream = closes["stream_id"].as_str().expect("a stream").to_owned();
    let service = daemon.state.service.main_key();
    app.subscriptions().close(service, "one".into(), None).await.expect("sent");
    assert_eq!(socket.notification(&stream).await["index"], 0);
    daemon.stop().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let closes = socket.data("ListenClosedRecurringPayment", Value::Null).await;
    assert_eq!((&closes["stream_id"], &closes["last_index"]), (&json!(stream), &json!(0)));
    app.subscriptions().close(service, "two".into(), None).await.expect("sent");
    assert_eq!(socket.notification(&stream).await["data"]["subscription_id"], "two");
    let mut other = daemon.socket().await;
    other.data("ResumeStream", json!({"stream_id": stream})).await;
    assert_eq!(other.notification(&stream).await["data"]["subscription_id"], "one");
    assert_eq!(other.notification(&stream).await["data"]["subscription_id"], "two");
    drop(socket);
    daemon.stop().await;
}
