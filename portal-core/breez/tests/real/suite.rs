//! The conformance suite of all wallets, over the built-in one.
//!
//! Left out of it: invoices without an amount, which this wallet does not make (its own tests have
//! how it pays them), and a payment that nobody tells of: the library finds it by itself at the next
//! look-up and tells of it after all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    user_env: Env,
    user_clock: Arc<MockClock>,
    held: AtomicBool,
    payee: Arc<BreezWallet>,
    payer: Arc<BreezWallet>,
}

async fn rig() -> Option<SparkRig> {
    let now = Env::system().now();
    let (env, clock) = mock::env(Timestamp::from_secs(now.as_secs()), 5);
    let (user_env, user_clock) = mock::env(Timestamp::from_secs(now.as_secs()), 6);
    let world = World::at(env).await?;
    // Enough single satoshi that a page of payments needs no change.
    let funds = FUNDS.as_u64() / 1000;
    let single = 60;
    world.spark.fund_with(WORDS, std::iter::repeat_n(1, single)).expect("words");
    world.spark.fund(WORDS, funds - single as u64).expect("words");
    world.spark.fund(OTHER_WORDS, 0).expect("words");
    let payer = world.open_at(world.config(WORDS, "payer"), user_env.clone()).await;
    let payee = world.open_at(world.config(OTHER_WORDS, "payee"), user_env.clone()).await;
    Some(SparkRig {
        world,
        clock,
        user_env,
        user_clock,
        held: AtomicBool::new(false),
        payee,
        payer,
    })
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
        self.user_clock.advance(time);
    }

    fn skew(&self, seconds: i64) {
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds >= 0 { self.clock.advance(by) } else { self.user_clock.advance(by) }
    }

    fn hold_next_payment(&self) {
        self.held.store(true, Ordering::SeqCst);
        self.world.spark.order_send(NextSend::Hold);
    }

    fn release(&self, hash: PaymentHash) {
        self.world.spark.release(hash.0);
    }

    fn fail(&self, hash: PaymentHash) {
        self.world.spark.give_back(hash.0);
    }

    fn garble_next_answer(&self) {
        self.world.spark.order_send(NextSend::GarbleAnswer);
    }

    fn lose_next_answer(&self) {
        let held = self.held.swap(false, Ordering::SeqCst);
        let next = if held { NextSend::LoseAnswerAndHold } else { NextSend::LoseAnswer };
        self.world.spark.order_send(next);
    }

    fn lose_next_event(&self) {
        self.world.spark.order_receive(NextReceive::Silent);
    }

    fn double_next_event(&self) {
        self.world.spark.order_receive(NextReceive::Twice);
    }

    async fn restart(&mut self) {
        Rig::end(self).await;
        let env = || self.user_env.clone();
        self.payer = self.world.open_at(self.world.config(WORDS, "payer"), env()).await;
        self.payee = self.world.open_at(self.world.config(OTHER_WORDS, "payee"), env()).await;
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
                let Some(mut rig) = rig().await else { return };
                let limit = Duration::from_secs(120);
                tokio::time::timeout(limit, async {
                    portal_core::wallet::suite::$name(&mut rig).await;
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
    invoice_says_what_was_asked_and_waits,
    paid_invoice_is_settled_on_both_sides,
    paying_again_moves_nothing,
    unknown_hash_is_not_found,
    expired_invoice_is_not_paid,
    insufficient_funds_have_their_code,
    lost_answer_is_not_a_failure,
    payment_that_timed_out_may_settle_later,
    an_error_that_nobody_knows_is_not_a_failure,
    held_payment_is_pending_until_it_arrives,
    payment_that_fails_gives_the_money_back,
    payment_that_left_in_time_settles_after_the_end,
    payments_survive_a_restart_in_between,
    a_wallet_with_another_clock_is_understood,
    lists_come_in_pages_newest_first,
    doubled_event_does_not_make_it_two,
    payments_are_found_by_their_invoice,
    balance_is_remembered_with_its_age,
    nonsense_is_refused_before_it_is_sent,
    shutdown_ends_calls_and_events,
);
