//! What bounds the WebSockets of a mint: their number and their size.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use portal_core::env::Env;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::{World, books, usual, within};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A mint with place for two sockets.
async fn world(test: &str) -> World {
    let config = format!("[limits]\nconnections = 8\n{}", usual());
    World::with(books(test).remove(0), config, None, Env::system()).await
}

async fn open(world: &World) -> Result<Socket, u16> {
    let url = format!("ws://{}/v1/ws", world.mint().address());
    match connect_async(url).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("an answer, not {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_have_a_number_and_only_sockets_count() {
    within(async {
        let world = world("sockets").await;
        // Not one of these becomes a socket, and their connection is kept.
        for _ in 0..5 {
            let answer = world.http.get(format!("{}/v1/ws", world.url())).send().await;
            assert!(answer.expect("an answer").status().is_client_error());
        }
        let first = open(&world).await.expect("a place");
        let second = open(&world).await.expect("a place");
        assert_eq!(open(&world).await.err(), Some(429), "there are only two");
        assert_eq!(world.get("/v1/info", None).await.0, 200, "requests are served all the same");
        drop(first);
        let freed = async {
            loop {
                match open(&world).await {
                    Ok(socket) => return socket,
                    Err(429) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(status) => panic!("{status}"),
                }
            }
        };
        drop((freed.await, second));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_sends_without_end_is_ended() {
    within(async {
        let world = world("endless").await;
        let (mut sink, mut answers) = open(&world).await.expect("a place").split();
        let sending = async {
            // More than a socket may send in all, in messages that are all in order.
            for _ in 0..20_000 {
                if sink.send(Message::Ping(vec![0; 125].into())).await.is_err() {
                    break;
                }
            }
            // Whoever still listens would listen for ever.
            std::future::pending::<()>().await;
        };
        let ended = async { while let Some(Ok(_)) = answers.next().await {} };
        tokio::select! {
            () = sending => {}
            () = ended => {}
        }
    })
    .await;
}
