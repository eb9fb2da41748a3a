//! JSON web tokens that a Nostr key signs (ES256K): wallets give them to services as session
//! tokens.
//!
//! Made and checked here, time included. What a token opens is for the service that asked for
//! it.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jwt_compact::alg::Es256k;
use jwt_compact::{AlgorithmExt, Header, ParseError, UntrustedToken, ValidationError};
use nostr::PublicKey;
use secp256k1::Parity;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::keypair::LocalKey;
use super::subkey::even_secret;
use crate::primitives::{Secret, Timestamp};

/// No token is longer than this.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// How far the clocks of issuer and verifier may be apart.
pub const LEEWAY: Duration = Duration::from_secs(60);

static ES256K: LazyLock<Es256k<Sha256>> = LazyLock::new(Es256k::default);

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom it is for: the key of the service.
    pub target: PublicKey,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it begins, if it says.
    pub not_before: Option<Timestamp>,
    /// When it was made, if it says.
    pub issued_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Target {
    target_key: PublicKey,
}

/// Makes a token for `target`, valid from `now` on. It is signed with the key's own secret, so
/// that of the subkey when it is one.
///
/// # Errors
/// [`TokenError::OutOfRange`] when the token would end beyond the years that can be written.
pub fn issue(
    key: &LocalKey,
    target: PublicKey,
    now: Timestamp,
    lifetime: Duration,
) -> Result<Secret<String>, TokenError> {
    let end = now.as_secs().checked_add(lifetime.as_secs()).ok_or(TokenError::OutOfRange)?;
    let mut claims = jwt_compact::Claims::new(Target { target_key: target });
    claims.expiration = Some(moment(end)?);
    claims.not_before = Some(moment(now.as_secs())?);
    claims.issued_at = claims.not_before;
    // Verifiers rebuild the key from its X with an even Y.
    let mut secret = even_secret(key);
    let token = ES256K.token(&Header::empty(), &claims, &secret);
    secret.non_secure_erase();
    Ok(Secret::new(token.expect("plain members always serialise")))
}

/// Checks the form, the algorithm, the signature and the time of a token, give or take
/// [`LEEWAY`]. Whether it is for us is told by [`Claims::target`].
///
/// # Errors
/// What of this is not so.
pub fn verify(issuer: &PublicKey, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let token = UntrustedToken::new(token).map_err(|error| match error {
        ParseError::InvalidTokenStructure => TokenError::InvalidStructure,
        ParseError::InvalidBase64Encoding => TokenError::InvalidBase64,
        // The cases left are all about the header.
        _ => TokenError::MalformedHeader,
    })?;
    let issuer = issuer.xonly().map_err(|_| TokenError::InvalidIssuer)?;
    let issuer = issuer.public_key(Parity::Even);
    let checked =
        ES256K.validator::<Target>(&issuer).validate(&token).map_err(|error| match error {
            ValidationError::AlgorithmMismatch { .. } => TokenError::WrongAlgorithm,
            ValidationError::MalformedClaims(_) => TokenError::MalformedClaims,
            // The cases left are all about the signature.
            _ => TokenError::InvalidSignature,
        })?;

    let claims = checked.claims();
    let now = i128::from(now.as_secs());
    let leeway = i128::from(LEEWAY.as_secs());
    let end = claims.expiration.ok_or(TokenError::MalformedClaims)?.timestamp();
    if now > i128::from(end) + leeway {
        return Err(TokenError::Expired);
    }
    let begin = claims.not_before.map(|begin| begin.timestamp());
    if begin.is_some_and(|begin| now < i128::from(begin) - leeway) {
        return Err(TokenError::NotYetValid);
    }
    let timestamp = |seconds: i64| u64::try_from(seconds).ok().map(Timestamp::from_secs);
    Ok(Claims {
        target: claims.custom.target_key,
        expires_at: timestamp(end).ok_or(TokenError::MalformedClaims)?,
        not_before: begin.and_then(timestamp),
        issued_at: claims.issued_at.and_then(|moment| timestamp(moment.timestamp())),
    })
}

fn moment(seconds: u64) -> Result<DateTime<Utc>, TokenError> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or(TokenError::OutOfRange)
}

/// Why a token is refused or cannot be made. The texts start as those that deployed peers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("Failed to parse JWT token: longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts.
    #[error("Failed to parse JWT token: invalid token structure")]
    InvalidStructure,
    /// A part is not base64url.
    #[error("Failed to parse JWT token: invalid base64 encoding")]
    InvalidBase64,
    /// The header is not one of a JWT.
    #[error("Failed to parse JWT token: malformed token header")]
    MalformedHeader,
    /// The header names another algorithm.
    #[error("Failed to verify JWT token: the algorithm is not ES256K")]
    WrongAlgorithm,
    /// The signature is not the issuer's.
    #[error("Failed to verify JWT token: signature has failed verification")]
    InvalidSignature,
    /// The claims lack `exp` or `target_key`, or are of the wrong types.
    #[error("Failed to verify JWT token: malformed claims")]
    MalformedClaims,
    /// It has ended.
    #[error("Failed to verify JWT token: token has expired")]
    Expired,
    /// It begins in the future.
    #[error("Failed to verify JWT token: token is not yet valid")]
    NotYetValid,
    /// The issuer's key is no key.
    #[error("Failed to verify JWT token: the issuer is not a public key")]
    InvalidIssuer,
    /// The moment cannot be written.
    #[error("the lifetime of the token is out of range")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use secp256k1::SECP256K1;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A key whose Y is odd and one whose Y is even.
    fn keys() -> [LocalKey; 2] {
        ["6", "1"].map(|digit| LocalKey::parse(&format!("{digit:0>64}")).expect("a key"))
    }

    fn later(seconds: u64) -> Timestamp {
        NOW.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn a_token_verifies_within_its_time_and_not_outside() {
        let [key, other] = keys();
        let token = issue(&key, other.public_key(), NOW, HOUR).expect("in range");
        let check = |now| verify(&key.public_key(), token.expose(), now);
        let claims = check(NOW).expect("valid");
        assert_eq!(claims.target, other.public_key());
        assert_eq!((claims.expires_at, claims.issued_at), (later(3600), Some(NOW)));
        assert!(check(later(3660)).is_ok());
        assert_eq!(check(later(3661)), Err(TokenError::Expired));
        assert_eq!(check(Timestamp::from_secs(u64::MAX)), Err(TokenError::Expired));
        assert!(check(NOW.saturating_sub(LEEWAY)).is_ok());
        let early = NOW.saturating_sub(LEEWAY + Duration::from_secs(1));
        assert_eq!(check(early), Err(TokenError::NotYetValid));
    }

    #[test]
    fn forged_and_foreign_tokens_are_refused() {
        let [key, other] = keys();
        let token = issue(&key, other.public_key(), NOW, HOUR).expect("in range");
        let token = token.expose();
        let by_other = verify(&other.public_key(), token, NOW);
        assert_eq!(by_other, Err(TokenError::InvalidSignature));
        let parts: Vec<&str> = token.split('.').collect();
        let header =
            |json: &str| format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(json), parts[1], parts[2]);
        let check = |text: &str| verify(&key.public_key(), text, NOW).err();
        assert_eq!(check(&header(r#"{"alg":"none"}"#)), Some(TokenError::WrongAlgorithm));
        assert_eq!(check(&header(r#"{"alg":"HS256"}"#)), Some(TokenError::WrongAlgorithm));
        assert_eq!(check(&header("{}")), Some(TokenError::MalformedHeader));
        assert_eq!(
            check(&header(r#"{"alg":"ES256K","cty":"CBOR"}"#)),
            Some(TokenError::MalformedHeader)
        );
        assert_eq!(check("a.b"), Some(TokenError::InvalidStructure));
        assert_eq!(check("a.b.c.d"), Some(TokenError::InvalidStructure));
        assert_eq!(check("!.b.c"), Some(TokenError::InvalidBase64));
        assert_eq!(check(&token.repeat(100)), Some(TokenError::TooLong));
        let short = format!("{}.{}.AAAA", parts[0], parts[1]);
        assert_eq!(check(&short), Some(TokenError::InvalidSignature));
        let point = PublicKey::from_byte_array([0xff; 32]);
        assert_eq!(verify(&point, token, NOW), Err(TokenError::InvalidIssuer));
    }

    #[test]
    fn claims_of_the_wrong_kind_are_refused_even_when_signed() {
        let [key, _] = keys();
        let signed = |payload: &str| {
            let text = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256K"}"#),
                URL_SAFE_NO_PAD.encode(payload)
            );
            let digest = <Sha256 as sha2::Digest>::digest(&text);
            let message = secp256k1::Message::from_digest(digest.into());
            let signature = SECP256K1.sign_ecdsa(&message, &even_secret(&key));
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.serialize_compact()))
        };
        let target = key.public_key().to_hex();
        let check = |payload: &str| {
            verify(&key.public_key(), &signed(payload), NOW).map(|claims| claims.target)
        };
        let good = format!(r#"{{"exp":1700000100,"target_key":"{target}","more":[1]}}"#);
        assert_eq!(check(&good), Ok(key.public_key()));
        for bad in [
            "[]".to_owned(),
            format!(r#"{{"target_key":"{target}"}}"#),
            r#"{"exp":1700000100}"#.to_owned(),
            good.replace("1700000100", "18446744073709551615"),
            good.replace("1700000100", "\"1700000100\""),
            good.replace(&target, "zz"),
        ] {
            assert_eq!(check(&bad), Err(TokenError::MalformedClaims), "{bad}");
        }
        let ancient = good.replace("1700000100", "-9000000000000");
        assert!(matches!(check(&ancient), Err(TokenError::Expired | TokenError::MalformedClaims)));
        let never = good.replace("\"exp\"", "\"nbf\":8000000000000,\"exp\"");
        assert_eq!(check(&never), Err(TokenError::NotYetValid));
    }

    #[test]
    fn a_lifetime_beyond_the_calendar_is_refused() {
        let [key, other] = keys();
        for (now, lifetime) in
            [(NOW, Duration::MAX), (Timestamp::from_secs(u64::MAX), HOUR), (later(1 << 62), HOUR)]
        {
            let token = issue(&key, other.public_key(), now, lifetime);
            assert_eq!(token.err(), Some(TokenError::OutOfRange));
        }
    }
}
