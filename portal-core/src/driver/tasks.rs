//! Every task of the core: counted, told to stop, waited for.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one node.
#[derive(Clone, Debug)]
pub struct Tasks {
    handle: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// No tasks yet; they will run on this runtime.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle, tracker: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Starts a task. It must end soon after [`Tasks::stopping`] does.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed: otherwise the program has all of the tracker and of the runtime's task once more
        // for each kind of task.
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
        self.tracker.spawn_on(task, &self.handle);
    }

    /// Starts a task without which the node is of no use: when it dies, all others are told to
    /// stop, so that the fault shows at once and not as calls that hang.
    pub fn spawn_vital(&self, task: impl Future<Output = ()> + Send + 'static) {
        let last_words = LastWords(self.stop.clone());
        self.spawn(async move {
            let last_words = last_words;
            task.await;
            drop(last_words);
        });
    }

    /// The runtime.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends when the tasks are told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the tasks were told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells the tasks to stop, without waiting.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Tells the tasks to stop and waits for them. False when some had not ended in time.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}

/// Dropped when a vital task ends, also by a panic.
struct LastWords(CancellationToken);

impl Drop for LastWords {
    fn drop(&mut self) {
        if !self.0.is_cancelled() {
            tracing::error!("a task that the node cannot do without has died; the node stops");
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_dies_stops_the_others() {
        let tasks = Tasks::new(Handle::current());
        tasks.spawn(async { panic!("on purpose: an ordinary task") });
        let waits = tasks.clone();
        tasks.spawn(async move { waits.stopping().await });
        tokio::task::yield_now().await;
        assert!(!tasks.is_stopping(), "an ordinary one does not");
        tasks.spawn_vital(async { panic!("on purpose: a vital task") });
        tasks.stopping().await;
        assert!(tasks.stop(Duration::from_secs(5)).await);
    }
}
