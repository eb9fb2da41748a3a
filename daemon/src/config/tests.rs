use std::path::Path;

use super::*;

const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const TOKEN: &str = "k3Jx9vQ2mZ7pL4tR8wY1nB6cF5dH0sGa";

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let mut all = Environment::from([
        ("NOSTR_KEY".to_owned(), KEY.to_owned()),
        ("AUTH_TOKEN".to_owned(), TOKEN.to_owned()),
    ]);
    all.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}

fn from(file: &str, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load(Some(file), &environment(pairs), None, &Flags::default())
}

fn problems(result: Result<Loaded, ConfigError>) -> Vec<Problem> {
    match result.expect_err("refused") {
        ConfigError::Invalid { problems } => problems,
        other => panic!("not a list of problems: {other}"),
    }
}

fn token(loaded: &Loaded) -> &str {
    loaded.config.auth.auth_token.as_ref().expect("there is a token").expose()
}

fn relays(loaded: &Loaded) -> Vec<String> {
    let relays = loaded.config.nostr.relays.as_deref().expect("there are relays");
    relays.iter().map(|relay| relay.as_str().trim_end_matches('/').to_owned()).collect()
}

#[test]
fn two_variables_are_enough() {
    let loaded = load(None, &environment(&[]), None, &Flags::default()).expect("complete");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.info.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(loaded.config.nostr.relays.as_deref().map(<[_]>::len), Some(3));
    assert!(!loaded.config.nostr.allow_private_relays);
    assert!(matches!(loaded.config.wallet, WalletConfig::None));
}

#[test]
fn values_are_what_they_are() {
    for odd in ["0123456789", "1e5", "007", "true", "0x10", " spaced ", "a,b"] {
        let loaded = from("", &[("AUTH_TOKEN", odd)]).expect("legal");
        assert_eq!(token(&loaded), odd);
        let loaded = from("", &[("PORTAL__AUTH__AUTH_TOKEN", odd)]).expect("legal");
        assert_eq!(token(&loaded), odd);
    }
    let problems = problems(load(
        Some("[auth]\nauth_token = 0x10\n"),
        &Environment::from([("NOSTR_KEY".into(), KEY.into())]),
        None,
        &Flags::default(),
    ));
    assert_eq!(problems[0].to_string(), "`auth.auth_token` must be a text in quotes");
}

#[test]
fn an_empty_value_means_not_set() {
    let loaded = from(
        "[nostr]\nsubkey_proof = \"\"\n[info]\nlisten_port = \"\"\n[wallet]\nln_backend = \"\"\n",
        &[("PORTAL__NOSTR__RELAYS", ""), ("NWC_URL", ""), ("PORTAL__NOSTR__NONSENSE", "")],
    )
    .expect("all of it is unset");
    assert_eq!(loaded.config.nostr.relays.as_deref().map(<[_]>::len), Some(3));
    assert!(loaded.config.nostr.subkey_proof.is_none());
    let loaded = from("[nostr]\nrelays = \" , ,\"\n", &[]).expect("nothing but commas");
    assert_eq!(loaded.config.nostr.relays.as_deref().map(<[_]>::len), Some(3));
}

#[test]
fn long_names_win_over_short_ones_and_those_over_the_file() {
    let file = "[nostr]\nrelays = [\"wss://file.example\"]\n[info]\nlisten_port = 1\n";
    let loaded = from(
        file,
        &[
            ("NOSTR_RELAYS", "wss://short.example"),
            ("PORTAL__NOSTR__RELAYS", "wss://long.example, wss://two.example"),
            ("PORTAL__INFO__LISTEN_PORT", "65535"),
        ],
    )
    .expect("legal");
    assert_eq!(relays(&loaded), ["wss://long.example", "wss://two.example"]);
    assert_eq!(loaded.config.info.listen.port(), 65535);
    assert_eq!(
        loaded.warnings,
        [Warning::Twice { winner: "PORTAL__NOSTR__RELAYS".into(), loser: "NOSTR_RELAYS".into() }]
    );
    let loaded = from(file, &[("NOSTR_RELAYS", "wss://short.example")]).expect("legal");
    assert_eq!(relays(&loaded), ["wss://short.example"]);
}

#[test]
fn a_key_is_hex_or_nsec_and_never_repeated() {
    let nsec = "nsec1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqsmhltgl";
    let loaded = from("", &[("NOSTR_KEY", nsec)]).expect("nsec");
    assert_eq!(loaded.config.nostr.private_key.as_ref().expect("there").expose(), KEY);
    let digits = "1234567890123456789012345678901234567890123456789012345678901234";
    let loaded = from("", &[("NOSTR_KEY", digits)]).expect("all digits");
    assert_eq!(loaded.config.nostr.private_key.as_ref().expect("there").expose(), digits);
    let error = from("", &[("NOSTR_KEY", "hunter2hunter2")]).expect_err("no key").to_string();
    assert!(error.contains("NOSTR_KEY must be a secret key"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_subkey_proof_must_fit_the_key() {
    let proof = |main_key: &str| {
        format!(
            r#"{{"main_key":"{main_key}","metadata":{{"name":"web login","nonce":"{}","valid_from":"1700000000","expires_at":"1800000000","permissions":["auth"],"version":2}}}}"#,
            "01".repeat(32)
        )
    };
    let main = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    for text in ["{}", "x", proof(main).as_str()] {
        let error = from("", &[("NOSTR_SUBKEY_PROOF", text)]).expect_err("refused").to_string();
        assert!(error.contains("NOSTR_SUBKEY_PROOF must be a"), "{error}");
    }
    let main_key = portal_core::identity::LocalKey::parse(KEY).expect("a key");
    let metadata = serde_json::from_str::<portal_core::protocol::subkey::SubkeyProof>(&proof(main))
        .expect("a proof")
        .metadata;
    let subkey = portal_core::identity::subkey::derive(&main_key, metadata).expect("derived");
    let secret = subkey.secret_key().to_secret_hex();
    let loaded =
        from("", &[("NOSTR_KEY", &secret), ("NOSTR_SUBKEY_PROOF", &proof(main))]).expect("it fits");
    assert!(loaded.config.nostr.subkey_proof.is_some());
}

#[test]
fn what_is_missing_is_said_once_with_help() {
    let problems = problems(load(None, &Environment::new(), None, &Flags::default()));
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].contains("NOSTR_KEY") && text[1].contains("AUTH_TOKEN"), "{text:?}");
    let flags = Flags { dev: true, ..Flags::default() };
    let loaded = load(None, &Environment::new(), None, &flags).expect("--dev makes them");
    assert!(loaded.config.nostr.relays.is_none() && loaded.config.nostr.allow_private_relays);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    let found = problems(from(
        "[nostr]\nrelay = []\n[atuh]\nauth_token = \"x\"\n",
        &[("PORTAL__WEBHOOK_URL", "https://x.example"), ("PORTAL__INFO__LISTEN_PROT", "1")],
    ));
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(text.contains(
        &"there is no setting `atuh.auth_token`; did you mean `auth.auth_token`?".into()
    ));
    assert!(
        text.contains(&"there is no setting `nostr.relay`; did you mean `nostr.relays`?".into())
    );
    assert!(
        text.contains(
            &"there is no setting PORTAL__WEBHOOK_URL; did you mean PORTAL__WEBHOOK__URL?".into()
        ),
        "{text:?}"
    );
    assert!(text.contains(
        &"there is no setting PORTAL__INFO__LISTEN_PROT; did you mean PORTAL__INFO__LISTEN_PORT?"
            .into()
    ));
    assert_eq!(problems(from("zzz = 1", &[]))[0].to_string(), "there is no setting `zzz`");
}

#[test]
fn placeholders_are_refused_and_weak_tokens_named() {
    for placeholder in ["your-auth-token", "your-secret-auth-token-change-this"] {
        assert_eq!(
            problems(from("", &[("AUTH_TOKEN", placeholder)])),
            [Problem::Placeholder { name: "AUTH_TOKEN".into() }]
        );
    }
    for weak in ["short", "aaaaaaaaaaaaaaaaaaaaaaaa", "my-password-is-very-long-indeed"] {
        let loaded = from("", &[("AUTH_TOKEN", weak)]).expect("weak, but a token");
        assert!(matches!(loaded.warnings[..], [Warning::WeakToken { .. }]), "{weak}");
    }
}

#[test]
fn the_files_of_older_daemons_are_understood() {
    let file = format!(
        r#"
[info]
listen_port = 4000
[nostr]
private_key = "{KEY}"
relays = ["wss://relay.nostr.net"]
subkey_proof = ""
[auth]
auth_token = "{TOKEN}"
[wallet]
ln_backend = "none"
[wallet.nwc]
url = "nostr+walletconnect://..."
[wallet.breez]
api_key = ""
mnemonic = ""
[webhook]
url = ""
secret = ""
[database]
path = "portal-rest.db"
[profile]
name = "shop"
[logging]
filter = "info"
"#
    );
    let loaded = load(Some(&file), &Environment::new(), None, &Flags::default()).expect("0.4");
    assert_eq!(loaded.config.info.listen.port(), 4000);
    assert_eq!(loaded.config.profile.profile.name.as_deref(), Some("shop"));
    assert_eq!(loaded.config.logging.filter.as_deref(), Some("info"));
    assert!(matches!(loaded.config.wallet, WalletConfig::None), "ln_backend decides");
    let warned: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|warning| match warning {
            Warning::NoEffect { name, .. } => name.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned.contains(&"`database.path`") && warned.contains(&"`wallet.nwc.url`"));
}

#[test]
fn the_wallet_is_the_one_that_is_named() {
    let link = format!(
        "nostr+walletconnect://79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798?relay=wss%3A%2F%2Frelay.example&secret={KEY}"
    );
    let loaded = from("[wallet]\nln_backend = \"none\"\n", &[("NWC_URL", &link)]).expect("linked");
    assert!(
        matches!(&loaded.config.wallet, WalletConfig::Nwc { link, allow_spending: false } if link.relays.len() == 1)
    );
    let long = ("PORTAL__WALLET__NWC__URL", link.as_str());
    let loaded = from("[wallet]\nln_backend = \"none\"\n", &[long]).expect("starts");
    assert!(matches!(loaded.config.wallet, WalletConfig::None), "`none` is said outright");
    assert!(
        matches!(&loaded.warnings[..], [Warning::NoEffect { name, .. }] if name == long.0),
        "{:?}",
        loaded.warnings
    );
    let loaded = from("[wallet.nwc]\nallow_spending = true\n", &[long]).expect("linked");
    assert!(matches!(loaded.config.wallet, WalletConfig::Nwc { allow_spending: true, .. }));
    let error = from("", &[("NWC_URL", "https://no-link.example")]).expect_err("no link");
    assert!(!error.to_string().contains("no-link"));
    let relays: String = (0..10).map(|n| format!("&relay=wss%3A%2F%2Fr{n}.example")).collect();
    let no_secret = link.split("&secret").next().expect("a part").to_owned();
    for (wrong, says) in [(no_secret, "with its secret"), (link.clone() + &relays, "at most 8")] {
        let error = from("", &[("NWC_URL", &wrong)]).expect_err("not usable").to_string();
        assert!(error.contains(says) && !error.contains("79be667e"), "{error}");
    }
    assert!(from("[wallet]\nln_backend = \"nwc\"\n", &[]).is_err());
    assert!(from("[wallet]\nln_backend = \"lnd\"\n", &[]).is_err());
}

#[test]
fn the_built_in_wallet_needs_its_words_and_for_real_money_a_key() {
    let words = ("BREEZ_MNEMONIC", WORDS);
    let api_key = ("BREEZ_API_KEY", "key-of-ours");
    let settings = |loaded: Loaded| match loaded.config.wallet {
        WalletConfig::Breez(settings) => *settings,
        other => panic!("{other:?}"),
    };
    let loaded = from("", &[words, api_key, ("BREEZ_STORAGE_DIR", "/x")]).expect("complete");
    assert!(!format!("{loaded:?}").contains("abandon"));
    let found = settings(loaded);
    assert!(found.mainnet && found.library.is_none());
    assert_eq!(found.storage_dir.as_deref(), Some(std::path::Path::new("/x")));
    assert_eq!((found.fee_limit_sats, found.fee_limit_ppm), (25, 10_000));
    let long = [
        ("PORTAL__WALLET__LN_BACKEND", "breez"),
        ("PORTAL__WALLET__BREEZ__MNEMONIC", WORDS),
        ("PORTAL__WALLET__BREEZ__NETWORK", "regtest"),
        ("PORTAL__WALLET__BREEZ__LIBRARY", "/lib.so"),
        ("PORTAL__WALLET__BREEZ__FEE_LIMIT_SATS", "3"),
        ("PORTAL__WALLET__BREEZ__FEE_LIMIT_PPM", "500"),
    ];
    let found = settings(from("", &long).expect("test money needs no key"));
    assert!(!found.mainnet && found.api_key.is_none());
    assert_eq!(found.library.as_deref(), Some(std::path::Path::new("/lib.so")));
    assert_eq!((found.fee_limit_sats, found.fee_limit_ppm), (3, 500));
    let breez = "[wallet]\nln_backend = \"breez\"\n";
    for (file, set, says) in [
        (breez, vec![api_key], "wallet.breez.mnemonic"),
        (breez, vec![words], "wallet.breez.api_key"),
        (breez, vec![("BREEZ_MNEMONIC", "abandon hunter2"), api_key], "BREEZ_MNEMONIC"),
        (breez, vec![words, api_key, ("PORTAL__WALLET__BREEZ__NETWORK", "moon")], "regtest"),
        (breez, vec![words, api_key, ("PORTAL__WALLET__BREEZ__FEE_LIMIT_PPM", "-1")], "FEE_LIMIT"),
        (breez, vec![words, api_key, ("PORTAL__WALLET__BREEZ__SPARK", "{}")], "ssp_url"),
    ] {
        let error = from(file, &set).expect_err(says).to_string();
        assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
    }
    // One of two is used, and it is said which.
    let loaded = from("", &[words, api_key, ("NWC_URL", &link())]).expect("both");
    assert!(matches!(&loaded.warnings[..], [Warning::NoEffect { name, .. }] if name == "NWC_URL"));
    settings(loaded);
    let nwc = ("PORTAL__WALLET__LN_BACKEND", "nwc");
    let loaded = from("", &[words, api_key, nwc, ("NWC_URL", &link())]).expect("both");
    assert!(matches!(loaded.config.wallet, WalletConfig::Nwc { .. }));
    assert!(matches!(loaded.warnings[..], [Warning::NoEffect { .. }]));
    let none = ("PORTAL__WALLET__LN_BACKEND", "none");
    let loaded = from("", &[words, none]).expect("said outright");
    assert!(matches!(loaded.config.wallet, WalletConfig::None));
}

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";

fn link() -> String {
    format!(
        "nostr+walletconnect://79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798?relay=wss%3A%2F%2Frelay.example&secret={KEY}"
    )
}

#[test]
fn nothing_secret_is_printed() {
    let link = format!(
        "nostr+walletconnect://79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798?relay=wss%3A%2F%2Frelay.example&secret={KEY}"
    );
    let loaded =
        from("[webhook]\nsecret = \"hook-secret\"\n", &[("NWC_URL", &link)]).expect("legal");
    let debug = format!("{loaded:?}");
    for secret in [KEY, TOKEN, "hook-secret"] {
        assert!(!debug.contains(secret), "{debug}");
    }
    let error = from("[auth]\nauth_token = \"hunter2\" junk\n", &[]).expect_err("no TOML");
    assert!(matches!(error, ConfigError::NotToml { line: 2, .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn wrong_forms_are_all_told_at_once() {
    let found = problems(from(
        "[info]\nlisten_port = 99999\nlisten_address = \"here\"\n[limits]\nconnections = 0\n",
        &[("PORTAL__NOSTR__ALLOW_PRIVATE_RELAYS", "perhaps"), ("NOSTR_RELAYS", "http://x")],
    ));
    assert_eq!(found.len(), 5, "{found:?}");
    let loaded = from("[info]\nlisten_address = \"::1\"", &[]).expect("IPv6");
    assert_eq!(loaded.config.info.listen.to_string(), "[::1]:3000");
}

#[test]
fn the_file_is_looked_for_in_order() {
    let home = Path::new("/h");
    let none = Environment::new();
    let paths = |flag, environment: &Environment, home| {
        locate::candidates(flag, environment, home)
            .into_iter()
            .map(|candidate| (candidate.path.display().to_string(), candidate.named))
            .collect::<Vec<_>>()
    };
    let named = Environment::from([("PORTAL_CONFIG".into(), "/etc/p.toml".into())]);
    assert_eq!(paths(Some(Path::new("/f.toml")), &named, Some(home)), [("/f.toml".into(), true)]);
    assert_eq!(paths(None, &named, Some(home)), [("/etc/p.toml".into(), true)]);
    assert!(paths(None, &none, None).is_empty(), "no home is no error");
    if cfg!(target_os = "linux") {
        assert_eq!(
            paths(None, &none, Some(home)),
            [
                ("/h/.config/portal/daemon.toml".into(), false),
                ("/h/.portal-rest/config.toml".into(), false)
            ]
        );
        let xdg = Environment::from([("XDG_CONFIG_HOME".into(), "/x".into())]);
        assert_eq!(paths(None, &xdg, Some(home))[0].0, "/x/portal/daemon.toml");
    }
}

#[test]
fn the_data_is_where_flag_variable_or_custom_say() {
    let home = Some(Path::new("/h"));
    let none = Environment::new();
    let named = Environment::from([("PORTAL_DATA_DIR".into(), "/d".into())]);
    let flags = Flags { data_dir: Some("/f".into()), ..Flags::default() };
    assert_eq!(locate::data_dir(&named, home, &flags), Some("/f".into()));
    assert_eq!(locate::data_dir(&named, home, &Flags::default()), Some("/d".into()));
    assert_eq!(locate::data_dir(&none, None, &Flags::default()), None);
    if cfg!(target_os = "linux") {
        let usual = locate::data_dir(&none, home, &Flags::default());
        assert_eq!(usual, Some("/h/.local/share/portal".into()));
    }
    let loaded = load(None, &environment(&[("PORTAL_DATA_DIR", "/d")]), None, &Flags::default())
        .expect("legal");
    assert_eq!(loaded.config.storage.database(), Some("/d/portal.db".into()));
}

#[test]
fn a_named_file_must_be_there() {
    let nowhere = Path::new("/nonexistent/portal.toml");
    let error = locate::read(&[locate::Candidate { path: nowhere.into(), named: true }]);
    assert!(matches!(error, Err(ConfigError::Unreadable { .. })));
    // Nor can it be looked for below something that is no folder, as in one that is closed to us.
    let below_a_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").join("x.toml");
    for place in [nowhere, &below_a_file] {
        let none = locate::read(&[locate::Candidate { path: place.into(), named: false }]);
        assert!(none.expect("not an error").is_none());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let there = locate::read(&[locate::Candidate { path: folder.into(), named: false }]);
    assert!(matches!(there, Err(ConfigError::Unreadable { .. })), "what is there must be readable");
}

#[test]
fn proxies_are_addresses() {
    let proxies = |text| from("", &[("PORTAL__LIMITS__TRUSTED_PROXIES", text)]);
    let loaded = proxies("10.0.0.1, ::1").expect("addresses");
    assert_eq!(loaded.config.limits.trusted_proxies.len(), 2);
    let error = proxies("10.0.0.0/8").expect_err("no address").to_string();
    assert!(error.contains("PORTAL__LIMITS__TRUSTED_PROXIES must be a list of IP"), "{error}");
}

#[test]
fn the_bounds_of_payments_are_read_and_checked() {
    let usual = from("", &[]).expect("complete").config.payments.policy;
    assert_eq!((usual.fee_ppm, usual.fee_floor.as_u64()), (10_000, 10_000));
    assert!(!usual.strict_fees && !usual.limits_spending());
    let text = "[payments]\nfee_percent = 3\nfee_floor_sats = 5\nstrict_fees = true\nper_day_sats = 100000\n";
    let pairs = [("PORTAL__PAYMENTS__PER_RECIPIENT_PER_DAY_SATS", "2000")];
    let policy = from(text, &pairs).expect("legal").config.payments.policy;
    assert_eq!((policy.fee_ppm, policy.fee_floor.as_u64()), (30_000, 5_000));
    assert!(policy.strict_fees);
    assert_eq!(policy.per_day.map(|sum| sum.as_u64()), Some(100_000_000));
    assert_eq!(policy.per_recipient.map(|sum| sum.as_u64()), Some(2_000_000));
    let none = from("[payments]\nper_day_sats = 0\n", &[]).expect("legal");
    assert!(!none.config.payments.policy.limits_spending());
    for wrong in ["fee_percent = 101", "fee_percent = -1", "per_day_sats = 18446744073709551"] {
        let found = problems(from(&format!("[payments]\n{wrong}1\n"), &[]));
        assert_eq!(found.len(), 1, "{wrong}");
    }
}

#[test]
fn a_lightning_address_needs_the_public_https_address() {
    let section = |rest: &str| format!("[lightning_address]\nnames = [\"shop\"]\n{rest}");
    let loaded = from(&section("url = \"https://shop.example\""), &[]).expect("complete");
    let address = loaded.config.lightning_address.expect("there is one");
    assert_eq!((address.names[0].as_str(), address.description.as_str()), ("shop", "shop.example"));
    assert_eq!((address.least.as_u64(), address.most.as_u64()), (1000, 1_000_000_000));
    for wrong in [
        "",
        "url = \"http://shop.example\"",
        "url = \"https://shop.example/path\"",
        "url = \"shop.example\"",
        "url = \"https://shop.example\"\nmin_msat = 0",
        "url = \"https://shop.example\"\nmin_msat = 10\nmax_msat = 9",
    ] {
        assert_eq!(problems(from(&section(wrong), &[])).len(), 1, "{wrong}");
    }
    let upper = "[lightning_address]\nnames = [\"Shop\"]\nurl = \"https://shop.example\"";
    assert_eq!(problems(from(upper, &[])).len(), 1);
    assert!(from("", &[]).expect("complete").config.lightning_address.is_none());
    let breez = "[wallet]\nln_backend = \"breez\"\n[wallet.breez]\nnetwork = \"regtest\"\n";
    let text = format!("{breez}{}", section("url = \"https://shop.example\""));
    let refused = from(&text, &[("BREEZ_MNEMONIC", WORDS), ("BREEZ_API_KEY", "key")]);
    let refused = refused.expect_err("payers would refuse its invoices").to_string();
    assert!(refused.contains("hash of a description"), "{refused}");
}

#[test]
fn rates_are_public_ones_unless_told_otherwise() {
    let rates = from("", &[]).expect("legal").config.rates;
    assert!(rates.enabled && rates.sources.is_none());
    assert_eq!(rates.options, portal_core::rates::RateOptions::default());
    let file = "[rates]\nsources = [\"yadio\", \"kraken\"]\nfresh_seconds = 5\nstale_seconds = 600\n\
                lock_seconds = 120\nat_least = 2\n[rates.urls]\nkraken = \"http://127.0.0.1:9/k\"\n";
    let rates = from(file, &[]).expect("legal").config.rates;
    let named: Vec<_> = rates
        .sources
        .expect("named")
        .into_iter()
        .map(|source| (source.source.name(), source.url))
        .collect();
    assert_eq!(named, [("kraken", Some("http://127.0.0.1:9/k".into())), ("yadio", None)]);
    let options = rates.options;
    let seconds = [options.fresh, options.stale, options.lock].map(|time| time.as_secs());
    assert_eq!((seconds, options.at_least), ([5, 600, 120], 2));
    let rates = from("", &[("PORTAL__RATES__ENABLED", "false")]).expect("legal").config.rates;
    assert!(rates.desk(portal_core::env::Env::system()).is_none());
    let moved = from("", &[("PORTAL__RATES__URLS__EXIR", "https://mirror.example")]);
    assert_eq!(moved.expect("legal").config.rates.sources.expect("all of them").len(), 8);
}

#[test]
fn rates_that_cannot_be_are_refused() {
    for bad in [
        "sources = [\"kraken\", \"mtgox\"]",
        "sources = 5",
        "enabled = \"perhaps\"",
        "fresh_seconds = 0",
        "stale_seconds = 90000",
        "fresh_seconds = 600\nstale_seconds = 60",
        "lock_seconds = 5",
        "at_least = 0",
        "at_least = 4",
        "urls = \"x\"",
        "[rates.urls]\nkraken = \"ftp://x\"",
        "[rates.urls]\nkraken = \"https://user:secret@x\"",
        "[rates.urls]\nmtgox = \"https://x\"",
        "source = \"kraken\"",
    ] {
        let problems = problems(from(&format!("[rates]\n{bad}\n"), &[]));
        assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
        assert!(!problems[0].to_string().contains("secret"), "{problems:?}");
    }
}
