//! The runtime that all work of this library runs on: one per process, made when it is first used,
//! never ended.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinError};

use crate::error::PortalError;

/// Enough for a phone; nothing here computes for long.
const WORKERS: usize = 2;

static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// The runtime's handle.
pub fn handle() -> Result<&'static Handle, PortalError> {
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("portal")
            .enable_all()
            .build()
            .inspect_err(|error| tracing::error!(%error, "the runtime cannot be made"))
            .ok()
    });
    runtime
        .as_ref()
        .map(Runtime::handle)
        .ok_or_else(|| PortalError::internal("the system gives no threads"))
}

/// Does work that must not stop half way: it goes on when the caller stops waiting for it.
pub async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, PortalError>> + Send + 'static,
) -> Result<T, PortalError> {
    handle()?.spawn(work).await.unwrap_or_else(|error| Err(died(&error)))
}

/// Waits for something; waiting ends when the caller stops waiting.
pub async fn wait<T: Send + 'static>(
    work: impl Future<Output = Result<T, PortalError>> + Send + 'static,
) -> Result<T, PortalError> {
    let task = handle()?.spawn(work);
    let _ends = AbortOnDrop(task.abort_handle());
    task.await.unwrap_or_else(|error| Err(died(&error)))
}

/// Does something that blocks.
pub async fn block<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PortalError> + Send + 'static,
) -> Result<T, PortalError> {
    handle()?.spawn_blocking(work).await.unwrap_or_else(|error| Err(died(&error)))
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A panic stays here: only its place is logged, by the panic hook.
fn died(error: &JoinError) -> PortalError {
    tracing::error!(panic = error.is_panic(), "a task died");
    PortalError::internal("a task of the library died")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::error::ErrorCode;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        handle().expect("threads").block_on(async {
            tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
        })
    }

    #[test]
    fn finished_work_outlives_its_caller() {
        block_on(async {
            let (go, gate) = oneshot::channel::<()>();
            let (done, result) = oneshot::channel();
            let call = finish(async move {
                drop(gate.await);
                done.send(7).expect("the test waits");
                Ok(())
            });
            let mut call = Box::pin(call);
            let first = std::future::poll_fn(|context| {
                std::task::Poll::Ready(call.as_mut().poll(context).is_pending())
            });
            assert!(first.await);
            drop(call);
            go.send(()).expect("it waits");
            assert_eq!(result.await, Ok(7));
        });
    }

    #[test]
    fn waiting_ends_with_its_caller() {
        block_on(async {
            let (held, dropped) = oneshot::channel::<()>();
            let mut call = Box::pin(wait(async move {
                let _held = held;
                std::future::pending::<()>().await;
                Ok(())
            }));
            let first = std::future::poll_fn(|context| {
                std::task::Poll::Ready(call.as_mut().poll(context).is_pending())
            });
            assert!(first.await);
            drop(call);
            assert!(dropped.await.is_err());
        });
    }

    #[test]
    fn a_panic_becomes_an_internal_error() {
        let result: Result<(), _> = block_on(finish(async { panic!("on purpose") }));
        let PortalError::Failed { code, .. } = result.expect_err("it died");
        assert_eq!(code, ErrorCode::Internal);
    }
}
