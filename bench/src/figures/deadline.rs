//! `deadline`: a request that nobody answers, with no other traffic, and when it ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use portal_core::env::Env;
use portal_core::event::{PaymentUpdate, PortalEvent};
use portal_core::primitives::{ErrorCode, Millisats, RequestId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::protocol::payment::SinglePaymentRequest;
use portal_core::protocol::subscription::Recurrence;
use portal_core::service::{NewRecurringPayment, Recipient};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::simulated::SimulatedNetwork;
use portal_core::wallet::{LightningWallet, NewInvoice};

use crate::arguments::Arguments;
use crate::people;
use crate::report::{Report, Row};
use crate::world::{self, Core};

/// Asks somebody who is not there, for a payment and for a subscription.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let ahead = Duration::from_secs(arguments.size(7, 3));
    world::runtime(1)?.block_on(async {
        let env = Env::system();
        let relays = world::relays(1).await?;
        let key = world::new_key();
        let core = Core::start(&key, &world::urls(&relays), Arc::new(MemoryStore::new())).await?;
        let nobody = Recipient::new(people::key_of(&[1; 32], 0).public_key());

        let (call, event) = core.ear();
        let expires_at = env.now().saturating_add(ahead);
        let new = NewRecurringPayment {
            amount: 1_000,
            currency: Currency::Millisats,
            recurrence: Recurrence {
                until: None,
                calendar: "monthly".parse()?,
                max_payments: None,
                first_payment_due: expires_at,
            },
            expires_at,
            description: None,
            auth_token: None,
            request_id: None,
        };
        core.service.subscriptions().request(nobody.clone(), new, call).await?;
        let recurring = tokio::spawn(ended(event, expires_at));

        let (call, event) = core.ear();
        let expires_at = env.now().saturating_add(ahead);
        let wallet = SimulatedNetwork::new(env).wallet("elsewhere", Millisats::new(0))?;
        let amount = Millisats::new(1_000);
        let invoice = NewInvoice { amount, description: None, expiry: Duration::from_secs(600) };
        let request = SinglePaymentRequest {
            amount: amount.as_u64(),
            currency: Currency::Millisats,
            current_exchange_rate: None,
            invoice: wallet.make_invoice(invoice).await?.bolt11,
            auth_token: None,
            expires_at,
            subscription_id: None,
            description: None,
            request_id: RequestId::new("deadline"),
        };
        core.service.payments().request_raw(nobody, request, call).await?;
        let payment = tokio::spawn(ended(event, expires_at));

        for (name, late) in [("payment", payment), ("subscription", recurring)] {
            let late = late.await??;
            report.add(Row::new(format!("deadline: {name}"), late, "s late").at_most(1.0).note(
                format!("asked with {} s to answer, and nothing else happened", ahead.as_secs()),
            ));
        }
        Ok(())
    })
}

type Event = tokio::sync::oneshot::Receiver<Arc<portal_core::event::StreamEvent>>;

/// How long after its deadline a request ended, in seconds.
async fn ended(event: Event, deadline: Timestamp) -> Result<f64> {
    let event = tokio::time::timeout(Duration::from_secs(60), event).await??;
    let now = Env::system().now_millis();
    match &event.body {
        PortalEvent::Error { code: ErrorCode::Timeout, .. }
        | PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Timeout } => {}
        other => bail!("not a timeout: {other:?}"),
    }
    let due = deadline.as_secs().saturating_mul(1000);
    if now < due {
        bail!("ended before its deadline");
    }
    Ok(Duration::from_millis(now - due).as_secs_f64())
}
