//! `portal-mint`: serves until a signal comes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use portal_core::env::Env;
use portal_core::wallet::LightningWallet;
use portal_mint::{Dev, Mint, Setup, dev, open_wallet};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Found, Place};

/// Serves.
pub fn run(place: &Place, listen: Option<SocketAddr>, development: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let result = runtime.block_on(async {
        // Before anything is started: a signal that comes early stops us as well as a late one.
        let mut signals = Signals::install().context("signals")?;
        let stopping = CancellationToken::new();
        let start = async {
            if development {
                for_development(place, &stopping).await
            } else {
                configured(place, listen, &stopping).await
            }
        };
        let (mut mint, wallet, folder) = tokio::select! {
            started = start => started?,
            () = signals.next() => return Ok(()),
        };
        tokio::select! {
            () = mint.stopped() => {}
            () = signals.next() => {
                tracing::info!("stopping; a second signal stops at once");
                tokio::select! {
                    () = mint.stop() => {}
                    () = signals.next() => anyhow::bail!("stopped at once by a second signal"),
                }
            }
        }
        if let Some(wallet) = wallet {
            wallet.shutdown().await;
        }
        drop(folder);
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

type Started = (Mint, Option<Arc<dyn LightningWallet>>, Option<Temporary>);

async fn configured(
    place: &Place,
    listen: Option<SocketAddr>,
    stopping: &CancellationToken,
) -> anyhow::Result<Started> {
    let Found { mut config, warnings, file, folder } = place.find()?;
    if let Some(listen) = listen {
        config.listen = listen;
    }
    if let Some(path) = &file {
        tracing::info!(path = %path.display(), "configuration file");
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let env = Env::system();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("{} cannot be listened on", config.listen))?;
    let wallet = match config.lightning.needed {
        true => Some(open_wallet(&config.lightning, &folder, env.clone()).await?),
        false => None,
    };
    let setup = Setup { config, folder: folder.clone(), wallet: wallet.clone(), env };
    let mint = Mint::start(setup, listener, stopping.clone()).await?;
    announce(place, &mint, &folder, None)?;
    Ok((mint, wallet, None))
}

async fn for_development(place: &Place, stopping: &CancellationToken) -> anyhow::Result<Started> {
    let (folder, temporary) = match &place.data_dir {
        Some(folder) => (folder.clone(), None),
        None => {
            let temporary = Temporary::make(&Env::system())?;
            (temporary.0.clone(), Some(temporary))
        }
    };
    let started = dev(Dev::new(folder.clone()), stopping.clone()).await?;
    announce(place, &started.mint, &folder, Some(started.token.expose()))?;
    Ok((started.mint, None, temporary))
}

/// A folder that disappears.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn make(env: &Env) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("portal-mint-{}", env.alphanumeric(12)));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "the folder stays");
        }
    }
}

/// Tells the person, or the program, who started the mint where it is.
fn announce(
    place: &Place,
    mint: &Mint,
    folder: &std::path::Path,
    token: Option<&String>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let units: Vec<&str> = mint.units().keys().map(String::as_str).collect();
    if place.json {
        let line = serde_json::json!({
            "type": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "url": mint.url(),
            "listen": mint.address().to_string(),
            "units": units,
            "data_dir": folder,
            "token": token,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "\nPortal mint {}\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  mint    {}", mint.url())?;
        writeln!(out, "  listen  {}", mint.address())?;
        writeln!(out, "  units   {}", units.join(", "))?;
        writeln!(out, "  data    {}", folder.display())?;
        if let Some(token) = token {
            writeln!(out, "  token   {token}")?;
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

/// SIGTERM and Ctrl-C, listened to from the moment this is made.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let terminate = signal(SignalKind::terminate())?;
            Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
