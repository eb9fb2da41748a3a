//! Authentication towards one connection (NIP-42): which challenge, and whether it was answered.

use ::nostr::EventId;

/// The longest challenge that is signed.
const MAX_CHALLENGE: usize = 1024;
/// How many challenges of one connection are answered: each costs a signature, and each success
/// makes everything be sent again.
const MAX_ANSWERS: u8 = 4;

/// Where the authentication of one connection stands.
#[derive(Default)]
pub(in crate::relay) struct Authentication {
    challenge: Option<String>,
    /// The event whose acceptance is awaited.
    awaited: Option<EventId>,
    answers: u8,
}

impl Authentication {
    /// Notes a challenge. False when it is not one that can be answered.
    pub(in crate::relay) fn challenged(&mut self, challenge: String) -> bool {
        if challenge.is_empty() || challenge.len() > MAX_CHALLENGE {
            return false;
        }
        self.challenge = Some(challenge);
        true
    }

    /// The challenge to answer now; `None` without one, or after too many answers.
    pub(in crate::relay) fn to_answer(&self) -> Option<&str> {
        if self.answers < MAX_ANSWERS { self.challenge.as_deref() } else { None }
    }

    /// Notes that this event was sent as the answer.
    pub(in crate::relay) fn sent(&mut self, id: EventId) {
        self.answers = self.answers.saturating_add(1);
        self.awaited = Some(id);
    }

    pub(in crate::relay) fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// The relay's answer to an event: `Some` when that event was our authentication.
    pub(in crate::relay) fn answered(&mut self, id: &EventId, accepted: bool) -> Option<bool> {
        if self.awaited.as_ref() != Some(id) {
            return None;
        }
        self.awaited = None;
        Some(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_awaited_answer_counts_and_only_once() {
        let (ours, other) = (EventId::all_zeros(), EventId::from_byte_array([1; 32]));
        let mut auth = Authentication::default();
        assert_eq!(auth.to_answer(), None);
        assert_eq!(auth.answered(&ours, true), None);
        assert!(auth.challenged("c".to_owned()));
        assert_eq!(auth.to_answer(), Some("c"));
        auth.sent(ours);
        assert_eq!(auth.answered(&other, true), None);
        assert_eq!(auth.answered(&ours, true), Some(true));
        assert_eq!(auth.answered(&ours, true), None);
    }

    #[test]
    fn challenges_are_bounded_in_size_and_number() {
        let mut auth = Authentication::default();
        assert!(!auth.challenged("x".repeat(MAX_CHALLENGE + 1)));
        assert!(!auth.challenged(String::new()));
        for n in 0..MAX_ANSWERS {
            assert!(auth.challenged(n.to_string()));
            assert!(auth.to_answer().is_some());
            auth.sent(EventId::all_zeros());
        }
        assert!(auth.challenged("again".to_owned()));
        assert_eq!(auth.to_answer(), None);
    }
}
