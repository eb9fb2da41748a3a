//! Any order, any duplicate, any restart, any clock: no period is asked for twice at a time or
//! paid twice, nothing is charged early, indices have no gaps, nothing follows the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::env::mock;
use crate::event::{PaymentUpdate, PortalEvent, SubscriptionEnd};
use crate::storage::EventLog as _;
use crate::storage::schedule::ScheduleStore as _;

#[derive(Clone, Debug)]
enum Input {
    Pass(u64),
    ClockBack(u64),
    Turn,
    /// Something on the stream of the charge at this place among all that were made.
    News(prop::sample::Index, u8),
    Pause,
    Resume,
    Change(u64, bool),
    Cancel(bool),
    StoreFails,
    TillFails(bool),
    Restart,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => prop::sample::select(vec![1, HOUR, DAY, 3 * DAY, 40 * DAY]).prop_map(Input::Pass),
        1 => prop::sample::select(vec![1, HOUR, DAY, 30 * DAY]).prop_map(Input::ClockBack),
        8 => Just(Input::Turn),
        8 => (any::<prop::sample::Index>(), 0_u8..6).prop_map(|(on, what)| Input::News(on, what)),
        1 => Just(Input::Pause),
        2 => Just(Input::Resume),
        1 => (1_u64..3_000_000, any::<bool>()).prop_map(|(amount, pro)| Input::Change(amount, pro)),
        1 => any::<bool>().prop_map(Input::Cancel),
        1 => Just(Input::StoreFails),
        1 => any::<bool>().prop_map(Input::TillFails),
        2 => Just(Input::Restart),
    ]
}

struct World {
    env: crate::env::Env,
    store: Arc<MemoryStore>,
    scheduler: Scheduler<FakeTill>,
    now: u64,
    /// Of scheduler objects that are gone: whom they asked.
    earlier: Vec<ChargeOrder>,
    /// The streams that ended: they say nothing any more.
    over: BTreeSet<StreamId>,
    paid: BTreeSet<StreamId>,
}

impl World {
    async fn new(terms: Terms, policy: Policy) -> Self {
        let (env, _) = mock::env(at(0), 7);
        let store = Arc::new(MemoryStore::new());
        let till = FakeTill::new(store.clone());
        let scheduler = Scheduler::new(env.clone(), store.clone(), till);
        let (new, change) = Subscription::agreed(stream(1), terms, 1_000_000, policy, at(0));
        scheduler.begin(new, change).await.expect("saved");
        let (earlier, over, paid) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { env, store, scheduler, now: 0, earlier, over, paid }
    }

    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn asked(&self) -> Vec<ChargeOrder> {
        let mut asked = self.earlier.clone();
        asked.extend(self.scheduler.till().asked());
        asked
    }

    async fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Pass(by) => self.now += by,
            Input::ClockBack(by) => self.now = self.now.saturating_sub(by),
            Input::Turn => self.turn().await,
            Input::News(on, what) => self.news(on, what).await,
            Input::Pause => drop(self.scheduler.pause(stream(1)).await),
            Input::Resume => drop(self.scheduler.resume(stream(1), now).await),
            Input::Change(amount, prorate) => {
                drop(self.scheduler.change_amount(stream(1), amount, prorate, now).await);
            }
            Input::Cancel(by_person) => {
                use SubscriptionEnd::{ByPerson, ByService};
                let why = if by_person { ByPerson } else { ByService };
                drop(self.scheduler.cancel(stream(1), why, None, false, now).await);
            }
            Input::StoreFails => self.store.fail_next(1),
            Input::TillFails(ours) => {
                let reason = "a fault of the test".to_owned();
                let error = if ours {
                    TillError::Unavailable { reason }
                } else {
                    TillError::Refused { reason }
                };
                *self.scheduler.till().refuse.lock().expect("not poisoned") = Some(error);
            }
            Input::Restart => {
                self.earlier = self.asked();
                self.store.kill();
                self.store = Arc::new(self.store.reopen());
                let till = FakeTill::new(self.store.clone());
                self.scheduler = Scheduler::new(self.env.clone(), self.store.clone(), till);
            }
        }
    }

    async fn turn(&mut self) {
        let before = self.asked().len();
        let row = self.store.schedule(stream(1)).await.expect("reads").expect("there");
        let row = Subscription::read(&row).expect("ours");
        self.scheduler.turn(self.now(), 10).await.expect("reads");
        let asked = self.asked();
        if asked.len() > before {
            assert_eq!(asked.len(), before + 1, "one at a time");
            assert!(!row.paused && row.charge.is_none());
            let latest = self.store.charges(stream(1), None, 1).await.expect("reads");
            assert!(latest[0].due <= self.now(), "never early");
            for order in &asked[..before] {
                assert!(self.over.contains(&order.payment), "an earlier one could still be paid");
            }
        }
    }

    async fn news(&mut self, on: prop::sample::Index, what: u8) {
        let asked = self.asked();
        if asked.is_empty() {
            return;
        }
        let payment = on.get(&asked).payment;
        let news = match what {
            0 | 1 if !self.over.contains(&payment) || self.paid.contains(&payment) => {
                News::Payment(PaymentUpdate::Paid { preimage: None, late: what == 1 })
            }
            2 => News::Payment(PaymentUpdate::Timeout),
            3 => News::Payment(PaymentUpdate::UserRejected { reason: None }),
            4 => News::Payment(PaymentUpdate::UserApproved),
            _ => News::Ended,
        };
        if self.scheduler.told(stream(1), payment, &news, self.now()).await.is_ok() {
            if matches!(news, News::Payment(PaymentUpdate::Paid { .. })) {
                self.paid.insert(payment);
                self.over.insert(payment);
            }
            if news == News::Ended {
                self.over.insert(payment);
            }
        }
    }

    /// What holds after every input.
    async fn check(&self) {
        let asked = self.asked();
        let ids: BTreeSet<_> = asked.iter().map(|order| &order.request_id).collect();
        assert_eq!(ids.len(), asked.len(), "each attempt is one request");
        let log = self.store.events(stream(1), None, 10_000).await.expect("reads");
        let mut amounts: BTreeMap<u32, u64> = BTreeMap::new();
        let mut paid_periods = BTreeSet::new();
        let mut last_due = None;
        for (place, event) in log.iter().enumerate() {
            assert_eq!(event.index, u64::try_from(place).expect("few"), "no gaps");
            let PortalEvent::SubscriptionUpdate { status } = &event.body else {
                panic!("only its own events")
            };
            match status {
                SubscriptionUpdate::ChargeCreated { period, amount, due, .. } => {
                    assert!(!paid_periods.contains(period), "paid is paid");
                    let first = *amounts.entry(*period).or_insert(*amount);
                    assert_eq!(first, *amount, "one amount for a period");
                    assert!(last_due.is_none_or(|last| last <= (*period, *due)), "in order");
                    last_due = Some((*period, *due));
                }
                SubscriptionUpdate::ChargePaid { period, .. }
                | SubscriptionUpdate::ChargeCovered { period, .. } => {
                    assert!(paid_periods.insert(*period), "paid once");
                }
                SubscriptionUpdate::Closed { .. } => {
                    assert_eq!(place + 1, log.len(), "nothing follows the end");
                }
                _ => {}
            }
        }
        let row = self.store.schedule(stream(1)).await.expect("reads").expect("there");
        let read = Subscription::read(&row).expect("ours");
        assert_eq!(read.record(), row, "what is saved is what is");
        assert_eq!(u32::try_from(paid_periods.len()).expect("few"), read.paid);
        let money = self.paid.iter().filter(|paid| asked.iter().any(|it| it.payment == **paid));
        assert!(money.count() <= paid_periods.len(), "no payment is lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_period_is_charged_once(
        inputs in prop::collection::vec(input(), 1..80),
        calendar in prop::sample::select(vec!["daily", "monthly", "*-*-31 02:30:00 Europe/Rome"]),
        latest in any::<bool>(),
        most in prop::option::of(1_u32..5),
    ) {
        let catch_up = if latest { CatchUp::Latest } else { CatchUp::Each };
        let policy = Policy { catch_up, ..Policy::default() };
        let terms = Terms { max_payments: most, ..terms(calendar) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new(terms, policy).await;
            for input in inputs {
                world.take(input).await;
                world.check().await;
            }
        });
    }
}

#[tokio::test]
async fn a_row_that_was_changed_since_it_was_found_is_not_charged_by_what_it_said() {
    let world = World::new(terms("daily"), Policy::default()).await;
    let found = world.store.due_schedules(at(0), 1).await.expect("reads").remove(0);
    world.scheduler.pause(stream(1)).await.expect("runs");
    assert!(!world.scheduler.attend(found.clone(), at(0)).await.expect("no fault"));
    assert_eq!(world.asked(), []);
    let info = world.scheduler.get(stream(1)).await.expect("there");
    assert_eq!(info.status, "paused", "nothing is undone");
    world.scheduler.resume(stream(1), at(0)).await.expect("runs");
    assert_eq!(world.scheduler.turn(at(0), 1).await.expect("reads").charged, 1);
    assert!(!world.scheduler.attend(found, at(0)).await.expect("no fault"), "charged already");
    assert_eq!(world.asked().len(), 1);
    world.check().await;
}

#[tokio::test]
async fn a_commit_that_fails_leaves_the_period_to_be_charged_again() {
    let mut world = World::new(terms("daily"), Policy::default()).await;
    world.store.fail_next(1);
    world.turn().await;
    assert_eq!(world.asked(), []);
    assert!(matches!(backend(), StorageError::Backend(_)));
    world.turn().await;
    assert_eq!(world.asked().len(), 1);
}
