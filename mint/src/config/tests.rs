use super::*;
use crate::auth::Operation;
use crate::units::Kind;

/// The file of the guide for event tickets.
const GUIDE: &str = r#"
[info]
url = "https://mint.example.com/"
listen_host = "0.0.0.0"
listen_port = 3338
[mint_info]
name = "My Custom Mint"
description = "Cashu mint for custom tokens and tickets"
[ln]
ln_backend = "portalwallet"
mint_max = 100000
melt_max = 100000
[portal_wallet]
[portal_wallet.supported_units]
vip = 32
sat = 32
[portal_wallet.unit_info.vip]
title = "VIP Pass"
description = "VIP access with all perks"
show_individually = true
front_card_background = "https://example.com/vip-front.png"
back_card_background = "https://example.com/vip-back.png"
[portal_wallet.unit_info.vip.kind.Event]
date = "2026-12-31"
location = "New York, USA"
[portal_wallet.unit_info.sat]
title = "Satoshi"
show_individually = false
url = "https://example.com"
[portal_wallet.unit_info.sat.kind.Event]
date = "01/01/1970"
location = "Worldwide"
[database]
engine = "sqlite"
[auth]
[auth.method.Static]
token = "k3Jx0QzP7vN1"
mint_max_bat = 50
enabled_mint = true
enabled_melt = true
enabled_swap = false
enabled_restore = false
enabled_check_proof_state = false
"#;

fn read(text: &str) -> Result<Loaded, ConfigError> {
    load(Some(text), &Environment::new())
}

fn with(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let environment =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Some(GUIDE), &environment)
}

fn problems(result: Result<Loaded, ConfigError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn the_file_of_the_guide_is_understood() {
    let Loaded { config, warnings } = read(GUIDE).expect("complete");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.url.as_deref(), Some("https://mint.example.com"), "no `/` at the end");
    assert_eq!(config.listen.to_string(), "0.0.0.0:3338");
    assert_eq!(config.units["vip"].amounts, [1], "one proof for each ticket");
    assert_eq!(config.units["sat"].amounts, crate::units::powers_of_two(32));
    assert_eq!(
        config.units["vip"].info.kind,
        Kind::Event { date: "2026-12-31".into(), location: "New York, USA".into() }
    );
    assert_eq!(config.amounts.mint_max, 100_000);
    let guarded = config.auth.guarded;
    assert!(guarded.has(Operation::Mint) && guarded.has(Operation::Melt));
    assert!(!guarded.has(Operation::Swap) && !guarded.has(Operation::CheckProofState));
    assert!(guarded.has(Operation::CheckMintQuote), "what is not named needs a token");
    assert_eq!(config.auth.max_batch, 50);
}

#[test]
fn a_key_that_nobody_knows_is_refused_in_every_table() {
    for (from, to) in [
        ("[info]", "[info]\nlisten_gate = 1"),
        ("[mint_info]", "[mint_info]\ncalled = \"x\""),
        ("[ln]", "[ln]\nmax = 1"),
        ("[portal_wallet]", "[portal_wallet]\nx = 1"),
        ("[portal_wallet.unit_info.vip]", "[portal_wallet.unit_info.vip]\nshow_alone = true"),
        ("[database]", "[database]\npath = \"x\""),
        ("[auth]", "[auth]\nenabled_coin = true"),
        ("token =", "enabled_trade = true\ntoken ="),
        ("[auth]", "[auth.method.Oidc]\nx = 1\n[auth]"),
        ("[info]", "[limits]\nx = 1\n[info]"),
        ("[info]", "[operations]\nx = 1\n[info]"),
        ("[info]", "[swagger]\nx = 1\n[info]"),
    ] {
        let text = GUIDE.replacen(from, to, 1);
        assert!(read(&text).is_err(), "{to}");
    }
}

#[test]
fn the_environment_lies_over_the_file() {
    let config = with(&[
        ("CDK_MINTD_LISTEN_PORT", "4000"),
        ("CDK_MINTD_AUTH_STATIC_TOKEN", "0123456789012"),
        ("CDK_MINTD_PORTAL_WALLET_SUPPORTED_UNITS", "vip:32, sat:16"),
        ("CDK_MINTD_AUTH_ENABLED_SWAP", "true"),
        ("CDK_MINTD_MINT_NAME", ""),
        ("MNEMONIC_FILE", "/run/secrets/mnemonic"),
    ])
    .expect("complete")
    .config;
    assert_eq!(config.listen.port(), 4000);
    let token = config.auth.static_token.as_ref().expect("set");
    assert_eq!(token.expose(), "0123456789012", "a token of digits stays what it is");
    assert_eq!(config.units["sat"].amounts.len(), 16);
    assert!(config.auth.guarded.has(Operation::Swap));
    assert_eq!(config.about.name.as_deref(), Some("My Custom Mint"), "empty means not set");
    assert_eq!(config.mnemonic_file, Some("/run/secrets/mnemonic".into()));
    for pair in [
        ("CDK_MINTD_LISTEN_PORT", "many"),
        ("CDK_MINTD_AUTH_ENABLED_SWAP", "maybe"),
        ("CDK_MINTD_PORTAL_WALLET_SUPPORTED_UNITS", "vip"),
        ("CDK_MINTD_MISSPELT", "x"),
    ] {
        assert!(problems(with(&[pair])).contains(pair.0), "{}", pair.0);
    }
}

#[test]
fn the_tokens_of_the_guide_are_nobodys_token() {
    for token in ["your-secure-static-token", "your-secret-token", "short", "with space here ok"] {
        let said = problems(with(&[("CDK_MINTD_AUTH_STATIC_TOKEN", token)]));
        assert!(!said.contains(token), "values are not repeated: {said}");
    }
}

#[test]
fn tickets_are_not_given_away_by_mistake() {
    let open = GUIDE.replace("enabled_mint = true", "enabled_mint = false");
    assert!(problems(read(&open)).contains("auth.open"));
    let none = GUIDE.split("[auth]").next().expect("text");
    assert!(problems(read(none)).contains("auth.open"));
    let said = format!("{none}\n[auth]\nopen = true");
    assert!(problems(read(&said)).contains("loopback"), "only on this machine");
    let loopback = said.replace("0.0.0.0", "127.0.0.1");
    let loaded = read(&loopback).expect("play money");
    assert!(!loaded.warnings.is_empty());
    let off = format!("{none}\n[operations]\ndisabled = [\"mint\"]");
    assert!(read(&off).expect("nothing is minted").config.auth.disabled.has(Operation::Mint));
}

#[test]
fn rules_may_stand_in_either_table_but_not_in_both() {
    let outer = GUIDE.replace("[auth]\n", "[auth]\nenabled_check_mint_quote = false\n");
    let config = read(&outer).expect("complete").config;
    assert!(!config.auth.guarded.has(Operation::CheckMintQuote));
    let both = GUIDE.replace("[auth]\n", "[auth]\nenabled_swap = true\n");
    assert!(problems(read(&both)).contains("enabled_swap"));
    let nothing = "[auth.method.Static]\nenabled_mint = true\n";
    let none = GUIDE.split("[auth]").next().expect("text");
    assert!(problems(read(&format!("{none}{nothing}"))).contains("token"));
}

#[test]
fn units_that_cannot_be_are_refused() {
    let unit = |lines: &str| {
        GUIDE.replace("title = \"VIP Pass\"", &format!("title = \"VIP Pass\"\n{lines}"))
    };
    for lines in [
        "amounts = []",
        "amounts = [2, 1]",
        "amounts = [0, 1]",
        "amounts = [5, 10]",
        "amounts = [1, 1]",
        "expires_at = \"soon\"",
        "expires_at = 0",
        "input_fee_ppk = 20000",
    ] {
        assert!(read(&unit(lines)).is_err(), "{lines}");
    }
    let config =
        read(&unit("amounts = [1, 5, 10]\nexpires_at = 2027-01-01T00:00:00Z\nmax_supply = 9"))
            .expect("complete")
            .config;
    let vip = &config.units["vip"];
    assert_eq!(
        (vip.amounts.as_slice(), vip.expires_at),
        ([1, 5, 10].as_slice(), Some(1_798_761_600))
    );
    assert_eq!(vip.max_supply, Some(9));
    let day = read(&unit("expires_at = \"2026-12-31\"")).expect("complete").config;
    assert_eq!(day.units["vip"].expires_at, Some(1_798_761_599), "its last second");
    for (from, to) in [
        ("vip = 32", "VIP = 32"),
        ("vip = 32", "vip = 0"),
        ("vip = 32", "vip = 63"),
        ("vip = 32", "general = 32"),
        ("vip = 32", "auth = 1\nvip = 32"),
        ("[portal_wallet.unit_info.vip.kind.Event]", "[portal_wallet.unit_info.vip.kind.Concert]"),
    ] {
        assert!(read(&GUIDE.replace(from, to)).is_err(), "{to}");
    }
    assert!(problems(read("")).contains("supported_units"));
}

#[test]
fn only_sat_is_paid_over_lightning() {
    let config =
        read(&format!("{GUIDE}\n[lightning]\nunits = [\"sat\"]")).expect("complete").config;
    assert!(config.lightning.needed && !config.lightning.guarded);
    assert_eq!(config.units["sat"].backing, Backing::Lightning);
    assert!(read(&format!("{GUIDE}\n[lightning]\nunits = [\"vip\"]")).is_err());
    assert!(read(&format!("{GUIDE}\n[lightning]\nunits = [\"eur\"]")).is_err());
}

#[test]
#[cfg(feature = "postgres")]
fn postgres_holds_amounts_of_31_bits() {
    let text = GUIDE.replace(
        "engine = \"sqlite\"",
        "engine = \"postgres\"\nconnection_string = \"postgresql://user:hunter2@localhost/mint\"",
    );
    let config = read(&text).expect("complete").config;
    assert_eq!(config.units["sat"].amounts.last(), Some(&(1 << 30)));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(read(&text.replace("mint_max = 100000", "mint_max = 2147483648")).is_err());
    assert!(read(&text.replace("title = \"VIP Pass\"", "expires_at = 2147483648")).is_err());
    assert!(read(&GUIDE.replace("\"sqlite\"", "\"postgres\"")).is_err(), "where is it?");
}

#[test]
fn what_is_no_toml_is_told_by_its_line_and_not_by_its_value() {
    let error = read("[info]\nurl = 5").expect_err("a number");
    assert!(matches!(error, ConfigError::NotToml { line: 2, .. }), "{error}");
    let error = read(&GUIDE.replace("\"k3Jx0QzP7vN1\"", "123456789012345")).expect_err("a number");
    assert!(!error.to_string().contains("123456789012345"), "{error}");
    assert!(read("token = \"hunter2").is_err());
    assert!(read("= = =").is_err());
}
