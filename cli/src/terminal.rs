//! How things look: text with colours for people at a terminal, plain text for the rest, JSON for
//! programs. Texts of strangers pass [`clean`], so that no one can draw on the screen.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use nostr::PublicKey;
use nostr::nips::nip19::ToBech32;
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;

/// Where output goes, and what may be in it.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    json: bool,
    colour: bool,
    unicode: bool,
}

/// What a text is, for the one who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The most important.
    Bold,
    /// The least important.
    Dim,
    /// Went well.
    Good,
    /// Needs a look.
    Warn,
    /// Went wrong.
    Bad,
    /// The backend of a service.
    Service,
    /// A person.
    Person,
    /// A wallet.
    Money,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "1;32",
            Self::Warn => "1;33",
            Self::Bad => "1;31",
            Self::Service => "36",
            Self::Person => "35",
            Self::Money => "33",
        }
    }
}

/// Whether the environment lets terminals have colours.
pub fn colours_are_wanted() -> bool {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb")
}

impl Terminal {
    /// What the standard output is, and what the environment says about it.
    pub fn new(json: bool) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let colour = !json && io::stdout().is_terminal() && colours_are_wanted();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
        Self { json, colour, unicode: cfg!(windows) || speaks_unicode(locale.as_deref()) }
    }

    /// ASCII for people.
    #[cfg(test)]
    pub const fn plain_for_tests() -> Self {
        Self { json: false, colour: false, unicode: false }
    }

    /// Whether colours may be used.
    pub const fn has_colour(&self) -> bool {
        self.colour
    }

    /// Whether more than ASCII may be used.
    pub const fn has_unicode(&self) -> bool {
        self.unicode
    }

    /// Prints a line: the record for programs, or the text for people.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn tell(
        &self,
        record: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let line = if self.json {
            serde_json::to_string(record).map_err(io::Error::from)?
        } else {
            text()
        };
        self.line(&line)
    }

    /// Prints a line for people; programs get nothing.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn say(&self, text: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    /// Prints a question without a line end, for people.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn prompt(&self, text: &str) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        write!(out, "{}", self.plain(text))?;
        Ok(out.flush()?)
    }

    /// Prints why a command failed: on the standard error for people, as the last record for
    /// programs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn failure(&self, error: &CliError) -> io::Result<()> {
        let (message, advice) = (error.chain(), error.advice());
        if self.json {
            let record = json!({
                "type": "error", "code": error.code(), "message": message, "advice": advice,
            });
            return writeln!(io::stdout(), "{record}");
        }
        let mut err = io::stderr().lock();
        let colour = self.colour && io::stderr().is_terminal();
        let painted = Self { colour, ..*self };
        let label = painted.paint(Style::Bad, "error:");
        writeln!(err, "{label} {}", self.plain(&message))?;
        if let Some(advice) = advice {
            writeln!(err, "       {}", self.plain(&advice))?;
        }
        Ok(())
    }

    /// The text in a style, where there are colours.
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
        } else {
            text.to_owned()
        }
    }

    /// One of two texts: with more than ASCII, or without.
    pub const fn either<'t>(&self, unicode: &'t str, ascii: &'t str) -> &'t str {
        if self.unicode { unicode } else { ascii }
    }

    fn line(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", self.plain(text))?;
        Ok(out.flush()?)
    }

    /// Without what the terminal cannot show. What is printed passes it anyway; what is padded
    /// has to pass it before.
    pub fn plain<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.json || self.unicode || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut plain = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                '…' => plain.push_str("..."),
                '·' => plain.push('-'),
                letter if letter.is_ascii() => plain.push(letter),
                _ => plain.push('?'),
            }
        }
        Cow::Owned(plain)
    }
}

/// The text of a stranger, fit for the screen: one line, nothing that moves the cursor or turns
/// the writing around, and at most this many characters.
pub fn clean(text: &str, most: usize) -> String {
    let mut clean = String::new();
    let mut count = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word = word.chars().filter(|c| !is_treacherous(*c));
        let mut gap = count > 0;
        for letter in word {
            let wanted = if gap { 2 } else { 1 };
            if count + wanted > most {
                clean.push('…');
                return clean;
            }
            if gap {
                clean.push(' ');
                gap = false;
            }
            clean.push(letter);
            count += wanted;
        }
    }
    clean
}

/// The beginning and the end of a key, as people compare them.
pub fn short_npub(key: &PublicKey) -> String {
    let npub = npub(key);
    match (npub.get(..12), npub.get(npub.len().saturating_sub(6)..)) {
        (Some(start), Some(end)) => format!("{start}…{end}"),
        _ => npub,
    }
}

/// A key as an npub.
pub fn npub(key: &PublicKey) -> String {
    match key.to_bech32() {
        Ok(text) => text,
        Err(never) => match never {},
    }
}

/// An amount for people: `2,100 sats`, `0.5 sats`.
pub fn sats(msat: u64) -> String {
    let (whole, rest) = (msat / 1000, msat % 1000);
    let mut digits = grouped(whole);
    if rest > 0 {
        digits.push('.');
        digits.push_str(format!("{rest:03}").trim_end_matches('0'));
    }
    let unit = if msat == 1000 { "sat" } else { "sats" };
    format!("{digits} {unit}")
}

/// A span of time for people, coarse: `4 min 10 s`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, _) => format!("{seconds} s"),
        (0, _, 0) => format!("{minutes} min"),
        (0, _, _) => format!("{minutes} min {rest} s"),
        (_, 0, _) => format!("{hours} h"),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// How long something took, for people: `3.2 ms`, `212 ms`, `1.24 s`.
pub fn took(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1000, micros / 100 % 10),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{:02} s", micros / 1_000_000, micros / 10_000 % 100),
    }
}

/// Milliseconds with three decimals, for programs.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Invisible, or turns the direction of what follows.
const fn is_treacherous(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn speaks_unicode(locale: Option<&str>) -> bool {
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_draw_on_the_screen() {
        assert_eq!(clean("Coffee\u{1b}[2J\u{7}\r\n  and\tcake ", 40), "Coffee [2J and cake");
        assert_eq!(clean("\u{202e}evil\u{200b}\u{2066}", 40), "evil");
        assert_eq!(clean("a long description", 6), "a long…");
        assert_eq!(clean("long", 3), "lon…");
        assert_eq!(clean("\n\n", 6), "");
        assert_eq!(clean("äöü", 3), "äöü");
    }

    #[test]
    fn amounts_are_grouped_and_never_rounded() {
        let all = [
            (0, "0 sats"),
            (1, "0.001 sats"),
            (1000, "1 sat"),
            (1500, "1.5 sats"),
            (2_100_000, "2,100 sats"),
            (u64::MAX, "18,446,744,073,709,551.615 sats"),
        ];
        for (msat, text) in all {
            assert_eq!(sats(msat), text);
        }
    }

    #[test]
    fn times_have_the_precision_that_people_need() {
        assert_eq!(span(Duration::from_secs(59)), "59 s");
        assert_eq!(span(Duration::from_secs(250)), "4 min 10 s");
        assert_eq!(span(Duration::from_secs(300)), "5 min");
        assert_eq!(span(Duration::from_secs(86_400)), "24 h");
        assert_eq!(span(Duration::from_secs(7_500)), "2 h 5 min");
        assert_eq!(took(Duration::from_micros(3_240)), "3.2 ms");
        assert_eq!(took(Duration::from_micros(212_900)), "212 ms");
        assert_eq!(took(Duration::from_micros(1_245_000)), "1.24 s");
        assert!((millis(Duration::from_micros(3_240)) - 3.24).abs() < 1e-9);
    }

    #[test]
    fn without_unicode_only_ascii_is_written() {
        let terminal = Terminal { json: false, colour: false, unicode: false };
        assert_eq!(terminal.plain("npub1…x · ü"), "npub1...x - ?");
        assert_eq!(terminal.paint(Style::Bad, "x"), "x");
        let coloured = Terminal { json: false, colour: true, unicode: true };
        assert_eq!(coloured.paint(Style::Bold, "x"), "\u{1b}[1mx\u{1b}[0m");
        assert_eq!(coloured.plain("…"), "…");
    }

    #[test]
    fn the_locale_says_whether_unicode_can_be_shown() {
        assert!(speaks_unicode(Some("de_DE.UTF-8")) && speaks_unicode(Some("C.utf8")));
        assert!(!speaks_unicode(Some("C")) && !speaks_unicode(None));
    }
}
