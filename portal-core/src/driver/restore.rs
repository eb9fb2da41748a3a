//! What a node begins with: the conversations that were open, and what it listens to.

use super::effects::Work;
use super::error::NodeError;
use super::inbox::FRESHNESS;
use crate::conversation::{Conversation, Effect, Engine, Role};
use crate::env::Env;
use crate::identity::LocalKey;
use crate::protocol::kinds;
use crate::storage::Store;

/// Reads what was open and hands it to the engine. A record that cannot be read is left where it
/// is: a newer version may know it.
pub(super) async fn restore(engine: &mut Engine, store: &dyn Store) -> Result<Work, NodeError> {
    let mut work = Work::default();
    for record in store.conversations().await? {
        match serde_json::from_slice::<Conversation>(&record.state) {
            Ok(conversation) => {
                let step = engine.restore(record.stream, conversation, record.next_index);
                for effect in &step.effects {
                    if let Effect::Inbox { stream, open: true } = effect
                        && let Some(Conversation::Answer(answer)) = engine.get(*stream)
                    {
                        work.inbox.push((*stream, Some((**answer).clone())));
                    }
                }
                work.effects.extend(step.effects);
            }
            Err(error) => {
                tracing::error!(
                    stream = %record.stream, machine = %record.machine, %error,
                    "a stored conversation cannot be read"
                );
            }
        }
    }
    // Shown in the order they came, as before the restart.
    work.inbox.sort_by_key(|(_, answer)| answer.as_ref().map(|answer| answer.arrival));
    Ok(work)
}

/// The standing subscriptions: one for messages, one for subkey proofs. Proofs are of an
/// addressable kind that others use for lists, so only new ones are asked for.
pub(super) fn subscriptions(env: &Env, key: &LocalKey, role: Role) -> Vec<(String, String)> {
    let listens = match role {
        Role::Service => kinds::FOR_SERVICE,
        Role::Client => kinds::FOR_CLIENT,
    };
    let mut own = vec![key.public_key().to_hex()];
    if key.is_subkey() {
        own.push(key.main_key().to_hex());
    }
    let since = env.now().saturating_sub(FRESHNESS);
    let messages = serde_json::json!({ "kinds": listens, "#p": own, "since": since.as_secs() });
    let proofs = serde_json::json!({
        "kinds": [kinds::SUBKEY_PROOF], "#p": own, "since": since.as_secs()
    });
    vec![("p0m".to_owned(), messages.to_string()), ("p0k".to_owned(), proofs.to_string())]
}
