//! The program as its users run it: keys in files, a wallet against a service, the doctor.

mod prices;
mod tickets;
mod world;

use portal_core::event::{PaymentUpdate, PortalEvent};
use portal_core::protocol::Currency;
use portal_core::protocol::auth::AuthStatus;
use portal_core::service::{Call, NewHandshake, NewSinglePayment, Recipient};
use portal_core::wallet::simulated::Fault;
use portal_core::wallet::{LightningWallet, PaymentHash};
use serde_json::Value;
use tempfile::TempDir;
use world::{DevDaemon, Ear, Running, World, daemon_program, run, run_with, soon};

fn payment(amount: u64) -> NewSinglePayment {
    NewSinglePayment {
        amount,
        currency: Currency::Millisats,
        description: Some("Coffee\u{1b}[2J".to_owned()),
        auth_token: None,
        subscription_id: None,
        request_id: None,
    }
}

/// The wallet opens a URL of the service; who they are.
async fn handshake(world: &World, wallet: &mut Running) -> Recipient {
    let logins = world.service.logins();
    let opened = logins.handshake_url(NewHandshake::default(), Call::default()).await;
    let opened = opened.expect("a URL");
    wallet.record("ready").await;
    wallet.types(&opened.url).await;
    wallet.record("opened").await;
    let mut ear = Ear::on(&world.service, opened.stream).await;
    let PortalEvent::KeyHandshake { main_key, .. } = ear.next().await else {
        panic!("a handshake")
    };
    Recipient::new(main_key)
}

#[cfg(unix)]
fn mode(path: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_key_is_encrypted_private_and_shown_only_when_asked() {
    let folder = TempDir::new().expect("a folder");
    let (made, records) = run(folder.path(), &["key", "new"]).await;
    assert!(made && records.len() == 1);
    let record = &records[0];
    let (npub, file) = (record["npub"].as_str(), record["file"].as_str().expect("a path"));
    assert!(npub.is_some_and(|npub| npub.starts_with("npub1")));
    assert_eq!((record.get("words"), record.get("nsec")), (None, None));
    assert!(std::fs::read_to_string(file).expect("a file").starts_with("ncryptsec1"));
    #[cfg(unix)]
    assert_eq!(mode(file), 0o600);

    let (shown, again) = run(folder.path(), &["key", "show"]).await;
    assert!(shown && again[0]["npub"].as_str() == npub && again[0].get("nsec").is_none());
    let (_, revealed) = run(folder.path(), &["key", "show", "--reveal"]).await;
    assert!(revealed[0]["nsec"].as_str().is_some_and(|nsec| nsec.starts_with("nsec1")));

    let (overwritten, refusal) = run(folder.path(), &["key", "new"]).await;
    assert!(!overwritten);
    assert_eq!(refusal[0]["code"], "key_exists");

    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "wrong\n").expect("written");
    let wrong = wrong.to_str().expect("utf-8");
    let (opened, refusal) = run(folder.path(), &["key", "show", "--password-file", wrong]).await;
    assert!(!opened);
    assert_eq!(refusal[0]["code"], "key_locked");
}

#[tokio::test]
async fn a_wrong_command_line_is_a_record_for_programs() {
    let folder = TempDir::new().expect("a folder");
    for (arguments, said) in [
        (&["wallet", "--limits", "3"][..], "unexpected argument '--limits' found"),
        (&["key", "encrypt"], "the following required arguments were not provided: <"),
        (&["dance"], "unrecognized subcommand 'dance'"),
    ] {
        let (ran, records) = run(folder.path(), arguments).await;
        assert!(!ran && records.len() == 1, "{records:?}");
        let record = &records[0];
        assert_eq!((&record["type"], &record["code"]), (&"error".into(), &"usage".into()));
        assert!(record["message"].as_str().is_some_and(|it| it.starts_with(said)), "{record}");
    }
}

#[tokio::test]
async fn logs_have_no_colours_where_nobody_looks_at_a_terminal() {
    let folder = TempDir::new().expect("a folder");
    let mut command = world::portal(folder.path());
    command.args(["doctor", "--url", "http://127.0.0.1:9", "--relay", "ws://127.0.0.1:9"]);
    let output = soon("the doctor", command.env("RUST_LOG", "trace").output()).await;
    let log = String::from_utf8(output.expect("it runs").stderr).expect("utf-8");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn words_lead_to_the_key_and_a_bare_key_can_be_encrypted() {
    let folder = TempDir::new().expect("a folder");
    let (_, made) = run(folder.path(), &["key", "new", "--reveal"]).await;
    let words = made[0]["words"].as_str().expect("words");
    assert_eq!(words.split(' ').count(), 12);
    let plain = folder.path().join("plain");
    std::fs::write(&plain, words).expect("written");
    let (plain, sealed) = (plain.to_str().expect("utf-8"), folder.path().join("sealed"));
    let sealed = sealed.to_str().expect("utf-8");
    let (done, record) = run(folder.path(), &["key", "encrypt", plain, "--file", sealed]).await;
    assert!(done);
    assert_eq!(record[0]["npub"], made[0]["npub"]);
    let (_, shown) = run(folder.path(), &["key", "show", "--file", sealed]).await;
    assert_eq!(shown[0]["npub"], made[0]["npub"]);

    let other = folder.path().join("raw");
    let other = other.to_str().expect("utf-8");
    let (_, raw) = run(folder.path(), &["key", "new", "--raw", "--reveal", "--file", other]).await;
    assert_eq!(raw[0].get("words"), None);
    assert!(raw[0]["nsec"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_wallet_logs_in_and_pays_up_to_its_limit() {
    let world = World::new().await;
    let mut wallet = world.wallet(&["--auto", "--limit", "5000"]);
    let person = handshake(&world, &mut wallet).await;

    let logins = world.service.logins();
    let login = logins.authenticate(person.clone(), Call::default()).await.expect("asked");
    let answer = soon("the login", world.service.streams().wait(login.stream)).await;
    let PortalEvent::AuthenticateKey { user_key, status, .. } = answer.expect("answered") else {
        panic!("an answer to the challenge")
    };
    let AuthStatus::Approved { session_token, .. } = status else { panic!("approved") };
    let claims = world.service.tokens().verify(user_key, &session_token).expect("a good token");
    assert_eq!(claims.target, world.service.main_key());
    let lifetime = claims.expires_at.saturating_since(claims.issued_at.expect("it says"));
    assert_eq!(lifetime.as_secs(), 24 * 60 * 60);

    let payments = world.service.payments();
    let cheap = payments.request_single(person.clone(), payment(5_000), Call::default()).await;
    let mut ear = Ear::on(&world.service, cheap.expect("asked").stream).await;
    let asked = loop {
        let asked = wallet.record("request").await;
        if asked["kind"] == "payment" {
            break asked;
        }
    };
    assert_eq!(asked["amount_msat"], 5_000);
    assert_eq!(asked["description"], "Coffee [2J", "nothing that moves the cursor");
    let paid = wallet.record("paid").await;
    assert_eq!(paid["amount_msat"], 5_000);
    ear.until(|update| matches!(update, PaymentUpdate::Paid { .. })).await;

    let dear = payments.request_single(person, payment(5_001), Call::default()).await;
    let mut ear = Ear::on(&world.service, dear.expect("asked").stream).await;
    let refused = ear.until(|_| true).await;
    assert!(matches!(refused, PaymentUpdate::UserRejected { reason: Some(_) }), "{refused:?}");
    assert_eq!(world.network.settled().len(), 1);
    assert!(wallet.interrupt().await.success());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_and_both_answers_count() {
    let world = World::new().await;
    let mut wallet = world.wallet(&[]);
    let person = handshake(&world, &mut wallet).await;
    for (typed, approved) in [("n", false), ("y", true)] {
        let login = world.service.logins().authenticate(person.clone(), Call::default()).await;
        let stream = login.expect("asked").stream;
        let asked = wallet.record("request").await;
        assert_eq!((asked["kind"].as_str(), asked["name"].as_str()), (Some("login"), None));
        wallet.types("perhaps").await;
        wallet.types(typed).await;
        let answer = soon("the answer", world.service.streams().wait(stream)).await;
        let PortalEvent::AuthenticateKey { status, .. } = answer.expect("answered") else {
            panic!("an answer to the challenge")
        };
        assert_eq!(matches!(status, AuthStatus::Approved { .. }), approved);
    }
    // With nobody left to answer it ends by itself.
    assert!(wallet.falls_silent().await.success());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_a_crash_interrupts_is_finished_and_made_once() {
    let world = World::new().await;
    let mut wallet = world.wallet(&["--auto", "--limit", "5000"]);
    let person = handshake(&world, &mut wallet).await;
    world.person.order(Fault::PayLater);
    let payments = world.service.payments();
    let asked = payments.request_single(person, payment(2_000), Call::default()).await;
    let mut ear = Ear::on(&world.service, asked.expect("asked").stream).await;
    let shown = wallet.record("request").await;
    let hash = hex::decode(shown["payment_hash"].as_str().expect("a hash")).expect("hex");
    ear.until(|update| *update == PaymentUpdate::UserApproved).await;
    let hash = PaymentHash(hash.try_into().expect("32 bytes"));
    let under_way = async {
        while world.person.lookup(hash).await.expect("it answers").is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon("the payment", under_way).await;
    wallet.kill().await;

    let mut wallet = world.wallet(&["--auto", "--limit", "0"]);
    wallet.record("resumed").await;
    world.network.settle(hash).expect("it is under way");
    let paid = wallet.record("paid").await;
    assert_eq!(paid["amount_msat"], 2_000);
    ear.until(|update| matches!(update, PaymentUpdate::Paid { .. })).await;
    assert_eq!(world.network.settled().len(), 1);
    assert!(wallet.interrupt().await.success());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_cannot_pay_tells_the_person_why_and_the_service_only_that() {
    let world = World::new().await;
    let mut wallet = world.wallet(&["--auto", "--limit", "2000000000"]);
    let person = handshake(&world, &mut wallet).await;
    let payments = world.service.payments();
    let asked = payments.request_single(person, payment(1_000_000_001), Call::default()).await;
    let mut ear = Ear::on(&world.service, asked.expect("asked").stream).await;
    let failed = wallet.record("payment_failed").await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("INSUFFICIENT")));
    let told = ear.until(|update| matches!(update, PaymentUpdate::UserFailed { .. })).await;
    assert_eq!(told, PaymentUpdate::UserFailed { reason: Some("the wallet could not pay".into()) });
    assert!(world.network.settled().is_empty());
    assert!(wallet.interrupt().await.success());
    world.end().await;
}

#[tokio::test]
async fn a_demo_without_a_daemon_says_what_to_do() {
    let folder = TempDir::new().expect("a folder");
    let missing = folder.path().join("daemon");
    let missing = missing.to_str().expect("utf-8");
    let (shown, records) = run(folder.path(), &["demo", "--daemon", missing]).await;
    let last = records.last().expect("a record");
    assert!(!shown && last["code"] == "demo_failed" && last["advice"].is_string(), "{last}");
}

#[tokio::test]
async fn a_demo_goes_from_the_login_to_a_burned_ticket() {
    let folder = TempDir::new().expect("a folder");
    let daemon = daemon_program();
    // With any of these the daemon would not even start; with real ones, money would move.
    let own = [
        ("BREEZ_MNEMONIC", "no words of a wallet"),
        ("NWC_URL", "no link"),
        ("NOSTR_KEY", "no key"),
        ("PORTAL__NOSTR__RELAYS", "no relay"),
    ];
    let (shown, records) = run_with(folder.path(), &own, &["demo", "--daemon", &daemon]).await;
    let last = records.last().expect("a record");
    assert!(shown && last["type"] == "result" && last["tickets_ms"].is_number(), "{last}");
    let steps = records.iter().filter(|record| record["type"] == "step");
    let steps: Vec<String> =
        steps.map(|step| format!("{} {}", step["actor"], step["text"]).replace('"', "")).collect();
    let in_order = [
        "backend sees the money in its own wallet",
        "backend mints a VIP ticket",
        "backend sends it",
        "person has it",
        "wallet shows 1 × VIP Pass",
        "backend asks for the ticket",
        "person agrees and shows it",
        "backend burns it",
    ];
    let mut rest = steps.iter();
    for step in in_order {
        assert!(rest.any(|shown| shown.starts_with(step)), "{step}: {steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wallets_of_one_key_do_not_run_at_once() {
    let world = World::new().await;
    let mut wallet = world.wallet(&[]);
    wallet.record("ready").await;
    let relay = world.relay.url();
    let (ran, refusal) = run(world.folder.path(), &["wallet", "--relay", &relay]).await;
    assert!(!ran);
    assert_eq!(refusal.last().map(|record| &record["code"]), Some(&"in_use".into()));
    assert!(wallet.interrupt().await.success());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_good_from_bad_by_record_and_exit_code() {
    let (world, daemon) = (World::new().await, DevDaemon::start().await);
    let relay = world.relay.url();
    let folder = world.folder.path();
    let level = |records: &[Value], area: &str| -> Vec<String> {
        let of_area = records.iter().filter(|record| record["area"] == area);
        of_area.map(|record| record["level"].as_str().unwrap_or("").to_owned()).collect()
    };
    let nowhere = ["--url", "http://127.0.0.1:9", "--daemon", "/nonexistent/daemon"];
    let program = daemon_program();
    let daemons = ["--url", &daemon.url, "--daemon", &program];
    let arguments = ["doctor", "--relay", &relay, "--nwc", world.nwc.expose()];
    let arguments = [&arguments[..], &daemons, &["--token-file", &daemon.token_file]].concat();
    let (healthy, records) = run(folder, &arguments).await;
    assert!(healthy, "{records:?}");
    // It answers, has its relay and its wallet, and takes the token.
    assert_eq!(level(&records, "daemon"), ["ok", "ok", "ok", "ok"], "{records:?}");
    assert_eq!(level(&records, "relay"), ["ok"]);
    // It may spend: fit for a person, and a daemon would not use it.
    assert_eq!(level(&records, "wallet"), ["ok", "warn", "ok"]);
    assert_eq!(level(&records, "key"), ["ok"]);
    let result = records.last().expect("a result");
    assert_eq!((&result["type"], &result["ok"]), (&"result".into(), &true.into()));

    let wrong = world.folder.path().join("wrong-token");
    std::fs::write(&wrong, "not-the-token").expect("written");
    let wrong = wrong.to_str().expect("utf-8");
    let arguments = ["doctor", "--relay", &relay, "--token-file", wrong];
    let (healthy, records) = run(folder, &[&arguments[..], &daemons].concat()).await;
    assert!(!healthy);
    assert_eq!(level(&records, "daemon"), ["ok", "ok", "ok", "bad"], "{records:?}");
    let told = records.iter().find(|record| record["level"] == "bad").expect("one");
    assert_eq!(told["message"], "it refuses the token");

    let mut arguments = vec!["doctor", "--relay", relay.as_str()];
    arguments.extend(nowhere);
    let (healthy, records) = run(folder, &arguments).await;
    assert!(!healthy);
    assert_eq!(level(&records, "daemon"), ["bad"]);
    assert!(records.iter().all(|record| record["level"] != "bad" || record["advice"].is_string()));
    let secret = world.nwc.expose();
    assert!(!records.iter().any(|record| record.to_string().contains(secret)));
    world.end().await;
}
