//! The tasks of `portal tickets`, on an open wallet.

use std::path::PathBuf;

use clap::Subcommand;
use nostr::PublicKey;
use portal_core::cashu::{
    Allowance, CashuError, Give, Lock, MintAddress, NewSend, Outcome, Purpose, TicketWallet, Unit,
};
use portal_core::env::Env;
use portal_core::identity::{LocalKey, Mnemonic};
use portal_core::primitives::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Of, holdings, refused};
use crate::error::CliError;
use crate::password::small_file;
use crate::terminal::{Style, Terminal, npub};

/// Longer than 24 words.
const LONGEST: u64 = 4096;

/// What can be done with tickets.
#[derive(Subcommand)]
pub enum Task {
    /// What is held, and what is under way.
    List,
    /// Go on with what waits for a mint.
    Sync,
    /// Take in a token that somebody gave you as a text.
    Receive {
        /// cashuB…
        token: String,
    },
    /// Make a token for somebody.
    Send {
        #[command(flatten)]
        of: Of,
        /// How many, in the base of the unit.
        amount: u64,
        /// Only the holder of this key can use it.
        #[arg(long, value_name = "NPUB")]
        lock_to: Option<String>,
        /// A few words for whoever gets it.
        #[arg(long)]
        memo: Option<String>,
        /// The same key gives the same token again.
        #[arg(long)]
        key: Option<String>,
    },
    /// What was given and nobody has claimed; prints the tokens.
    Unclaimed,
    /// Take back a token that nobody has claimed.
    TakeBack {
        /// The token.
        token: String,
    },
    /// Let a service take tickets without asking each time.
    Allow {
        /// The service.
        service: String,
        #[command(flatten)]
        of: Of,
        /// The most of one request.
        #[arg(long)]
        most: u64,
        /// The most in all.
        #[arg(long)]
        total: u64,
        /// Until then, in seconds since the epoch.
        #[arg(long, value_name = "SECONDS")]
        until: Option<u64>,
    },
    /// End what a service may take.
    Disallow {
        /// The service.
        service: String,
        #[command(flatten)]
        of: Of,
    },
    /// What services may take.
    Allowances,
    /// Search a mint for what the words of this wallet have there.
    Restore {
        #[command(flatten)]
        of: Of,
    },
    /// Move the tickets of an older app here: those that its key, or its words, have at a mint.
    MoveOld {
        #[command(flatten)]
        of: Of,
        /// A file with the twelve words of the older app; without it the key is asked.
        #[arg(long, value_name = "FILE")]
        words: Option<PathBuf>,
    },
}

/// Does it.
///
/// # Errors
/// When it cannot be done, or the output cannot be written.
pub async fn run(
    task: Task,
    wallet: &TicketWallet,
    key: &LocalKey,
    terminal: &Terminal,
) -> Result<(), CliError> {
    match task {
        Task::List => holdings::list(wallet, terminal).await,
        Task::Sync => sync(wallet, terminal).await,
        Task::Receive { token } => receive(wallet, &token, terminal).await,
        Task::Send { of, amount, lock_to, memo, key } => {
            let (mint, unit) = read(&of)?;
            let to = lock_to.as_deref().map(person).transpose()?;
            let lock = to.map(|to| Lock { to, until: None });
            let give = Give { lock, memo };
            let key = key.unwrap_or_else(|| Env::system().uuid().to_string());
            let new = NewSend { mint, unit, amount, give, purpose: Purpose::PassOn };
            let sent = wallet.send(&format!("typed:{key}"), new).await.map_err(refused)?;
            let record = json!({"type": "token", "token": sent.token, "key": key});
            terminal.tell(&record, || sent.token.clone())
        }
        Task::Unclaimed => {
            for given in wallet.unclaimed().await.map_err(refused)? {
                let record = json!({
                    "type": "unclaimed", "mint_url": given.mint.as_str(),
                    "unit": given.unit.as_str(), "amount": given.amount, "since": given.since,
                    "token": given.token,
                });
                terminal.tell(&record, || {
                    format!("  {} {}\n    {}", given.amount, given.unit, given.token)
                })?;
            }
            Ok(())
        }
        Task::TakeBack { token } => {
            let giver = wallet.giver_of(&token).await.map_err(refused)?;
            let giver = giver.ok_or(CashuError::NotFound).map_err(refused)?;
            let amount = wallet.take_back(&giver).await.map_err(refused)?;
            let record = json!({"type": "taken_back", "amount": amount});
            terminal.tell(&record, || format!("Taken back: {amount}"))
        }
        Task::Allow { service, of, most, total, until } => {
            let (mint, unit) = read(&of)?;
            let until = until.map(Timestamp::from_secs);
            let service = person(&service)?;
            let allowance = Allowance { service, mint, unit, most, left: total, until };
            wallet.allow(&allowance).await.map_err(refused)?;
            show_allowance(&allowance, terminal)
        }
        Task::Disallow { service, of } => {
            let (mint, unit) = read(&of)?;
            wallet.disallow(&person(&service)?, &mint, &unit).await.map_err(refused)?;
            terminal.tell(&json!({"type": "disallowed"}), || "It is asked each time.".to_owned())
        }
        Task::Allowances => {
            for allowance in wallet.allowances().await.map_err(refused)? {
                show_allowance(&allowance, terminal)?;
            }
            Ok(())
        }
        Task::Restore { of } => {
            let (mint, unit) = read(&of)?;
            wallet.trust(&mint);
            let found = wallet.restore(&mint, &unit).await.map_err(refused)?;
            let record = json!({
                "type": "restored", "amount": found.amount, "proofs": found.proofs,
            });
            terminal.tell(&record, || format!("Restored: {} {unit}", found.amount))
        }
        Task::MoveOld { of, words } => {
            let (mint, unit) = read(&of)?;
            wallet.trust(&mint);
            // Older apps had 32 bytes: from their words, or from their Nostr key.
            let seed = match words {
                Some(path) => {
                    let text = small_file(&path, LONGEST)?;
                    Mnemonic::parse(&text)?.derive_cashu()?
                }
                None => key.derive_cashu(),
            };
            let moved = wallet.move_old(&mint, &unit, &seed).await.map_err(refused)?;
            let record = json!({"type": "moved", "amount": moved.amount, "proofs": moved.proofs});
            terminal.tell(&record, || match moved.proofs {
                0 => "Nothing of an older app was found there.".to_owned(),
                proofs => format!("Moved: {} {unit} in {proofs} proofs", moved.amount),
            })
        }
    }
}

async fn sync(wallet: &TicketWallet, terminal: &Terminal) -> Result<(), CliError> {
    let report = wallet.recover().await.map_err(refused)?;
    let record = json!({
        "type": "synced", "done": report.done, "failed": report.failed,
        "waiting": report.waiting,
    });
    terminal.tell(&record, || {
        format!("{} done, {} failed, {} waiting", report.done, report.failed, report.waiting)
    })
}

async fn receive(wallet: &TicketWallet, token: &str, terminal: &Terminal) -> Result<(), CliError> {
    let key = format!("typed:{}", hex::encode(Sha256::digest(token.trim().as_bytes())));
    let amount = match wallet.receive(&key, token).await {
        Ok(received) => Some(received.amount),
        Err(error) if error.outcome() == Outcome::Unknown => None,
        Err(error) => return Err(refused(error)),
    };
    terminal.tell(&json!({"type": "received", "amount": amount}), || match amount {
        Some(amount) => format!("Received: {amount}"),
        None => "Kept: it is received as soon as its mint answers.".to_owned(),
    })
}

fn show_allowance(allowance: &Allowance, terminal: &Terminal) -> Result<(), CliError> {
    let Allowance { service, mint, unit, most, left, until } = allowance;
    let record = json!({
        "type": "allowance", "service": service.to_hex(), "npub": npub(service),
        "mint_url": mint.as_str(), "unit": unit.as_str(), "most": most, "left": left,
        "until": until,
    });
    terminal.tell(&record, || {
        let who = terminal.paint(Style::Service, &npub(service));
        format!("{who}\n  {most} {unit} at once, {left} in all, of {mint}")
    })
}

fn read(of: &Of) -> Result<(MintAddress, Unit), CliError> {
    Ok((of.mint.parse().map_err(refused)?, of.unit.parse().map_err(refused)?))
}

fn person(text: &str) -> Result<PublicKey, CliError> {
    PublicKey::parse(text.trim()).map_err(|_| CliError::BadPublicKey)
}
