//! How the demo looks: one line a step, who does it in a colour, how long it took at the right.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::qr;
use crate::error::CliError;
use crate::terminal::{Style, Terminal, millis, took};

/// Less is no time at all.
const NOTHING: Duration = Duration::from_micros(100);
/// Where the times stand.
const WIDTH: usize = 58;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The daemon.
    Daemon,
    /// The business.
    Backend,
    /// The person, with the wallet app in their hand.
    Person,
    /// The person's money.
    Wallet,
}

impl Actor {
    const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Backend => "backend",
            Self::Person => "person",
            Self::Wallet => "wallet",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Daemon => Style::Dim,
            Self::Backend => Style::Service,
            Self::Person => Style::Person,
            Self::Wallet => Style::Money,
        }
    }
}

/// Where the demo is shown.
pub struct Stage {
    terminal: Terminal,
    state: Mutex<State>,
}

struct State {
    begun: Instant,
    last: Instant,
    step: String,
}

impl Stage {
    /// Opens the curtain.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn open(terminal: Terminal) -> Result<Self, CliError> {
        let title = terminal.paint(Style::Bold, "Portal");
        let about = "log in, pay and be let in, all on this machine, with play money";
        terminal.say(&format!("\n  {title}  {}\n", terminal.paint(Style::Dim, about)))?;
        let now = Instant::now();
        let state = State { begun: now, last: now, step: "starting the daemon".to_owned() };
        Ok(Self { terminal, state: Mutex::new(state) })
    }

    /// Something was done; it took the time since the step before.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn step(&self, actor: Actor, text: &str) -> Result<(), CliError> {
        let mut state = self.state();
        let now = Instant::now();
        let (elapsed, total) = (now - state.last, now - state.begun);
        state.last = now;
        text.clone_into(&mut state.step);
        let record = json!({
            "type": "step", "actor": actor.name(), "text": text,
            "ms": millis(elapsed), "total_ms": millis(total),
        });
        self.terminal.tell(&record, || line(&self.terminal, actor, text, elapsed))
    }

    /// Shows the login URL as the square that a phone scans. Does not count as time.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn login_url(&self, url: &str) -> Result<(), CliError> {
        let record = json!({"type": "login_url", "url": url});
        self.terminal.tell(&record, || {
            let square = qr::draw(url, &self.terminal).unwrap_or_default();
            let square: Vec<String> =
                square.iter().map(|line| format!("            {line}")).collect();
            let url = self.terminal.paint(Style::Dim, url);
            format!("\n{}\n\n  {url}\n", square.join("\n"))
        })?;
        self.state().last = Instant::now();
        Ok(())
    }

    /// The last line: how long login and payment took together, and the life of a ticket.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn result(&self, paid: Duration, admitted: Duration) -> Result<(), CliError> {
        let record = json!({
            "type": "result", "ok": true, "ms": millis(paid), "tickets_ms": millis(admitted),
        });
        self.terminal.tell(&record, || {
            let mark = self.terminal.either("✔ ", "");
            let (paid, admitted) = (took(paid), took(admitted));
            let text =
                format!("{mark}logged in and paid in {paid}, let in with a ticket in {admitted}");
            format!("\n  {}\n", self.terminal.paint(Style::Good, &text))
        })
    }

    /// The step that was shown last.
    pub fn last_step(&self) -> String {
        self.state().step.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(terminal: &Terminal, actor: Actor, text: &str, elapsed: Duration) -> String {
    // Padded before it is painted: colours have no width.
    let actor_text = terminal.paint(actor.style(), &format!("{:<8}", actor.name()));
    // What began with the step before took no time of its own.
    let time = if elapsed < NOTHING { String::new() } else { took(elapsed) };
    let text = terminal.plain(text);
    if time.is_empty() {
        return format!("  {actor_text}  {text}");
    }
    format!("  {actor_text}  {text:<WIDTH$}{}", terminal.paint(Style::Dim, &format!("{time:>8}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_below_each_other() {
        let terminal = Terminal::plain_for_tests();
        let short = line(&terminal, Actor::Person, "is npub1…x", Duration::from_micros(3_200));
        let long = line(&terminal, Actor::Backend, "asks for a URL", Duration::from_millis(212));
        assert_eq!(short.chars().count(), long.chars().count());
        assert!(short.ends_with("3.2 ms") && long.ends_with("212 ms"), "{short}\n{long}");
        assert!(short.starts_with("  person    is npub1...x "), "{short}");
        assert!(short.chars().count() <= 80);
    }
}
