//! `[webhook]`: where events are posted to. Read and checked here; posting has its own issue.

use portal_core::primitives::Secret;

use super::problem::Warning;
use super::values::Values;

/// Where events are posted to.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The address.
    pub url: Option<String>,
    /// The key of the signature.
    pub secret: Option<Secret<String>>,
}

impl WebhookConfig {
    pub(super) fn take(values: &mut Values) -> Self {
        let name = values.name_of("webhook.url");
        let url = values.text("webhook.url");
        let secret = values.secret("webhook.secret");
        if url.is_some() {
            values.warn(Warning::NoEffect {
                name,
                why: "this version does not post events; read them at /events/{stream_id} or \
                      over the socket",
            });
        }
        Self { url, secret }
    }
}
