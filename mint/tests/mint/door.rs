//! Tokens, scopes, switches, other spellings of paths, and what browsers may do.

use std::time::Duration;

use portal_core::env::Env;
use portal_mint::auth::{NewToken, TokenFile};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{TOKEN, World, books, usual, within};

/// A point that no proof is about.
const Y: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

const QUOTE: &str = "/v1/mint/quote/portal";

async fn world(test: &str) -> World {
    World::new(books(test).remove(0)).await
}

/// Sends a request line as it is, which no client library would.
async fn raw(world: &World, line: &str, headers: &str, body: &str) -> String {
    let mut stream =
        tokio::net::TcpStream::connect(world.mint().address()).await.expect("connected");
    let request = format!(
        "{line} HTTP/1.1\r\nHost: mint\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn guarded_operations_need_the_token_in_either_header() {
    within(async {
        let world = world("guard").await;
        let asked = json!({ "unit": "vip", "amount": 1 });
        let (status, answer) = world.post(QUOTE, None, asked.clone()).await;
        assert_eq!((status, answer["code"].as_u64()), (401, Some(30_001)));
        let (status, answer) = world.post(QUOTE, Some("not the token at all"), asked.clone()).await;
        assert_eq!((status, answer["code"].as_u64()), (401, Some(30_002)));
        assert_eq!(world.post(QUOTE, Some(TOKEN), asked.clone()).await.0, 200);
        let clear = world
            .http
            .post(format!("{}{QUOTE}", world.url()))
            .header("Clear-auth", TOKEN)
            .json(&asked);
        assert_eq!(clear.send().await.expect("an answer").status().as_u16(), 200);
        for (path, guarded) in [
            ("/v1/mint/portal", true),
            ("/v1/mint/portal/batch", true),
            ("/v1/mint/quote/portal/check", true),
            ("/v1/mint/bolt11", true),
            ("/v1/mint/bolt11/batch", true),
            ("/v1/melt/quote/portal", true),
            ("/v1/melt/portal", true),
            ("/v1/swap", false),
            ("/v1/checkstate", false),
            ("/v1/restore", false),
        ] {
            let (status, _) = world.post(path, None, json!({})).await;
            assert_eq!(status == 401, guarded, "{path}: {status}");
        }
        for path in ["/v1/info", "/v1/keys", "/v1/keysets", "/v1/unit/vip", "/health"] {
            assert_eq!(world.get(path, None).await.0, 200, "{path}");
        }
        assert_eq!(world.get("/metrics", None).await.0, 401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_spelling_of_a_path_gets_past_the_door() {
    within(async {
        let world = world("spelling").await;
        let body = r#"{"unit":"vip","amount":1}"#;
        for path in [
            "/v1/mint/quote/portal/",
            "//v1/mint/quote/portal",
            "/v1//mint/quote/portal",
            "/v1/mint//quote/portal",
            "/v1/%6dint/quote/portal",
            "/v1/mint/%71uote/portal",
            "/v1/mint%2Fquote/portal",
            "/v1/./mint/quote/portal",
            "/v1/keys/../mint/quote/portal",
            "/V1/mint/quote/portal",
            "/v1/MINT/quote/portal",
            "/v1/mint/quote/PORTAL",
            "/v1/mint/quote/portal;x=1",
            "/v1/mint/quote/portal%00",
            "/v1/mint/quote/portal%20",
            "/v1/auth/blind/mint",
            "http://mint//v1/mint/quote/portal",
        ] {
            let answer = raw(&world, &format!("POST {path}"), "", body).await;
            let status = answer.split(' ').nth(1).expect("a status");
            assert!(matches!(status, "404" | "401" | "400"), "{path}: {answer}");
            assert!(!answer.contains("\"quote\""), "{path}: {answer}");
        }
        // A query and a whole address are the same path, and as guarded.
        for path in ["/v1/mint/quote/portal?x=1", "http://mint/v1/mint/quote/portal"] {
            let answer = raw(&world, &format!("POST {path}"), "", body).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
        }
        // Two headers, of which one is right, are as good as the right one; a wrong scheme is none.
        let basic = format!("Authorization: Basic {TOKEN}\r\n");
        let answer = raw(&world, "POST /v1/mint/quote/portal", &basic, body).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_guarded_like_the_question_about_proofs() {
    within(async {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let guarded = usual().replace("enabled_check_proof_state = false", "");
        let books = books("socket").remove(0);
        let world = World::with(books, guarded, None, Env::system()).await;
        let answer = raw(&world, "GET /v1/ws", upgrade, "").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert_eq!(world.post("/v1/checkstate", None, json!({ "Ys": [] })).await.0, 401);
        let info = world.get("/v1/info", None).await.1;
        assert!(
            info["nuts"]
                .get("17")
                .is_none_or(|it| it["supported"].as_array().is_none_or(Vec::is_empty)),
            "{info}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_send_the_tokens_headers() {
    within(async {
        let world = world("browser").await;
        let answer = raw(
            &world,
            "OPTIONS /v1/mint/quote/portal",
            "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization, clear-auth, content-type\r\n",
            "",
        )
        .await
        .to_lowercase();
        assert!(answer.starts_with("http/1.1 204"), "{answer}");
        assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
        let allowed = answer
            .lines()
            .find(|line| line.starts_with("access-control-allow-headers:"))
            .expect("the headers");
        assert!(allowed.contains("authorization") && allowed.contains("clear-auth"), "{allowed}");
        for line in ["GET /v1/keys", "POST /v1/swap", "GET /nothing"] {
            let answer =
                raw(&world, line, "Origin: https://shop.example\r\n", "").await.to_lowercase();
            let count = answer.matches("access-control-allow-origin").count();
            assert_eq!(count, 1, "{line}: once, or browsers refuse it\n{answer}");
        }
    })
    .await;
}

/// A wallet that hangs up in the middle leaves nothing pending.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_is_finished_although_nobody_waits_for_it() {
    within(async {
        let world = world("hangup").await;
        for _ in 0..10 {
            let proofs = world.issue("vip", 1).await;
            let outputs = world.outputs("vip", 1).await;
            let body = json!({ "inputs": proofs, "outputs": outputs.json() }).to_string();
            let mut stream =
                tokio::net::TcpStream::connect(world.mint().address()).await.expect("connected");
            let head = format!(
                "POST /v1/swap HTTP/1.1\r\nHost: mint\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.expect("written");
            stream.write_all(body.as_bytes()).await.expect("written");
            drop(stream);
            // Whichever came first, in the end they are spent: by that swap, or by one of these.
            loop {
                let (status, answer, _) = world.swap("vip", &proofs).await;
                if status == 200 || answer["code"] == 11_001 {
                    break;
                }
                assert_eq!(answer["code"], 11_002, "{answer}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_turned_off_is_off_also_with_the_token() {
    within(async {
        let config = format!("[operations]\ndisabled = [\"mint\", \"restore\"]\n{}", usual());
        let books = books("off").remove(0);
        let world = World::with(books, config, None, Env::system()).await;
        let asked = json!({ "unit": "vip", "amount": 1 });
        let (status, answer) = world.post(QUOTE, Some(TOKEN), asked).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(20_003)), "{answer}");
        assert_eq!(world.post("/v1/restore", None, json!({ "outputs": [] })).await.0, 400);
        let info = world.get("/v1/info", None).await.1;
        assert_eq!(info["nuts"]["4"]["disabled"], true, "{info}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_file_have_scopes_and_change_without_a_restart() {
    within(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.toml");
        let new = |name: &str, scopes: &[&str], units: Option<Vec<String>>| NewToken {
            name: name.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            units,
            expires_at: None,
        };
        let env = Env::system();
        let mut file = TokenFile::default();
        let office =
            file.make(new("office", &["mint"], Some(vec!["vip".to_owned()])), &env).expect("made");
        let watch = file.make(new("watch", &["metrics"], None), &env).expect("made");
        std::fs::write(&path, file.to_text().expect("text")).expect("written");
        let config = usual().replace(
            "[auth.method.Static]\ntoken = \"a-token-of-the-test-only\"",
            &format!("[auth]\ntokens_file = {path:?}\n[auth.method.Static]"),
        );
        let world = World::with(books("tokens").remove(0), config, None, env.clone()).await;
        let vip = json!({ "unit": "vip", "amount": 1 });
        let drinks = json!({ "unit": "drinks", "amount": 1 });
        assert_eq!(world.post(QUOTE, Some(office.expose()), vip.clone()).await.0, 200);
        let (status, answer) = world.post(QUOTE, Some(office.expose()), drinks).await;
        assert_eq!((status, answer["code"].as_u64()), (403, Some(30_002)), "another unit");
        let burn = json!({ "unit": "vip", "method": "portal", "request": "burn:1" });
        assert_eq!(
            world.post("/v1/melt/quote/portal", Some(office.expose()), burn).await.0,
            403,
            "another operation"
        );
        assert_eq!(world.get("/metrics", Some(watch.expose())).await.0, 200);
        assert_eq!(world.get("/metrics", Some(office.expose())).await.0, 403);
        assert_eq!(world.post(QUOTE, Some(TOKEN), vip.clone()).await.0, 401, "not in the file");

        // The file is read again when it changes.
        let mut next = TokenFile::default();
        let fresh = next.make(new("fresh", &["mint"], None), &env).expect("made");
        std::fs::write(&path, next.to_text().expect("text")).expect("written");
        while world.post(QUOTE, Some(fresh.expose()), vip.clone()).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(world.post(QUOTE, Some(office.expose()), vip).await.0, 401, "taken out");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_often_or_guesses_has_to_wait() {
    within(async {
        // Behind a proxy on this machine, so that there are addresses to tell apart.
        let config = format!(
            "[limits]\ntrusted_proxies = [\"127.0.0.1\"]\nburst = 5\nrequests_per_minute = 1\n\
             wrong_tokens_per_minute = 3\n{}",
            usual()
        );
        let world = World::with(books("often").remove(0), config, None, Env::system()).await;
        let ask = async |from: &str, token: Option<&str>| {
            let mut request = world
                .http
                .post(format!("{}/v1/checkstate", world.url()))
                .header("X-Forwarded-For", format!("198.51.100.1, {from}"))
                .json(&json!({ "Ys": [Y] }));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.expect("an answer");
            (response.status().as_u16(), response.headers().contains_key("retry-after"))
        };
        for _ in 0..5 {
            assert_eq!(ask("203.0.113.1", None).await.0, 200);
        }
        assert_eq!(ask("203.0.113.1", None).await, (429, true));
        assert_eq!(ask("203.0.113.1", Some(TOKEN)).await.0, 200, "those we know go on");
        assert_eq!(ask("203.0.113.2", None).await.0, 200, "others too");
        for _ in 0..3 {
            assert_eq!(ask("203.0.113.3", Some("a guess of many guesses")).await.0, 200);
        }
        let quote = world
            .http
            .post(format!("{}{QUOTE}", world.url()))
            .header("X-Forwarded-For", "203.0.113.3")
            .bearer_auth(TOKEN)
            .json(&json!({ "unit": "vip", "amount": 1 }));
        let status = quote.send().await.expect("an answer").status().as_u16();
        assert_eq!(status, 429, "after three guesses not even the right one");
    })
    .await;
}
