//! What every keystore must do. The functions panic where one breaks its word.

use super::{KeyStore, MNEMONIC, NOSTR, NWC};
use crate::primitives::Secret;

/// One name: absent, kept, replaced, removed. Both values are valid Nostr keys, so that a store
/// which keeps nothing else can be tested too. The store must be empty.
pub async fn one_name(store: &impl KeyStore, name: &str) {
    assert_eq!(loaded(store, name).await, None);
    store.remove(name).await.expect("removing what is not there is no error");
    for value in [[1; 32], [2; 32]] {
        store.store(name, Secret::new(value.to_vec())).await.expect("stores");
        assert_eq!(loaded(store, name).await, Some(value.to_vec()));
        assert_eq!(loaded(store, name).await, Some(value.to_vec()), "loading takes nothing away");
    }
    store.remove(name).await.expect("removes");
    assert_eq!(loaded(store, name).await, None);
}

/// Secrets of any length under several names do not touch one another.
pub async fn independent_names(store: &impl KeyStore) {
    let values = [(NOSTR, vec![1; 32]), (MNEMONIC, b"abandon about".to_vec()), (NWC, vec![])];
    for (name, value) in &values {
        store.store(name, Secret::new(value.clone())).await.expect("stores");
    }
    for (name, value) in &values {
        assert_eq!(loaded(store, name).await.as_ref(), Some(value));
    }
    store.remove(MNEMONIC).await.expect("removes");
    assert_eq!(loaded(store, MNEMONIC).await, None);
    assert_eq!(loaded(store, NOSTR).await, Some(vec![1; 32]));
}

async fn loaded(store: &impl KeyStore, name: &str) -> Option<Vec<u8>> {
    let secret = store.load(name).await.expect("loads");
    secret.map(|secret| secret.expose().clone())
}
