//! `portal-daemon`: reads its configuration, starts, serves, stops.

use std::io::{IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use portal_core::env::Env;
use portal_daemon::config::{self, Environment, Flags, InfoConfig, Loaded, locate};
use portal_daemon::start::{self, Announcement, Daemon};
use portal_daemon::{lifecycle, telemetry};

/// Each stream that stays leaves a few small pieces between the large ones of commands that pass; on
/// a busy machine the system's allocator then keeps five times what is in use. This one keeps pieces
/// of one size together.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Which setting is wrong when the log filter is.
const LOG_FILTER: &str = "the log filter (RUST_LOG or logging.filter)";

/// Portal over WebSocket and REST, for a backend in any language.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration file [default: PORTAL_CONFIG, else portal/daemon.toml in your
    /// configuration directory].
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Where to keep data [default: PORTAL_DATA_DIR, else portal in your data directory].
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// Try Portal without any set-up: a relay, a simulated wallet, a mint, a key and a token are
    /// made up.
    #[arg(long)]
    dev: bool,
    /// The address and port to listen on; port 0 takes any free one.
    #[arg(long, global = true)]
    listen: Option<SocketAddr>,
    /// Say what programs want to know, as one line of JSON, and log as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Work on the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigTask,
    },
    /// Ask a running daemon whether it is healthy; for containers.
    Health,
}

#[derive(Subcommand)]
enum ConfigTask {
    /// Tell whether the daemon could start with the configuration as it is.
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        None => run(&arguments),
        Some(Task::Config { command: ConfigTask::Check }) => check(&arguments),
        Some(Task::Health) => health(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "portal-daemon: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn environment() -> Environment {
    // What is not Unicode is none of ours; the variables we know are checked for what they are.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The configuration and where it came from.
fn load(arguments: &Arguments) -> anyhow::Result<(Loaded, Option<PathBuf>)> {
    let environment = environment();
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let flags = Flags {
        dev: arguments.dev,
        listen: arguments.listen,
        data_dir: arguments.data_dir.clone(),
    };
    let named = arguments.config.as_deref();
    let variable = environment.get("PORTAL_CONFIG").filter(|path| !path.is_empty());
    let places = match (arguments.dev, named, variable) {
        // What is only tried out does not read the configuration of the real thing.
        (true, None, None) => Vec::new(),
        _ => locate::candidates(named, &environment, home.as_deref()),
    };
    let found = locate::read(&places)?;
    let text = found.as_ref().map(|found| found.text.as_str());
    let loaded = config::load(text, &environment, home.as_deref(), &flags)?;
    Ok((loaded, found.map(|found| found.path)))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (Loaded { config, warnings }, path) = load(arguments)?;
    let rust_log = std::env::var("RUST_LOG").ok();
    telemetry::init(rust_log.as_deref(), config.logging.filter.as_deref(), arguments.json)
        .context(LOG_FILTER)?;
    if let Some(path) = path {
        tracing::info!(path = %path.display(), "configuration file");
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let result = runtime.block_on(async {
        // Before anything is started: a signal that comes early stops us as well as a late one.
        let mut signals = lifecycle::Signals::install().context("signals")?;
        let daemon = tokio::select! {
            started = Daemon::start(config, arguments.dev) => started?,
            () = signals.next() => {
                tracing::info!("stopped before the start was complete");
                return Ok(());
            }
        };
        announce(&daemon.announcement, arguments.json).context("the standard output")?;
        let (soft, stop) = tokio::sync::oneshot::channel::<()>();
        let second = async move {
            signals.next().await;
            tracing::info!("stopping; a second signal stops at once");
            drop(soft);
            signals.next().await;
        };
        tokio::select! {
            () = daemon.serve(async move { drop(stop.await) }) => Ok(()),
            () = second => anyhow::bail!("stopped at once by a second signal"),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// Allows as many open files as the system lets us: a socket is one, and the usual 1,024 are few.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = Rlimit { current: maximum, maximum };
        if let (Some(current), Err(error)) = (current, setrlimit(Resource::Nofile, wanted)) {
            tracing::debug!(current, %error, "the limit of open files stays");
        }
    }
}

/// Tells the person, or the program, who started the daemon where things are.
fn announce(announcement: &Announcement, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let address = reachable(announcement.address);
    let (http, ws) = (format!("http://{address}"), format!("ws://{address}/ws"));
    let relays: Vec<&str> = announcement.relays.iter().map(|relay| relay.as_str()).collect();
    if json {
        let dev = announcement.dev.as_ref().map(|dev| {
            serde_json::json!({
                "auth_token": dev.token.expose(),
                "nwc_url": dev.person.expose(),
                "mint_url": dev.mint.as_ref().map(|mint| &mint.url),
                "mint_token": dev.mint.as_ref().map(|mint| mint.token.expose()),
                "temporary": dev.temporary,
                "configured": dev.configured,
            })
        });
        let line = serde_json::json!({
            "type": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "http": http,
            "ws": ws,
            "public_key": announcement.public_key,
            "relays": relays,
            "data_dir": announcement.data_dir,
            "dev": dev,
        });
        writeln!(out, "{line}")?;
        return out.flush();
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (bold, dim, plain) =
        if colour { ("\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m") } else { ("", "", "") };
    let version = env!("CARGO_PKG_VERSION");
    let key = nostr::nips::nip19::ToBech32::to_bech32(&announcement.public_key)
        .unwrap_or_else(|never| match never {});
    writeln!(out, "\n{bold}Portal daemon {version}{plain}\n")?;
    writeln!(out, "  daemon  {bold}{http}{plain}")?;
    writeln!(out, "  socket  {bold}{ws}{plain}")?;
    writeln!(out, "  key     {key}")?;
    for relay in relays {
        writeln!(out, "  relay   {relay}")?;
    }
    writeln!(out, "  data    {}", announcement.data_dir.display())?;
    if let Some(dev) = &announcement.dev {
        writeln!(out, "\n  token   {bold}{}{plain}", dev.token.expose())?;
        writeln!(out, "\n  A person's wallet with play money, for `portal wallet`:")?;
        writeln!(out, "  {}", dev.person.expose())?;
        if let Some(mint) = &dev.mint {
            writeln!(
                out,
                "\n  A mint of tickets (`vip`, `general`, `drinks`), with a `sat` that is bought over \
                 the simulated network, and the token that mints there:"
            )?;
            writeln!(out, "  {}  {}", mint.url, mint.token.expose())?;
        }
        let data = if dev.temporary { " Its data disappears when it stops." } else { "" };
        if dev.configured.is_empty() {
            let words = "For development: no real money, no real secrets.";
            writeln!(out, "\n  {dim}{words}{data}{plain}")?;
        } else {
            let own = dev.configured.join(", ");
            writeln!(
                out,
                "\n  {bold}Not all of this is play: configured by you: {own}.{plain}{data}"
            )?;
        }
    }
    writeln!(out)?;
    out.flush()
}

fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let (loaded, path) = load(arguments)?;
    let mut out = std::io::stdout().lock();
    let data_dir = loaded.config.storage.data_dir.clone();
    anyhow::ensure!(
        data_dir.is_some() || arguments.dev,
        "there is no place for the data: set PORTAL_DATA_DIR or --data-dir"
    );
    let rust_log = std::env::var("RUST_LOG").ok();
    telemetry::filter(rust_log.as_deref(), loaded.config.logging.filter.as_deref())
        .context(LOG_FILTER)?;
    if let Some(private_key) = &loaded.config.nostr.private_key {
        let proof = loaded.config.nostr.subkey_proof.clone();
        start::key(private_key, proof, Env::system().now())?;
    }
    #[cfg(feature = "breez")]
    if let portal_daemon::config::WalletConfig::Breez(settings) = &loaded.config.wallet {
        portal_daemon::breez::check(settings)?;
    }
    if arguments.json {
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let line = serde_json::json!({
            "type": "config",
            "file": path,
            "listen": loaded.config.info.listen.to_string(),
            "data_dir": data_dir,
            "warnings": warnings,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let file = path.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    writeln!(out, "The configuration is complete.\n")?;
    writeln!(out, "  file    {file}")?;
    writeln!(out, "  listen  {}", loaded.config.info.listen)?;
    if let Some(data_dir) = &data_dir {
        writeln!(out, "  data    {}", data_dir.display())?;
    }
    for warning in &loaded.warnings {
        writeln!(out, "\n  warning: {warning}")?;
    }
    Ok(())
}

/// `GET /health` of the daemon that this configuration describes.
fn health(arguments: &Arguments) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(3);
    let usual = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), InfoConfig::DEFAULT_PORT);
    let listen = match (arguments.listen, load(arguments)) {
        (Some(listen), _) => listen,
        (None, Ok((loaded, _))) => loaded.config.info.listen,
        // Whether the configuration is complete is not the question here.
        (None, Err(_)) => usual,
    };
    let address = reachable(listen);
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    anyhow::ensure!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("OK"),
        "{address} is not a healthy daemon"
    );
    Ok(())
}

/// An address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port())
        }
        _ => address,
    }
}
