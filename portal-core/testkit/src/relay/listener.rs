//! A listener on loopback that can be stopped, with all its connections, and started again on the
//! same port.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Handles one connection to its end; dropped when the listener is stopped.
pub(crate) type Handler =
    Arc<dyn Fn(TcpStream, SocketAddr) -> BoxFuture<'static, ()> + Send + Sync>;

/// A port and what answers on it.
pub(crate) struct Listener {
    address: SocketAddr,
    handler: Handler,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Listens on a port that the kernel chooses.
    pub(crate) async fn start<F>(
        handler: impl Fn(TcpStream, SocketAddr) -> F + Send + Sync + 'static,
    ) -> std::io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let handler: Handler = Arc::new(move |stream, peer| Box::pin(handler(stream, peer)));
        let task = Mutex::new(Some(tokio::spawn(serve(listener, handler.clone()))));
        Ok(Self { address, handler, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections and refuses new ones. Returns once the port is closed.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Listens again on the same port, unless it does.
    pub(crate) async fn restart(&self) -> std::io::Result<()> {
        if self.task.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address).await?;
        let task = tokio::spawn(serve(listener, self.handler.clone()));
        let old = self.task.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(old) = old {
            old.abort();
        }
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

async fn serve(listener: TcpListener, handler: Handler) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection was gone at once");
                    continue;
                }
                connections.spawn(handler(stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::task::yield_now().await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}
