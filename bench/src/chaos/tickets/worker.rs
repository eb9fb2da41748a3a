//! The subcommand `ticket-worker`: two wallets that trade with one another, job after job. Made to
//! be killed: a job that was cut off is done again from its beginning, under the same keys.

use std::path::Path;

use anyhow::{Context, Result, bail};
use portal_core::cashu::{
    CashuError, Expected, Give, MintAddress, NewMint, NewSend, Outcome, Purpose, TicketWallet,
    TicketWalletOptions, Unit,
};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_core::storage::sqlite::{SqliteOptions, Synchronous};

use crate::world;

/// How often a job is tried before it is left to the next start.
const TRIES: usize = 20;

/// `ticket-worker <folder> <mint> work|count`. Says `done <job>`, `failed <why>`,
/// `sums <vip> <sat> <open> <jobs>`.
pub fn run(arguments: &[String]) -> Result<bool> {
    let [folder, mint, word] = arguments else { bail!("ticket-worker <folder> <mint> <word>") };
    let folder = Path::new(folder);
    world::runtime(1)?.block_on(async {
        let trade = Trade::open(folder, mint.parse()?).await?;
        if word == "count" {
            println!("{}", trade.count(folder).await?);
            return Ok(true);
        }
        trade.recover().await?;
        let mut job = next_job(folder)?;
        loop {
            match trade.patiently(job).await {
                Ok(()) => println!("done {job}"),
                Err(error) => {
                    println!("failed {job}: {error:#}");
                    return Ok(false);
                }
            }
            job += 1;
            std::fs::write(folder.join("job.new"), job.to_string())?;
            std::fs::rename(folder.join("job.new"), folder.join("job"))?;
        }
    })
}

fn next_job(folder: &Path) -> Result<u64> {
    match std::fs::read_to_string(folder.join("job")) {
        Ok(text) => text.trim().parse().context("a job's number"),
        Err(_) => Ok(0),
    }
}

struct Trade {
    shop: TicketWallet,
    person: TicketWallet,
    mint: MintAddress,
}

impl Trade {
    async fn open(folder: &Path, mint: MintAddress) -> Result<Self> {
        let wallet = async |name: &str, seed: u8| -> Result<TicketWallet> {
            // The death of a process is not the loss of power.
            let options =
                SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() };
            let store = TicketStore::open(&folder.join(name), options)?;
            let mut options =
                TicketWalletOptions::new(Env::system(), Secret::new([seed; 64]), store);
            options.trusted = vec![mint.clone()];
            Ok(TicketWallet::open(options).await?)
        };
        let shop = wallet("shop.db", 1).await?;
        let person = wallet("person.db", 2).await?;
        Ok(Self { shop, person, mint })
    }

    async fn recover(&self) -> Result<()> {
        self.shop.recover().await?;
        self.person.recover().await?;
        Ok(())
    }

    /// A job, again and again while its outcome is not known.
    async fn patiently(&self, job: u64) -> Result<()> {
        for _ in 0..TRIES {
            match self.job(job).await {
                Ok(()) | Err(CashuError::InsufficientFunds { .. }) => return Ok(()),
                Err(error) if error.outcome() == Outcome::Unknown => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The next start goes on with it.
        Ok(())
    }

    async fn job(&self, job: u64) -> Result<(), CashuError> {
        let key = |step: &str| format!("{step}-{job}");
        let amount = job % 5 + 1;
        match job % 6 {
            0 => {
                let token = self.minted(&key("mint"), "vip", amount).await?;
                self.person.receive(&key("receive"), &token).await?;
            }
            1 | 4 => {
                let token = self.sent(&self.person, &key("send"), "vip", 1).await?;
                self.shop.burn(&key("burn"), &token, &self.expected("vip")).await?;
            }
            2 => {
                let new = NewMint {
                    mint: self.mint.clone(),
                    unit: unit("sat")?,
                    amount: 16 + job % 50,
                    description: None,
                    give: None,
                };
                self.shop.mint(&key("mint"), new).await?;
                let token = self.sent(&self.shop, &key("send"), "sat", 7 + amount).await?;
                self.person.receive(&key("receive"), &token).await?;
            }
            3 => {
                let token = self.sent(&self.person, &key("send"), "sat", amount).await?;
                self.shop.burn(&key("burn"), &token, &self.expected("sat")).await?;
            }
            _ => {
                self.minted(&key("mint"), "vip", amount).await?;
                self.shop.take_back(&key("mint")).await?;
            }
        }
        Ok(())
    }

    fn expected(&self, name: &str) -> Expected {
        let unit = unit(name).expect("a fixed name");
        Expected { mint: self.mint.clone(), unit, amount: None }
    }

    async fn minted(&self, key: &str, name: &str, amount: u64) -> Result<String, CashuError> {
        let new = NewMint {
            mint: self.mint.clone(),
            unit: unit(name)?,
            amount,
            description: None,
            give: Some(Give::default()),
        };
        self.shop.mint(key, new).await?.token.ok_or(CashuError::NotFound)
    }

    async fn sent(
        &self,
        from: &TicketWallet,
        key: &str,
        name: &str,
        amount: u64,
    ) -> Result<String, CashuError> {
        let new = NewSend {
            mint: self.mint.clone(),
            unit: unit(name)?,
            amount,
            give: Give::default(),
            purpose: Purpose::Present,
        };
        Ok(from.send(key, new).await?.token)
    }

    /// Finishes what waits, then counts what both have, and what lies in tokens between them.
    async fn count(&self, folder: &Path) -> Result<String> {
        for _ in 0..TRIES {
            self.recover().await?;
        }
        self.shop.watch().await?;
        self.person.watch().await?;
        let (mut vip, mut sat, mut open) = (0, 0, 0);
        for wallet in [&self.shop, &self.person] {
            for balance in wallet.balances().await? {
                let held = balance.available + balance.reserved + balance.given;
                if balance.unit.as_str() == "vip" { vip += held } else { sat += held }
            }
            open += wallet.open_operations().await?.len();
        }
        Ok(format!("sums {vip} {sat} {open} {}", next_job(folder)?))
    }
}

fn unit(name: &str) -> Result<Unit, CashuError> {
    name.parse()
}
