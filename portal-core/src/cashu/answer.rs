//! Whether what a person answers with is what they were asked for.
//!
//! Looked at before whoever asked is told of a success. Nothing is spent: a token that is something
//! else stays what it is, and its sender can take it back.

use super::{CashuError, MintAddress, TicketToken, Unit};
use crate::conversation::ask::Mismatch;
use crate::primitives::ErrorCode;
use crate::protocol::ticket::CashuRequest;

/// Compares mint, unit and amount of a token with what was asked for. Spellings of one mint are one
/// mint.
///
/// # Errors
/// In what it differs.
pub fn check_answer(asked: &CashuRequest, token: &str) -> Result<(), Mismatch> {
    let wrong = |reason| Mismatch { code: ErrorCode::WrongTicket, reason };
    let token = TicketToken::parse(token).map_err(|_| Mismatch {
        code: ErrorCode::InvalidToken,
        reason: "the answer is not a Cashu token",
    })?;
    let mint: MintAddress =
        asked.mint_url.parse().map_err(|_| wrong("what was asked for names no mint"))?;
    let unit: Unit = asked.unit.parse().map_err(|_| wrong("what was asked for names no unit"))?;
    token.expect(&mint, &unit, Some(asked.amount)).map_err(|error| {
        wrong(match error {
            CashuError::WrongMint => "the token is of another mint than was asked for",
            CashuError::WrongUnit => "the token is of another unit than was asked for",
            _ => "the token is of another amount than was asked for",
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{RequestId, Timestamp};

    /// One sat of `http://localhost:3338`, from the vectors of NUT-00.
    const TOKEN: &str = "cashuBpGF0gaJhaUgArSaMTR9YJmFwgaNhYQFhc3hAOWE2ZGJiODQ3YmQyMzJiYTc2ZGIw\
        ZGYxOTcyMTZiMjlkM2I4Y2MxNDU1M2NkMjc4MjdmYzFjYzk0MmZlZGI0ZWFjWCEDhhhUP_trhpXfStS6vN6So0qW\
        vc2X3O4NfM-Y1HISZ5JhZGlUaGFuayB5b3VhbXVodHRwOi8vbG9jYWxob3N0OjMzMzhhdWNzYXQ=";

    fn asked(mint_url: &str, unit: &str, amount: u64) -> CashuRequest {
        CashuRequest {
            request_id: RequestId::new("r"),
            mint_url: mint_url.to_owned(),
            unit: unit.to_owned(),
            amount,
            expires_at: Timestamp::from_secs(1),
        }
    }

    #[test]
    fn what_was_asked_for_fits_in_whatever_spelling() {
        for (mint, unit) in
            [("http://localhost:3338", "sat"), (" HTTP://LocalHost.:3338// ", " SAT ")]
        {
            assert_eq!(check_answer(&asked(mint, unit, 1), TOKEN), Ok(()), "{mint}");
        }
        let spelled = format!(" cashu:{TOKEN}\n");
        assert_eq!(check_answer(&asked("http://localhost:3338", "sat", 1), &spelled), Ok(()));
    }

    #[test]
    fn anything_else_does_not_and_says_in_what() {
        let here = "http://localhost:3338";
        for (mint, unit, amount, what) in [
            ("http://127.0.0.1:3338", "sat", 1, "mint"),
            ("https://localhost:3338", "sat", 1, "mint"),
            ("http://localhost:3338/other", "sat", 1, "mint"),
            (here, "vip", 1, "unit"),
            (here, "sat", 2, "amount"),
            (here, "sat", 0, "amount"),
        ] {
            let wrong = check_answer(&asked(mint, unit, amount), TOKEN).expect_err("another");
            assert_eq!(wrong.code, ErrorCode::WrongTicket);
            assert!(wrong.reason.contains(&format!("another {what}")), "{}", wrong.reason);
        }
        for text in ["", "cashuB", "hello", &TOKEN[..TOKEN.len() / 2]] {
            let wrong = check_answer(&asked(here, "sat", 1), text).expect_err("no token");
            assert_eq!(wrong.code, ErrorCode::InvalidToken, "{text}");
        }
    }
}
