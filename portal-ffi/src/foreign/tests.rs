//! The suite of every wallet, over a wallet that speaks only the app's side of this edge.

use futures_util::StreamExt;
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet::simulated::SimulatedWallet;
use portal_core::wallet::suite::{OnLedger, SimulatedRig};
use portal_core::wallet::{CheckedWallet, Direction, LightningWallet as _, PaymentState};
use tokio::task::JoinHandle;

use super::*;
use crate::types::wallet::{WalletPaymentState, bytes32};

/// What an app would write, over the simulated ledger.
struct App {
    wallet: Arc<SimulatedWallet>,
    teller: OnceLock<JoinHandle<()>>,
}

fn fault(error: WalletError) -> WalletFault {
    match error {
        WalletError::Timeout => WalletFault::Timeout,
        WalletError::Unreachable => WalletFault::Unreachable,
        WalletError::Refused { code, message } => WalletFault::Refused { code, reason: message },
        WalletError::Unsupported { .. } => WalletFault::Unsupported,
        other => WalletFault::Other { reason: other.to_string() },
    }
}

#[async_trait]
impl LightningWallet for App {
    async fn info(&self) -> Result<WalletDescription, WalletFault> {
        let WalletInfo { kind: _, network, methods, notifies, caps_fees } =
            self.wallet.info().await.map_err(fault)?;
        let kind = "app".to_owned();
        Ok(WalletDescription { kind, network, methods, notifies, caps_fees })
    }
    async fn balance(&self) -> Result<WalletBalance, WalletFault> {
        let balance = self.wallet.balance().await.map_err(fault)?;
        Ok(WalletBalance { amount_msat: balance.amount.as_u64(), at: balance.at.as_secs() })
    }
    async fn make_invoice(&self, order: InvoiceOrder) -> Result<String, WalletFault> {
        let order = NewInvoice {
            amount: Millisats::new(order.amount_msat),
            description: order.description,
            expiry: std::time::Duration::from_secs(order.expiry_seconds),
        };
        Ok(self.wallet.make_invoice(order).await.map_err(fault)?.bolt11)
    }
    async fn lookup(&self, hash: String) -> Result<Option<WalletPayment>, WalletFault> {
        let hash = PaymentHash(bytes32(&hash).expect("as the core writes it"));
        Ok(self.wallet.lookup(hash).await.map_err(fault)?.map(Into::into))
    }
    async fn pay(&self, order: PayOrder) -> Result<WalletOutcome, WalletFault> {
        let order = PayInvoice {
            bolt11: order.invoice,
            payment_hash: PaymentHash(bytes32(&order.payment_hash).expect("as the core writes it")),
            amount: order.amount_msat.map(Millisats::new),
            max_fee: order.max_fee_msat.map(Millisats::new),
            timeout: std::time::Duration::from_secs(order.timeout_seconds),
        };
        Ok(match self.wallet.pay(order).await.map_err(fault)? {
            PayOutcome::Settled { preimage, fee } => {
                WalletOutcome::Settled { preimage: hex::encode(preimage), fee_msat: fee.as_u64() }
            }
            PayOutcome::Pending => WalletOutcome::Pending,
            PayOutcome::Failed { reason } => WalletOutcome::Failed { reason },
        })
    }
    async fn list(&self, query: PaymentQuery) -> Result<Vec<WalletPayment>, WalletFault> {
        let query = ListPayments {
            since: Timestamp::from_secs(query.since),
            direction: query
                .outgoing
                .map(|outgoing| if outgoing { Direction::Outgoing } else { Direction::Incoming }),
            offset: query.offset,
            limit: query.limit,
        };
        let listed = self.wallet.list(query).await.map_err(fault)?;
        Ok(listed.into_iter().map(Into::into).collect())
    }
    fn listen(&self, listener: Arc<WalletListener>) {
        let mut events = self.wallet.events();
        let teller = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    WalletEvent::Settled(payment) => listener.settled(payment.into()),
                    WalletEvent::Reconnected => listener.reconnected(),
                    WalletEvent::Disconnected => listener.disconnected(),
                }
            }
        });
        assert!(self.teller.set(teller).is_ok(), "called once");
    }
    async fn shutdown(&self) {
        self.wallet.shutdown().await;
    }
}

struct OverTheEdge(SimulatedRig);

impl OverTheEdge {
    fn new(mut rig: SimulatedRig) -> Self {
        let wrap = |wallet: Arc<SimulatedWallet>| {
            let app = Arc::new(App { wallet, teller: OnceLock::new() });
            CheckedWallet::new(Arc::new(Foreign::new(app)), rig.user_env.clone())
        };
        let (payee, payer) = (wrap(rig.merchant.clone()), wrap(rig.person.clone()));
        (rig.payee, rig.payer) = (Arc::new(payee), Arc::new(payer));
        Self(rig)
    }
}

#[async_trait]
impl OnLedger for OverTheEdge {
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

    async fn rig() -> OverTheEdge {
        OverTheEdge::new(SimulatedRig::direct())
    }

    portal_core::wallet_suite!(rig);
}

#[test]
fn what_is_no_hex_is_refused_and_a_fault_keeps_its_meaning() {
    let payment = WalletPayment {
        payment_hash: "zz".to_owned(),
        outgoing: false,
        state: WalletPaymentState::Pending,
        amount_msat: 1,
        fee_msat: 0,
        created_at: 1,
    };
    assert!(wallet::WalletPayment::try_from(payment.clone()).is_err());
    let odd = WalletPayment {
        payment_hash: "11".repeat(32),
        state: WalletPaymentState::Settled { preimage: Some("odd".to_owned()), at: 3 },
        ..payment
    };
    let read = wallet::WalletPayment::try_from(odd).expect("its word stands");
    assert!(matches!(read.state, PaymentState::Settled { preimage: None, .. }));
    let short = WalletOutcome::Settled { preimage: "00".to_owned(), fee_msat: 0 };
    assert!(PayOutcome::try_from(short).expect_err("no preimage").outcome_unknown());
    for (fault, unknown) in [
        (WalletFault::Timeout, true),
        (WalletFault::Unreachable, true),
        (WalletFault::Other { reason: "boom".to_owned() }, true),
        (WalletFault::Unsupported, false),
        (WalletFault::Refused { code: "RESTRICTED".to_owned(), reason: "no".to_owned() }, false),
        (WalletFault::Refused { code: "X".to_owned(), reason: "odd".to_owned() }, true),
    ] {
        assert_eq!(fault.of("pay_invoice").outcome_unknown(), unknown);
    }
    let thrown = uniffi::UnexpectedUniFFICallbackError::new("mnemonic: abandon abandon");
    assert!(!WalletFault::from(thrown).to_string().contains("abandon"));
}
