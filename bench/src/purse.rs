//! A mint as a process of its own, and a lean wallet that talks to it over one connection.

use std::str::FromStr as _;

use anyhow::{Context as _, Result, ensure};
use cdk::amount::SplitTarget;
use cdk::dhke::construct_proofs;
use cdk::nuts::{BlindSignature, Id, Keys, KeysResponse, PreMintSecrets, Proofs};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Child, sibling};

const TOKEN: &str = "bench-k3Jx9vQ2mZ7pL4tR8wY1nB6cF5dH0sGa";

const CONFIG: &str = r#"
[portal_wallet.supported_units]
vip = 32
[portal_wallet.unit_info.vip]
show_individually = true
[auth.method.Static]
token = "bench-k3Jx9vQ2mZ7pL4tR8wY1nB6cF5dH0sGa"
enabled_swap = false
"#;

/// A mint that runs, killed when dropped, and the connection to it.
pub struct Purse {
    child: Child,
    url: String,
    client: reqwest::Client,
    id: Id,
    keys: Keys,
    _folder: TempDir,
}

impl Purse {
    /// The mint that was built beside this program, or that `PORTAL_MINT` names.
    pub async fn ours(postgres: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = postgres.map_or_else(String::new, |connection| {
            format!("[database]\nengine = \"postgres\"\nconnection_string = \"{connection}\"\n")
        });
        let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";
        let config = folder.path().join("config.toml");
        std::fs::write(&config, format!("{CONFIG}{database}"))?;
        let arguments = [
            "--json".to_owned(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
            "--data-dir".to_owned(),
            folder.path().display().to_string(),
            "--config".to_owned(),
            config.display().to_string(),
        ];
        let environment =
            [("CDK_MINTD_MNEMONIC", words.to_owned()), ("RUST_LOG", "error".to_owned())];
        let child = Child::start(sibling("portal-mint", "PORTAL_MINT")?, &arguments, environment)?;
        Self::connect(child, folder).await
    }

    /// Stock cdk.
    pub async fn stock(postgres: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut arguments = vec!["stock-mint".to_owned(), folder.path().display().to_string()];
        arguments.extend(postgres.map(str::to_owned));
        let child = Child::own(&arguments)?;
        Self::connect(child, folder).await
    }

    async fn connect(mut child: Child, folder: TempDir) -> Result<Self> {
        let line = child.line().await.context("the mint does not start")?;
        let ready: Value = serde_json::from_str(&line).context("the mint's first line")?;
        let url = ready["url"].as_str().context("an address")?.to_owned();
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        let text = client.get(format!("{url}/v1/keys")).send().await?.text().await?;
        let keys: KeysResponse = serde_json::from_str(&text)?;
        let set = keys.keysets.into_iter().next().context("a keyset")?;
        Ok(Self { child, url, client, id: set.id, keys: set.keys, _folder: folder })
    }

    /// The mint's process.
    pub fn pid(&self) -> Result<u32> {
        self.child.pid()
    }

    /// A quote, and a request to issue it, ready to be sent.
    pub async fn order(&self, tickets: u64) -> Result<(Value, PreMintSecrets)> {
        let asked = json!({ "unit": "vip", "amount": tickets });
        let quote = self.post("/v1/mint/quote/portal", &asked).await?;
        let secrets = self.secrets(tickets)?;
        let outputs = secrets.blinded_messages();
        Ok((json!({ "quote": quote["quote"], "outputs": outputs }), secrets))
    }

    /// Sends it.
    pub async fn issue(&self, order: &Value, secrets: PreMintSecrets) -> Result<Proofs> {
        let answer = self.post("/v1/mint/portal", order).await?;
        self.proofs(&answer, secrets)
    }

    /// A request to swap one proof for another.
    pub fn exchange(&self, proofs: &Proofs) -> Result<(Value, PreMintSecrets)> {
        let secrets = self.secrets(1)?;
        let outputs = secrets.blinded_messages();
        Ok((json!({ "inputs": proofs, "outputs": outputs }), secrets))
    }

    /// Sends it.
    pub async fn swap(&self, asked: &Value, secrets: PreMintSecrets) -> Result<Proofs> {
        let answer = self.post("/v1/swap", asked).await?;
        self.proofs(&answer, secrets)
    }

    fn secrets(&self, amount: u64) -> Result<PreMintSecrets> {
        let amounts = (0, vec![1]).into();
        Ok(PreMintSecrets::random(self.id, amount.into(), &SplitTarget::None, &amounts)?)
    }

    fn proofs(&self, answer: &Value, secrets: PreMintSecrets) -> Result<Proofs> {
        let signatures: Vec<BlindSignature> =
            serde_json::from_value(answer["signatures"].clone()).context("signatures")?;
        Ok(construct_proofs(signatures, secrets.rs(), secrets.secrets(), &self.keys)?)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        let response = request.json(body).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::Value::from_str(&text)?)
    }
}
