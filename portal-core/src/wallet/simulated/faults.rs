//! Faults that a simulated wallet commits on order, each once.

/// A call of the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`LightningWallet::info`](crate::wallet::LightningWallet::info).
    Info,
    /// [`LightningWallet::balance`](crate::wallet::LightningWallet::balance).
    Balance,
    /// [`LightningWallet::make_invoice`](crate::wallet::LightningWallet::make_invoice).
    MakeInvoice,
    /// [`LightningWallet::lookup`](crate::wallet::LightningWallet::lookup).
    Lookup,
    /// [`LightningWallet::pay`](crate::wallet::LightningWallet::pay).
    Pay,
    /// [`LightningWallet::list`](crate::wallet::LightningWallet::list) and
    /// [`list_settled`](crate::wallet::LightningWallet::list_settled).
    List,
    /// [`LightningWallet::quote`](crate::wallet::LightningWallet::quote).
    Quote,
}

/// What can be wrong with any call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is done, and the caller hears of a timeout.
    Timeout,
    /// It is done, and the caller hears of a timeout all the same.
    LostAnswer,
    /// It is done, and the answer cannot be read.
    Garbled,
    /// Nothing is done: the wallet cannot be reached.
    Unreachable,
    /// Nothing is done: the wallet says no.
    Refuse {
        /// A NIP-47 code, or any other.
        code: String,
        /// For people.
        message: String,
    },
}

/// A fault to order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next such call goes wrong; `None` is whichever comes first.
    OnCall(Option<Call>, Trouble),
    /// The next payment leaves and stays under way until
    /// [`SimulatedNetwork::settle`](super::SimulatedNetwork::settle) or
    /// [`SimulatedNetwork::fail`](super::SimulatedNetwork::fail).
    PayLater,
    /// The next preimage that is told, by pay or look-up, is not the right one.
    LiarPreimage,
    /// The next look-up does not know a payment that exists.
    UnknownToLookup,
    /// The next event is not told.
    LostNotification,
    /// The next event is told twice.
    DuplicateNotification,
}

/// What was ordered and has not struck yet.
#[derive(Default)]
pub(super) struct Orders(Vec<Fault>);

impl Orders {
    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The trouble that was ordered for this call, once.
    pub(super) fn take_trouble(&mut self, call: Call) -> Option<Trouble> {
        let index = self.0.iter().position(
            |fault| matches!(fault, Fault::OnCall(on, _) if on.is_none_or(|on| on == call)),
        )?;
        match self.0.remove(index) {
            Fault::OnCall(_, trouble) => Some(trouble),
            _ => None,
        }
    }

    /// Whether this fault was ordered; it is used up by asking.
    pub(super) fn take(&mut self, fault: &Fault) -> bool {
        self.0
            .iter()
            .position(|ordered| ordered == fault)
            .map(|index| self.0.remove(index))
            .is_some()
    }
}
