//! Finding the conversation that a message belongs to, in constant time.

use nostr::PublicKey;
use sha2::{Digest, Sha256};

use crate::primitives::{PagedMap, StreamId};

/// What a message names its conversation by, hashed: the tables stay small whatever texts
/// strangers choose, and the machine compares the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route([u8; 16]);

impl Route {
    /// By the token of a handshake.
    pub fn token(token: &str) -> Self {
        Self::new(b"token", &[], token)
    }

    /// By the challenge of an authentication.
    pub fn challenge(challenge: &str) -> Self {
        Self::new(b"challenge", &[], challenge)
    }

    /// By the request id of an answer of this kind: kinds do not share ids.
    pub fn request(answer_kind: u16, request_id: &str) -> Self {
        Self::new(b"request", &answer_kind.to_be_bytes(), request_id)
    }

    /// By the id of a subscription that was confirmed to us.
    pub fn subscription(subscription_id: &str) -> Self {
        Self::new(b"subscription", &[], subscription_id)
    }

    /// By the author, the kind and the id of a request to us: nobody can take another's place.
    pub fn inbound(author: &PublicKey, kind: u16, id: &str) -> Self {
        let mut scope = author.to_bytes().to_vec();
        scope.extend_from_slice(&kind.to_be_bytes());
        Self::new(b"inbound", &scope, id)
    }

    fn new(space: &[u8], scope: &[u8], text: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(space);
        hasher.update([0]);
        hasher.update(scope);
        hasher.update([0]);
        hasher.update(text.as_bytes());
        let hash: [u8; 32] = hasher.finalize().into();
        let mut route = [0; 16];
        route.copy_from_slice(&hash[..16]);
        Self(route)
    }
}

/// Routes to streams. More than one stream may wait on a route: a caller may use a request id of
/// its own twice.
#[derive(Debug, Default)]
pub struct Routes(PagedMap<Route, Streams>);

#[derive(Debug)]
enum Streams {
    One(StreamId),
    Many(Vec<StreamId>),
}

impl Streams {
    fn as_slice(&self) -> &[StreamId] {
        match self {
            Self::One(stream) => std::slice::from_ref(stream),
            Self::Many(streams) => streams,
        }
    }
}

impl Routes {
    /// Adds a stream.
    pub fn insert(&mut self, route: Route, stream: StreamId) {
        match self.0.get_mut(&route) {
            None => drop(self.0.insert(route, Streams::One(stream))),
            Some(Streams::One(first)) if *first == stream => {}
            Some(known @ Streams::One(_)) => {
                let mut streams = known.as_slice().to_vec();
                streams.push(stream);
                *known = Streams::Many(streams);
            }
            Some(Streams::Many(streams)) => {
                if !streams.contains(&stream) {
                    streams.push(stream);
                }
            }
        }
    }

    /// Removes a stream.
    pub fn remove(&mut self, route: Route, stream: StreamId) {
        let empty = match self.0.get_mut(&route) {
            None => false,
            Some(Streams::One(only)) => *only == stream,
            Some(Streams::Many(streams)) => {
                streams.retain(|other| *other != stream);
                streams.is_empty()
            }
        };
        if empty {
            self.0.remove(&route);
        }
    }

    /// The streams that wait on this route, oldest first.
    pub fn find(&self, route: Route) -> &[StreamId] {
        self.0.get(&route).map_or(&[], Streams::as_slice)
    }

    /// How many routes there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
