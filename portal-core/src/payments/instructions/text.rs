//! What a text means, without asking anybody.

use std::sync::{Mutex, PoisonError};

use bitcoin::Network;
use bitcoin_payment_instructions::amount::Amount;
use bitcoin_payment_instructions::hrn_resolution::{
    HrnResolutionFuture, HrnResolver, HumanReadableName, LNURLResolutionFuture,
};
use bitcoin_payment_instructions::{
    ParseError, PaymentInstructions, PaymentMethod, PossiblyResolvedPaymentMethod,
};
use url::Url;

use super::{Instruction, InstructionError, MAX_LENGTH, Web};
use crate::primitives::Millisats;
use crate::wallet::bolt11::Bolt11;

/// What is known before anybody is asked.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Everything.
    Done(Instruction),
    /// A document has to be read.
    Ask(Url),
}

pub(super) async fn understand(
    text: &str,
    network: Option<Network>,
    web: &dyn Web,
) -> Result<Meaning, InstructionError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
        return Err(unknown("it is empty, too long, or not one line"));
    }
    let text = without_prefix(text);
    if let Some(url) = scheme_of_its_own(text)? {
        return Ok(Meaning::Ask(checked(&url, web)?));
    }
    let network = network.or_else(|| network_of(text)).unwrap_or(Network::Bitcoin);
    let asked = Asked::default();
    match PaymentInstructions::parse(text, network, &asked, false).await {
        Ok(found) => Ok(Meaning::Done(choose(&found))),
        Err(ParseError::HrnResolutionError(_)) => {
            let url = asked.take().ok_or(unknown("it names nobody"))?;
            Ok(Meaning::Ask(checked(&url, web)?))
        }
        Err(error) => Err(refused(&error)),
    }
}

/// `lightning:` before anything else; some write two slashes after it.
fn without_prefix(text: &str) -> &str {
    match text.get(..10) {
        Some(prefix) if prefix.eq_ignore_ascii_case("lightning:") => {
            text[10..].trim_start_matches('/')
        }
        _ => text,
    }
}

/// LUD-17: schemes that say what an address is for. They stand for `https`, or for `http` where
/// the host is an onion service.
fn scheme_of_its_own(text: &str) -> Result<Option<String>, InstructionError> {
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(None) };
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "lnurlp" | "lnurlw" => {
            let rest = rest.trim_start_matches('/');
            let https = format!("https://{rest}");
            let onion = Url::parse(&https)
                .ok()
                .and_then(|url| url.host_str().map(|host| host.ends_with(".onion")))
                .unwrap_or(false);
            Ok(Some(if onion { format!("http://{rest}") } else { https }))
        }
        "keyauth" => Err(InstructionError::CannotPay { what: "a login request (LUD-04)" }),
        "lnurlc" => Err(InstructionError::CannotPay { what: "a channel request (LUD-02)" }),
        _ => Ok(None),
    }
}

/// An address that may be asked: `https`, or plain where [`Web`] allows it, and nothing hidden.
pub(super) fn checked(text: &str, web: &dyn Web) -> Result<Url, InstructionError> {
    let url = Url::parse(text).map_err(|_| InstructionError::BadAddress)?;
    let host = url.host_str().ok_or(InstructionError::BadAddress)?;
    let plain = url.scheme() == "http" && web.allows_plain(host);
    let secret = !url.username().is_empty() || url.password().is_some();
    if secret || !(url.scheme() == "https" || plain) || text.len() > MAX_LENGTH {
        return Err(InstructionError::BadAddress);
    }
    Ok(url)
}

/// The network that an invoice itself names.
fn network_of(text: &str) -> Option<Network> {
    let lower = text.get(..6)?.to_ascii_lowercase();
    if lower.starts_with("lnbcrt") {
        Some(Network::Regtest)
    } else if lower.starts_with("lntbs") {
        Some(Network::Signet)
    } else if lower.starts_with("lntb") {
        Some(Network::Testnet)
    } else {
        None
    }
}

/// The one way to pay that a Lightning wallet has, or why there is none.
fn choose(found: &PaymentInstructions) -> Instruction {
    let methods: Vec<&PaymentMethod> = match found {
        PaymentInstructions::FixedAmount(fixed) => fixed.methods().iter().collect(),
        PaymentInstructions::ConfigurableAmount(open) => open
            .methods()
            .filter_map(|method| match method {
                PossiblyResolvedPaymentMethod::Resolved(method) => Some(method),
                PossiblyResolvedPaymentMethod::LNURLPay { .. } => None,
            })
            .collect(),
    };
    let invoice = methods.iter().find_map(|method| match method {
        PaymentMethod::LightningBolt11(invoice) => Bolt11::parse(&invoice.to_string()).ok(),
        _ => None,
    });
    if let Some(invoice) = invoice {
        return Instruction::Invoice(Box::new(invoice));
    }
    let amount = match found {
        PaymentInstructions::FixedAmount(fixed) => fixed.max_amount(),
        PaymentInstructions::ConfigurableAmount(_) => None,
    };
    let what = match methods.first() {
        Some(PaymentMethod::LightningBolt12(_)) => "a BOLT12 offer",
        Some(PaymentMethod::OnChain(_)) => "an on-chain address",
        Some(PaymentMethod::Bark(_)) => "an Ark address",
        Some(PaymentMethod::Cashu(_)) => "a Cashu payment request",
        Some(PaymentMethod::LightningBolt11(_)) | None => "this instruction",
    };
    Instruction::CannotPay { what, amount: amount.map(|it| Millisats::new(it.milli_sats())) }
}

const fn unknown(reason: &'static str) -> InstructionError {
    InstructionError::Unknown { reason }
}

fn refused(error: &ParseError) -> InstructionError {
    unknown(match error {
        ParseError::WrongNetwork => return InstructionError::WrongNetwork,
        ParseError::InstructionsExpired => return InstructionError::Expired,
        ParseError::InvalidLnurl(_) => return InstructionError::BadAddress,
        ParseError::InvalidBolt11(_) => "the invoice is damaged",
        ParseError::InvalidBolt12(_) => "the offer is damaged",
        ParseError::InvalidOnChain(_) => "the on-chain address is damaged",
        ParseError::InvalidArk(_) => "the Ark address is damaged",
        ParseError::InvalidCashu(_) => "the Cashu request is damaged",
        ParseError::InconsistentInstructions(_) => "its parts contradict each other",
        ParseError::InvalidInstructions(_) => "it breaks the rules of its form",
        ParseError::UnknownRequiredParameter => "it requires something that is not known here",
        ParseError::UnknownPaymentInstructions | ParseError::HrnResolutionError(_) => {
            "nothing that is known"
        }
    })
}

/// Notes whom the parser would ask, and lets it go no further: asking is ours, with a guard.
#[derive(Default)]
struct Asked(Mutex<Option<String>>);

impl Asked {
    fn note(&self, url: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(url);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

const LATER: &str = "asked later";

impl HrnResolver for Asked {
    fn resolve_hrn<'a>(&'a self, name: &'a HumanReadableName) -> HrnResolutionFuture<'a> {
        let (user, domain) = (name.user(), name.domain());
        let scheme = if domain.ends_with(".onion") { "http" } else { "https" };
        self.note(format!("{scheme}://{domain}/.well-known/lnurlp/{user}"));
        Box::pin(async { Err(LATER) })
    }

    fn resolve_lnurl<'a>(&'a self, url: &'a str) -> HrnResolutionFuture<'a> {
        self.note(url.to_owned());
        Box::pin(async { Err(LATER) })
    }

    fn resolve_lnurl_to_invoice<'a>(
        &'a self,
        _: String,
        _: Amount,
        _: [u8; 32],
    ) -> LNURLResolutionFuture<'a> {
        Box::pin(async { Err(LATER) })
    }
}
