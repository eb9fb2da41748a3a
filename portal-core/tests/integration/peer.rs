//! A peer and a relay that we did not write: events made and read with `nostr`'s own types, on the
//! relay of `nostr-relay-builder`.

use futures_util::{SinkExt as _, StreamExt as _};
use nostr::nips::nip44;
use nostr::{Event, EventBuilder, EventId, JsonUtil as _, Keys, Kind, PublicKey, Tag};
use portal_core::client::RequestBody;
use portal_core::event::PortalEvent;
use portal_core::protocol::auth::AuthStatus;
use portal_core::protocol::kinds;
use portal_core::relay::RelayAddress;
use portal_core::service::{Call, NewHandshake, Recipient};
use portal_testkit::relay::LocalRelay;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::{World, approved, heard, next, soon};

/// Speaks the protocol with `nostr` alone.
pub struct Peer {
    pub keys: Keys,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Peer {
    pub async fn connect(url: &str, keys: Keys, listens: &[u16]) -> Self {
        let (socket, _) = soon("a connection", connect_async(url)).await.expect("connected");
        let mut peer = Self { keys, socket };
        let filter = json!({ "kinds": listens, "#p": [peer.keys.public_key().to_hex()] });
        peer.write(&json!(["REQ", "x", filter])).await;
        while peer.read().await[0] != "EOSE" {}
        peer
    }

    async fn write(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.expect("connected");
    }

    async fn read(&mut self) -> Value {
        loop {
            let message = soon("a frame", self.socket.next()).await;
            if let Message::Text(text) = message.expect("connected").expect("a frame") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    /// The next event, verified.
    pub async fn event(&mut self) -> Event {
        loop {
            let frame = self.read().await;
            if frame[0] == "EVENT" {
                let event = Event::from_json(frame[2].to_string()).expect("an event");
                event.verify().expect("id and signature");
                return event;
            }
        }
    }

    /// What is in an event for us.
    pub fn open(&self, event: &Event) -> Value {
        let text = nip44::decrypt(self.keys.secret_key(), &event.pubkey, &event.content);
        serde_json::from_str(&text.expect("sealed for us")).expect("JSON")
    }

    pub fn seal(
        &self,
        kind: u16,
        to: PublicKey,
        message: &Value,
        answers: Option<EventId>,
    ) -> Event {
        let version = nip44::Version::V2;
        let content = nip44::encrypt(self.keys.secret_key(), &to, message.to_string(), version)
            .expect("fits");
        EventBuilder::new(Kind::Custom(kind), content)
            .tag(Tag::public_key(to))
            .tags(answers.map(Tag::event))
            .sign_with_keys(&self.keys)
            .expect("signed")
    }

    /// Publishes, and waits until the relay says whether it takes it.
    pub async fn publish(&mut self, event: &Event) {
        self.write(&json!(["EVENT", event])).await;
        loop {
            let frame = self.read().await;
            if frame[0] == "OK" && frame[1] == event.id.to_hex() {
                assert_eq!(frame[2], true, "{frame}");
                return;
            }
        }
    }

    pub async fn send(&mut self, kind: u16, to: PublicKey, message: &Value) {
        let event = self.seal(kind, to, message, None);
        self.publish(&event).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_wallet_on_a_foreign_relay_logs_in() {
    let world = World::new().await;
    let relay = LocalRelay::start().await.expect("a relay on loopback");
    let address = RelayAddress::parse(&relay.url()).expect("an address");
    let service = world.service_with(|builder| builder.relays(vec![address])).await;
    let mut person = Peer::connect(&relay.url(), Keys::generate(), &[kinds::AUTH_CHALLENGE]).await;
    let (mut ear, call) = heard();
    let opened = service.logins().handshake_url(NewHandshake::default(), call).await.expect("URL");
    let token = opened.url.split("token=").nth(1).expect("a token").to_owned();
    let hello = json!({ "token": token, "client_info": { "name": "Foreign", "version": "0" },
        "preferred_relays": [relay.url()] });
    person.send(kinds::KEY_HANDSHAKE, service.main_key(), &hello).await;
    let PortalEvent::KeyHandshake { main_key, .. } = ear.body().await else { panic!() };
    assert_eq!(main_key, person.keys.public_key());

    let login = service.logins().authenticate(Recipient::new(main_key), Call::default()).await;
    let login = login.expect("durable");
    let event = person.event().await;
    assert_eq!((event.kind, event.pubkey), (Kind::Custom(27000), service.main_key()));
    let challenge = person.open(&event);
    assert!(challenge["expires_at"].is_string() && challenge["subkey_proof"].is_null());
    let answer = json!({ "challenge": challenge["challenge"], "subkey_proof": null,
        "status": { "status": "approved", "granted_permissions": [], "session_token": "jwt" } });
    person.send(kinds::AUTH_RESPONSE, service.main_key(), &answer).await;
    let done = soon("the answer", service.streams().wait(login.stream)).await.expect("answered");
    let PortalEvent::AuthenticateKey { user_key, status, .. } = done else { panic!() };
    assert_eq!(user_key, person.keys.public_key());
    assert!(matches!(status, AuthStatus::Approved { session_token, .. } if session_token == "jwt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_service_asks_and_hears_the_answer() {
    let world = World::new().await;
    let relay = LocalRelay::start().await.expect("a relay on loopback");
    let address = RelayAddress::parse(&relay.url()).expect("an address");
    let client = world.client_with(|builder| builder.relays(vec![address])).await;
    let mut service = Peer::connect(&relay.url(), Keys::generate(), &[kinds::AUTH_RESPONSE]).await;
    let expires_at = client.now().saturating_add(std::time::Duration::from_secs(300));
    let challenge = json!({ "challenge": "abc", "expires_at": expires_at.as_secs().to_string(),
        "required_permissions": [], "subkey_proof": null });
    service.send(kinds::AUTH_CHALLENGE, client.public_key(), &challenge).await;
    let request = next(&client).await;
    assert!(matches!(&request.body, RequestBody::Login(asked) if asked.challenge == "abc"));
    client.replies().login(&request, approved()).await.expect("open");
    let event = service.event().await;
    let answer = service.open(&event);
    assert_eq!((event.kind, event.pubkey), (Kind::Custom(27001), client.public_key()));
    assert_eq!(answer["challenge"], "abc");
    assert_eq!(answer["status"]["status"], "approved");
    // The same challenge in a fresh event: the same answer, and the person is not asked again.
    service.send(kinds::AUTH_CHALLENGE, client.public_key(), &challenge).await;
    let again = service.event().await;
    assert_eq!(service.open(&again), answer);
    assert_eq!(client.requests().all().len(), 1);
}
