//! Streams that are read again: long ones, several at once, and from the right place.

use portal_core::primitives::StreamId;
use serde_json::{Value, json};

use crate::harness::{World, asked, wallet_app, yes};

/// More than a socket may hold.
const LONG: u64 = 5_000;

fn stream(number: u128) -> StreamId {
    StreamId::from_uuid(uuid::Uuid::from_u128(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn long_streams_are_read_to_their_end_on_one_socket() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let streams = [stream(1), stream(2)];
    for stream in streams {
        world.log(stream, LONG);
    }
    let mut socket = daemon.socket().await;
    for stream in streams {
        socket.send("ResumeStream", json!({"stream_id": stream, "after": 9})).await;
    }
    let mut next = [10; 2];
    let mut answered = 0;
    while next != [LONG; 2] {
        let frame = socket.frame().await;
        if frame["type"] == "success" {
            assert_eq!(frame["data"]["events"], LONG);
            answered += 1;
            continue;
        }
        let place = usize::from(frame["id"] == json!(streams[1]));
        assert_eq!(frame["index"], next[place], "each once, in order");
        next[place] += 1;
    }
    assert_eq!(answered, 2);
    socket.assert_quiet().await;
    assert!(daemon.state.service.node().hub().is_empty());
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_asks_twice_for_a_stream_hears_each_event_once() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let params = json!({"static_token": "tag"});
    let mut socket = daemon.socket().await;
    let first = socket.data("NewKeyHandshakeUrl", params.clone()).await;
    assert_eq!(first, socket.data("NewKeyHandshakeUrl", params).await);
    let stream = first["stream_id"].as_str().expect("a stream").to_owned();
    let url = first["url"].as_str().expect("a URL");
    app.handshakes().send(url, wallet_app()).await.expect("sent");
    assert_eq!(socket.notification(&stream).await["index"], 0);
    socket.data("ResumeStream", json!({"stream_id": stream})).await;
    assert_eq!(socket.notification(&stream).await["index"], 0, "asked for again");
    socket.assert_quiet().await;
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_scan_of_a_tag_is_heard_by_whoever_repeats_the_command() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let params = json!({"static_token": "tag"});
    let mut socket = daemon.socket().await;
    let id = socket.send_once("tag", "NewKeyHandshakeUrl", params.clone()).await;
    let opened = socket.answer(&id).await["data"].take();
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    let url = opened["url"].as_str().expect("a URL").to_owned();
    app.handshakes().send(&url, wallet_app()).await.expect("sent");
    assert_eq!(socket.notification(&stream).await["index"], 0);
    drop(socket);
    let mut socket = daemon.socket().await;
    let id = socket.send_once("tag", "NewKeyHandshakeUrl", params.clone()).await;
    assert_eq!(socket.answer(&id).await["data"], opened, "the same place");
    assert_eq!(socket.notification(&stream).await["index"], 0, "missed by the lost socket");
    let mut other = daemon.socket().await;
    let now = other.data("NewKeyHandshakeUrl", params).await;
    assert_eq!(now["last_index"], 0, "without the key: from now on");
    other.assert_quiet().await;
    let id = socket.send_once("tag", "ListenClosedRecurringPayment", Value::Null).await;
    assert_eq!(socket.answer(&id).await["code"], "idempotency_conflict");
    drop((socket, other));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_to_streams_that_are_over_or_whose_socket_is_gone() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let login = json!({"main_key": world.person_key(), "subkeys": []});
    let id = socket.send("AuthenticateKey", login).await;
    let request = asked(&app).await;
    app.replies().login(&request, yes()).await.expect("replied");
    assert_eq!(socket.answer(&id).await["type"], "success");
    for _ in 0..20 {
        socket.send("NewKeyHandshakeUrl", Value::Null).await;
    }
    // The socket goes while its commands are under way.
    drop(socket);
    let service = daemon.state.service.clone();
    crate::harness::until("nobody listens", || service.node().hub().is_empty()).await;
    daemon.stop().await;
}
