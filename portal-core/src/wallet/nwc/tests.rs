//! Both sides of NIP-47 over relays in memory, with the simulated ledger behind them.

use futures_util::{FutureExt, StreamExt};
use nostr::{Event, JsonUtil, Tag};
use tokio::runtime::Handle;

use super::message::{
    KIND_NOTIFICATION_NIP04, KIND_NOTIFICATION_NIP44, KIND_REQUEST, KIND_RESPONSE,
};
use super::test_relay::{Hub, relay};
use super::*;
use crate::primitives::{Secret, Timestamp};
use crate::relay::RelayAddress;
use crate::wallet::PaymentState;
use crate::wallet::simulated::{Call, Fault, Trouble};
use crate::wallet::suite::{FUNDS, OnLedger, SimulatedRig};

mod by_hand;
mod holds;
mod permissions;

const BOTH: [Cipher; 2] = [Cipher::Nip44, Cipher::Nip04];

/// A rig whose wallets are reached by NIP-47.
struct Linked {
    rig: SimulatedRig,
    hub: Hub,
    services: Vec<NwcService>,
    uri: NwcUri,
    ciphers: Vec<Cipher>,
}

fn one() -> Vec<RelayAddress> {
    vec![relay("one")]
}

fn serve(
    rig: &SimulatedRig,
    hub: &Hub,
    wallet: Arc<dyn LightningWallet>,
    permission: Permission,
    ciphers: &[Cipher],
) -> (NwcService, NwcUri) {
    let connection = NwcConnection::generate(&rig.env, permission);
    let options = NwcServiceOptions {
        key: Secret::new(rig.env.bytes()),
        relays: one(),
        ciphers: ciphers.to_vec(),
    };
    let connector = hub.connector(&one());
    let connections = [connection.clone()];
    let env = rig.env.clone();
    let service =
        NwcService::start(wallet, &connections, options, connector, env, &Handle::current())
            .expect("a key");
    let uri = service.uri_for(&connection);
    (service, uri)
}

fn client(rig: &SimulatedRig, hub: &Hub, uri: &NwcUri, options: NwcOptions) -> Arc<NwcWallet> {
    let connector = hub.connector(&uri.relays);
    Arc::new(NwcWallet::connect(uri, connector, rig.user_env.clone(), options).expect("a link"))
}

fn quick() -> NwcOptions {
    NwcOptions {
        timeout: Duration::from_millis(200),
        info_wait: Duration::from_millis(20),
        ..NwcOptions::default()
    }
}

/// Both wallets of the ledger behind NIP-47; the link is the payer's.
fn linked(permission: Permission, ciphers: &[Cipher]) -> (Linked, Arc<NwcWallet>) {
    link_rig(SimulatedRig::direct(), permission, ciphers)
}

fn link_up(rig: SimulatedRig, ciphers: &[Cipher]) -> (Linked, Arc<NwcWallet>) {
    link_rig(rig, SPEND, ciphers)
}

fn link_rig(
    mut rig: SimulatedRig,
    permission: Permission,
    ciphers: &[Cipher],
) -> (Linked, Arc<NwcWallet>) {
    let hub = Hub::default();
    let merchant = rig.merchant.clone();
    let (first, payee) = serve(&rig, &hub, merchant, Permission::ReceiveOnly, ciphers);
    let (second, payer) = serve(&rig, &hub, rig.person.clone(), permission, ciphers);
    rig.payee = client(&rig, &hub, &payee, NwcOptions::default());
    let wallet = client(&rig, &hub, &payer, NwcOptions::default());
    rig.payer = wallet.clone();
    let ciphers = ciphers.to_vec();
    (Linked { rig, hub, services: vec![first, second], uri: payer, ciphers }, wallet)
}

#[async_trait]
impl OnLedger for Linked {
    fn ledger(&self) -> &SimulatedRig {
        &self.rig
    }

    async fn restart(&mut self) {
        self.rig.payee.shutdown().await;
        self.rig.payer.shutdown().await;
        for service in &self.services {
            service.shutdown().await;
        }
        self.rig.reopen().await;
        *self = link_up(std::mem::replace(&mut self.rig, SimulatedRig::direct()), &self.ciphers).0;
    }

    async fn end(&self) {
        for service in &self.services {
            service.shutdown().await;
        }
    }
}

const SPEND: Permission = Permission::Spend { budget: None };

mod over_nip44 {
    use super::*;
    async fn rig() -> Linked {
        linked(SPEND, &BOTH).0
    }
    crate::wallet_suite!(rig);
}

mod over_nip04 {
    use super::*;
    async fn rig() -> Linked {
        linked(SPEND, &[Cipher::Nip04]).0
    }
    crate::wallet_suite!(rig);
}

fn order(msat: u64) -> NewInvoice {
    NewInvoice { amount: Millisats::new(msat), description: None, expiry: Duration::from_secs(600) }
}

fn payment(invoice: &Invoice) -> PayInvoice {
    PayInvoice {
        bolt11: invoice.bolt11.clone(),
        payment_hash: invoice.payment_hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn cipher_is_the_best_that_the_wallet_knows() {
    for (ciphers, expected) in [(&BOTH[..], Cipher::Nip44), (&[Cipher::Nip04][..], Cipher::Nip04)] {
        let (linked, wallet) = linked(SPEND, ciphers);
        wallet.info().await.expect("answers");
        assert_eq!(wallet.negotiated(), Some(expected));
        for (_, request) in linked.hub.published(KIND_REQUEST) {
            assert_eq!(request.content.contains("?iv="), expected == Cipher::Nip04);
            assert!(request.tags.expiration().is_some());
        }
    }
}

#[tokio::test]
async fn silence_and_contradiction_never_lead_to_the_older_cipher() {
    let (linked, _) = linked(SPEND, &BOTH);
    linked.hub.forget();
    let options = NwcOptions { info_wait: Duration::from_millis(20), ..NwcOptions::default() };
    let wallet = client(&linked.rig, &linked.hub, &linked.uri, options);
    assert_eq!(wallet.negotiated(), None);
    wallet.info().await.expect("it knows the newer one");
    assert_eq!(wallet.negotiated(), Some(Cipher::Nip44));

    // A wallet that is pinned to NIP-44 and now claims to know only NIP-04.
    let (_service, uri) =
        serve(&linked.rig, &linked.hub, linked.rig.person.clone(), SPEND, &[Cipher::Nip04]);
    let options = NwcOptions { cipher: Some(Cipher::Nip44), ..NwcOptions::default() };
    let wallet = client(&linked.rig, &linked.hub, &uri, options);
    let refused = wallet.balance().await.expect_err("sealed with what it does not know");
    assert!(
        matches!(&refused, WalletError::Refused { code, .. } if code == "UNSUPPORTED_ENCRYPTION"),
        "{refused}"
    );
    assert_eq!(wallet.negotiated(), Some(Cipher::Nip44));
}

#[tokio::test]
async fn request_made_in_an_outage_is_sent_when_it_ends() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    wallet.info().await.expect("answers");
    let mut events = wallet.events();
    linked.hub.down(&relay("one"));
    assert_eq!(events.next().await, Some(WalletEvent::Disconnected));
    let call = tokio::spawn({
        let wallet = wallet.clone();
        async move { wallet.balance().await }
    });
    tokio::task::yield_now().await;
    linked.hub.up(&relay("one"));
    assert_eq!(call.await.expect("no panic").expect("answers").amount, FUNDS);
    assert_eq!(events.next().await, Some(WalletEvent::Reconnected));
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_nobody_answering_is_a_timeout() {
    let (linked, _) = linked(SPEND, &BOTH);
    let wallet = client(&linked.rig, &linked.hub, &linked.uri, quick());
    for service in &linked.services {
        service.shutdown().await;
    }
    assert!(matches!(wallet.balance().await, Err(WalletError::Timeout)));
    linked.hub.down(&relay("one"));
    assert!(matches!(wallet.balance().await, Err(WalletError::Unreachable)));
}

#[tokio::test]
async fn one_relay_suffices_and_a_payment_is_one_event() {
    let rig = SimulatedRig::direct();
    let hub = Hub::default();
    let relays = vec![relay("one"), relay("two"), relay("dead")];
    hub.down(&relay("dead"));
    let connection = NwcConnection::generate(&rig.env, SPEND);
    let options = NwcServiceOptions {
        key: Secret::new(rig.env.bytes()),
        relays: relays.clone(),
        ciphers: BOTH.to_vec(),
    };
    let service = NwcService::start(
        rig.person.clone(),
        std::slice::from_ref(&connection),
        options,
        hub.connector(&relays),
        rig.env.clone(),
        &Handle::current(),
    )
    .expect("a key");
    let wallet = client(&rig, &hub, &service.uri_for(&connection), NwcOptions::default());
    let invoice = rig.merchant.make_invoice(order(1_000)).await.expect("made");
    // The answer is lost at both relays: the caller must not learn anything, and waits.
    hub.lose(KIND_RESPONSE, 2);
    let mut request = payment(&invoice);
    request.timeout = Duration::from_millis(300);
    let paying = tokio::spawn({
        let wallet = wallet.clone();
        async move { wallet.pay(request).await }
    });
    let mut events = rig.merchant.events();
    if rig.network.settled().is_empty() {
        events.next().await.expect("it is paid");
    }
    // A relay that comes later does not get a payment that others have confirmed.
    hub.up(&relay("dead"));
    let error = paying.await.expect("no panic").expect_err("no answer");
    assert!(matches!(error, WalletError::Timeout) && error.outcome_unknown());
    let sent = hub.published(KIND_REQUEST);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].1.id, sent[1].1.id);
    assert_eq!(rig.network.settled().len(), 1);
    let seen = wallet.lookup(invoice.payment_hash).await.expect("answers").expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { .. }));
    service.shutdown().await;
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_does_nothing() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    wallet.pay(payment(&invoice)).await.expect("paid");
    let answers = linked.hub.published(KIND_RESPONSE).len();
    let (at, request) = linked.hub.published(KIND_REQUEST).pop().expect("one");
    linked.hub.inject(&at, &format!("[\"EVENT\",\"x\",{}]", request.as_json()));
    let again = linked.hub.published(KIND_RESPONSE);
    assert_eq!(again.len(), answers + 1);
    assert_eq!(again[answers].1.id, again[answers - 1].1.id);
    assert_eq!(linked.rig.network.settled().len(), 1);
}

#[tokio::test]
async fn old_and_foreign_requests_are_not_served() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    linked.hub.lose(KIND_REQUEST, 1);
    let call = tokio::time::timeout(Duration::from_millis(50), wallet.balance()).await;
    assert!(call.is_err(), "the request was lost");
    let (at, request) = linked.hub.published(KIND_REQUEST).pop().expect("one");
    let frame = |event: &Event| format!("[\"EVENT\",\"x\",{}]", event.as_json());
    let mut forged = request.clone();
    forged.content.push('A');
    linked.hub.inject(&at, &frame(&forged));
    linked.rig.clock.advance(Duration::from_secs(600));
    linked.rig.user_clock.advance(Duration::from_secs(600));
    linked.hub.inject(&at, &frame(&request));
    let stranger = Keys::generate();
    let tags = vec![Tag::public_key(linked.uri.wallet)];
    let foreign = cipher::sign(&linked.rig.env, &stranger, KIND_REQUEST, tags, "x".to_owned());
    linked.hub.inject(&at, &frame(&foreign));
    for garbage in ["", "[]", "[\"EVENT\"]", "[\"EVENT\",\"x\",{}]", "[\"EVENT\",1,null]"] {
        linked.hub.inject(&at, garbage);
    }
    // The next honest one is served, and nothing else was.
    assert_eq!(wallet.balance().await.expect("answers").amount, FUNDS);
    assert_eq!(linked.hub.published(KIND_RESPONSE).len(), 1);
}

#[tokio::test]
async fn only_the_wallet_itself_can_answer() {
    let (linked, _) = linked(SPEND, &BOTH);
    for service in &linked.services {
        service.shutdown().await;
    }
    let wallet = client(&linked.rig, &linked.hub, &linked.uri, quick());
    let call = tokio::spawn({
        let wallet = wallet.clone();
        async move { wallet.balance().await }
    });
    while linked.hub.published(KIND_REQUEST).is_empty() {
        tokio::task::yield_now().await;
    }
    let (at, request) = linked.hub.published(KIND_REQUEST).pop().expect("one");
    let env = &linked.rig.env;
    let stranger = Keys::generate();
    let tags = vec![Tag::public_key(request.pubkey), Tag::event(request.id)];
    let reply = r#"{"result_type":"get_balance","result":{"balance":1}}"#;
    let sealer = cipher::Sealer::new(stranger.clone(), request.pubkey).expect("keys");
    let sealed = sealer.seal(Cipher::Nip44, reply, env).expect("sealed");
    let foreign = cipher::sign(env, &stranger, KIND_RESPONSE, tags, sealed);
    let mut forged = foreign.clone();
    forged.pubkey = linked.uri.wallet;
    for event in [&foreign, &forged] {
        linked.hub.inject(&at, &format!("[\"EVENT\",\"nwc\",{}]", event.as_json()));
    }
    for garbage in ["", "[\"EVENT\",\"nwc\",{\"kind\":23195}]", "{\"a\":", "\u{0}"] {
        linked.hub.inject(&at, garbage);
    }
    assert!(matches!(call.await.expect("no panic"), Err(WalletError::Timeout)));
}

#[tokio::test]
async fn a_notification_in_two_ciphers_and_again_is_told_once() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    wallet.info().await.expect("answers");
    let mut events = wallet.events();
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    wallet.pay(payment(&invoice)).await.expect("paid");
    let Some(WalletEvent::Settled(told)) = events.next().await else { panic!("settled") };
    assert_eq!(told.payment_hash, invoice.payment_hash);
    assert_eq!(told.direction, Direction::Outgoing);
    while linked.hub.published(KIND_NOTIFICATION_NIP04).len() < 2 {
        tokio::task::yield_now().await;
    }
    for kind in [KIND_NOTIFICATION_NIP04, KIND_NOTIFICATION_NIP44] {
        for (at, event) in linked.hub.published(kind) {
            linked.hub.inject(&at, &format!("[\"EVENT\",\"nwc\",{}]", event.as_json()));
            let mut forged = event.clone();
            forged.content.truncate(20);
            linked.hub.inject(&at, &format!("[\"EVENT\",\"nwc\",{}]", forged.as_json()));
        }
    }
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn permissions_and_budgets_hold() {
    let budget = Permission::Spend { budget: Some(Millisats::new(10_000)) };
    let (linked, wallet) = linked(budget, &BOTH);
    let merchant = &linked.rig.merchant;
    let first = merchant.make_invoice(order(6_000)).await.expect("made");
    let second = merchant.make_invoice(order(6_000)).await.expect("made");
    let rest = merchant.make_invoice(order(4_000)).await.expect("made");
    let failing = Trouble::Refuse { code: "PAYMENT_FAILED".to_owned(), message: "no".to_owned() };
    linked.rig.person.order(Fault::OnCall(Some(Call::Pay), failing));
    let failed = wallet.pay(payment(&first)).await.expect("answers");
    assert_eq!(failed, PayOutcome::Failed { reason: "no".to_owned() });
    for _ in 0..2 {
        let paid = wallet.pay(payment(&first)).await.expect("answers");
        assert!(matches!(paid, PayOutcome::Settled { .. }));
    }
    let refused = wallet.pay(payment(&second)).await.expect_err("too much");
    assert!(
        matches!(&refused, WalletError::Refused { code, .. } if code == "QUOTA_EXCEEDED"),
        "{refused}"
    );
    assert!(matches!(wallet.pay(payment(&rest)).await, Ok(PayOutcome::Settled { .. })));
    assert_eq!(linked.rig.network.settled().len(), 2);

    let own = linked.rig.person.make_invoice(order(1)).await.expect("made");
    let refused = linked.rig.payee.pay(payment(&own)).await.expect_err("may only receive");
    assert!(matches!(refused, WalletError::Refused { code, .. } if code == "RESTRICTED"));
    let info = linked.rig.payee.info().await.expect("answers");
    assert!(!info.methods.iter().any(|method| method == "pay_invoice"));
}

#[tokio::test]
async fn codes_that_do_not_say_never_are_pending() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    let person = &linked.rig.person;
    let refuse = |code: &str| Trouble::Refuse { code: code.to_owned(), message: "odd".to_owned() };
    for code in ["INTERNAL", "OTHER", "BAD_REQUEST", "NOT_FOUND", "", "payment_failed"] {
        let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
        person.order(Fault::OnCall(Some(Call::Pay), refuse(code)));
        let outcome = wallet.pay(payment(&invoice)).await.expect("answers");
        assert_eq!(outcome, PayOutcome::Pending, "{code}");
    }
    for code in ["QUOTA_EXCEEDED", "RESTRICTED", "UNAUTHORIZED", "RATE_LIMITED"] {
        let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
        person.order(Fault::OnCall(Some(Call::Pay), refuse(code)));
        let error = wallet.pay(payment(&invoice)).await.expect_err("refused");
        assert!(!error.outcome_unknown());
        assert!(matches!(error, WalletError::Refused { code: told, .. } if told == code));
    }
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    person.order(Fault::OnCall(Some(Call::Pay), refuse("NOT_IMPLEMENTED")));
    let error = wallet.pay(payment(&invoice)).await.expect_err("refused");
    assert!(matches!(error, WalletError::Unsupported { what: "pay_invoice" }));
    person.order(Fault::OnCall(Some(Call::Balance), refuse("BRAND_NEW")));
    let error = wallet.balance().await.expect_err("refused");
    assert!(
        matches!(&error, WalletError::Refused { code, message } if code == "BRAND_NEW" && message == "odd")
    );
}

#[tokio::test]
async fn a_preimage_that_does_not_fit_proves_nothing() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    linked.rig.person.order(Fault::LiarPreimage);
    let error = wallet.pay(payment(&invoice)).await.expect_err("a wrong preimage");
    assert!(matches!(error, WalletError::BadAnswer { .. }) && error.outcome_unknown());
    linked.rig.person.order(Fault::LiarPreimage);
    let seen = wallet.lookup(invoice.payment_hash).await.expect("answers").expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { preimage: None, .. }));
}

/// A wallet that makes invoices over another amount.
struct Cheat(Arc<dyn LightningWallet>);

#[async_trait]
impl LightningWallet for Cheat {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.0.info().await
    }
    async fn balance(&self) -> Result<Balance, WalletError> {
        self.0.balance().await
    }
    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let amount = Millisats::new(request.amount.as_u64() + 1);
        self.0.make_invoice(NewInvoice { amount, ..request }).await
    }
    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        self.0.lookup(hash).await
    }
    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.0.pay(request).await
    }
    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.0.list(query).await
    }
    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.0.events()
    }
    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

#[tokio::test]
async fn an_invoice_over_another_amount_is_not_accepted() {
    let rig = SimulatedRig::direct();
    let hub = Hub::default();
    let cheat = Arc::new(Cheat(rig.merchant.clone()));
    let (service, uri) = serve(&rig, &hub, cheat, Permission::ReceiveOnly, &BOTH);
    let wallet = client(&rig, &hub, &uri, NwcOptions::default());
    let error = wallet.make_invoice(order(1_000)).await.expect_err("another amount");
    assert!(matches!(error, WalletError::BadAnswer { .. }));
    service.shutdown().await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_or_cut_off_leaves_nothing_behind() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    linked.hub.down(&relay("one"));
    let dropped = tokio::time::timeout(Duration::from_millis(20), wallet.balance()).await;
    assert!(dropped.is_err());
    let before = linked.hub.published(KIND_REQUEST).len();
    linked.hub.up(&relay("one"));
    assert_eq!(linked.hub.published(KIND_REQUEST).len(), before);
    linked.hub.down(&relay("one"));
    let call = tokio::spawn({
        let wallet = wallet.clone();
        async move { wallet.balance().await }
    });
    tokio::task::yield_now().await;
    wallet.shutdown().await;
    assert!(matches!(call.await.expect("no panic"), Err(WalletError::ShutDown)));
    assert_eq!(linked.rig.env.now(), Timestamp::from_secs(1_700_000_000));
}

#[tokio::test]
async fn a_payment_that_a_shutdown_cuts_off_is_unknown() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    wallet.info().await.expect("answers");
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    let mut events = linked.rig.merchant.events();
    linked.hub.lose(KIND_RESPONSE, 1);
    let paying = tokio::spawn({
        let (wallet, request) = (wallet.clone(), payment(&invoice));
        async move { wallet.pay(request).await }
    });
    events.next().await.expect("it is paid");
    wallet.shutdown().await;
    let error = paying.await.expect("no panic").expect_err("cut off");
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(linked.rig.network.settled().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_missed_is_repeated_but_never_a_payment() {
    let (linked, wallet) = linked(SPEND, &BOTH);
    wallet.info().await.expect("answers");
    linked.hub.lose(KIND_REQUEST, 2);
    assert_eq!(wallet.balance().await.expect("asked again").amount, FUNDS);
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    linked.hub.lose(KIND_REQUEST, 1);
    let before = linked.hub.published(KIND_REQUEST).len();
    assert!(matches!(wallet.pay(payment(&invoice)).await, Err(WalletError::Timeout)));
    assert_eq!(linked.hub.published(KIND_REQUEST).len(), before + 1);
    assert!(linked.rig.network.settled().is_empty());
}

#[tokio::test]
async fn what_was_told_while_we_were_away_is_found_by_asking() {
    let (linked, _) = linked(SPEND, &BOTH);
    let payee = linked.rig.payee.clone();
    let invoice = payee.make_invoice(order(1_000)).await.expect("made");
    let mut events = payee.events();
    linked.hub.down(&relay("one"));
    assert_eq!(events.next().await, Some(WalletEvent::Disconnected));
    linked.rig.merchant.order(Fault::LostNotification);
    linked.rig.person.pay(payment(&invoice)).await.expect("paid");
    linked.hub.up(&relay("one"));
    assert_eq!(events.next().await, Some(WalletEvent::Reconnected));
    let seen = payee.lookup(invoice.payment_hash).await.expect("answers").expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { .. }));
    assert!(events.next().now_or_never().is_none(), "nobody repeats what was told");
}
