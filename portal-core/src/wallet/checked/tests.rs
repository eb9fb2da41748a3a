use super::*;
use crate::primitives::Timestamp;
use crate::wallet::Direction;
use crate::wallet::suite::{OnLedger, SimulatedRig};

/// The simulated wallets behind the check.
struct Checked(SimulatedRig);

impl Checked {
    fn new(mut rig: SimulatedRig) -> Self {
        rig.payee = Arc::new(CheckedWallet::new(rig.merchant.clone(), rig.user_env.clone()));
        rig.payer = Arc::new(CheckedWallet::new(rig.person.clone(), rig.user_env.clone()));
        Self(rig)
    }
}

#[async_trait]
impl OnLedger for Checked {
    fn ledger(&self) -> &SimulatedRig {
        &self.0
    }

    async fn restart(&mut self) {
        self.0.reopen().await;
        *self = Self::new(std::mem::replace(&mut self.0, SimulatedRig::direct()));
    }
}

mod suite {
    use super::*;

    async fn rig() -> Checked {
        Checked::new(SimulatedRig::direct())
    }

    crate::wallet_suite!(rig);
}

/// Says whatever it was told to say.
struct Liar {
    truth: Arc<dyn LightningWallet>,
    invoice_of: Millisats,
    payment: WalletPayment,
    outcome: PayOutcome,
}

#[async_trait]
impl LightningWallet for Liar {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        Ok(WalletInfo { kind: "x".repeat(1000), ..self.truth.info().await? })
    }
    fn whole_sats(&self) -> bool {
        true
    }
    async fn balance(&self) -> Result<Balance, WalletError> {
        Ok(Balance { amount: Millisats::new(1), at: Timestamp::from_secs(u64::MAX) })
    }
    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let mut made =
            self.truth.make_invoice(NewInvoice { amount: self.invoice_of, ..request }).await?;
        made.payment_hash = PaymentHash([9; 32]);
        Ok(made)
    }
    async fn lookup(&self, _: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        Ok(Some(self.payment.clone()))
    }
    async fn pay(&self, _: PayInvoice) -> Result<PayOutcome, WalletError> {
        Ok(self.outcome.clone())
    }
    async fn list(&self, _: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        let older = WalletPayment { created_at: Timestamp::from_secs(1), ..self.payment.clone() };
        let leaving = WalletPayment { direction: Direction::Outgoing, ..self.payment.clone() };
        Ok(vec![older, self.payment.clone(), leaving, self.payment.clone()])
    }
    fn events(&self) -> BoxStream<'static, WalletEvent> {
        let told = WalletEvent::Settled(self.payment.clone());
        futures_util::stream::iter([told]).boxed()
    }
    async fn shutdown(&self) {
        std::future::pending::<()>().await;
    }
}

fn order() -> NewInvoice {
    NewInvoice {
        amount: Millisats::new(1_000),
        description: None,
        expiry: Duration::from_secs(600),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_that_does_not_fit_the_question() {
    let rig = SimulatedRig::direct();
    let invoice = rig.merchant.make_invoice(order()).await.expect("made");
    let lie = WalletPayment {
        payment_hash: invoice.payment_hash,
        direction: Direction::Incoming,
        state: PaymentState::Settled { preimage: Some([1; 32]), at: rig.env.now() },
        amount: Millisats::new(1_000),
        fee: Millisats::new(0),
        created_at: invoice.created_at,
    };
    let liar = |invoice_of| Liar {
        truth: rig.merchant.clone(),
        invoice_of: Millisats::new(invoice_of),
        payment: lie.clone(),
        outcome: PayOutcome::Settled { preimage: [1; 32], fee: Millisats::new(0) },
    };
    let wallet = CheckedWallet::new(Arc::new(liar(1_001)), rig.user_env.clone());
    let unusable = |error: WalletError| matches!(error, WalletError::BadAnswer { .. });
    assert!(unusable(wallet.info().await.expect_err("far too long")));
    assert!(wallet.whole_sats(), "what it asks of amounts is passed on");
    assert!(unusable(wallet.make_invoice(order()).await.expect_err("another amount")));
    assert!(unusable(wallet.lookup(PaymentHash([7; 32])).await.expect_err("another payment")));
    let seen = wallet.lookup(invoice.payment_hash).await.expect("its word").expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { preimage: None, .. }));
    let rich = Liar {
        payment: WalletPayment { amount: Millisats::new(u64::MAX), ..lie.clone() },
        ..liar(1_000)
    };
    let rich = CheckedWallet::new(Arc::new(rich), rig.user_env.clone());
    assert!(unusable(rich.lookup(invoice.payment_hash).await.expect_err("too much")));
    assert_eq!(wallet.balance().await.expect("its word").at, rig.user_env.now());
    let request = PayInvoice {
        bolt11: invoice.bolt11.clone(),
        payment_hash: invoice.payment_hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(30),
    };
    let paid = wallet.pay(request).await.expect_err("a wrong preimage");
    assert!(paid.outcome_unknown(), "{paid}");
    let query = ListPayments {
        since: Timestamp::from_secs(2),
        direction: Some(Direction::Incoming),
        offset: 0,
        limit: 20,
    };
    assert_eq!(wallet.list(query).await.expect("its word").len(), 1);
    let none = ListPayments { limit: 0, ..query };
    assert_eq!(wallet.list(none).await.expect("its word"), []);
    let told = wallet.events().next().await.expect("told");
    let WalletEvent::Settled(told) = told else { panic!("{told:?}") };
    assert!(matches!(told.state, PaymentState::Settled { preimage: None, .. }));
    let honest = CheckedWallet::new(Arc::new(liar(1_000)), rig.user_env.clone());
    let made = honest.make_invoice(order()).await.expect("the right amount");
    assert_eq!(Bolt11::parse(&made.bolt11).expect("one").payment_hash, made.payment_hash);
    // A wallet that does not end is not waited for, and calls end with it.
    honest.shutdown().await;
    assert!(matches!(honest.balance().await, Err(WalletError::ShutDown)));
    assert_eq!(honest.state(), WalletState::ShutDown);
}

/// Never comes back.
struct Hangs;

#[async_trait]
impl LightningWallet for Hangs {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        std::future::pending().await
    }
    async fn balance(&self) -> Result<Balance, WalletError> {
        let message = "\u{7}".to_owned() + &"y".repeat(10_000);
        Err(WalletError::Refused { code: "z".repeat(10_000), message })
    }
    async fn make_invoice(&self, _: NewInvoice) -> Result<Invoice, WalletError> {
        std::future::pending().await
    }
    async fn lookup(&self, _: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        std::future::pending().await
    }
    async fn pay(&self, _: PayInvoice) -> Result<PayOutcome, WalletError> {
        std::future::pending().await
    }
    async fn list(&self, _: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        std::future::pending().await
    }
    fn events(&self) -> BoxStream<'static, WalletEvent> {
        futures_util::stream::pending().boxed()
    }
    async fn shutdown(&self) {}
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_come_back_is_a_timeout_and_texts_are_cut() {
    let rig = SimulatedRig::direct();
    let wallet = Arc::new(CheckedWallet::new(Arc::new(Hangs), rig.user_env.clone()));
    assert!(matches!(wallet.info().await, Err(WalletError::Timeout)));
    let invoice = rig.merchant.make_invoice(order()).await.expect("made");
    let request = PayInvoice {
        bolt11: invoice.bolt11.clone(),
        payment_hash: invoice.payment_hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(90),
    };
    let unknown = wallet.pay(request.clone()).await.expect_err("nobody knows");
    assert!(matches!(unknown, WalletError::Timeout) && unknown.outcome_unknown());
    let Err(WalletError::Refused { code, message }) = wallet.balance().await else {
        panic!("refused")
    };
    assert_eq!((code.len(), message.len()), (MAX_NAME, MAX_TEXT));
    let paying = tokio::spawn({
        let wallet = wallet.clone();
        async move { wallet.pay(request).await }
    });
    tokio::task::yield_now().await;
    wallet.shutdown().await;
    let cut_off = paying.await.expect("no panic").expect_err("cut off");
    assert!(cut_off.outcome_unknown(), "{cut_off}");
}
