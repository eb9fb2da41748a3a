//! The conformance suite of all wallets, over the built-in one.
//!
//! Left out of it: amounts below a satoshi and invoices without an amount, which this wallet does
//! not make (its own tests have what it does with them).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portal_breez::BreezWallet;
use portal_core::env::Env;
use portal_core::env::mock::{self, MockClock};
use portal_core::primitives::Timestamp;
use portal_core::wallet::suite::{FUNDS, Rig};
use portal_core::wallet::{Invoice, LightningWallet, PaymentHash};
use portal_testkit::{NextReceive, NextSend};

use crate::world::{OTHER_WORDS, WORDS, World};

struct SparkRig {
    world: World,
    clock: Arc<MockClock>,
    payee: Arc<BreezWallet>,
    payer: Arc<BreezWallet>,
}

async fn rig() -> Option<SparkRig> {
    let now = Env::system().now();
    let (env, clock) = mock::env(Timestamp::from_secs(now.as_secs()), 5);
    let world = World::at(env.clone()).await?;
    // Enough single satoshi that a page of payments needs no change.
    let funds = FUNDS.as_u64() / 1000;
    let single = 60;
    world.spark.fund_with(WORDS, std::iter::repeat_n(1, single)).expect("words");
    world.spark.fund(WORDS, funds - single as u64).expect("words");
    world.spark.fund(OTHER_WORDS, 0).expect("words");
    let payer = world.open_at(world.config(WORDS, "payer"), env.clone()).await;
    let payee = world.open_at(world.config(OTHER_WORDS, "payee"), env).await;
    Some(SparkRig { world, clock, payee, payer })
}

#[async_trait]
impl Rig for SparkRig {
    fn payee(&self) -> Arc<dyn LightningWallet> {
        self.payee.clone()
    }

    fn payer(&self) -> Arc<dyn LightningWallet> {
        self.payer.clone()
    }

    fn amountless_invoice(&self) -> Invoice {
        unimplemented_by_this_wallet()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn hold_next_payment(&self) {
        self.world.spark.order_send(NextSend::Hold);
    }

    fn release(&self, hash: PaymentHash) {
        self.world.spark.release(hash.0);
    }

    fn lose_next_answer(&self) {
        self.world.spark.order_send(NextSend::LoseAnswer);
    }

    fn lose_next_event(&self) {
        self.world.spark.order_receive(NextReceive::Silent);
    }

    fn double_next_event(&self) {
        self.world.spark.order_receive(NextReceive::Twice);
    }

    async fn end(&self) {
        self.payee.shutdown().await;
        self.payer.shutdown().await;
    }
}

fn unimplemented_by_this_wallet() -> ! {
    panic!("this wallet makes no invoices without an amount")
}

macro_rules! suite {
    ($($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let Some(rig) = rig().await else { return };
                let limit = Duration::from_secs(120);
                tokio::time::timeout(limit, async {
                    portal_core::wallet::suite::$name(&rig).await;
                    rig.end().await;
                })
                .await
                .expect("a wallet that waits for ever");
            }
        )+
    };
}

suite!(
    tells_what_it_is,
    paid_invoice_is_settled_on_both_sides,
    paying_again_moves_nothing,
    unknown_hash_is_not_found,
    expired_invoice_is_not_paid,
    insufficient_funds_have_their_code,
    lost_answer_is_not_a_failure,
    held_payment_is_pending_until_it_arrives,
    lists_come_in_pages_newest_first,
    events_are_hints_that_may_be_missing_or_doubled,
    nonsense_is_refused_before_it_is_sent,
    shutdown_ends_calls_and_events,
);
