//! What the books say, copies of them, and what is readable to whom.

use portal_mint::config::DatabaseConfig;
use portal_mint::{Access, Store, StoreError, back_up};
use serde_json::json;

use crate::world::{Books, TOKEN, World, books, within};

#[tokio::test(flavor = "multi_thread")]
async fn information_and_units_are_told_as_wallets_know_them() {
    for books in books("info") {
        within(async {
            let world = World::new(books).await;
            let (status, info) = world.get("/v1/info", None).await;
            assert_eq!(status, 200);
            assert_eq!(info["name"], "Test mint");
            assert!(info["version"].as_str().expect("text").starts_with("portal-mint/"));
            assert_eq!(info["unit_info"]["vip"]["title"], "VIP Pass", "{info}");
            let typed: cdk::nuts::MintInfo =
                serde_json::from_value(info.clone()).expect("wallets read it");
            let melts = &typed.nuts.nut05.methods;
            assert!(melts.iter().all(|it| it.method.as_str() == "portal"), "{melts:?}");
            let unit = world.get("/v1/unit/vip", None).await.1;
            assert_eq!(unit, info["unit_info"]["vip"]);
            assert_eq!(unit["kind"]["Event"]["location"], "Everywhere");
            assert_eq!(world.get("/v1/unit/nothing", None).await.0, 404);
            let keys = world.get("/v1/keys/vip", None).await.1;
            let id = keys["keysets"][0]["id"].as_str().expect("an id").to_owned();
            assert_eq!(world.get(&format!("/v1/keys/{id}"), None).await.1, keys);
            assert_eq!(world.get("/v1/keys/nothing", None).await.0, 400);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_told_to_those_who_may_know() {
    within(async {
        let config = crate::world::usual();
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = portal_mint::auth::TokenFile::default();
        let new = portal_mint::auth::NewToken {
            name: "watch".into(),
            scopes: vec!["metrics".into()],
            units: None,
            expires_at: None,
        };
        let env = portal_core::env::Env::system();
        let watch = file.make(new, &env).expect("made");
        let path = folder.path().join("tokens.toml");
        std::fs::write(&path, file.to_text().expect("text")).expect("written");
        let config = format!("{config}\n[auth]\ntokens_file = {path:?}\n");
        let world = World::with(books("figures").remove(0), config, None, env).await;
        drop(world.issue("vip", 2).await);
        assert_eq!(world.get("/metrics", Some(TOKEN)).await.0, 403, "the static token may not");
        let text = world.get("/metrics", Some(watch.expose())).await.1;
        let text = text.as_str().expect("text");
        assert!(text.contains("portal_mint_sold{unit=\"vip\"} 2"), "{text}");
        assert!(text.contains("operation=\"mint\",status=\"200\""), "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_while_the_mint_is_at_work() {
    within(async {
        let mut world = World::new(Books::Sqlite).await;
        let proofs = world.issue("vip", 4).await;
        let spare = tempfile::tempdir().expect("a folder");
        let copy = spare.path().join("mint.db");
        back_up(world.folder.path(), &copy).expect("copied");
        assert!(back_up(world.folder.path(), &copy).is_err(), "never over another");
        drop(world.issue("vip", 1).await);
        world.stop().await;
        std::fs::copy(world.folder.path().join("mnemonic.txt"), spare.path().join("mnemonic.txt"))
            .expect("copied");
        world.folder = spare;
        world.start().await;
        assert_eq!(world.account("vip").await, (4, 0, 4), "as it was then");
        assert_eq!(world.swap("vip", &proofs).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn what_the_mint_writes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    within(async {
        let world = World::new(Books::Sqlite).await;
        drop(world.issue("vip", 1).await);
        back_up(world.folder.path(), &world.folder.path().join("copy.db")).expect("copied");
        let mut seen = 0;
        for entry in std::fs::read_dir(world.folder.path()).expect("readable") {
            let entry = entry.expect("readable");
            let mode = entry.metadata().expect("readable").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
            seen += 1;
        }
        assert!(seen >= 4, "database, its log, lock, words and copy: {seen}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mint_at_a_time_works_on_a_database_but_sums_can_be_read_beside_it() {
    for books in books("alone") {
        within(async {
            let mut world = World::new(books).await;
            drop(world.issue("vip", 1).await);
            let first = world.mint.take();
            let second = world.try_start().await;
            assert!(second.is_err(), "the database is in use");
            if let Books::Sqlite = world.books {
                let beside =
                    Store::open(&DatabaseConfig::Sqlite, world.folder.path(), Access::Beside)
                        .await
                        .expect("open");
                assert_eq!(beside.accounts().await.expect("sums")[0].sold, 1);
            }
            first.expect("it runs").stop().await;
            world.start().await;
            assert_eq!(world.account("vip").await.0, 1);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_looks_makes_no_books() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("data");
    let opened = Store::open(&DatabaseConfig::Sqlite, &place, Access::Beside).await;
    assert!(matches!(opened.err(), Some(StoreError::None { .. })));
    assert!(!place.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_as_long_as_the_file_says() {
    within(async {
        let config =
            crate::world::usual().replace("enabled_swap", "mint_max_bat = 2\nenabled_swap");
        let env = portal_core::env::Env::system();
        let world = World::with(books("batch").remove(0), config, None, env).await;
        let mut quotes = Vec::new();
        for _ in 0..3 {
            quotes.push(world.quote("bolt11", "vip", 1).await["quote"].clone());
        }
        let outputs = world.outputs("vip", 3).await;
        let asked = json!({ "quotes": quotes, "outputs": outputs.json() });
        let (status, answer) = world.post("/v1/mint/bolt11/batch", Some(TOKEN), asked).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(11_017)), "{answer}");
        let outputs = world.outputs("vip", 2).await;
        let asked = json!({ "quotes": &quotes[..2], "outputs": outputs.json() });
        let (status, answer) = world.post("/v1/mint/bolt11/batch", Some(TOKEN), asked).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(outputs.proofs(&answer).len(), 2);
    })
    .await;
}

/// Ends the connection whose session keeps other mints away, as a restart of the server does.
#[cfg(feature = "postgres")]
async fn cut_the_lock(connection: &str) {
    let of_schema = |word: &&str| word.starts_with("schema=");
    let words = || connection.split_whitespace();
    let server: Vec<&str> = words().filter(|word| !of_schema(word)).collect();
    let schema = words().find(of_schema).and_then(|word| word.split_once('=')).expect("named").1;
    let (client, driver) = tokio_postgres::connect(&server.join(" "), tokio_postgres::NoTls)
        .await
        .expect("the server answers");
    let driver = tokio::spawn(driver);
    client.batch_execute(&format!("SET search_path TO {schema}")).await.expect("a schema");
    // Its name is in two halves there.
    let cut = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_locks, \
         LATERAL (SELECT hashtextextended('portal-mint:' || current_database() || ':' \
             || current_schema(), 0) AS name) AS own \
         WHERE locktype = 'advisory' AND objsubid = 1 \
             AND ((classid::bigint << 32) | objid::bigint) = own.name";
    let ended: i64 = client.query_one(cut, &[]).await.expect("an answer").get(0);
    assert_eq!(ended, 1, "one connection was ended");
    drop(client);
    driver.await.expect("no panic").expect("it ends well");
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_to_postgres_does_not_let_two_mints_in_for_long() {
    for books in books("alone") {
        let Books::Postgres(server) = books else { continue };
        within(async {
            let connection = portal_core::primitives::Secret::new(server.clone());
            let config = DatabaseConfig::Postgres { connection, max_connections: 4 };
            let folder = std::path::Path::new("/nowhere");
            let open = || Store::open(&config, folder, Access::Alone);
            let first = open().await.expect("opens");
            first.keep().await.expect("it is ours");
            assert!(matches!(open().await.err(), Some(StoreError::InUse)));

            cut_the_lock(&server).await;
            first.keep().await.expect("nobody was faster: it is ours again");
            assert!(matches!(open().await.err(), Some(StoreError::InUse)));

            cut_the_lock(&server).await;
            let second = open().await.expect("the lock was free");
            let lost = first.keep().await;
            assert!(matches!(lost, Err(StoreError::InUse)), "{lost:?}");
            drop(second);
        })
        .await;
    }
}
