//! `[limits]`: what a stranger can cost.

use std::net::IpAddr;

use super::Problems;
use super::file::Limits;

/// `[limits]`.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// The most proofs in one request.
    pub max_inputs: usize,
    /// The most outputs in one request.
    pub max_outputs: usize,
    /// Requests that change or look up something, for each address without a token.
    pub requests_per_minute: u32,
    /// How many of them at once.
    pub burst: u32,
    /// Wrong tokens, for each address.
    pub wrong_tokens_per_minute: u32,
    /// Connections at once, of everybody.
    pub connections: usize,
    /// Addresses whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_inputs: 1000,
            max_outputs: 1000,
            requests_per_minute: 600,
            burst: 100,
            wrong_tokens_per_minute: 10,
            connections: 1024,
            trusted_proxies: Vec::new(),
        }
    }
}

impl LimitsConfig {
    pub(super) fn read(written: Limits, problems: &mut Problems) -> Self {
        let usual = Self::default();
        let mut trusted_proxies = Vec::new();
        for text in &written.trusted_proxies {
            match text.parse() {
                Ok(address) => trusted_proxies.push(address),
                Err(_) => problems.wrong("`limits.trusted_proxies`", "a list of IP addresses"),
            }
        }
        let limits = Self {
            max_inputs: written.max_inputs.unwrap_or(usual.max_inputs),
            max_outputs: written.max_outputs.unwrap_or(usual.max_outputs),
            requests_per_minute: written.requests_per_minute.unwrap_or(usual.requests_per_minute),
            burst: written.burst.unwrap_or(usual.burst),
            wrong_tokens_per_minute: written
                .wrong_tokens_per_minute
                .unwrap_or(usual.wrong_tokens_per_minute),
            connections: written.connections.unwrap_or(usual.connections),
            trusted_proxies,
        };
        for (name, count) in [
            ("`limits.max_inputs`", limits.max_inputs),
            ("`limits.max_outputs`", limits.max_outputs),
        ] {
            if !(1..=5000).contains(&count) {
                problems.wrong(name, "a number from 1 to 5000");
            }
        }
        if limits.requests_per_minute == 0 || limits.burst == 0 || limits.connections == 0 {
            problems.wrong("each of `limits`", "more than 0");
        }
        limits
    }
}
