//! The mint of `--dev`, through the daemon's socket.

use portal_daemon::config::{self, Environment, Flags};
use portal_daemon::start::{Daemon, DevAnnouncement, MintAnnouncement};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Socket, http_get, soon};

/// A `--dev` daemon in this process, with its data in a folder of the test.
struct Running {
    socket: Socket,
    dev: DevAnnouncement,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(folder: &std::path::Path) -> Running {
    let flags = Flags {
        dev: true,
        listen: Some(([127, 0, 0, 1], 0).into()),
        data_dir: Some(folder.to_owned()),
    };
    let loaded = config::load(None, &Environment::new(), None, &flags).expect("complete");
    let daemon = Daemon::start(loaded.config, true).await.expect("it starts");
    let dev = daemon.announcement.dev.clone().expect("told");
    let url = format!("ws://{}/ws", daemon.announcement.address);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(daemon.serve(async move { drop(stopped.await) }));
    let mut socket = Socket::open(&url).await;
    let answer = socket.call("Auth", json!({"token": dev.token.expose()})).await;
    assert_eq!(answer["type"], "success", "{answer}");
    Running { socket, dev, stop, task }
}

impl Running {
    fn mint(&self) -> &MintAnnouncement {
        self.dev.mint.as_ref().expect("built in")
    }

    fn ticket(&self, more: Value) -> Value {
        let mint = self.mint();
        let mut params = json!({"mint_url": mint.url, "unit": "vip", "amount": 1,
            "static_auth_token": mint.token.expose()});
        for (name, value) in more.as_object().expect("an object") {
            params[name] = value.clone();
        }
        params
    }

    async fn end(self) {
        drop((self.socket, self.stop));
        soon("its end", self.task).await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_dev_are_minted_burned_once_and_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    // The usual port may be another test's by the time of the restart.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port().to_string();
    std::fs::write(folder.path().join("dev-mint-port"), &port).expect("written");
    drop(free);
    let mut first = start(folder.path()).await;
    let address = first.mint().url.strip_prefix("http://").expect("a URL").to_owned();
    assert_eq!(address, format!("127.0.0.1:{port}"));
    let address = address.parse().expect("an address");
    let (status, card) = http_get(address, "/v1/unit/vip", None).await.expect("answers");
    let card: Value = serde_json::from_str(&card).expect("JSON");
    assert_eq!((status, &card["title"]), (200, &json!("VIP Pass")));
    assert_eq!(card["show_individually"], true);
    let picture = card["front_card_background"].as_str().expect("a card");
    assert!(picture.starts_with("data:image/svg+xml,"), "{picture}");

    let without = json!({"static_auth_token": "wrong"});
    let refused = first.socket.call("MintCashu", first.ticket(without)).await;
    assert_eq!(refused["code"], "mint_unauthorized", "{refused}");
    let minted = first.socket.data("MintCashu", first.ticket(json!({}))).await;
    let one = json!({"token": minted["token"]});
    let minted = first.socket.data("MintCashu", first.ticket(json!({}))).await;
    let other = json!({"token": minted["token"]});
    assert_ne!(one, other);
    let burned = first.socket.data("BurnCashu", first.ticket(one.clone())).await;
    assert_eq!(burned, json!({"type": "cashu_burn", "amount": 1, "kept": 0}));
    let url = first.mint().url.clone();
    first.end().await;
    let gone = tokio::net::TcpStream::connect(address).await;
    assert!(gone.is_err(), "the mint ends with the daemon");

    let mut second = start(folder.path()).await;
    assert_eq!(second.mint().url, url);
    let again = second.socket.call("BurnCashu", second.ticket(one)).await;
    assert_eq!(again["code"], "ticket_spent", "{again}");
    let burned = second.socket.data("BurnCashu", second.ticket(other)).await;
    assert_eq!(burned["amount"], 1);
    second.end().await;
}
