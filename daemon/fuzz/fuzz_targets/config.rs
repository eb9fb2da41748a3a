//! A configuration: the first line is the environment (`NAME=value` with tabs between), the rest is
//! the file. It is understood or refused, and no secret is repeated in the refusal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_daemon::config::{Environment, Flags, load};

const SECRET: &str = "hunter2hunter2hunter2";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (line, file) = text.split_once('\n').unwrap_or(("", text));
    let mut environment: Environment = line
        .split('\t')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for dev in [false, true] {
        let flags = Flags { dev, ..Flags::default() };
        drop(load(Some(file), &environment, None, &flags));
    }
    environment.insert("AUTH_TOKEN".to_owned(), SECRET.to_owned());
    let text = match load(Some(file), &environment, None, &Flags::default()) {
        Ok(loaded) => format!("{loaded:?}"),
        Err(error) => error.to_string(),
    };
    assert!(!text.contains(SECRET));
});
