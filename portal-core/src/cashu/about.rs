//! What a mint says of itself, and how a unit is shown.
//!
//! Both are kept, so that an app can show a ticket with its picture and its date where there is no
//! network. A mint's word about looks is bounded and otherwise taken as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CashuError, Unit};
use crate::primitives::Timestamp;

/// The longest text of a unit's description that is kept, in characters.
const MOST_TEXT: usize = 4096;

/// How a unit is shown: `GET /v1/unit/{unit}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitInfo {
    /// The name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// More about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Where to read on.
    #[serde(default)]
    pub url: Option<String>,
    /// Each one is a ticket of its own; otherwise a number is shown.
    #[serde(default)]
    pub show_individually: bool,
    /// A picture.
    #[serde(default)]
    pub front_card_background: Option<String>,
    /// A picture.
    #[serde(default)]
    pub back_card_background: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub kind: Option<UnitKind>,
    /// False when tickets stay with who got them. A wallet of ours then refuses to pass them on;
    /// only a lock to the holder's key can hold back others.
    #[serde(default = "yes")]
    pub transferable: bool,
}

/// What a unit is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitKind {
    /// An event.
    Event {
        /// When, as its organiser wrote it.
        date: String,
        /// Where.
        location: String,
    },
    /// Anything else.
    Other,
}

const fn yes() -> bool {
    true
}

impl UnitInfo {
    /// Reads what a mint says; what cannot be read is left out, what is too long is cut.
    pub(super) fn read(value: &Value) -> Self {
        let text = |name: &str| {
            let text = value.get(name)?.as_str()?;
            Some(text.chars().filter(|letter| !letter.is_control()).take(MOST_TEXT).collect())
        };
        let flag = |name: &str| value.get(name).and_then(Value::as_bool);
        let kind = value.get("kind").and_then(|kind| serde_json::from_value(kind.clone()).ok());
        Self {
            title: text("title"),
            description: text("description"),
            url: text("url"),
            show_individually: flag("show_individually")
                .or_else(|| flag("is_non_fungible"))
                .unwrap_or(false),
            front_card_background: text("front_card_background"),
            back_card_background: text("back_card_background"),
            kind,
            transferable: flag("transferable").unwrap_or(true),
        }
    }
}

/// What a mint says of itself, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) name: Option<String>,
    mint_methods: Vec<(String, Unit)>,
    melt_methods: Vec<(String, Unit)>,
    pub(super) proves_signatures: bool,
    /// A socket tells what becomes of proofs (NUT-17).
    pub(super) tells_states: bool,
    pub(super) most_items: usize,
}

impl About {
    pub(super) fn read(value: &Value) -> Self {
        let methods = |nut: &str| {
            let listed = value.pointer(&format!("/nuts/{nut}/methods")).and_then(Value::as_array);
            listed
                .into_iter()
                .flatten()
                .take(1024)
                .filter_map(|entry| {
                    let method = entry.get("method")?.as_str()?;
                    let unit = entry.get("unit")?.as_str()?.parse().ok()?;
                    Some((method.to_owned(), unit))
                })
                .collect()
        };
        let most = value.get("max_array_length").and_then(Value::as_u64).unwrap_or(1000);
        Self {
            name: value
                .get("name")
                .and_then(Value::as_str)
                .map(|name| name.chars().take(200).collect()),
            mint_methods: methods("4"),
            melt_methods: methods("5"),
            proves_signatures: value
                .pointer("/nuts/12/supported")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            tells_states: tells_states(value),
            most_items: usize::try_from(most).unwrap_or(usize::MAX).clamp(1, 1000),
        }
    }

    /// How to mint this unit: our own method where there is one.
    pub(super) fn mint_method(&self, unit: &Unit) -> Result<&'static str, CashuError> {
        let offers = |method: &str| self.mint_methods.iter().any(|(m, u)| m == method && u == unit);
        if offers(OWN_METHOD) {
            return Ok(OWN_METHOD);
        }
        if offers(BOLT11) {
            return Ok(BOLT11);
        }
        Err(CashuError::UnsupportedUnit)
    }

    /// Whether tickets of this unit can be burned at the mint.
    pub(super) fn burns(&self, unit: &Unit) -> bool {
        !unit.is_money() && self.melt_methods.iter().any(|(m, u)| m == OWN_METHOD && u == unit)
    }
}

fn tells_states(value: &Value) -> bool {
    let listed = value.pointer("/nuts/17/supported").and_then(Value::as_array);
    let commands = listed
        .into_iter()
        .flatten()
        .take(1024)
        .filter_map(|entry| entry.get("commands")?.as_array());
    commands.flatten().any(|command| command == "proof_state")
}

/// The payment method of our own mint, whose quotes are paid at once.
pub(super) const OWN_METHOD: &str = "portal";
/// The payment method that every mint has.
pub(super) const BOLT11: &str = "bolt11";

/// A mint as the wallet knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMint {
    /// Where.
    pub address: super::MintAddress,
    /// Its name, as it says.
    pub name: Option<String>,
    /// When it was last asked; the epoch when it never answered.
    pub asked_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_units_looks_are_read_in_both_forms_and_cut() {
        let info = UnitInfo::read(&json!({
            "title": "VIP\u{7}", "description": "x".repeat(10_000), "show_individually": true,
            "front_card_background": "https://a/b.png", "transferable": false,
            "kind": {"Event": {"date": "2026-12-01", "location": "Turin"}}, "more": 1,
        }));
        assert_eq!(info.title.as_deref(), Some("VIP"));
        assert_eq!(info.description.map(|text| text.len()), Some(MOST_TEXT));
        assert!(info.show_individually && !info.transferable);
        let event = UnitKind::Event { date: "2026-12-01".into(), location: "Turin".into() };
        assert_eq!(info.kind, Some(event));
        let older = UnitInfo::read(&json!({"is_non_fungible": true, "kind": "Other", "title": 5}));
        assert!(older.show_individually && older.transferable && older.title.is_none());
        assert_eq!(older.kind, Some(UnitKind::Other));
    }

    #[test]
    fn our_own_method_comes_first_and_money_is_never_burned() {
        let about = About::read(&json!({
            "nuts": {
                "4": {"methods": [{"method": "bolt11", "unit": "vip"}, {"method": "portal", "unit": "VIP"},
                    {"method": "bolt11", "unit": "sat"}, {"method": 4}]},
                "5": {"methods": [{"method": "portal", "unit": "vip"}, {"method": "portal", "unit": "sat"}]},
                "12": {"supported": true},
                "17": {"supported": [{"method": "bolt11", "unit": "vip", "commands": ["proof_state"]}, 7]}},
            "max_array_length": 5000,
        }));
        let unit = |name: &str| name.parse::<Unit>().expect("a unit");
        assert_eq!(about.mint_method(&unit("vip")).expect("offered"), OWN_METHOD);
        assert_eq!(about.mint_method(&unit("sat")).expect("offered"), BOLT11);
        assert!(about.mint_method(&unit("usd")).is_err());
        assert!(about.burns(&unit("vip")) && !about.burns(&unit("sat")));
        assert!(about.proves_signatures && about.tells_states);
        let silent = json!({"nuts": {"17": {"supported": [{"commands": ["bolt11_mint_quote"]}]}}});
        assert!(!About::read(&silent).tells_states);
        assert_eq!(about.most_items, 1000);
    }
}
