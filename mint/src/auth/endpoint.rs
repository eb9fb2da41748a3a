//! The paths of the mint, as the only ones there are.

use axum::http::Method;

/// The custom payment method of our own wallets.
pub const PORTAL: &str = "portal";

/// What a request is about, for tokens and switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Asking for a quote and issuing, also in batches.
    Mint,
    /// Looking at a quote for minting, also in batches.
    CheckMintQuote,
    /// Asking for a quote and melting or burning.
    Melt,
    /// Looking at a quote for melting.
    CheckMeltQuote,
    /// Exchanging proofs.
    Swap,
    /// Asking for old signatures.
    Restore,
    /// Asking whether proofs are spent; the socket tells that too.
    CheckProofState,
    /// Reading the mint's figures.
    Metrics,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Mint,
        Self::CheckMintQuote,
        Self::Melt,
        Self::CheckMeltQuote,
        Self::Swap,
        Self::Restore,
        Self::CheckProofState,
        Self::Metrics,
    ];

    /// Its name in scopes, switches and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::CheckMintQuote => "check_mint_quote",
            Self::Melt => "melt",
            Self::CheckMeltQuote => "check_melt_quote",
            Self::Swap => "swap",
            Self::Restore => "restore",
            Self::CheckProofState => "check_proof_state",
            Self::Metrics => "metrics",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Everything but reading metrics.
    #[must_use]
    pub fn of_wallets() -> Self {
        let mut all = Self(u8::MAX);
        all.set(Operation::Metrics, false);
        all
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, operation: Operation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// Puts it in, or takes it out.
    pub const fn set(&mut self, operation: Operation, on: bool) {
        if on { self.0 |= operation.bit() } else { self.0 &= !operation.bit() }
    }
}

/// How a quote is paid: the methods of this mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quote {
    /// A Lightning invoice, or for tickets one that nobody has to pay.
    Bolt11,
    /// Our own: paid at once, burned by melting.
    Portal,
}

impl Quote {
    /// Its name in paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bolt11 => "bolt11",
            Self::Portal => PORTAL,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Bolt11, Self::Portal].into_iter().find(|method| method.name() == name)
    }
}

/// A request that the mint knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /v1/info`
    Info,
    /// `GET /v1/unit/{unit}`
    Unit(String),
    /// `GET /v1/keys`
    Keys,
    /// `GET /v1/keys/{keyset id or unit}`
    KeysOf(String),
    /// `GET /v1/keysets`
    Keysets,
    /// `GET /health`
    Health,
    /// `GET /metrics`
    Metrics,
    /// `POST /v1/mint/quote/{method}`
    NewMintQuote(Quote),
    /// `GET /v1/mint/quote/{method}/{id}`
    MintQuote(Quote),
    /// `POST /v1/mint/quote/{method}/check`
    MintQuotes(Quote),
    /// `POST /v1/mint/{method}`
    Mint(Quote),
    /// `POST /v1/mint/{method}/batch`
    MintBatch(Quote),
    /// `POST /v1/melt/quote/{method}`
    NewMeltQuote(Quote),
    /// `GET /v1/melt/quote/{method}/{id}`
    MeltQuote(Quote),
    /// `POST /v1/melt/{method}`
    Melt(Quote),
    /// `POST /v1/swap`
    Swap,
    /// `POST /v1/checkstate`
    CheckState,
    /// `POST /v1/restore`
    Restore,
    /// `GET /v1/ws`
    Socket,
}

impl Endpoint {
    /// Reads a request line. `None`: there is nothing at this path, spelled like this.
    #[must_use]
    pub fn parse(method: &Method, path: &str) -> Option<Self> {
        let reads = method == Method::GET || method == Method::HEAD;
        let posts = method == Method::POST;
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        // Nothing here needs an escape, a dot segment or an empty one.
        if !segments.iter().all(|segment| is_word(segment)) {
            return None;
        }
        let endpoint = match segments.as_slice() {
            ["health"] if reads => Self::Health,
            ["metrics"] if reads => Self::Metrics,
            ["v1", "info"] if reads => Self::Info,
            ["v1", "unit", unit] if reads => Self::Unit((*unit).to_owned()),
            ["v1", "keys"] if reads => Self::Keys,
            ["v1", "keys", of] if reads => Self::KeysOf((*of).to_owned()),
            ["v1", "keysets"] if reads => Self::Keysets,
            ["v1", "ws"] if method == Method::GET => Self::Socket,
            ["v1", "swap"] if posts => Self::Swap,
            ["v1", "checkstate"] if posts => Self::CheckState,
            ["v1", "restore"] if posts => Self::Restore,
            ["v1", "mint", "quote", by] if posts => Self::NewMintQuote(Quote::parse(by)?),
            ["v1", "mint", "quote", by, "check"] if posts => Self::MintQuotes(Quote::parse(by)?),
            ["v1", "mint", "quote", by, _] if reads => Self::MintQuote(Quote::parse(by)?),
            ["v1", "mint", by, "batch"] if posts => Self::MintBatch(Quote::parse(by)?),
            ["v1", "mint", by] if posts => Self::Mint(Quote::parse(by)?),
            ["v1", "melt", "quote", by] if posts => Self::NewMeltQuote(Quote::parse(by)?),
            ["v1", "melt", "quote", by, _] if reads => Self::MeltQuote(Quote::parse(by)?),
            ["v1", "melt", by] if posts => Self::Melt(Quote::parse(by)?),
            _ => return None,
        };
        Some(endpoint)
    }

    /// What it is about; `None` for what everybody may always ask.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        Some(match self {
            Self::Info
            | Self::Unit(_)
            | Self::Keys
            | Self::KeysOf(_)
            | Self::Keysets
            | Self::Health => return None,
            Self::Metrics => Operation::Metrics,
            Self::NewMintQuote(_) | Self::Mint(_) | Self::MintBatch(_) => Operation::Mint,
            Self::MintQuote(_) | Self::MintQuotes(_) => Operation::CheckMintQuote,
            Self::NewMeltQuote(_) | Self::Melt(_) => Operation::Melt,
            Self::MeltQuote(_) => Operation::CheckMeltQuote,
            Self::Swap => Operation::Swap,
            Self::Restore => Operation::Restore,
            Self::CheckState | Self::Socket => Operation::CheckProofState,
        })
    }

    /// The method of the quotes it is about.
    #[must_use]
    pub const fn method(&self) -> Option<Quote> {
        match self {
            Self::NewMintQuote(by)
            | Self::MintQuote(by)
            | Self::MintQuotes(by)
            | Self::Mint(by)
            | Self::MintBatch(by)
            | Self::NewMeltQuote(by)
            | Self::MeltQuote(by)
            | Self::Melt(by) => Some(*by),
            Self::Info
            | Self::Unit(_)
            | Self::Keys
            | Self::KeysOf(_)
            | Self::Keysets
            | Self::Health
            | Self::Metrics
            | Self::Swap
            | Self::CheckState
            | Self::Restore
            | Self::Socket => None,
        }
    }

    /// Whether it changes the books: such a request is finished even when nobody waits any more.
    #[must_use]
    pub const fn changes(&self) -> bool {
        matches!(
            self,
            Self::NewMintQuote(_)
                | Self::Mint(_)
                | Self::MintBatch(_)
                | Self::NewMeltQuote(_)
                | Self::Melt(_)
                | Self::Swap
        )
    }
}

fn is_word(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !segment.is_empty() && segment.len() <= 128 && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str) -> Option<Endpoint> {
        Endpoint::parse(&Method::POST, path)
    }

    #[test]
    fn guarded_paths_have_their_operation() {
        for (path, operation) in [
            ("/v1/mint/quote/bolt11", Operation::Mint),
            ("/v1/mint/quote/portal", Operation::Mint),
            ("/v1/mint/bolt11", Operation::Mint),
            ("/v1/mint/portal/batch", Operation::Mint),
            ("/v1/mint/quote/portal/check", Operation::CheckMintQuote),
            ("/v1/melt/quote/portal", Operation::Melt),
            ("/v1/melt/portal", Operation::Melt),
            ("/v1/swap", Operation::Swap),
            ("/v1/restore", Operation::Restore),
            ("/v1/checkstate", Operation::CheckProofState),
        ] {
            assert_eq!(post(path).and_then(|at| at.operation()), Some(operation), "{path}");
        }
        let socket = Endpoint::parse(&Method::GET, "/v1/ws").expect("it exists");
        assert_eq!(socket.operation(), Some(Operation::CheckProofState));
    }

    #[test]
    fn no_other_spelling_of_a_path_exists() {
        for path in [
            "/v1/mint/portal/",
            "//v1/mint/portal",
            "/v1//mint/portal",
            "/v1/mint//portal",
            "/v1/%6dint/portal",
            "/v1/mint/quote%2Fportal",
            "/v1/mint/%71uote/portal",
            "/v1/./mint/portal",
            "/v1/../v1/mint/portal",
            "/v1/swap/../mint/portal",
            "/V1/MINT/PORTAL",
            "/v1/Mint/portal",
            "/v1/mint/portal;x",
            "/v1/mint/portal\\",
            "/v1/mint/PORTAL",
            "/v1/mint/bolt12",
            "/v1/mint/quote/onchain",
            "/v1/auth/blind/mint",
            "/v1/swap ",
            "v1/swap",
            "",
            "/",
            "*",
        ] {
            assert_eq!(post(path), None, "{path:?}");
        }
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
            assert_eq!(Endpoint::parse(&method, "/v1/swap"), None, "{method}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for operation in Operation::ALL {
            assert_eq!(Operation::parse(operation.name()), Some(operation));
        }
        let mut set = Operations::default();
        set.set(Operation::Swap, true);
        assert!(set.has(Operation::Swap) && !set.has(Operation::Mint));
        set.set(Operation::Swap, false);
        assert_eq!(set, Operations::default());
    }
}
