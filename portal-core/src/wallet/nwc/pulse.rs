//! Whether the wallet at the other end answers, from what calls have seen.
//!
//! A connection that was deleted in the wallet looks like one that is slow: nobody answers. So
//! several calls in a row, over an open connection, must stay without an answer before the wallet
//! counts as one that does not answer.

use std::time::Duration;

use crate::primitives::Timestamp;
use crate::wallet::WalletState;

/// Calls in a row without an answer that make a wallet one that does not answer.
const SILENT_CALLS: u32 = 3;
/// Who gave up sooner than this has not waited for an answer.
pub(super) const WAITED: Duration = Duration::from_secs(1);

/// What calls have seen.
#[derive(Default)]
pub(super) struct Pulse {
    answered: bool,
    rejected: bool,
    silent_calls: u32,
    silent_since: Option<Timestamp>,
}

impl Pulse {
    /// An answer came; `rejected` when it says that there is no such connection.
    pub(super) fn answered(&mut self, rejected: bool) {
        *self = Self { answered: true, rejected, ..Self::default() };
    }

    /// A call that was made at this moment got no answer. True when the wallet counts as silent
    /// from now on.
    pub(super) fn unanswered(&mut self, made_at: Timestamp) -> bool {
        self.silent_calls = self.silent_calls.saturating_add(1);
        self.silent_since.get_or_insert(made_at);
        self.silent_calls == SILENT_CALLS
    }

    pub(super) fn state(&self) -> WalletState {
        match self.silent_since {
            Some(since) if self.silent_calls >= SILENT_CALLS => WalletState::NotAnswering { since },
            _ if self.rejected => WalletState::Rejected,
            _ if self.answered => WalletState::Answering,
            _ => WalletState::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_several_silent_calls_in_a_row_are_silence() {
        let at = Timestamp::from_secs;
        let mut pulse = Pulse::default();
        assert_eq!(pulse.state(), WalletState::Unknown);
        assert!(!pulse.unanswered(at(1)) && !pulse.unanswered(at(2)));
        assert_eq!(pulse.state(), WalletState::Unknown);
        pulse.answered(false);
        assert!(!pulse.unanswered(at(3)) && !pulse.unanswered(at(4)));
        assert_eq!(pulse.state(), WalletState::Answering);
        assert!(pulse.unanswered(at(5)));
        assert!(!pulse.unanswered(at(6)), "told once");
        assert_eq!(pulse.state(), WalletState::NotAnswering { since: at(3) });
        pulse.answered(true);
        assert_eq!(pulse.state(), WalletState::Rejected);
        pulse.answered(false);
        assert_eq!(pulse.state(), WalletState::Answering);
    }
}
