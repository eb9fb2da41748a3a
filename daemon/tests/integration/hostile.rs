//! What strangers send, and what callers should not.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::{SinkExt, StreamExt};
use portal_daemon::config::LimitsConfig;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Options, TOKEN, World, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_so_every_time_and_then_slowed_down() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    for _ in 0..10 {
        let mut socket = daemon.stranger().await;
        let answer = socket.call("Auth", json!({"token": "wrong"})).await;
        assert_eq!(
            (&answer["type"], &answer["message"]),
            (&json!("error"), &json!("Authentication failed"))
        );
        assert_eq!(answer["code"], "auth_failed");
        assert_eq!(socket.try_frame().await, Err(Some(1008)));
    }
    let mut socket = daemon.stranger().await;
    let answer = socket.call("Auth", json!({"token": "wrong"})).await;
    assert_eq!((&answer["code"], &answer["retryable"]), (&json!("rate_limited"), &json!(true)));
    assert_eq!(socket.try_frame().await, Err(Some(1008)));
    assert_eq!(daemon.get("/events/x", Some("wrong")).await.0, 429);
    // Whoever has the token goes on, though the guesses come from the same address.
    assert_eq!(daemon.get("/events/x", Some(TOKEN)).await.0, 404);
    let mut socket = daemon.socket().await;
    for _ in 0..20 {
        let again = socket.call("Auth", json!({"token": TOKEN})).await;
        assert_eq!(again["type"], "success", "{again}");
    }
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_begin_with_the_token_is_told_and_closed() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.stranger().await;
    socket.send_text("not JSON").await;
    let answer = socket.frame().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(""), &json!("invalid_request")));
    let answer = socket.call("GetWalletInfo", json!(null)).await;
    assert_eq!(
        (&answer["message"], &answer["code"]),
        (&json!("Not authenticated"), &json!("unauthenticated"))
    );
    assert_eq!(socket.try_frame().await, Err(Some(1008)));
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_are_few_and_do_not_stay() {
    let world = World::new().await;
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let limits = LimitsConfig { trusted_proxies: vec![here], ..LimitsConfig::default() };
    let daemon = world.daemon_with(Options { limits, ..Options::default() }).await;
    let mut strangers = Vec::new();
    for _ in 0..16 {
        strangers.push(daemon.through_proxy("1.1.1.1, 10.0.0.9").await.expect("accepted"));
    }
    match daemon.through_proxy("10.0.0.9").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the seventeenth got in"),
    }
    strangers.push(daemon.through_proxy("10.0.0.10").await.expect("someone else"));
    for mut stranger in strangers {
        // Nothing was asked, so no frame answers; the close says why.
        let close = soon("the close", stranger.stream.next()).await.expect("told");
        match close.expect("a frame") {
            Message::Close(Some(frame)) => {
                assert_eq!(u16::from(frame.code), 1008);
                assert_eq!(frame.reason.as_str(), "unauthenticated");
            }
            other => panic!("a close, not {other:?}"),
        }
    }
    daemon.socket().await.assert_quiet().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_have_a_limit_before_and_after_the_login() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let frame = |size: usize| {
        let padding = "x".repeat(size);
        json!({"id": "big", "cmd": "VerifyJwt", "params": {"pubkey": padding, "token": ""}})
            .to_string()
    };
    for size in [70 << 10, 3 << 20] {
        let mut socket = daemon.stranger().await;
        // The daemon may close before all of it is written.
        drop(soon("written or refused", socket.stream.send(Message::text(frame(size)))).await);
        if let Ok(last_words) = socket.try_frame().await {
            assert_eq!(last_words["code"], "too_large");
        }
    }
    let mut socket = daemon.socket().await;
    socket.send_text(frame(900 << 10)).await;
    assert_eq!(socket.answer("big").await["code"], "invalid_key");
    drop(soon("written or refused", socket.stream.send(Message::text(frame(2 << 20)))).await);
    if let Ok(last_words) = socket.try_frame().await {
        assert_eq!((&last_words["id"], &last_words["code"]), (&json!(""), &json!("too_large")));
    }
    daemon.socket().await.assert_quiet().await;
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_and_harms_nobody() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (mut socket, mut other) = (daemon.socket().await, daemon.socket().await);
    let huge = "9".repeat(400);
    for (text, id) in [
        ("", json!("")),
        ("[]", json!("")),
        ("{\"id\":", json!("")),
        (r#"{"id":null,"cmd":"GetWalletInfo"}"#, json!("")),
        (r#"{"id":7,"cmd":"Nonsense"}"#, json!(7)),
        (
            r#"{"id":"a","cmd":"IssueJwt","params":{"target_key":"x","duration_hours":1e300}}"#,
            json!("a"),
        ),
        (
            &format!(
                r#"{{"id":"b","cmd":"CalculateNextOccurrence","params":{{"calendar":"daily","from":{huge}}}}}"#
            ),
            json!("b"),
        ),
        (r#"{"id":"c","cmd":"RequestSinglePayment","params":{"main_key":5}}"#, json!("c")),
        (r#"{"id":"d","cmd":"FetchProfile","params":{"main_key":{"a":[]}}}"#, json!("d")),
        (r#"{"id":"e","cmd":"NewKeyHandshakeUrl","params":[]}"#, json!("e")),
    ] {
        socket.send_text(text).await;
        let answer = socket.frame().await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &id), "{text}: {answer}");
        let message = answer["message"].as_str().expect("a text");
        assert!(message.starts_with("Invalid command format: "), "{message}");
    }
    let key = world.person_key();
    for (cmd, params, code) in [
        ("IssueJwt", json!({"target_key": key, "duration_hours": i64::MAX}), "invalid_time"),
        (
            "RequestInvoice",
            json!({"recipient_key": key, "subkeys": [], "content": {"amount": 1_000,
            "currency": "Millisats", "expires_at": u64::MAX}}),
            "invalid_time",
        ),
        (
            "RequestInvoice",
            json!({"recipient_key": key, "subkeys": [], "content": {"amount": u64::MAX,
            "currency": "Millisats", "expires_at": 0}}),
            "invalid_amount",
        ),
        (
            "RequestSinglePayment",
            json!({"main_key": key, "subkeys": [], "payment_request": {"amount": 0,
            "currency": "Millisats"}}),
            "invalid_amount",
        ),
        ("PayInvoice", json!({"invoice": "lnbc1nonsense"}), "invalid_invoice"),
        ("CalculateNextOccurrence", json!({"calendar": "Sat..Xyz", "from": 0}), "invalid_calendar"),
    ] {
        let answer = socket.call(cmd, params).await;
        assert_eq!(answer["code"], code, "{cmd}: {answer}");
    }
    let far = json!({"calendar": "*-*-* 00:00:00", "from": u64::MAX.to_string()});
    assert_eq!(socket.data("CalculateNextOccurrence", far).await["next_occurrence"], json!(null));
    soon("ignored", socket.stream.send(Message::binary(vec![0; 100]))).await.expect("open");
    socket.assert_quiet().await;
    other.assert_quiet().await;
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_is_closed_and_nobody_else_notices() {
    let world = World::new().await;
    let limits = LimitsConfig { stalled_reader_seconds: 1, ..LimitsConfig::default() };
    let daemon = world.daemon_with(Options { limits, ..Options::default() }).await;
    let (mut stalled, mut other) = (daemon.socket().await, daemon.socket().await);
    // Answers that are not read fill the kernel's buffers, then the daemon's.
    let command = json!({"id": "x".repeat(250), "cmd": "CalculateNextOccurrence",
        "params": {"calendar": "daily", "from": 0}})
    .to_string();
    let flood =
        async { while stalled.stream.send(Message::text(command.clone())).await.is_ok() {} };
    let watch = async {
        for _ in 0..50 {
            other.assert_quiet().await;
        }
    };
    tokio::join!(soon("the stalled reader is closed", flood), watch);
    other.assert_quiet().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_can_be_limited() {
    let world = World::new().await;
    let limits = LimitsConfig { commands_per_second: 3, ..LimitsConfig::default() };
    let daemon = world.daemon_with(Options { limits, ..Options::default() }).await;
    let mut socket = daemon.socket().await;
    let mut codes = Vec::new();
    for _ in 0..30 {
        let answer =
            socket.call("CalculateNextOccurrence", json!({"calendar": "daily", "from": 0})).await;
        codes.push(answer["code"].clone());
    }
    assert_eq!(codes[0], json!(null));
    assert!(codes.contains(&json!("rate_limited")), "{codes:?}");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_are_bounded_until_they_are_sockets() {
    let world = World::new().await;
    // A quarter of all is what this machine may have.
    let limits = LimitsConfig {
        connections: 12,
        plain_connections_per_address: 2,
        unauthenticated_sockets_per_address: 1,
        ..LimitsConfig::default()
    };
    let daemon = world.daemon_with(Options { limits, ..Options::default() }).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(daemon.socket().await);
    }
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(daemon.address).await.expect("accepted"));
    }
    let mut refused = TcpStream::connect(daemon.address).await.expect("by the system");
    let read = soon("an end", refused.read(&mut [0; 16])).await;
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    drop(idle);
    let again = async { while daemon.try_get("/health").await.is_none() {} };
    soon("there is room again", again).await;
    for socket in &mut sockets {
        socket.assert_quiet().await;
    }
    drop(sockets);
    daemon.stop().await;
}
