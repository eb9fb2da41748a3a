//! What a wallet publishes about itself: one event for all its clients, kind 13194.

use nostr::{Event, Tag, TagKind, Timestamp};

/// Most words of a list that are kept.
const MOST_WORDS: usize = 64;
/// Longest word that is kept.
const LONGEST_WORD: usize = 64;

/// What the wallet published about itself. What a single connection may do is in the answer to
/// `get_info` only.
#[derive(Clone)]
pub(super) struct About {
    pub(super) created_at: Timestamp,
    pub(super) methods: Vec<String>,
    pub(super) notifications: Vec<String>,
    pub(super) nip44: bool,
}

impl From<&Event> for About {
    fn from(event: &Event) -> Self {
        let words = |tag: &'static str| {
            event.tags.find(TagKind::custom(tag)).and_then(Tag::content).unwrap_or("")
        };
        let list = |text: &str| {
            text.split_whitespace()
                .filter(|word| word.len() <= LONGEST_WORD)
                .take(MOST_WORDS)
                .map(str::to_owned)
                .collect()
        };
        Self {
            created_at: event.created_at,
            methods: list(&event.content),
            notifications: list(words("notifications")),
            // Without the tag, the wallet is from before NIP-44.
            nip44: words("encryption").split([' ', ',']).any(|word| word == "nip44_v2"),
        }
    }
}
