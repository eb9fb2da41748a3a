//! A mint on loopback, and wallets of cdk that talk to it.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use cdk::amount::SplitTarget;
use cdk::dhke::construct_proofs;
use cdk::mint_url::MintUrl;
use cdk::nuts::{
    BlindSignature, CurrencyUnit, Id, Keys, KeysResponse, PreMintSecrets, Proofs, Token,
};
use cdk::wallet::{ReceiveOptions, SendOptions, Wallet, WalletBuilder};
use portal_core::env::Env;
use portal_core::wallet::LightningWallet;
use portal_mint::config::{self, Environment};
use portal_mint::{Mint, Setup};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const TOKEN: &str = "a-token-of-the-test-only";

const CONFIG: &str = r#"
[mint_info]
name = "Test mint"
description = "For tests"

[portal_wallet.supported_units]
vip = 32
drinks = 32

[portal_wallet.unit_info.vip]
title = "VIP Pass"
show_individually = true

[portal_wallet.unit_info.vip.kind.Event]
date = "2030-12-31"
location = "Everywhere"

[auth.method.Static]
token = "a-token-of-the-test-only"
enabled_swap = false
enabled_restore = false
enabled_check_proof_state = false
"#;

/// Where the books of a test are.
#[derive(Clone)]
pub enum Books {
    Sqlite,
    Postgres(String),
}

/// Every database of this run, each with a place of its own.
pub fn books(test: &str) -> Vec<Books> {
    let mut all = vec![Books::Sqlite];
    if let Some(server) = std::env::var("PORTAL_TEST_POSTGRES").ok().filter(|it| !it.is_empty()) {
        let schema = format!("{test}_{}", Env::system().alphanumeric(8).to_lowercase());
        all.push(Books::Postgres(format!("{server} schema={schema}")));
    }
    all
}

/// A mint that can be stopped and started again.
pub struct World {
    pub folder: tempfile::TempDir,
    pub books: Books,
    pub config: String,
    pub wallet: Option<Arc<dyn LightningWallet>>,
    pub env: Env,
    pub mint: Option<Mint>,
    pub http: reqwest::Client,
}

impl World {
    pub async fn new(books: Books) -> Self {
        Self::with(books, CONFIG.to_owned(), None, Env::system()).await
    }

    /// The usual configuration with lines added to `[portal_wallet.unit_info.vip]`.
    pub async fn vip(books: Books, lines: &str) -> Self {
        Self::with(books, vip(lines), None, Env::system()).await
    }

    pub async fn with(
        books: Books,
        config: String,
        wallet: Option<Arc<dyn LightningWallet>>,
        env: Env,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut world = Self { folder, books, config, wallet, env, mint: None, http };
        world.start().await;
        world
    }

    pub async fn start(&mut self) {
        if let Err(error) = self.try_start().await {
            panic!("the mint does not start: {error:?}");
        }
    }

    pub async fn try_start(&mut self) -> Result<(), portal_mint::StartError> {
        let (text, mnemonic) = match &self.books {
            Books::Sqlite => (self.config.clone(), None),
            Books::Postgres(server) => {
                let database =
                    format!("[database]\nengine = \"postgres\"\nconnection_string = \"{server}\"");
                let words = "abandon abandon abandon abandon abandon abandon abandon abandon \
                             abandon abandon abandon about";
                (format!("{}\n{database}\n", self.config), Some(words))
            }
        };
        let mut environment = Environment::new();
        if let Some(words) = mnemonic {
            environment.insert("CDK_MINTD_MNEMONIC".into(), words.into());
        }
        let config = config::load(Some(&text), &environment).expect("a configuration").config;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let setup = Setup {
            config,
            folder: self.folder.path().to_owned(),
            wallet: self.wallet.clone(),
            env: self.env.clone(),
        };
        self.mint = Some(Mint::start(setup, listener, CancellationToken::new()).await?);
        Ok(())
    }

    pub async fn stop(&mut self) {
        if let Some(mint) = self.mint.take() {
            mint.stop().await;
        }
    }

    pub fn mint(&self) -> &Mint {
        self.mint.as_ref().expect("it runs")
    }

    pub fn url(&self) -> String {
        self.mint().url().to_owned()
    }

    /// A person's wallet.
    pub async fn purse(&self, unit: &str) -> Purse {
        Purse::new(&self.url(), unit).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: Value) -> (u16, Value) {
        let mut request = self.http.post(format!("{}{path}", self.url())).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = self.http.get(format!("{}{path}", self.url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request).await
    }
}

pub fn vip(lines: &str) -> String {
    CONFIG.replace("title = \"VIP Pass\"", &format!("title = \"VIP Pass\"\n{lines}"))
}

pub fn usual() -> String {
    CONFIG.to_owned()
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Blinded secrets, and what is needed to make proofs of their signatures.
pub struct Outputs {
    secrets: PreMintSecrets,
    keys: Keys,
}

impl Outputs {
    /// What a request has as `outputs`.
    pub fn json(&self) -> Value {
        serde_json::to_value(self.secrets.blinded_messages()).expect("plain data")
    }

    /// The proofs that these signatures make.
    pub fn proofs(self, answer: &Value) -> Proofs {
        let signatures: Vec<BlindSignature> =
            serde_json::from_value(answer["signatures"].clone()).expect("signatures");
        let (rs, secrets) = (self.secrets.rs(), self.secrets.secrets());
        construct_proofs(signatures, rs, secrets, &self.keys).expect("proofs")
    }
}

impl World {
    /// The active keys of a unit.
    pub async fn keys(&self, unit: &str) -> (Id, Keys) {
        let (status, answer) = self.get(&format!("/v1/keys/{unit}"), None).await;
        assert_eq!(status, 200, "{answer}");
        let keys: KeysResponse = serde_json::from_value(answer).expect("keys");
        let set = keys.keysets.into_iter().next().expect("an active keyset");
        (set.id, set.keys)
    }

    /// Outputs of a sum, over the active keys.
    pub async fn outputs(&self, unit: &str, amount: u64) -> Outputs {
        let (id, keys) = self.keys(unit).await;
        let amounts: Vec<u64> = keys.keys().keys().map(|amount| u64::from(*amount)).collect();
        let secrets =
            PreMintSecrets::random(id, amount.into(), &SplitTarget::None, &(0, amounts).into())
                .expect("outputs");
        Outputs { secrets, keys }
    }

    /// Asks for a quote with the token.
    pub async fn quote(&self, method: &str, unit: &str, amount: u64) -> Value {
        let asked = json!({ "unit": unit, "amount": amount });
        let path = format!("/v1/mint/quote/{method}");
        let (status, quote) = self.post(&path, Some(TOKEN), asked).await;
        assert_eq!(status, 200, "{quote}");
        quote
    }

    /// Issues with the token.
    pub async fn issue(&self, unit: &str, amount: u64) -> Proofs {
        let quote = self.quote("portal", unit, amount).await;
        let outputs = self.outputs(unit, amount).await;
        let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
        let (status, answer) = self.post("/v1/mint/portal", Some(TOKEN), asked).await;
        assert_eq!(status, 200, "{answer}");
        outputs.proofs(&answer)
    }

    /// Issues, as a text that people pass on.
    pub async fn ticket(&self, unit: &str, amount: u64) -> String {
        let proofs = self.issue(unit, amount).await;
        let url = MintUrl::from_str(&self.url()).expect("an address");
        let unit = CurrencyUnit::from_str(unit).expect("a unit");
        Token::new(url, proofs, None, unit).to_string()
    }

    /// Burns proofs with the token.
    pub async fn burn(&self, unit: &str, amount: u64, proofs: &Proofs) -> (u16, Value) {
        let asked =
            json!({ "unit": unit, "method": "portal", "request": format!("burn:{amount}:door") });
        let (status, quote) = self.post("/v1/melt/quote/portal", Some(TOKEN), asked).await;
        assert_eq!(status, 200, "{quote}");
        let asked = json!({ "quote": quote["quote"], "inputs": proofs });
        self.post("/v1/melt/portal", Some(TOKEN), asked).await
    }

    /// Swaps proofs for new ones of the same sum.
    pub async fn swap(&self, unit: &str, proofs: &Proofs) -> (u16, Value, Outputs) {
        let sum: u64 = proofs.iter().map(|proof| u64::from(proof.amount)).sum();
        let outputs = self.outputs(unit, sum).await;
        let asked = json!({ "inputs": proofs, "outputs": outputs.json() });
        let (status, answer) = self.post("/v1/swap", None, asked).await;
        (status, answer, outputs)
    }

    /// What was sold, used and is outstanding of a unit.
    pub async fn account(&self, unit: &str) -> (u64, u64, u64) {
        let accounts = self.mint().accounts().await.expect("sums");
        accounts
            .into_iter()
            .find(|account| account.unit == unit)
            .map_or((0, 0, 0), |account| (account.sold, account.used, account.outstanding))
    }
}

/// A wallet of one unit, of cdk, without a token.
pub struct Purse {
    pub wallet: Wallet,
}

impl Purse {
    pub async fn new(url: &str, unit: &str) -> Self {
        let store = cdk_sqlite::wallet::memory::empty().await.expect("a store");
        let seed: [u8; 64] = Env::system().bytes();
        let wallet = WalletBuilder::new()
            .mint_url(MintUrl::from_str(url).expect("an address"))
            .unit(CurrencyUnit::from_str(unit).expect("a unit"))
            .localstore(Arc::new(store))
            .seed(seed)
            .without_rate_limiting()
            .build()
            .expect("a wallet");
        Self { wallet }
    }

    pub async fn balance(&self) -> u64 {
        self.wallet.total_balance().await.expect("a balance").into()
    }

    pub async fn receive(&self, token: &str) -> Result<u64, cdk::Error> {
        self.wallet.receive(token, ReceiveOptions::default()).await.map(Into::into)
    }

    pub async fn send(&self, amount: u64) -> String {
        let prepared =
            self.wallet.prepare_send(amount.into(), SendOptions::default()).await.expect("enough");
        prepared.confirm(None).await.expect("sent").to_string()
    }
}

/// Everything in a test ends in time, or fails.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work).await.expect("in time")
}
