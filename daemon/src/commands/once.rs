//! Does a command at most once for each idempotency key: the second call waits for the first and
//! gets its answer, also after a restart. Commands that open conversations have no need of it,
//! their key is kept with the conversation.

use portal_core::primitives::ErrorCode;
use serde_json::value::RawValue;

use super::{Command, Context, Outcome, Result};
use crate::error::CommandError;

/// What is not kept under a key.
enum Unkept {
    /// It went wrong.
    Failed(CommandError),
    /// The answer, as it is for the moment.
    ForNow(String),
}

impl From<portal_core::Error> for Unkept {
    fn from(error: portal_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Does the command, or returns what it answered before under the same key.
///
/// # Errors
/// Those of the command, which are not kept: after an error it is done again, and so it is after
/// an answer that is not final ([`super::Reply::is_final`]).
/// `idempotency_conflict` when the key was used for something else.
///
/// # Cancel safety
/// What was begun goes on; whether its answer is kept is not certain.
pub async fn execute(command: Command, context: Context<'_>) -> Result<Outcome> {
    let Some(idempotency) = context.idempotency.clone().filter(|_| command.keeps_answer()) else {
        return command.execute(context).await;
    };
    let answers = context.service.idempotency();
    let work = || async {
        match command.execute(context).await.map_err(Unkept::Failed)? {
            Outcome::Done(reply) => {
                let answer = serde_json::to_string(&reply)
                    .expect("replies have only members that JSON can say");
                if reply.is_final() { Ok(answer) } else { Err(Unkept::ForNow(answer)) }
            }
            Outcome::Repeated(data) => Ok(data.get().to_owned()),
            Outcome::Opened { .. } | Outcome::Waiting { .. } | Outcome::Attach { .. } => {
                let text = "this command has no lasting answer";
                Err(Unkept::Failed(CommandError::new(ErrorCode::Internal, text)))
            }
        }
    };
    let answer = match answers.once(idempotency, work).await {
        Ok(answer) | Err(Unkept::ForNow(answer)) => answer,
        Err(Unkept::Failed(error)) => return Err(error),
    };
    RawValue::from_string(answer)
        .map(Outcome::Repeated)
        .map_err(|_| CommandError::new(ErrorCode::StorageFailed, "the kept answer is unreadable"))
}
