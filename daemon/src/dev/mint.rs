//! The mint of `--dev`: tickets to be minted and burned with a token of its own, and a `sat` that
//! is bought with the play money of the simulated network.

use std::path::Path;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::wallet::LightningWallet;
use portal_mint::{Dev, DevMint, dev_on};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{DevError, port};

/// The port people expect; another one when it is taken.
const PORT: u16 = 3338;

const PORT_FILE: &str = "dev-mint-port";
const FOLDER: &str = "mint";

/// Starts it where it was before in this folder. Its books are in a folder of their own. Its `sat`
/// is paid through this wallet.
pub(super) async fn start(
    folder: &Path,
    daemon_token: &Secret<String>,
    wallet: Arc<dyn LightningWallet>,
    env: Env,
) -> Result<DevMint, DevError> {
    let listener = port::listen(&folder.join(PORT_FILE), PORT).await?;
    let books = folder.join(FOLDER);
    std::fs::create_dir_all(&books)?;
    let (token, wallet) = (Some(token(daemon_token)), Some(wallet));
    let dev = Dev { token, wallet, env, ..Dev::new(books) };
    Ok(dev_on(dev, listener, CancellationToken::new()).await?)
}

/// The same folder has the same token, and nobody learns the daemon's token from the mint's.
fn token(daemon: &Secret<String>) -> Secret<String> {
    let mut hash = Sha256::new_with_prefix("portal --dev mint:");
    hash.update(daemon.expose());
    Secret::new(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use portal_core::primitives::Millisats;
    use portal_core::wallet::simulated::SimulatedNetwork;

    use super::*;

    #[tokio::test]
    async fn a_folder_keeps_its_mint_where_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        // Not the usual port, which another test may have in between.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        std::fs::write(folder.path().join(PORT_FILE), port.to_string()).expect("written");
        drop(free);
        let daemon = Secret::new("0123456789".to_owned());
        let network = SimulatedNetwork::new(Env::system());
        let wallet = network.wallet("mint", Millisats::new(0)).expect("new");
        let start = || start(folder.path(), &daemon, wallet.clone(), Env::system());
        let first = start().await.expect("starts");
        assert_ne!(first.token.expose(), daemon.expose());
        let (url, token) = (first.mint.url().to_owned(), first.token.clone());
        let keysets = first.mint.keysets().await.expect("says");
        first.mint.stop().await;
        let again = start().await.expect("starts");
        assert_eq!((again.mint.url(), again.token.expose()), (url.as_str(), token.expose()));
        let names = |infos: &[portal_mint::KeysetInfo]| -> Vec<String> {
            infos.iter().map(|info| info.id.clone()).collect()
        };
        assert_eq!(names(&again.mint.keysets().await.expect("says")), names(&keysets));
        again.mint.stop().await;
    }
}
