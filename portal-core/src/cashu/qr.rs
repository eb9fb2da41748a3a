//! Tokens as animated QR codes (NUT-16): a token that is too large for one code is shown as a
//! sequence of frames, from any sufficiently long part of which it can be read.

use std::str::FromStr;

use cdk_common::nuts::{Token, TokenUrDecoder, TokenUrEncoder};

use super::token::MOST_TOKEN_BYTES;
use super::{CashuError, TicketToken};

/// The most bytes of a token in one frame: more does not scan well.
const PER_FRAME: usize = 150;
/// The longest frame that is read.
const MOST_FRAME: usize = 4096;
/// The most frames that one reading takes.
const MOST_FRAMES: usize = 20_000;

/// The frames of a token, without end: show them in a circle until the other side has it.
pub struct QrFrames {
    encoder: TokenUrEncoder,
}

impl QrFrames {
    /// Frames for a token.
    ///
    /// # Errors
    /// When it is no token.
    pub fn new(token: &str) -> Result<Self, CashuError> {
        TicketToken::parse(token)?;
        let token = Token::from_str(token.trim())
            .map_err(|_| CashuError::InvalidToken { reason: "it cannot be read" })?;
        let encoder = TokenUrEncoder::new(&token, PER_FRAME).map_err(CashuError::protocol)?;
        Ok(Self { encoder })
    }

    /// How many frames hold the whole token when none is missed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.encoder.fragment_count()
    }

    /// The next frame: the text of one QR code.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn next_frame(&mut self) -> Result<String, CashuError> {
        // Upper case needs a smaller code, and means the same.
        let frame = self.encoder.next_part().map_err(CashuError::protocol)?;
        Ok(frame.to_ascii_uppercase())
    }
}

impl std::fmt::Debug for QrFrames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QrFrames").field("count", &self.count()).finish()
    }
}

/// Reads a token from frames, in any order, with gaps.
#[derive(Default)]
pub struct QrReader {
    decoder: TokenUrDecoder,
    frames: usize,
}

impl QrReader {
    /// Takes one frame; the token when it was the last that was needed.
    ///
    /// # Errors
    /// When it is no frame, or of another token. The reading can go on.
    pub fn take(&mut self, frame: &str) -> Result<Option<String>, CashuError> {
        let wrong = |reason| CashuError::InvalidToken { reason };
        if frame.len() > MOST_FRAME {
            return Err(wrong("the frame is too long"));
        }
        self.frames = self.frames.saturating_add(1);
        if self.frames > MOST_FRAMES {
            return Err(wrong("it has too many frames"));
        }
        self.decoder
            .receive(&frame.trim().to_ascii_lowercase())
            .map_err(|_| wrong("it is no frame of this token"))?;
        if self.decoder.fragment_count().saturating_mul(PER_FRAME) > MOST_TOKEN_BYTES {
            return Err(wrong("it has too many frames"));
        }
        if !self.decoder.complete() {
            return Ok(None);
        }
        let token = self.decoder.token().map_err(|_| wrong("it cannot be read"))?;
        Ok(token.map(|token| token.to_string()))
    }

    /// How far the reading has come: frames known, and frames needed.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.decoder.resolved_fragment_count().unwrap_or(0), self.decoder.fragment_count())
    }
}

impl std::fmt::Debug for QrReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QrReader").field("progress", &self.progress()).finish()
    }
}
