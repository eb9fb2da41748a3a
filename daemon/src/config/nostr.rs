//! `[nostr]`: the key of the service and its relays.

use nostr::SecretKey;
use portal_core::identity::LocalKey;
use portal_core::primitives::Secret;
use portal_core::protocol::subkey::SubkeyProof;
use portal_core::relay::RelayAddress;

use super::Flags;
use super::problem::Problem;
use super::values::Values;

/// The key of the service and its relays.
#[derive(Clone, Debug)]
pub struct NostrConfig {
    /// 64 hex digits. `None` only with `--dev`, which makes one.
    pub private_key: Option<Secret<String>>,
    /// Says that `private_key` is a subkey of another key.
    pub subkey_proof: Option<SubkeyProof>,
    /// The relays of the service. `None` only with `--dev`, which starts one.
    pub relays: Option<Vec<RelayAddress>>,
    /// Whether relays in private networks may be used.
    pub allow_private_relays: bool,
}

/// Where the service listens when nobody says so.
const DEFAULT_RELAYS: [&str; 3] =
    ["wss://relay.nostr.net", "wss://relay.damus.io", "wss://relay.getportal.cc"];

const MAX_RELAYS: usize = 16;

impl NostrConfig {
    pub(super) fn take(values: &mut Values, flags: &Flags) -> Self {
        let name = values.name_of("nostr.private_key");
        let given = values.is_set("nostr.private_key");
        let private_key = values.text("nostr.private_key").and_then(|text| {
            let text = Secret::new(text);
            match SecretKey::parse(text.expose().trim()) {
                Ok(key) => Some(Secret::new(key.to_secret_hex())),
                Err(_) => values.wrong(
                    name,
                    "a secret key: 64 hex digits or nsec1… (make one with `portal key new`)",
                ),
            }
        });
        if !given && !flags.dev {
            values.problem(Problem::Missing {
                key: "nostr.private_key",
                help: "set NOSTR_KEY to 64 hex digits or nsec1… (make one with `portal key new`), \
                       or try things out with `portal-daemon --dev`",
            });
        }
        let subkey_proof = take_proof(values, private_key.as_ref());
        let relays = take_relays(values)
            .or_else(|| (!flags.dev).then(|| DEFAULT_RELAYS.map(default_relay).to_vec()));
        let allow_private_relays = values.flag("nostr.allow_private_relays").unwrap_or(flags.dev);
        Self { private_key, subkey_proof, relays, allow_private_relays }
    }
}

/// Reads the proof, which must fit the key.
fn take_proof(values: &mut Values, key: Option<&Secret<String>>) -> Option<SubkeyProof> {
    let name = values.name_of("nostr.subkey_proof");
    let text = values.text("nostr.subkey_proof")?;
    let Ok(proof) = serde_json::from_str::<SubkeyProof>(&text) else {
        return values.wrong(name, "a subkey proof: JSON with `main_key` and `metadata`");
    };
    let key = LocalKey::parse(key?.expose()).ok()?;
    // Whether it is valid today is for the start to say; here only whether it fits.
    let fits = key.with_proof(proof.clone(), proof.metadata.valid_from).is_ok();
    if !fits {
        return values.wrong(name, "a proof that was made for `nostr.private_key`");
    }
    Some(proof)
}

fn default_relay(address: &str) -> RelayAddress {
    RelayAddress::parse(address).expect("the addresses above are checked by a test")
}

fn take_relays(values: &mut Values) -> Option<Vec<RelayAddress>> {
    let name = values.name_of("nostr.relays");
    let relays = values.list("nostr.relays")?;
    if relays.len() > MAX_RELAYS {
        return values.wrong(name, "at most 16 relays");
    }
    match relays.iter().map(|relay| RelayAddress::parse(relay)).collect() {
        Ok(relays) => Some(relays),
        Err(_) => values.wrong(name, "relay addresses that begin with wss:// or ws://"),
    }
}
