//! Tickets at a mint that is not ours and offers the method `portal`.

use portal_core::cashu::{CashuError, Event, Give, Lock, NewMint, OfflineRule, Verdict};

use crate::{Owner, Place, holds, minted, within};

fn locked_to(to: nostr::PublicKey) -> Option<Give> {
    Some(Give { lock: Some(Lock { to, until: None }), memo: None })
}

#[tokio::test]
async fn a_ticket_is_minted_passed_on_and_refused_the_second_time() {
    within(async {
        let place = Place::cdk("vip");
        let (shop, person) = (Owner::at(&place).open().await, Owner::at(&place).open().await);
        let new = NewMint { give: Some(Give::default()), ..place.to_mint(3) };
        let token = minted(&shop, "order", new).await.token.expect("a token");
        assert_eq!(person.receive("gift", &token).await.expect("receives").amount, 3);
        let twice = Owner::at(&place).open().await.receive("r", &token).await;
        assert!(matches!(twice, Err(CashuError::Spent)), "{twice:?}");
        assert!(shop.watch().await.expect("asks") > 0, "the shop hears that it was claimed");
        let sent = person.send("s", place.to_send(1, Give::default())).await.expect("sends");
        let friend = Owner::at(&place).open().await;
        assert_eq!(friend.receive("r", &sent.token).await.expect("receives").amount, 1);
        assert_eq!(holds(&person).await, (2, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_gate_lets_in_offline_what_that_mint_has_signed_and_once() {
    within(async {
        let place = Place::cdk("vip");
        let (shop, door) = (Owner::at(&place).open().await, Owner::at(&place).open().await);
        let new = NewMint { give: locked_to(door.key()), ..place.to_mint(1) };
        let token = minted(&shop, "order", new).await.token.expect("a token");
        let event = Event {
            mint: place.mint.clone(),
            unit: place.unit.clone(),
            amount: Some(1),
            offline: OfflineRule::LockedToUs,
        };
        door.prepare_gate(&event).await.expect("keys");
        let gate = door.gate(event);
        let verdict = gate.check_offline(&token).await.expect("a verdict");
        assert_eq!(verdict, Verdict::Valid { amount: 1, offline: true });
        assert_eq!(gate.check_offline(&token).await.expect("a verdict"), Verdict::Used);
    })
    .await;
}
