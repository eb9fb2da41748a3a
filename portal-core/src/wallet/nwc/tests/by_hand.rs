//! A wallet whose every answer is written by hand: garbage, answers to something else, answers
//! that come late, and none at all.

use super::*;
use crate::storage::memory::MemoryStore;
use crate::storage::{SettingStore, Write};
use crate::wallet::WalletState;

/// The wallet's side, without a wallet.
struct Hand {
    rig: SimulatedRig,
    hub: Hub,
    keys: Keys,
    uri: NwcUri,
    answered: usize,
}

impl Hand {
    fn new() -> Self {
        let rig = SimulatedRig::direct();
        let key = |byte| SecretKey::from_slice(&[byte; 32]).expect("a key");
        let keys = Keys::new(key(3));
        let uri = NwcUri {
            wallet: keys.public_key(),
            secret: Secret::new([4; 32]),
            relays: one(),
            lud16: None,
        };
        Self { rig, hub: Hub::default(), keys, uri, answered: 0 }
    }

    fn client(&self) -> Arc<NwcWallet> {
        let options = NwcOptions { cipher: Some(Cipher::Nip44), ..NwcOptions::default() };
        client(&self.rig, &self.hub, &self.uri, options)
    }

    /// The next request, once it is there.
    async fn request(&mut self) -> Event {
        loop {
            let seen = self.hub.published(KIND_REQUEST);
            if let Some((_, request)) = seen.get(self.answered) {
                self.answered = seen.len();
                return request.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    fn answer(&self, request: &Event, text: &str) {
        let sealer = cipher::Sealer::new(self.keys.clone(), request.pubkey).expect("keys");
        let sealed = sealer.seal(Cipher::Nip44, text, &self.rig.env).expect("sealed");
        let tags = vec![Tag::public_key(request.pubkey), Tag::event(request.id)];
        let event = cipher::sign(&self.rig.env, &self.keys, KIND_RESPONSE, tags, sealed);
        self.hub.inject(&relay("one"), &format!("[\"EVENT\",\"nwc\",{}]", event.as_json()));
    }

    /// Makes the call and answers it with this text.
    async fn exchange<T: Send + 'static>(
        &mut self,
        call: impl Future<Output = T> + Send + 'static,
        text: &str,
    ) -> T {
        let call = tokio::spawn(call);
        let request = self.request().await;
        self.answer(&request, text);
        call.await.expect("no panic")
    }
}

#[tokio::test]
async fn garbage_is_a_typed_error_and_never_a_failed_payment() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    let invoice = hand.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    let hash = invoice.payment_hash;
    for text in [
        "null",
        "[]",
        "7",
        "\u{1}",
        r#"{"result":null}"#,
        r#"{"result":7}"#,
        r#"{"result":"paid"}"#,
        r#"{"result":{}}"#,
        r#"{"result":{"preimage":"00"}}"#,
        r#"{"result":{"preimage":7,"balance":-1,"transactions":{},"invoice":[]}}"#,
    ] {
        let own = wallet.clone();
        let asked = hand.exchange(async move { own.balance().await }, text).await;
        assert!(matches!(asked, Err(WalletError::BadAnswer { .. })), "{text}: {asked:?}");
        let own = wallet.clone();
        let made = hand.exchange(async move { own.make_invoice(order(1)).await }, text).await;
        assert!(matches!(made, Err(WalletError::BadAnswer { .. })), "{text}: {made:?}");
        let (own, request) = (wallet.clone(), payment(&invoice));
        let paid = hand.exchange(async move { own.pay(request).await }, text).await;
        let error = paid.expect_err("no proof");
        assert!(error.outcome_unknown(), "{text}: {error}");
        let own = wallet.clone();
        let seen = hand.exchange(async move { own.lookup(hash).await }, text).await;
        assert!(matches!(seen, Err(WalletError::BadAnswer { .. })), "{text}: {seen:?}");
    }
}

#[tokio::test]
async fn an_answer_to_another_request_proves_nothing() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    let invoice = hand.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    let other = format!(
        r#"{{"result_type":"get_balance","result":{{"balance":5,"preimage":"{}"}}}}"#,
        "00".repeat(32)
    );
    let (own, request) = (wallet.clone(), payment(&invoice));
    let paid = hand.exchange(async move { own.pay(request).await }, &other).await;
    assert!(matches!(&paid, Err(error @ WalletError::BadAnswer { .. }) if error.outcome_unknown()));
    let own = wallet.clone();
    let balance = hand.exchange(async move { own.balance().await }, &other).await;
    assert_eq!(balance.expect("its own answer").amount, Millisats::new(5));
    // About another payment than the one that was asked for.
    let stranger = format!(
        r#"{{"result_type":"lookup_invoice","result":{{"type":"incoming","state":"settled",
            "payment_hash":"{}","amount":1000}}}}"#,
        "11".repeat(32)
    );
    let own = wallet.clone();
    let hash = invoice.payment_hash;
    let seen = hand.exchange(async move { own.lookup(hash).await }, &stranger).await;
    assert!(matches!(seen, Err(WalletError::BadAnswer { .. })), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_deadline_is_a_reason_to_ask_again() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    let mut events = wallet.events();
    let invoice = hand.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    let paying = tokio::spawn({
        let (wallet, request) = (wallet.clone(), payment(&invoice));
        async move { wallet.pay(request).await }
    });
    let request = hand.request().await;
    let outcome = paying.await.expect("no panic");
    assert!(matches!(outcome, Err(WalletError::Timeout)), "{outcome:?}");
    assert!(events.next().now_or_never().is_none());
    let paid = r#"{"result_type":"pay_invoice","result":{"preimage":"00"}}"#;
    hand.answer(&request, paid);
    assert_eq!(events.next().now_or_never(), Some(Some(WalletEvent::Reconnected)));
    // Once, and not for calls whose outcome does not matter.
    hand.answer(&request, paid);
    assert!(events.next().now_or_never().is_none());
    let call = tokio::spawn({
        let wallet = wallet.clone();
        async move { wallet.balance().await }
    });
    let request = hand.request().await;
    assert!(matches!(call.await.expect("no panic"), Err(WalletError::Timeout)));
    hand.answer(&request, r#"{"result_type":"get_balance","result":{"balance":5}}"#);
    assert!(events.next().now_or_never().is_none());
    assert_eq!(wallet.last_balance(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_connection_shows_as_a_wallet_that_does_not_answer() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    assert_eq!(wallet.state(), WalletState::Unknown);
    let since = hand.rig.user_env.now();
    for _ in 0..3 {
        assert_eq!(wallet.state(), WalletState::Unknown);
        assert!(matches!(wallet.balance().await, Err(WalletError::Timeout)));
    }
    assert_eq!(wallet.state(), WalletState::NotAnswering { since });
    // A caller who loses patience, as a health check does, has waited all the same.
    let impatient = tokio::time::timeout(Duration::from_secs(2), wallet.info()).await;
    assert!(impatient.is_err());
    assert_eq!(wallet.state(), WalletState::NotAnswering { since });
    hand.hub.down(&relay("one"));
    assert_eq!(wallet.state(), WalletState::Unreachable);
    hand.hub.up(&relay("one"));
    hand.answered = hand.hub.published(KIND_REQUEST).len();
    let gone = r#"{"result_type":"get_balance","error":{"code":"UNAUTHORIZED","message":"gone"}}"#;
    let own = wallet.clone();
    let refused = hand.exchange(async move { own.balance().await }, gone).await;
    assert!(matches!(refused, Err(WalletError::Refused { code, .. }) if code == "UNAUTHORIZED"));
    assert_eq!(wallet.state(), WalletState::Rejected);
    let fine = r#"{"result_type":"get_balance","result":{"balance":"7"}}"#;
    let own = wallet.clone();
    hand.exchange(async move { own.balance().await }, fine).await.expect("it is back");
    assert_eq!(wallet.state(), WalletState::Answering);
    hand.hub.down(&relay("one"));
    let known = wallet.known_balance().await.expect("from before");
    assert!(known.stale);
    assert_eq!(known.balance.amount, Millisats::new(7));
}

#[tokio::test]
async fn the_cipher_is_kept_for_the_next_run_and_never_gets_worse() {
    let (linked, _) = linked(SPEND, &BOTH);
    let (hub, rig, uri) = (&linked.hub, &linked.rig, &linked.uri);
    let store = Arc::new(MemoryStore::new());
    let connect = async |uri: &NwcUri, options: NwcOptions| {
        let connector = hub.connector(&uri.relays);
        NwcWallet::connect_kept(uri, connector, rig.user_env.clone(), options, store.clone())
            .await
            .expect("a link")
    };
    let first = connect(uri, NwcOptions::default()).await;
    first.info().await.expect("answers");
    assert_eq!(first.negotiated(), Some(Cipher::Nip44));
    // Every relay has lost what the wallet said of itself; a caller who remembers less is not
    // asked.
    hub.forget();
    let options = NwcOptions { cipher: Some(Cipher::Nip04), ..NwcOptions::default() };
    let second = connect(uri, options).await;
    assert_eq!(second.negotiated(), Some(Cipher::Nip44));
    second.balance().await.expect("answers");
    for (_, request) in hub.published(KIND_REQUEST) {
        assert!(!request.content.contains("?iv="), "never in the older one");
    }
    // Another link has another place, and an older wallet is remembered as one.
    let (_service, old) = serve(rig, hub, rig.person.clone(), SPEND, &[Cipher::Nip04]);
    let wallet = connect(&old, NwcOptions::default()).await;
    wallet.info().await.expect("answers");
    hub.forget();
    assert_eq!(connect(&old, NwcOptions::default()).await.negotiated(), Some(Cipher::Nip04));
    // What cannot be read is not taken for the older one.
    let name = Pin::new(store.clone(), &old).name().to_owned();
    assert!(store.setting(&name).await.expect("in memory").is_some());
    let write = Write::PutSetting { name, value: b"rot13".to_vec() };
    crate::storage::commit(&*store, vec![write]).await.expect("in memory");
    assert_eq!(connect(&old, NwcOptions::default()).await.negotiated(), Some(Cipher::Nip44));
}

/// A page of a list: these entries, each a number that its hash is made of, and its direction.
fn page(entries: impl IntoIterator<Item = (u8, &'static str)>) -> String {
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(number, direction)| {
            serde_json::json!({
                "type": direction, "state": "settled", "settled_at": 1_700_000_000,
                "payment_hash": hex::encode([number; 32]), "amount": 1000,
                "created_at": 1_700_000_000,
            })
        })
        .collect();
    let result = serde_json::json!({ "transactions": entries });
    serde_json::json!({ "result_type": "list_transactions", "result": result }).to_string()
}

#[tokio::test]
async fn a_list_is_filled_however_much_of_it_is_left_out() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    let query = ListPayments {
        since: Timestamp::from_secs(0),
        direction: Some(Direction::Incoming),
        offset: 0,
        limit: 20,
    };
    let own = wallet.clone();
    let listing = tokio::spawn(async move { own.list(query).await });
    // This wallet does not know the filter: every other entry is of the other direction.
    let request = hand.request().await;
    let sides = |number: u8| if number.is_multiple_of(2) { "incoming" } else { "outgoing" };
    hand.answer(&request, &page((0..20).map(|number| (number, sides(number)))));
    let request = hand.request().await;
    hand.answer(&request, &page((20..30).map(|number| (number, "incoming"))));
    let listed = listing.await.expect("no panic").expect("listed");
    assert_eq!(listed.len(), 20, "ten that are left out are no reason to stop");
    assert!(listed.iter().all(|payment| payment.direction == Direction::Incoming));
}

#[tokio::test]
async fn a_wallet_that_repeats_its_first_page_for_ever_is_not_asked_for_ever() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    let query =
        ListPayments { since: Timestamp::from_secs(0), direction: None, offset: 0, limit: 1000 };
    let own = wallet.clone();
    let listing = tokio::spawn(async move { own.list(query).await });
    for _ in 0..2 {
        let request = hand.request().await;
        hand.answer(&request, &page((0..20).map(|number| (number, "incoming"))));
    }
    let listed = listing.await.expect("no panic").expect("listed");
    assert_eq!(listed.len(), 20);
}

#[tokio::test]
async fn a_page_that_nothing_can_be_read_of_does_not_end_a_list() {
    let mut hand = Hand::new();
    let wallet = hand.client();
    let query =
        ListPayments { since: Timestamp::from_secs(0), direction: None, offset: 0, limit: 20 };
    let own = wallet.clone();
    let listing = tokio::spawn(async move { own.list(query).await });
    // Twenty invoices that nobody paid and that leave the amount to the payer.
    let open: Vec<_> = (0..20_u8)
        .map(|number| {
            serde_json::json!({
                "type": "incoming", "state": "pending", "payment_hash": hex::encode([number; 32]),
            })
        })
        .collect();
    let result = serde_json::json!({ "result": { "transactions": open } }).to_string();
    let request = hand.request().await;
    hand.answer(&request, &result);
    let request = hand.request().await;
    hand.answer(&request, &page([(100, "incoming")]));
    let request = hand.request().await;
    hand.answer(&request, &page([]));
    let listed = listing.await.expect("no panic").expect("listed");
    assert_eq!(listed.len(), 1, "what is behind them was found");
}
