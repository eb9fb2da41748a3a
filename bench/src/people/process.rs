//! The subcommand `users`: people in a process of their own, told by lines whose URL to open.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nostr::PublicKey;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Manners, People};

/// `users <seed> <service> <relay,relay> [silent] [claim]`; then lines `open <number> <url>`,
/// `invite <number>`.
pub fn run(arguments: &[String]) -> Result<bool> {
    let [seed, service, relays, manners @ ..] = arguments else {
        bail!("users <seed> <service> <relay,relay> [silent] [claim]");
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(seed, &mut bytes).context("the seed is 64 hex digits")?;
    let service = PublicKey::from_hex(service)?;
    let relays: Vec<String> = relays.split(',').map(str::to_owned).collect();
    let has = |word: &str| manners.iter().any(|given| given == word);
    let manners = Manners { silent: has("silent"), claim: has("claim"), moody: has("moody") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let people = People::connect(&relays, service, bytes, manners, None);
        people.ready(Duration::from_secs(20)).await?;
        println!("ready");
        let mut lines = BufReader::with_capacity(64 * 1024, tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("open"), Some(number), Some(url)) => people.open(number.parse()?, url)?,
                (Some("invite"), Some(number), None) => {
                    people.invite(number.parse()?);
                }
                _ => bail!("not understood: {line}"),
            }
        }
        Ok(true)
    })
}
