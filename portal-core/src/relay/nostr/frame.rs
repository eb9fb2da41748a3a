//! Reads what a relay says, as far as the pool must: an `EVENT` is recognised by its first bytes
//! and never parsed here.

use std::borrow::Cow;

use ::nostr::EventId;
use serde_json::Value;

/// How an event frame begins.
const EVENT: &str = "[\"EVENT\",";
/// The longest event frame that is passed on: 64 KiB of event, and the subscription id around it.
pub(in crate::relay) const MAX_EVENT_FRAME: usize = 64 * 1024 + 256;
/// The longest other frame that is read.
const MAX_OTHER_FRAME: usize = 8 * 1024;
/// How an answer to a publication begins.
const OK: &str = "[\"OK\",\"";
/// The characters of an event id.
const ID_LENGTH: usize = 64;

/// A frame from a relay.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) enum Incoming<'a> {
    /// An event, whole, beginning with `["EVENT",`.
    Event(Cow<'a, str>),
    /// The answer to a publication or an authentication.
    Ok { id: EventId, accepted: bool, message: Cow<'a, str> },
    /// What was stored has been sent.
    Eose(String),
    /// The relay has closed a subscription.
    Closed { id: String, message: String },
    /// A word to the operator.
    Notice(String),
    /// The relay asks who we are.
    Auth(String),
    /// An event that is too large.
    Oversized,
    /// Anything else.
    Garbage,
}

impl<'a> Incoming<'a> {
    /// Recognises a frame.
    pub(in crate::relay) fn read(text: &'a str) -> Self {
        if text.starts_with(EVENT) {
            return if text.len() <= MAX_EVENT_FRAME {
                Self::Event(Cow::Borrowed(text))
            } else {
                Self::Oversized
            };
        }
        if let Some(answer) = plain_ok(text) {
            return answer;
        }
        if let Some(rest) = spaced_event(text) {
            return if rest.len() <= MAX_EVENT_FRAME {
                Self::Event(Cow::Owned(format!("{EVENT}{rest}")))
            } else {
                Self::Oversized
            };
        }
        if text.len() > MAX_OTHER_FRAME {
            return Self::Garbage;
        }
        other(text).unwrap_or(Self::Garbage)
    }

    /// Whether this is the plain form of "accepted", which matters only to who awaits it.
    pub(in crate::relay) fn is_plain_accepted(text: &str) -> bool {
        text.starts_with(OK)
            && text.get(OK.len() + ID_LENGTH..).is_some_and(|t| t.starts_with("\",true,"))
    }
}

/// The event in what a relay says, when it is passed on; for the fuzzer.
#[cfg(feature = "testing")]
#[must_use]
pub fn event_in(text: &str) -> Option<Cow<'_, str>> {
    match Incoming::read(text) {
        Incoming::Event(frame) => Some(frame),
        _ => None,
    }
}

/// `["OK","<id>",true|false,""]`, the form in which nearly all answers come, without a parser.
fn plain_ok(text: &str) -> Option<Incoming<'_>> {
    let rest = text.strip_prefix(OK)?;
    let id = EventId::from_hex(rest.get(..ID_LENGTH)?).ok()?;
    let accepted = match rest.get(ID_LENGTH..)? {
        "\",true,\"\"]" => true,
        "\",false,\"\"]" => false,
        _ => return None,
    };
    Some(Incoming::Ok { id, accepted, message: Cow::Borrowed("") })
}

/// An event frame with white space where nobody needs it; returns what follows the first comma.
fn spaced_event(text: &str) -> Option<&str> {
    let rest = text.trim_start().strip_prefix('[')?;
    let rest = rest.trim_start().strip_prefix("\"EVENT\"")?;
    rest.trim_start().strip_prefix(',')
}

fn other(text: &str) -> Option<Incoming<'static>> {
    let mut parts: Vec<Value> = serde_json::from_str(text).ok()?;
    let mut word = |index: usize| match parts.get_mut(index).map(Value::take) {
        Some(Value::String(word)) => Some(word),
        _ => None,
    };
    Some(match word(0)?.as_str() {
        "OK" => {
            let id = EventId::from_hex(&word(1)?).ok()?;
            let message = Cow::Owned(word(3).unwrap_or_else(String::new));
            let accepted = parts.get(2)?.as_bool()?;
            Incoming::Ok { id, accepted, message }
        }
        "EOSE" => Incoming::Eose(word(1)?),
        "CLOSED" => Incoming::Closed { id: word(1)?, message: word(2).unwrap_or_else(String::new) },
        "NOTICE" => Incoming::Notice(word(1)?),
        "AUTH" => Incoming::Auth(word(1)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    #[test]
    fn events_are_passed_on_as_they_are() {
        let text = "[\"EVENT\",\"s\",{}]";
        assert_eq!(Incoming::read(text), Incoming::Event(Cow::Borrowed(text)));
        let spaced = "[\"EVENT\", \"s\", {}]";
        assert_eq!(Incoming::read(spaced), Incoming::Event(Cow::Borrowed(spaced)));
        for odd in ["[ \"EVENT\",\"s\",{}]", " [\"EVENT\" ,\"s\",{}]", "\n[\n\"EVENT\"\n,\"s\",{}]"]
        {
            let Incoming::Event(frame) = Incoming::read(odd) else { panic!("{odd}") };
            assert_eq!(frame, text);
        }
    }

    #[test]
    fn large_events_are_not() {
        let fits = format!("[\"EVENT\",\"s\",{}", " ".repeat(64 * 1024));
        assert!(matches!(Incoming::read(&fits), Incoming::Event(_)));
        for start in ["[\"EVENT\",", "[ \"EVENT\","] {
            let large = format!("{start}\"s\",{}", " ".repeat(64 * 1024 + 256));
            assert_eq!(Incoming::read(&large), Incoming::Oversized);
        }
    }

    #[test]
    fn answers_are_read_in_every_spelling() {
        let id = EventId::from_hex(ID).unwrap();
        for (text, accepted, message) in [
            (format!("[\"OK\",\"{ID}\",true,\"\"]"), true, ""),
            (format!("[\"OK\",\"{ID}\",false,\"\"]"), false, ""),
            (format!("[\"OK\",\"{ID}\",true]"), true, ""),
            (format!("[\"OK\", \"{ID}\", false, \"blocked: no\"]"), false, "blocked: no"),
            (format!("[\"OK\",\"{ID}\",true,\"duplicate: \\\"x\\\"\"]"), true, "duplicate: \"x\""),
        ] {
            let expected = Incoming::Ok { id, accepted, message: Cow::Borrowed(message) };
            assert_eq!(Incoming::read(&text), expected, "{text}");
        }
        assert!(Incoming::is_plain_accepted(&format!("[\"OK\",\"{ID}\",true,\"x\"]")));
        assert!(!Incoming::is_plain_accepted(&format!("[\"OK\",\"{ID}\",false,\"x\"]")));
        assert!(!Incoming::is_plain_accepted("[\"OK\",\""));
    }

    #[test]
    fn the_other_words_are_read() {
        let read = |text| Incoming::read(text);
        assert_eq!(read("[\"EOSE\",\"s\"]"), Incoming::Eose("s".into()));
        assert_eq!(read("[\"NOTICE\",\"hi\"]"), Incoming::Notice("hi".into()));
        assert_eq!(read("[\"AUTH\",\"c\"]"), Incoming::Auth("c".into()));
        let closed = Incoming::Closed { id: "s".into(), message: "error: x".into() };
        assert_eq!(read("[\"CLOSED\",\"s\",\"error: x\"]"), closed);
        let closed = Incoming::Closed { id: "s".into(), message: String::new() };
        assert_eq!(read("[\"CLOSED\",\"s\"]"), closed);
    }

    #[test]
    fn nonsense_is_garbage() {
        let deep = "[".repeat(4000);
        let long = format!("[\"NOTICE\",\"{}\"]", "x".repeat(MAX_OTHER_FRAME));
        let multibyte = format!("[\"OK\",\"{}é\",true,\"\"]", "a".repeat(63));
        for text in [
            "",
            "[]",
            "{}",
            "null",
            "EVENT",
            "[\"EVENT\"]",
            "[1]",
            "[\"OK\"]",
            "[\"OK\",\"xyz\",true,\"\"]",
            "[\"OK\",7,true,\"\"]",
            "[\"EOSE\"]",
            "[\"EOSE\",7]",
            "[\"AUTH\",null]",
            "[\"COUNT\",\"s\",{}]",
            &deep,
            &long,
            &multibyte,
        ] {
            assert_eq!(Incoming::read(text), Incoming::Garbage, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}", word in "(OK|EVENT|EOSE|CLOSED|AUTH|NOTICE)") {
            Incoming::read(&text);
            Incoming::is_plain_accepted(&text);
            let framed = format!("[\"{word}\",\"{text}");
            Incoming::read(&framed);
            Incoming::is_plain_accepted(&framed);
        }
    }
}
