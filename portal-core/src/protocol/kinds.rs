//! The event kinds Portal speaks, and which of them must be sealed.

/// Kind 0: public profile metadata (NIP-01).
pub const PROFILE: u16 = 0;
/// Kind 22242: authentication of a client to a relay (NIP-42).
pub const RELAY_AUTH: u16 = 22_242;
/// Kind 27000: authentication challenge, service to person.
pub const AUTH_CHALLENGE: u16 = 27_000;
/// Kind 27001: answer to a challenge.
pub const AUTH_RESPONSE: u16 = 27_001;
/// Kind 27010: key handshake, person to service.
pub const KEY_HANDSHAKE: u16 = 27_010;
/// Kind 28000: single payment request.
pub const PAYMENT_REQUEST: u16 = 28_000;
/// Kind 28001: status of a payment, sent several times.
pub const PAYMENT_RESPONSE: u16 = 28_001;
/// Kind 28002: payment confirmation; nobody sends it, it reads like 28001.
pub const PAYMENT_CONFIRMATION: u16 = 28_002;
/// Kind 28005: recurring payment request.
pub const RECURRING_REQUEST: u16 = 28_005;
/// Kind 28006: answer to a recurring payment request.
pub const RECURRING_RESPONSE: u16 = 28_006;
/// Kind 28007: close of a subscription, either way.
pub const RECURRING_CLOSE: u16 = 28_007;
/// Kind 28008: request for an invoice.
pub const INVOICE_REQUEST: u16 = 28_008;
/// Kind 28009: the invoice.
pub const INVOICE_RESPONSE: u16 = 28_009;
/// Kind 29500: request for a Cashu token.
pub const CASHU_REQUEST: u16 = 29_500;
/// Kind 29501: answer to a request for a Cashu token.
pub const CASHU_RESPONSE: u16 = 29_501;
/// Kind 29502: a Cashu token, unasked.
pub const CASHU_DIRECT: u16 = 29_502;
/// Kind 30000: proof that the author is a subkey of a main key.
pub const SUBKEY_PROOF: u16 = 30_000;

/// What a service listens for; replies and handshakes.
pub const FOR_SERVICE: &[u16] = &[
    AUTH_RESPONSE,
    KEY_HANDSHAKE,
    PAYMENT_RESPONSE,
    PAYMENT_CONFIRMATION,
    RECURRING_RESPONSE,
    RECURRING_CLOSE,
    INVOICE_RESPONSE,
    CASHU_RESPONSE,
];

/// What a person's wallet listens for; requests.
pub const FOR_CLIENT: &[u16] = &[
    AUTH_CHALLENGE,
    PAYMENT_REQUEST,
    RECURRING_REQUEST,
    RECURRING_CLOSE,
    INVOICE_REQUEST,
    INVOICE_RESPONSE,
    CASHU_REQUEST,
    CASHU_DIRECT,
];

/// Whether the content of this kind must be NIP-44 ciphertext. Plaintext in such an event is
/// refused, whatever it says (protocol section 11, defect 16).
#[must_use]
pub const fn must_be_sealed(kind: u16) -> bool {
    kind != PROFILE
}
