//! How people behave who are not all honest, and whose messages get lost. It follows from what they
//! are asked to pay, so that whoever counts knows it too.

use nostr::hashes::{Hash, sha256};

/// The smallest payment; the others are told apart by what they are above it.
pub const SMALLEST: u64 = 1_000;

/// When somebody pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pays {
    /// At once.
    InTime,
    /// After the request has ended.
    Late,
    /// Not at all.
    Never,
}

/// What somebody does about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mood {
    /// Whether they hear of it.
    pub hears: bool,
    /// Whether their word of having agreed arrives.
    pub approves: bool,
    /// Whether they claim to have paid, and that arrives.
    pub claims: bool,
    /// Whether they say no.
    pub rejects: bool,
    /// Whether and when they do pay, whatever they say.
    pub pays: Pays,
}

/// The mood that goes with a payment of so much.
#[must_use]
pub fn of(amount: u64) -> Mood {
    let number = amount.saturating_sub(SMALLEST);
    let dice = sha256::Hash::hash(&number.to_le_bytes()).to_byte_array();
    // One message in twenty is lost, whichever way it goes.
    let arrives = |die: u8| die >= 13;
    let (hears, approves, claims) = (arrives(dice[0]), arrives(dice[1]), arrives(dice[2]));
    match dice[3] {
        // Liars.
        0..26 => Mood { hears, approves, claims, rejects: false, pays: Pays::Never },
        // Whoever says no, and some of them pay all the same.
        26..39 => {
            let pays = if dice[4] < 128 { Pays::InTime } else { Pays::Never };
            Mood { hears, approves: false, claims: false, rejects: true, pays }
        }
        39..65 => Mood { hears, approves, claims, rejects: false, pays: Pays::Late },
        // Phones that pay and never say so.
        65..91 => {
            let pays = Pays::InTime;
            Mood { hears, approves: false, claims: false, rejects: false, pays }
        }
        _ => Mood { hears, approves, claims, rejects: false, pays: Pays::InTime },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_all_kinds_of_people() {
        let moods: Vec<Mood> = (0..10_000).map(|number| of(SMALLEST + number)).collect();
        let share =
            |what: &dyn Fn(&Mood) -> bool| moods.iter().filter(|mood| what(mood)).count() / 100;
        assert!((3..=7).contains(&share(&|mood| !mood.hears)), "lost on the way");
        assert!((5..=15).contains(&share(&|mood| mood.claims && mood.pays == Pays::Never)));
        assert!((5..=15).contains(&share(&|mood| mood.pays == Pays::Late)));
        assert!((60..=90).contains(&share(&|mood| mood.pays == Pays::InTime)));
        assert_eq!(of(4711), of(4711));
    }
}
