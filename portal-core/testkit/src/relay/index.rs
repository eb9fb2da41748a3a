//! Who wants which event: subscriptions by the key they are addressed to, so that the cost of an
//! event does not depend on how many people are connected.

use std::collections::{BTreeMap, HashMap};

use nostr::filter::MatchEventOptions;
use nostr::{Alphabet, Event, Filter, SingleLetterTag};

/// A connection and a subscription id.
type Place = (u64, String);

/// All open subscriptions.
#[derive(Default)]
pub(super) struct Index {
    filters: HashMap<u64, BTreeMap<String, Vec<Filter>>>,
    by_recipient: HashMap<String, Vec<Place>>,
    /// Those with a filter that names no recipient.
    others: Vec<Place>,
}

impl Index {
    /// Opens a subscription, in place of the one with the same id.
    pub(super) fn open(&mut self, connection: u64, id: &str, filters: Vec<Filter>) {
        self.close(connection, id);
        for recipient in recipients(&filters) {
            match recipient {
                Some(key) => {
                    self.by_recipient.entry(key).or_default().push((connection, id.into()))
                }
                None => self.others.push((connection, id.to_owned())),
            }
        }
        self.filters.entry(connection).or_default().insert(id.to_owned(), filters);
    }

    /// Ends a subscription. False when there was none.
    pub(super) fn close(&mut self, connection: u64, id: &str) -> bool {
        let Some(of_connection) = self.filters.get_mut(&connection) else { return false };
        let Some(filters) = of_connection.remove(id) else { return false };
        if of_connection.is_empty() {
            self.filters.remove(&connection);
        }
        let is_other = |place: &Place| (place.0, place.1.as_str()) != (connection, id);
        for recipient in recipients(&filters) {
            match recipient {
                Some(key) => {
                    if let Some(places) = self.by_recipient.get_mut(&key) {
                        places.retain(is_other);
                        if places.is_empty() {
                            self.by_recipient.remove(&key);
                        }
                    }
                }
                None => self.others.retain(is_other),
            }
        }
        true
    }

    /// Ends all subscriptions of a connection; returns their ids.
    pub(super) fn close_all(&mut self, connection: u64) -> Vec<String> {
        let ids: Vec<String> = self
            .filters
            .get(&connection)
            .map(|of| of.keys().cloned().collect())
            .unwrap_or_default();
        for id in &ids {
            self.close(connection, id);
        }
        ids
    }

    /// The subscriptions that this event belongs to, each once.
    pub(super) fn matching<'a>(&'a self, event: &'a Event) -> Vec<&'a Place> {
        let addressed = event.tags.public_keys().filter_map(|k| self.by_recipient.get(&k.to_hex()));
        let mut found: Vec<&Place> = addressed.flatten().chain(&self.others).collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|(connection, id)| {
            self.filters
                .get(connection)
                .and_then(|of| of.get(id))
                .is_some_and(|filters| filters.iter().any(|filter| matches(filter, event)))
        });
        found
    }

    /// How many subscriptions each connection has open, those without any left out.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.filters.values().map(BTreeMap::len).collect()
    }
}

/// Whether an event passes a filter.
pub(super) fn matches(filter: &Filter, event: &Event) -> bool {
    filter.match_event(event, MatchEventOptions::new())
}

/// The keys that the filters name as recipients, and `None` once if a filter names none.
fn recipients(filters: &[Filter]) -> Vec<Option<String>> {
    let tag = SingleLetterTag::lowercase(Alphabet::P);
    let mut all: Vec<Option<String>> = Vec::new();
    for filter in filters {
        match filter.generic_tags.get(&tag) {
            Some(keys) => all.extend(keys.iter().cloned().map(Some)),
            None => all.push(None),
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, JsonUtil, Keys, Kind, Tag};

    use super::*;

    fn event(from: &Keys, to: &[&Keys]) -> Event {
        let tags = to.iter().map(|to| Tag::public_key(to.public_key()));
        let builder = EventBuilder::new(Kind::from(27001), "").tags(tags);
        builder.sign_with_keys(from).unwrap()
    }

    fn filters(of: &[&str]) -> Vec<Filter> {
        of.iter().map(|json| Filter::from_json(json).unwrap()).collect()
    }

    fn addressed(to: &Keys) -> String {
        format!("{{\"kinds\":[27001],\"#p\":[\"{}\"]}}", to.public_key().to_hex())
    }

    fn places(index: &Index, event: &Event) -> Vec<(u64, String)> {
        index.matching(event).into_iter().cloned().collect()
    }

    #[test]
    fn events_go_to_who_asked_for_them_once() {
        let (alice, bob, carol) = (Keys::generate(), Keys::generate(), Keys::generate());
        let mut index = Index::default();
        index.open(1, "a", filters(&[&addressed(&alice), "{\"kinds\":[27001]}"]));
        index.open(2, "b", filters(&[&addressed(&bob)]));
        index.open(3, "c", filters(&["{\"kinds\":[1]}"]));
        let to_both = event(&carol, &[&alice, &bob]);
        assert_eq!(places(&index, &to_both), [(1, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(places(&index, &event(&carol, &[&carol])), [(1, "a".to_owned())]);
        assert_eq!(index.counts().iter().sum::<usize>(), 3);
    }

    #[test]
    fn replaced_and_closed_subscriptions_leave_nothing_behind() {
        let (alice, bob) = (Keys::generate(), Keys::generate());
        let mut index = Index::default();
        index.open(1, "a", filters(&[&addressed(&alice)]));
        index.open(1, "a", filters(&[&addressed(&bob)]));
        assert!(places(&index, &event(&bob, &[&alice])).is_empty());
        assert_eq!(places(&index, &event(&alice, &[&bob])), [(1, "a".to_owned())]);
        assert!(index.close(1, "a"));
        assert!(!index.close(1, "a"));
        index.open(2, "b", filters(&["{}", &addressed(&alice)]));
        assert_eq!(index.close_all(2), ["b"]);
        assert!(index.by_recipient.is_empty() && index.others.is_empty());
        assert!(index.counts().is_empty());
    }
}
