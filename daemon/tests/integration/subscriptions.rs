//! Subscriptions that the daemon charges, over a socket.

use portal_core::client::{Client, RequestBody};
use portal_core::primitives::ErrorCode;
use portal_core::protocol::subscription::RecurringStatus;
use serde_json::{Value, json};

use crate::harness::{Options, Socket, World, asked};

/// The person agrees to the request that waits for them.
async fn agree(app: &Client) {
    let request = asked(app).await;
    let RequestBody::Recurring(wanted) = &request.body else { panic!("{request:?}") };
    let status = RecurringStatus::Confirmed {
        subscription_id: "sub-1".to_owned(),
        authorized_amount: wanted.amount,
        authorized_currency: wanted.currency.clone(),
        authorized_recurrence: wanted.recurrence.clone(),
    };
    app.replies().recurring(&request, status).await.expect("open");
    app.requests().handled(request.id).await.expect("saved");
}

fn wanted(world: &World, now: u64, schedule: &Value) -> Value {
    let mut wanted = json!({
        "main_key": world.person_key(), "subkeys": [],
        "payment_request": {
            "amount": 5000, "currency": "Millisats", "description": "Daily",
            "expires_at": (now + 300).to_string(),
            "recurrence": {"calendar": "daily", "first_payment_due": now.to_string()},
        },
    });
    if !schedule.is_null() {
        wanted["payment_request"]["schedule"] = schedule.clone();
    }
    wanted
}

/// Reads notifications of a stream until one has this status.
async fn until_status(socket: &mut Socket, stream: &str, wanted: &str) -> Value {
    loop {
        let event = socket.notification(stream).await;
        assert_eq!(event["data"]["type"], "subscription_update");
        if event["data"]["status"]["status"] == wanted {
            return event["data"]["status"].clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_charged_paused_changed_listed_and_cancelled() {
    let world = World::new().await;
    let daemon = world.daemon_with(Options { charges: true, ..Options::default() }).await;
    let app = world.app().await;
    let mut socket = daemon.socket().await;
    let now = daemon.state.service.now().as_secs();
    let schedule = json!({"time_zone": "Europe/Rome", "catch_up": "latest"});
    let id = socket.send("RequestRecurringPayment", wanted(&world, now, &schedule)).await;
    agree(&app).await;
    let answer = socket.answer(&id).await;
    assert_eq!(answer["data"]["status"]["status"]["status"], "confirmed");
    let stream = answer["data"]["schedule_stream_id"].as_str().expect("its stream").to_owned();

    let resumed = socket.data("ResumeStream", json!({"stream_id": stream})).await;
    assert_eq!((&resumed["type"], &resumed["open"]), (&json!("stream_resumed"), &json!(true)));
    let scheduled = until_status(&mut socket, &stream, "scheduled").await;
    assert_eq!(scheduled["subscription_id"], "sub-1");
    let charge = until_status(&mut socket, &stream, "charge_created").await;
    assert_eq!((&charge["period"], &charge["amount"]), (&json!(0), &json!(5000)));
    let request = asked(&app).await;
    let RequestBody::Payment(payment) = &request.body else { panic!("{request:?}") };
    assert_eq!(payment.subscription_id.as_deref(), Some("sub-1"));
    world.pay(&payment.invoice).await;
    let paid = until_status(&mut socket, &stream, "charge_paid").await;
    assert_eq!((&paid["paid"], &paid["payment"]), (&json!(1), &charge["payment"]));

    let named = json!({"stream_id": stream});
    let it = socket.data("PauseSubscription", named.clone()).await;
    assert_eq!(
        (&it["type"], &it["subscription"]["status"]),
        (&json!("subscription"), &json!("paused"))
    );
    assert_eq!(it["subscription"]["time_zone"], "Europe/Rome");
    let it = socket.data("ResumeSubscription", named.clone()).await;
    assert_eq!(it["subscription"]["status"], "active");
    let change = json!({"stream_id": stream, "amount": 7000, "prorate": false});
    let it = socket.data("ChangeSubscription", change).await;
    assert_eq!(it["subscription"]["amount"], 7000);
    let it = socket.data("GetSubscription", named.clone()).await;
    assert_eq!(
        (&it["subscription"]["paid"], &it["subscription"]["period"]),
        (&json!(1), &json!(1))
    );
    let all = socket.data("ListSubscriptions", json!({"main_key": world.person_key()})).await;
    assert_eq!(all["subscriptions"].as_array().map(Vec::len), Some(1));
    assert_eq!(all["subscriptions"][0]["stream_id"], json!(stream));

    let cancel = json!({"stream_id": stream, "reason": "sold out"});
    let it = socket.data("CancelSubscription", cancel.clone()).await;
    assert_eq!(it["subscription"]["status"], "closed");
    until_status(&mut socket, &stream, "closed").await;
    let told = loop {
        let request = asked(&app).await;
        app.requests().handled(request.id).await.expect("saved");
        if let RequestBody::SubscriptionClosed(close) = request.body {
            break close;
        }
    };
    assert_eq!(told.subscription_id, "sub-1");
    let again = socket.call("CancelSubscription", cancel).await;
    assert_eq!(again["code"], ErrorCode::InvalidRequest.word());
    let open = socket.data("ListSubscriptions", json!({"open": true})).await;
    assert_eq!(open["subscriptions"], json!([]));
    app.shutdown().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_agreed_to_before_is_taken_over() {
    let world = World::new().await;
    let daemon = world.daemon_with(Options { charges: true, ..Options::default() }).await;
    let mut socket = daemon.socket().await;
    let later = daemon.state.service.now().as_secs() + 86_400;
    let subscription = json!({
        "subscription_id": "older", "amount": 1000, "currency": "Millisats",
        "recurrence": {"calendar": "monthly", "first_payment_due": later.to_string(), "max_payments": 3},
    });
    let command = json!({"main_key": world.person_key(), "subscription": subscription});
    let key = "take over";
    let id = socket.send_once(key, "ScheduleSubscription", command.clone()).await;
    let first = socket.answer(&id).await;
    assert_eq!(first["data"]["subscription"]["status"], "active");
    assert_eq!(first["data"]["subscription"]["next_due"], json!(later.to_string()));
    let id = socket.send_once(key, "ScheduleSubscription", command.clone()).await;
    assert_eq!(socket.answer(&id).await["data"], first["data"], "once");
    let error = socket.call("ScheduleSubscription", command).await;
    assert_eq!(error["code"], ErrorCode::InvalidRequest.word(), "it is charged already");
    let all = socket.data("ListSubscriptions", json!({})).await;
    assert_eq!(all["subscriptions"].as_array().map(Vec::len), Some(1));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_is_wrong() {
    let world = World::new().await;
    let daemon = world.daemon_with(Options { charges: true, ..Options::default() }).await;
    let mut socket = daemon.socket().await;
    let unknown = "018bcfe5-687b-7fff-bfff-ffffffffffff";
    for (command, params, code) in [
        ("PauseSubscription", json!({"stream_id": unknown}), ErrorCode::NotFound),
        ("GetSubscription", json!({"stream_id": "x"}), ErrorCode::NotFound),
        ("ChangeSubscription", json!({"stream_id": unknown, "amount": 0}), ErrorCode::NotFound),
        ("ListSubscriptions", json!({"main_key": "x"}), ErrorCode::InvalidKey),
        ("CancelSubscription", json!({}), ErrorCode::InvalidRequest),
    ] {
        let error = socket.call(command, params).await;
        assert_eq!(error["code"], code.word(), "{command}");
    }
    let now = daemon.state.service.now().as_secs();
    let zone = wanted(&world, now, &json!({"time_zone": "Mars/Olympus"}));
    let error = socket.call("RequestRecurringPayment", zone).await;
    assert_eq!(error["code"], ErrorCode::InvalidCalendar.word());
    for calendar in ["fortnightly", "*-13-01", "*-*-* 10:00:00 Mars/Olympus"] {
        let mut asked = wanted(&world, now, &json!({}));
        asked["payment_request"]["recurrence"]["calendar"] = json!(calendar);
        let error = socket.call("RequestRecurringPayment", asked).await;
        assert_eq!(error["code"], ErrorCode::InvalidCalendar.word(), "{calendar}: {error}");
        let recurrence = json!({"calendar": calendar, "first_payment_due": now.to_string()});
        let agreed = json!({"main_key": world.person_key(), "subscription": {
            "subscription_id": "older", "amount": 1000, "currency": "Millisats",
            "recurrence": recurrence}});
        let error = socket.call("ScheduleSubscription", agreed).await;
        assert_eq!(error["code"], ErrorCode::InvalidCalendar.word(), "{calendar}: {error}");
    }
    daemon.stop().await;

    let off = world.daemon().await;
    let mut socket = off.socket().await;
    let error = socket.call("RequestRecurringPayment", wanted(&world, now, &json!({}))).await;
    assert_eq!(error["code"], ErrorCode::NotConfigured.word(), "it is off by default");
    off.stop().await;
}
