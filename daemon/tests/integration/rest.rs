//! Plain HTTP.

use serde_json::json;

use crate::harness::{TOKEN, World, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_the_two_letters_that_clients_compare_with() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    assert_eq!(daemon.get("/health", None).await, (200, "OK".to_owned()));
    assert_eq!(daemon.get("/livez", None).await.0, 200);
    let (status, version) = daemon.get_json("/version", None).await;
    assert_eq!((status, &version["version"]), (200, &json!(env!("CARGO_PKG_VERSION"))));
    assert!(version["git_commit"].is_string());
    assert_eq!(daemon.get("/nothing", None).await.0, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_the_truth_about_relays() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let (status, ready) = daemon.get_json("/readyz", None).await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)), "{ready}");
    assert_eq!(ready["relays"], json!({"connected": 1, "total": 1}));
    world.relay.stop().await;
    let service = daemon.state.service.clone();
    until("the relay is gone", || {
        !service.relays().status().iter().any(|relay| relay.is_connected())
    })
    .await;
    // An answer counts for two seconds.
    let told = async {
        loop {
            let (status, ready) = daemon.get_json("/readyz", None).await;
            if status == 503 {
                break ready;
            }
        }
    };
    let ready = soon("the truth", told).await;
    assert_eq!((&ready["ready"], &ready["relays"]["connected"]), (&json!(false), &json!(0)));
    assert_eq!(daemon.get("/health", None).await.0, 200, "alive all the same");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_name_is_where_other_sites_look_for_it() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let key = daemon.state.service.main_key().to_hex();
    for path in ["/.well-known/nostr.json", "/.well-known/nostr.json?name=_"] {
        let (status, names) = daemon.get_json(path, None).await;
        assert_eq!(status, 200);
        assert_eq!(names["names"], json!({"_": key}));
        assert_eq!(names["relays"][&key], json!([world.relay.url()]));
    }
    let (_, names) = daemon.get_json("/.well-known/nostr.json?name=someone", None).await;
    assert_eq!(names["names"], json!({}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_reads_nothing() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    for (path, bearer, reason) in [
        ("/events/x", None, "Missing Authorization header"),
        ("/events/x", Some("wrong"), "Invalid token"),
        ("/ws", None, "Missing Authorization header"),
    ] {
        let (status, body) = daemon.get_json(path, bearer).await;
        assert_eq!(status, 401);
        assert_eq!(body["error"], format!("Authentication failed: {reason}"));
    }
    let (status, body) = daemon.get_json("/events/x", Some(TOKEN)).await;
    assert_eq!((status, &body["success"]), (404, &json!(false)));
    assert_eq!(body["code"], "stream_not_found");
    let (status, _) = daemon.get("/ws", Some(TOKEN)).await;
    assert!((400..500).contains(&status), "{status}");
    let (status, body) = daemon.get_json("/events/recurring-payment-close", Some(TOKEN)).await;
    assert_eq!((status, &body["data"]["events"]), (200, &json!([])));
    let closes = "/events/recurring-payment-close";
    assert_eq!(daemon.get(&format!("{closes}?after="), Some(TOKEN)).await.0, 200);
    for bad in ["x", "-1", "1&after=2"] {
        let (status, body) = daemon.get_json(&format!("{closes}?after={bad}"), Some(TOKEN)).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid_request")), "{bad}");
        assert_eq!(daemon.get(&format!("{closes}?after={bad}"), None).await.0, 401);
    }
    daemon.stop().await;
}
