//! Money at each of the mints: what is true of one must be true of all.

use portal_core::cashu::{CashuError, Expected, Give, Lock, Outcome, TicketEvent, TicketToken};

use crate::{Owner, Place, holds, minted, within};

/// The same tests for a mint.
macro_rules! money_of {
    ($mint:ident, $place:expr) => {
        mod $mint {
            use super::*;

            #[tokio::test]
            async fn minted_sent_received_and_refused_the_second_time() {
                within(super::goes_round($place)).await;
            }

            #[tokio::test]
            async fn restored_from_the_seed() {
                within(super::is_restored($place)).await;
            }

            #[tokio::test]
            async fn taken_back_when_nobody_claims_it() {
                within(super::is_taken_back($place)).await;
            }

            #[tokio::test]
            async fn the_giver_hears_on_a_socket_that_it_was_claimed() {
                within(super::is_heard_of($place)).await;
            }

            #[tokio::test]
            async fn a_lock_keeps_strangers_out() {
                within(super::stays_locked($place)).await;
            }

            #[tokio::test]
            async fn burned_money_stays_with_who_burns_it() {
                within(super::is_kept_when_burned($place)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn one_of_many_at_once_receives_it() {
                within(super::has_one_receiver($place)).await;
            }
        }
    };
}

money_of!(nutshell, &Place::nutshell());
money_of!(cdk_mintd, &Place::cdk("sat"));

/// What a mint takes for a swap of a few proofs, at most.
const FEE: u64 = 2;

async fn goes_round(place: &Place) {
    let (one, two) = (Owner::at(place), Owner::at(place));
    let (giver, taker) = (one.open().await, two.open().await);
    assert_eq!(minted(&giver, "m", place.to_mint(100)).await.kept, 100);
    assert_eq!(holds(&giver).await, (100, 0, 0));
    assert_eq!(minted(&giver, "m", place.to_mint(100)).await.kept, 100, "the same minting");

    let sent = giver.send("s", place.to_send(21, Give::default())).await.expect("sends");
    let token = TicketToken::parse(&sent.token).expect("a token");
    assert_eq!((token.amount(), token.mint(), token.unit()), (21, &place.mint, &place.unit));
    let received = taker.receive("r", &sent.token).await.expect("receives").amount;
    assert!((21 - FEE..=21).contains(&received), "{received}");
    assert_eq!(holds(&taker).await, (received, 0, 0));
    let again = taker.receive("r", &sent.token).await.expect("the same receiving").amount;
    assert_eq!(again, received);

    let stranger = Owner::at(place).open().await;
    for wallet in [&stranger, &taker] {
        let twice = wallet.receive("twice", &sent.token).await;
        assert!(matches!(twice, Err(CashuError::Spent)), "{twice:?}");
    }
    assert_eq!(giver.watch().await.expect("asks"), token.count(), "the giver hears of it");
    let (left, reserved, given) = holds(&giver).await;
    assert!((79 - FEE..=79).contains(&left), "{left}");
    assert_eq!((reserved, given), (0, 0));

    giver.close().await;
    let reopened = one.open().await;
    reopened.recover().await.expect("recovers");
    assert_eq!(holds(&reopened).await, (left, 0, 0));
    reopened.send("last", place.to_send(left, Give::default())).await.expect("all of it is good");
}

async fn is_restored(place: &Place) {
    let owner = Owner::at(place);
    let wallet = owner.open().await;
    minted(&wallet, "m", place.to_mint(77)).await;
    let sent = wallet.send("s", place.to_send(7, Give::default())).await.expect("sends");
    Owner::at(place).open().await.receive("r", &sent.token).await.expect("somebody has it");
    let (left, ..) = holds(&wallet).await;

    let copy = Owner::with_seed(place, owner.seed);
    let found = copy.open().await;
    let restored = found.restore(&place.mint, &place.unit).await.expect("restores");
    assert_eq!(restored.amount, left, "what was spent does not come back");
    assert_eq!(holds(&found).await, (left, 0, 0));
    minted(&found, "more", place.to_mint(3)).await;
    assert_eq!(holds(&found).await.0, left + 3, "no number is used twice");
}

async fn is_taken_back(place: &Place) {
    let wallet = Owner::at(place).open().await;
    minted(&wallet, "m", place.to_mint(32)).await;
    let sent = wallet.send("s", place.to_send(8, Give::default())).await.expect("sends");
    let (_, _, given) = holds(&wallet).await;
    assert_eq!(given, 8);
    let back = wallet.take_back("s").await.expect("takes back");
    assert!((8 - FEE..=8).contains(&back), "{back}");
    let late = Owner::at(place).open().await.receive("r", &sent.token).await;
    assert!(matches!(late, Err(CashuError::Spent)), "{late:?}");
    let (available, reserved, given) = holds(&wallet).await;
    assert!((32 - 2 * FEE..=32).contains(&available), "{available}");
    assert_eq!((reserved, given), (0, 0));
}

/// Nobody asks here: the mint says it by itself (NUT-17).
async fn is_heard_of(place: &Place) {
    let (giver, taker) = (Owner::at(place).open().await, Owner::at(place).open().await);
    minted(&giver, "m", place.to_mint(8)).await;
    let sent = giver.send("gift", place.to_send(8, Give::default())).await.expect("sends");
    let claimed = async {
        assert!(giver.events(0, 1).await.expect("reads").is_empty());
        taker.receive("r", &sent.token).await.expect("receives");
        giver.next_events(0, 1).await.expect("reads").remove(0).2
    };
    let event = tokio::select! {
        ended = giver.listen() => panic!("{ended:?}"),
        event = claimed => event,
    };
    let TicketEvent::Spent { key, used, .. } = event else { panic!("{event:?}") };
    assert_eq!((key.as_str(), used), ("gift", false));
}

async fn stays_locked(place: &Place) {
    let (giver, holder) = (Owner::at(place).open().await, Owner::at(place).open().await);
    minted(&giver, "m", place.to_mint(64)).await;
    let lock = Some(Lock { to: holder.key(), until: None });
    let sent = giver.send("s", place.to_send(16, Give { lock, memo: None })).await.expect("sends");
    let stranger = Owner::at(place).open().await;
    let refused = stranger.receive("r", &sent.token).await;
    assert!(matches!(refused, Err(CashuError::Locked)), "{refused:?}");
    let received = holder.receive("r", &sent.token).await.expect("receives").amount;
    assert!((16 - FEE..=16).contains(&received), "{received}");
    let again = stranger.receive("r", &sent.token).await;
    assert!(again.is_err(), "{again:?}");
}

async fn is_kept_when_burned(place: &Place) {
    let (person, shop) = (Owner::at(place).open().await, Owner::at(place).open().await);
    minted(&person, "m", place.to_mint(50)).await;
    let sent = person.send("s", place.to_send(20, Give::default())).await.expect("sends");
    let (mint, unit) = (place.mint.clone(), place.unit.clone());
    let wrong = Expected { mint: mint.clone(), unit: unit.clone(), amount: Some(21) };
    let refused = shop.burn("b", &sent.token, &wrong).await;
    assert!(matches!(refused, Err(CashuError::WrongAmount { .. })), "{refused:?}");
    let expected = Expected { mint, unit, amount: Some(20) };
    let burned = shop.burn("b", &sent.token, &expected).await.expect("burns");
    assert_eq!(burned.amount, 20);
    assert!((20 - FEE..=20).contains(&burned.kept), "{burned:?}");
    assert_eq!(holds(&shop).await, (burned.kept, 0, 0));
    assert_eq!(shop.burn("b", &sent.token, &expected).await.expect("the same"), burned);
}

/// All but one learn why not; whoever hears "pending" hears "spent" when it asks again.
async fn has_one_receiver(place: &Place) {
    let giver = Owner::at(place).open().await;
    minted(&giver, "m", place.to_mint(16)).await;
    let sent = giver.send("s", place.to_send(4, Give::default())).await.expect("sends");
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (place, token) = (place.clone(), sent.token.clone());
        tries.spawn(async move {
            let wallet = Owner::at(&place).open().await;
            loop {
                match wallet.receive("r", &token).await {
                    Err(error) if error.outcome() == Outcome::Unknown => {
                        tokio::time::sleep(crate::AGAIN).await;
                    }
                    other => return other.map(|received| received.amount),
                }
            }
        });
    }
    let ends = tries.join_all().await;
    let won = ends.iter().filter(|end| end.is_ok()).count();
    let late = ends.iter().filter(|end| matches!(end, Err(CashuError::Spent))).count();
    assert_eq!((won, late), (1, 7), "{ends:?}");
}
