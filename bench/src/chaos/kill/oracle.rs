//! What the supervisor was told, and whether it fits: one stream for each request, gapless events,
//! one answer, one `paid`. No I/O, so that its own judgement is tested.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A login.
    Login,
    /// A payment.
    Payment,
}

impl Kind {
    /// The worker's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Payment => "pay",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What.
    pub kind: Kind,
    /// Who was asked, hex.
    pub person: String,
    /// Once acknowledged.
    pub stream: Option<String>,
    /// What happened, in order.
    pub events: Vec<Value>,
    /// Whether the last event was heard.
    pub done: bool,
}

/// Everything that was asked, acknowledged and heard.
#[derive(Debug, Default)]
pub struct Oracle {
    requests: BTreeMap<u64, Request>,
    streams: HashMap<String, u64>,
    /// Heard on streams that are not acknowledged yet.
    early: HashMap<String, Vec<(u64, Value)>>,
    /// What does not fit.
    pub complaints: Vec<String>,
}

impl Oracle {
    /// Something is about to be asked; its number.
    pub fn ask(&mut self, kind: Kind, person: String) -> u64 {
        let number = self.requests.len() as u64;
        let request = Request { kind, person, stream: None, events: Vec::new(), done: false };
        self.requests.insert(number, request);
        number
    }

    /// All requests, by number.
    pub fn requests(&self) -> impl Iterator<Item = (u64, &Request)> {
        self.requests.iter().map(|(number, request)| (*number, request))
    }

    /// How many have not ended.
    pub fn open(&self) -> usize {
        self.requests.values().filter(|request| !request.done).count()
    }

    /// The worker died: what was heard on streams nobody acknowledged was never promised.
    pub fn died(&mut self) {
        self.early.clear();
    }

    /// A request is durable. `again`: it had been acknowledged before.
    pub fn acknowledged(&mut self, number: u64, stream: &str, repeated: bool, again: bool) {
        let Some(request) = self.requests.get_mut(&number) else {
            return self.complain(format!("request {number} was never made"));
        };
        match request.stream.clone() {
            Some(known) if known != stream => {
                return self.complain(format!("request {number} has two streams"));
            }
            Some(_) if !repeated => {
                return self.complain(format!("request {number} was made twice"));
            }
            Some(_) => {}
            None if again => {
                return self.complain(format!("request {number} was not acknowledged before"));
            }
            None => request.stream = Some(stream.to_owned()),
        }
        self.streams.insert(stream.to_owned(), number);
        for (index, event) in self.early.remove(stream).unwrap_or_default() {
            self.heard(stream, index, event);
        }
    }

    /// An event came.
    pub fn heard(&mut self, stream: &str, index: u64, event: Value) {
        let Some(number) = self.streams.get(stream).copied() else {
            self.early.entry(stream.to_owned()).or_default().push((index, event));
            return;
        };
        let Some(request) = self.requests.get_mut(&number) else { return };
        let next = request.events.len() as u64;
        if index < next {
            return self.complain(format!("request {number}: event {index} came twice"));
        }
        if index > next {
            return self.complain(format!("request {number}: event {next} is missing"));
        }
        if request.done {
            return self.complain(format!("request {number}: {event} after its end"));
        }
        let fits = match request.kind {
            Kind::Login => {
                event["type"] == "authenticate_key" && event["user_key"] == *request.person
            }
            Kind::Payment => {
                let words: Vec<&str> =
                    request.events.iter().chain([&event]).filter_map(status).collect();
                words.len() == request.events.len() + 1 && in_order(&words)
            }
        };
        request.done = match request.kind {
            Kind::Login => true,
            Kind::Payment => status(&event) == Some("paid"),
        };
        request.events.push(event);
        if !fits {
            let events = serde_json::Value::from(request.events.clone());
            self.complain(format!("request {number}: {events} does not fit"));
        }
    }

    /// Compares with what the log of a stream says.
    pub fn logged(&mut self, stream: &str, log: &[Value]) {
        let Some(number) = self.streams.get(stream).copied() else {
            return self.complain(format!("the log has a stream nobody knows, {stream}"));
        };
        if self.requests.get(&number).is_some_and(|request| request.events != log) {
            self.complain(format!("request {number}: the log differs from what was told"));
        }
    }

    /// Something does not fit.
    pub fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }
}

fn status(event: &Value) -> Option<&str> {
    event["status"]["status"].as_str()
}

/// `user_approved`, `user_success`, `paid`: each at most once, in this order, none needed.
fn in_order(words: &[&str]) -> bool {
    const ORDER: [&str; 3] = ["user_approved", "user_success", "paid"];
    let places: Option<Vec<usize>> =
        words.iter().map(|word| ORDER.iter().position(|known| known == word)).collect();
    places.is_some_and(|places| places.windows(2).all(|pair| pair[0] < pair[1]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paid(status: &str) -> Value {
        json!({"type": "payment_status_update", "status": {"status": status}})
    }

    fn one(kind: Kind) -> Oracle {
        let mut oracle = Oracle::default();
        assert_eq!(oracle.ask(kind, "aa".to_owned()), 0);
        oracle
    }

    #[test]
    fn a_login_that_is_told_before_its_acknowledgement_fits() {
        let mut oracle = one(Kind::Login);
        oracle.heard("s", 0, json!({"type": "authenticate_key", "user_key": "aa"}));
        assert_eq!(oracle.open(), 1);
        oracle.acknowledged(0, "s", false, false);
        oracle.acknowledged(0, "s", true, true);
        assert_eq!((oracle.open(), oracle.complaints.len()), (0, 0));
        oracle.logged("s", &[json!({"type": "authenticate_key", "user_key": "aa"})]);
        assert!(oracle.complaints.is_empty());
    }

    #[test]
    fn what_must_not_be_is_noticed() {
        let answer = json!({"type": "authenticate_key", "user_key": "aa"});
        let complaints = |act: &dyn Fn(&mut Oracle)| {
            let mut oracle = one(Kind::Login);
            oracle.acknowledged(0, "s", false, false);
            act(&mut oracle);
            oracle.complaints.len()
        };
        assert_eq!(complaints(&|oracle| oracle.acknowledged(0, "other", true, true)), 1);
        assert_eq!(complaints(&|oracle| oracle.acknowledged(0, "s", false, true)), 1);
        assert_eq!(complaints(&|oracle| oracle.heard("s", 1, answer.clone())), 1);
        assert_eq!(complaints(&|oracle| oracle.heard("s", 0, json!({"type": "error"}))), 1);
        assert_eq!(complaints(&|oracle| oracle.logged("other", &[])), 1);
        assert_eq!(complaints(&|oracle| oracle.logged("s", std::slice::from_ref(&answer))), 1);
        let twice = |oracle: &mut Oracle| {
            oracle.heard("s", 0, answer.clone());
            oracle.heard("s", 0, answer.clone());
        };
        assert_eq!(complaints(&twice), 1);
        let more = |oracle: &mut Oracle| {
            oracle.heard("s", 0, answer.clone());
            oracle.heard("s", 1, answer.clone());
        };
        assert_eq!(complaints(&more), 1);
    }

    #[test]
    fn a_payment_ends_with_paid_and_its_words_are_in_order() {
        let mut oracle = one(Kind::Payment);
        oracle.acknowledged(0, "s", false, false);
        oracle.heard("s", 0, paid("user_approved"));
        assert_eq!(oracle.open(), 1);
        oracle.heard("s", 1, paid("paid"));
        assert_eq!((oracle.open(), oracle.complaints.len()), (0, 0));
        let mut oracle = one(Kind::Payment);
        oracle.acknowledged(0, "s", false, false);
        oracle.heard("s", 0, paid("user_success"));
        oracle.heard("s", 1, paid("user_approved"));
        assert_eq!(oracle.complaints.len(), 1);
    }

    #[test]
    fn what_a_dead_worker_had_not_acknowledged_may_be_told_again() {
        let mut oracle = one(Kind::Login);
        let answer = json!({"type": "authenticate_key", "user_key": "aa"});
        oracle.heard("s", 0, answer.clone());
        oracle.died();
        oracle.heard("s", 0, answer);
        oracle.acknowledged(0, "s", true, false);
        assert_eq!((oracle.open(), oracle.complaints.len()), (0, 0));
    }
}
