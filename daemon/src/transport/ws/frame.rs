//! The frames of the socket: JSON text in both directions, in the dialect of the 0.3 clients.
//!
//! Reading is lenient where the first daemons had traps (ids that are numbers, `params` that are
//! absent, `null` or `{}`), and an id goes back exactly as it came. What cannot be read becomes an
//! error frame whose id is `""` unless the id itself could be read.

use portal_core::event::PortalEvent;
use portal_core::primitives::StreamId;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use crate::commands::Command;
use crate::error::CommandError;

/// The longest id that is echoed.
const MAX_ID: usize = 256;

/// The longest idempotency key.
const MAX_IDEMPOTENCY_KEY: usize = 128;

/// The id of a command as its client wrote it: a JSON string or number.
#[derive(Clone, Debug)]
pub struct FrameId(Box<RawValue>);

impl FrameId {
    /// The id of an answer to something that has none.
    #[must_use]
    pub fn none() -> Self {
        Self(to_raw_value("").expect("a text is JSON"))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    fn read(raw: Option<&RawValue>) -> Result<Self, CommandError> {
        let raw = raw.ok_or_else(|| CommandError::unreadable("missing field `id`"))?;
        let first = raw.get().as_bytes().first().copied().unwrap_or_default();
        if !matches!(first, b'"' | b'-' | b'0'..=b'9') {
            return Err(CommandError::unreadable("`id` must be a string or a number"));
        }
        // The reader of raw values lets escapes pass that are half of a letter; nobody could read
        // the answer.
        if first == b'"' && serde_json::from_str::<String>(raw.get()).is_err() {
            return Err(CommandError::unreadable("`id` is not a text"));
        }
        if raw.get().len() > MAX_ID {
            return Err(CommandError::unreadable("`id` is longer than 256 bytes"));
        }
        Ok(Self(raw.to_owned()))
    }
}

/// A command as it came over the socket.
#[derive(Clone, Debug)]
pub struct CommandFrame {
    /// Its id.
    pub id: FrameId,
    /// What to do.
    pub command: Command,
    /// Makes the command safe to repeat.
    pub idempotency: Option<IdempotencyKey>,
}

/// A caller's name for one doing of a command, with what the command was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The caller's key.
    pub key: String,
    /// A hash of the command and its parameters, whatever the order of their members.
    pub command_hash: [u8; 32],
}

/// A frame that is no command, with the id to answer to.
#[derive(Clone, Debug)]
pub struct BadFrame {
    /// The id if it could be read, else `""`.
    pub id: FrameId,
    /// What is wrong.
    pub error: CommandError,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cmd: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    idempotency_key: Option<&'a RawValue>,
}

/// Reads a frame.
///
/// # Errors
/// When it is not a command; the error is ready to be sent.
pub fn read(text: &str) -> Result<CommandFrame, BadFrame> {
    let nameless = |error| BadFrame { id: FrameId::none(), error };
    let wire: Wire<'_> =
        serde_json::from_str(text).map_err(|error| nameless(CommandError::unreadable(error)))?;
    let id = FrameId::read(wire.id).map_err(nameless)?;
    let bad = |error| BadFrame { id: id.clone(), error };
    let name = wire.cmd.ok_or_else(|| bad(CommandError::unreadable("missing field `cmd`")))?.get();
    let name: String = serde_json::from_str(name)
        .map_err(|_| bad(CommandError::unreadable("`cmd` must be a string")))?;
    let params = wire.params.map_or("{}", RawValue::get);
    let command = Command::read(&name, params).map_err(bad)?;
    let idempotency =
        wire.idempotency_key.map(|raw| read_key(raw, &name, params)).transpose().map_err(bad)?;
    Ok(CommandFrame { id, command, idempotency })
}

fn read_key(raw: &RawValue, name: &str, params: &str) -> Result<IdempotencyKey, CommandError> {
    let key: String = serde_json::from_str(raw.get())
        .map_err(|_| CommandError::unreadable("`idempotency_key` must be a string"))?;
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
        return Err(CommandError::unreadable("`idempotency_key` must have 1 to 128 bytes"));
    }
    let params: serde_json::Value =
        serde_json::from_str(params).map_err(CommandError::unreadable)?;
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([0]);
    hash_value(&params, &mut hasher);
    Ok(IdempotencyKey { key, command_hash: hasher.finalize().into() })
}

/// Hashes a value so that the order of members does not matter. Members that are `null` count as
/// absent, since commands take them so. The depth is bounded by the parser.
fn hash_value(value: &serde_json::Value, hasher: &mut Sha256) {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            hasher.update(b"{");
            for (name, value) in members {
                hasher.update(name.len().to_le_bytes());
                hasher.update(name.as_bytes());
                hash_value(value, hasher);
            }
            hasher.update(b"}");
        }
        serde_json::Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                hash_value(item, hasher);
            }
            hasher.update(b"]");
        }
        scalar => {
            let text = scalar.to_string();
            hasher.update(text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Out<'a, D> {
    Success {
        id: &'a RawValue,
        data: &'a D,
    },
    Error {
        id: &'a RawValue,
        #[serde(flatten)]
        error: &'a CommandError,
    },
    Notification {
        id: StreamId,
        index: u64,
        data: &'a D,
    },
}

/// `{"type":"success","id":…,"data":…}`
#[must_use]
pub fn success(id: &FrameId, data: &impl Serialize) -> String {
    write(&Out::Success { id: &id.0, data })
}

/// `{"type":"error","id":…,"code":…,"message":…,"retryable":…}`
#[must_use]
pub fn error(id: &FrameId, error: &CommandError) -> String {
    write::<()>(&Out::Error { id: &id.0, error })
}

/// `{"type":"notification","id":<stream>,"index":…,"data":…}`
#[must_use]
pub fn notification(stream: StreamId, index: u64, data: &PortalEvent) -> String {
    write(&Out::Notification { id: stream, index, data })
}

fn write<D: Serialize>(frame: &Out<'_, D>) -> String {
    serde_json::to_string(frame).expect("frames have only members that JSON can say")
}

#[cfg(test)]
mod tests {
    use portal_core::event::PaymentUpdate;
    use portal_core::primitives::ErrorCode;
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> (String, CommandError) {
        let bad = read(text).expect_err(text);
        (bad.id.as_json().to_owned(), bad.error)
    }

    #[test]
    fn ids_go_back_as_they_came() {
        for id in ["\"a\"", "\"\"", "1", "-1.50", "1e400", "\"\\u0041\"", "18446744073709551616"] {
            let frame = read(&format!(r#"{{"id":{id},"cmd":"GetWalletInfo"}}"#)).expect("readable");
            assert_eq!(frame.id.as_json(), id);
            let text = error(&frame.id, &CommandError::not_authenticated());
            assert!(text.starts_with(&format!(r#"{{"type":"error","id":{id},"#)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_without_an_id() {
        for text in
            ["", "x", "[]", "5", "null", "{", "\u{0}", r#"{"cmd":"Auth"}"#, r#"{"id":null}"#]
        {
            let (id, error) = refused(text);
            assert_eq!(id, "\"\"", "{text}");
            assert!(error.message.starts_with("Invalid command format: "), "{text}");
        }
        for id in [
            "true",
            "[1]",
            "{}",
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            &format!("\"{}\"", "x".repeat(300)),
        ] {
            let text = format!(r#"{{"id":{id},"cmd":"GetWalletInfo"}}"#);
            assert_eq!(refused(&text).0, "\"\"");
        }
        let deep = format!(r#"{{"id":"1","cmd":"Auth","params":{}"#, "[".repeat(100_000));
        assert_eq!(refused(&deep).0, "\"\"");
    }

    #[test]
    fn what_is_wrong_behind_the_id_is_answered_to_it() {
        for (text, code) in [
            (r#"{"id":"7"}"#, ErrorCode::InvalidRequest),
            (r#"{"id":"7","cmd":5}"#, ErrorCode::InvalidRequest),
            (r#"{"id":"7","cmd":"auth","params":{"token":"x"}}"#, ErrorCode::UnknownCommand),
            (r#"{"id":"7","cmd":"Auth","params":{"token":5}}"#, ErrorCode::InvalidRequest),
            (r#"{"id":"7","cmd":"Auth"}"#, ErrorCode::InvalidRequest),
            (r#"{"id":"7","cmd":"GetWalletInfo","params":[]}"#, ErrorCode::InvalidRequest),
            (r#"{"id":"7","cmd":"GetWalletInfo","idempotency_key":""}"#, ErrorCode::InvalidRequest),
        ] {
            let (id, error) = refused(text);
            assert_eq!((id.as_str(), error.code), ("\"7\"", code), "{text}");
            assert!(error.message.starts_with("Invalid command format: "), "{}", error.message);
        }
        let (_, error) = refused(r#"{"id":"7","cmd":"Nonsense"}"#);
        assert!(!error.message.contains("PayInvoice"), "no list of commands: {}", error.message);
    }

    #[test]
    fn the_frames_of_the_vectors_are_read_and_the_traps_are_gone() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!(
            "../../../../portal-core/src/protocol/vectors/portal.json"
        ))
        .expect("vectors are JSON");
        let mut seen = 0;
        for vector in vectors["ws_command_parse"].as_array().expect("a list") {
            let Some(text) = vector["json"].as_str() else { continue };
            seen += 1;
            // Refusals of the first daemons were traps, all but the missing id.
            let readable = !text.starts_with(r#"{"cmd""#);
            assert_eq!(read(text).is_ok(), readable, "{text}");
            assert!(readable || vector["ok"] == false, "nothing legal is refused: {text}");
        }
        assert_eq!(seen, 9);
    }

    #[test]
    fn an_idempotency_key_names_the_command_not_its_spelling() {
        let hash =
            |text: &str| read(text).expect("readable").idempotency.expect("has a key").command_hash;
        let one = hash(
            r#"{"id":"1","cmd":"NewKeyHandshakeUrl","params":{"static_token":"a","no_request":true},"idempotency_key":"k"}"#,
        );
        let same = hash(
            r#"{"idempotency_key":"k","id":"2","cmd":"NewKeyHandshakeUrl","params":{"no_request": true, "static_token":"\u0061"}}"#,
        );
        let other = hash(
            r#"{"id":"1","cmd":"NewKeyHandshakeUrl","params":{"static_token":"b","no_request":true},"idempotency_key":"k"}"#,
        );
        assert_eq!(one, same);
        assert_ne!(one, other);
        let absent = hash(r#"{"id":"1","cmd":"GetWalletInfo","idempotency_key":"k"}"#);
        let null = hash(r#"{"id":"1","cmd":"GetWalletInfo","params":null,"idempotency_key":"k"}"#);
        assert_eq!(absent, null);
    }

    #[test]
    fn frames_have_the_form_that_clients_know() {
        let id = read(r#"{"id":"c1","cmd":"GetWalletInfo"}"#).expect("readable").id;
        assert_eq!(
            success(&id, &serde_json::json!({"type": "auth_success"})),
            r#"{"type":"success","id":"c1","data":{"type":"auth_success"}}"#
        );
        assert_eq!(
            error(&id, &CommandError::new(ErrorCode::Timeout, "Timeout")),
            r#"{"type":"error","id":"c1","code":"timeout","message":"Timeout","retryable":true}"#
        );
        let stream: StreamId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("a UUID");
        let event = PortalEvent::PaymentStatusUpdate {
            status: PaymentUpdate::Paid { preimage: None, late: true },
        };
        assert_eq!(
            notification(stream, 3, &event),
            r#"{"type":"notification","id":"01890a5d-ac96-774b-bcce-b302099a8057","index":3,"data":{"type":"payment_status_update","status":{"status":"paid","late":true}}}"#
        );
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(text in ".{0,200}") {
            if let Err(bad) = read(&text) {
                prop_assert!(!error(&bad.id, &bad.error).is_empty());
            }
        }

        #[test]
        fn any_parameters_are_read_or_refused(
            name in prop::sample::select(Command::NAMES),
            params in r#"[\[\]{}":,a-z0-9.\-]{0,60}"#,
        ) {
            let text = format!(r#"{{"id":"1","cmd":"{name}","params":{params}}}"#);
            if let Err(bad) = read(&text) {
                prop_assert!(bad.error.message.starts_with("Invalid command format: "));
            }
        }
    }
}
