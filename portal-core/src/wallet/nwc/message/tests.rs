use proptest::prelude::*;

use super::*;

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn requests_have_the_field_names_of_the_nip() {
    let golden = [
        (Request::GetInfo, r#"{"method":"get_info","params":{}}"#),
        (Request::GetBalance, r#"{"method":"get_balance","params":{}}"#),
        (
            Request::MakeInvoice(MakeInvoice {
                amount: 123,
                description: Some("text".to_owned()),
                expiry: Some(213),
                ..MakeInvoice::default()
            }),
            r#"{"method":"make_invoice","params":{"amount":123,"description":"text","expiry":213}}"#,
        ),
        (
            Request::PayInvoice(PayInvoiceParams { invoice: "lnbc50n1".to_owned(), amount: None }),
            r#"{"method":"pay_invoice","params":{"invoice":"lnbc50n1"}}"#,
        ),
        (
            Request::PayInvoice(PayInvoiceParams {
                invoice: "lnbc50n1".to_owned(),
                amount: Some(123),
            }),
            r#"{"method":"pay_invoice","params":{"invoice":"lnbc50n1","amount":123}}"#,
        ),
        (
            Request::LookupInvoice(LookupInvoice {
                payment_hash: Some("31afdf1".to_owned()),
                invoice: None,
            }),
            r#"{"method":"lookup_invoice","params":{"payment_hash":"31afdf1"}}"#,
        ),
        (
            Request::ListTransactions(ListTransactions {
                from: Some(1_693_876_973),
                until: Some(1_703_225_078),
                limit: Some(10),
                offset: Some(0),
                unpaid: Some(true),
                direction: Some("incoming".to_owned()),
            }),
            r#"{"method":"list_transactions","params":{"from":1693876973,"until":1703225078,
                "limit":10,"offset":0,"unpaid":true,"type":"incoming"}}"#,
        ),
    ];
    for (request, json) in golden {
        assert_eq!(value(&request.to_json()), value(json));
        assert_eq!(Request::parse(json), Ok(request));
    }
    assert_eq!(Request::parse(r#"{"method":"get_info"}"#), Ok(Request::GetInfo));
    assert_eq!(
        Request::parse(r#"{"method":"pay_keysend","params":{"amount":1}}"#),
        Ok(Request::Other { method: "pay_keysend".to_owned() })
    );
    for bad in ["", "[]", r#"{"method":1}"#, r#"{"method":"pay_invoice","params":{}}"#] {
        assert_eq!(Request::parse(bad), Err(NotAMessage), "{bad}");
    }
}

#[test]
fn responses_carry_a_result_or_an_error() {
    let paid = Response {
        result_type: "pay_invoice".to_owned(),
        outcome: Ok(value(r#"{"preimage":"0123","fees_paid":123}"#)),
    };
    assert_eq!(
        value(&paid.to_json()),
        value(
            r#"{"result_type":"pay_invoice","error":null,
                "result":{"preimage":"0123","fees_paid":123}}"#
        )
    );
    assert_eq!(Response::parse(&paid.to_json()), Ok(paid.clone()));
    let read: Paid = Response::read(paid.outcome.expect("a result")).expect("of this type");
    assert_eq!(read, Paid { preimage: Some("0123".to_owned()), fees_paid: Some(123) });

    let refused = Response {
        result_type: "pay_invoice".to_owned(),
        outcome: Err(Refusal { code: Code::Unauthorized, message: "no".to_owned() }),
    };
    assert_eq!(
        value(&refused.to_json()),
        value(
            r#"{"result_type":"pay_invoice","result":null,
                "error":{"code":"UNAUTHORIZED","message":"no"}}"#
        )
    );
    assert_eq!(Response::parse(&refused.to_json()), Ok(refused));
}

#[test]
fn unknown_codes_keep_the_wallets_words() {
    let read = |text: &str| Response::parse(text).expect("readable").outcome.expect_err("an error");
    let refusal = read(r#"{"error":{"code":"BAD_REQUEST","message":"too\nold"},"result":null}"#);
    assert_eq!(refusal.code, Code::Other("BAD_REQUEST".to_owned()));
    assert_eq!(refusal.message, "tooold");
    assert_eq!(read(r#"{"error":{"code":7}}"#).code, Code::Other(String::new()));
    assert_eq!(read(r#"{"error":"plain"}"#).message, "plain");
    let long = format!(r#"{{"error":{{"code":"OTHER","message":"{}"}}}}"#, "x".repeat(5000));
    assert_eq!(read(&long).message.len(), MAX_MESSAGE);
    assert_eq!(read(&long).code, Code::Unspecified);
    for bad in ["", "null", "{}", r#"{"result":null,"error":null}"#, r#"{"error":3}"#] {
        assert_eq!(Response::parse(bad), Err(NotAMessage), "{bad}");
    }
}

#[test]
fn transactions_are_read_from_strict_and_from_loose_wallets() {
    let strict = r#"{"type":"incoming","state":"settled","invoice":"lnbc1","description":"d",
        "preimage":"aa","payment_hash":"bb","amount":123,"fees_paid":1,"created_at":1,
        "expires_at":2,"settled_at":3}"#;
    let read: Transaction = serde_json::from_str(strict).expect("as in the nip");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), value(strict));
    assert_eq!(read.state, Some(State::Settled));

    let loose = r#"{"type":"incoming","state":"held","amount":"123","fees_paid":-1,
        "created_at":1.7e9,"settled_at":null,"preimage":null,"payment_hash":7,"metadata":{"a":[]},
        "expires_at":1.5}"#;
    let read: Transaction = serde_json::from_str(loose).expect("readable");
    assert_eq!(read.state, Some(State::Other("held".to_owned())));
    assert_eq!((read.amount, read.fees_paid), (Some(123), None));
    assert_eq!((read.created_at, read.expires_at), (Some(1_700_000_000), None));
    assert_eq!((read.settled_at, read.preimage, read.payment_hash), (None, None, None));

    let list: TransactionList =
        serde_json::from_str(r#"{"transactions":[1,{"amount":5},"x"],"total_count":9}"#)
            .expect("readable");
    assert_eq!(list.transactions.len(), 1);
}

#[test]
fn notifications_and_info_are_read() {
    let read = Notification::parse(
        r#"{"notification_type":"payment_received","notification":{"payment_hash":"aa"}}"#,
    )
    .expect("readable");
    assert_eq!(read.notification_type, NotificationType::PaymentReceived);
    let odd = Notification::parse(r#"{"notification_type":"hold","notification":{}}"#);
    assert_eq!(
        odd.expect("readable").notification_type,
        NotificationType::Other("hold".to_owned())
    );
    let info: InfoResult = serde_json::from_str(
        r#"{"alias":"a","color":"c","network":"mainnet","block_height":1,
            "methods":["pay_invoice",3],"notifications":"payment_received payment_sent"}"#,
    )
    .expect("readable");
    assert_eq!(info.methods, ["pay_invoice"]);
    assert_eq!(info.notifications.len(), 2);
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let lossy = String::from_utf8_lossy(&bytes).into_owned();
        for text in [text, lossy] {
            prop_assert!(Request::parse(&text).is_err() || text.contains("method"));
            prop_assert!(Response::parse(&text).is_err() || text.contains("re") || text.contains("error"));
            prop_assert!(Notification::parse(&text).is_err() || text.contains("notification"));
        }
    }

    #[test]
    fn any_value_in_any_place_is_read_or_refused(
        name in prop::sample::select(vec![
            "type", "state", "invoice", "description", "preimage", "payment_hash", "amount",
            "fees_paid", "created_at", "expires_at", "settled_at",
        ]),
        odd in prop::sample::select(vec![
            "null", "true", "-1", "1e400", "18446744073709551616", "\"\"", "[]", "{}", "[[[]]]",
            "1.5", "\"\\u0000\"", "99999999999999999999999999",
        ]),
    ) {
        let text = format!("{{\"{name}\":{odd}}}");
        // 1e400 is not a number to JSON readers; everything else is read and does no harm.
        let read = serde_json::from_str::<Transaction>(&text);
        prop_assert!(read.is_ok() || odd == "1e400", "{}", text);
    }
}

#[test]
fn an_independent_implementation_reads_what_we_write() {
    use nostr::JsonUtil;
    use nostr::nips::nip47;
    let params = MakeInvoice { amount: 5, expiry: Some(6), ..MakeInvoice::default() };
    for request in [
        Request::GetInfo,
        Request::GetBalance,
        Request::MakeInvoice(params),
        Request::PayInvoice(PayInvoiceParams { invoice: "lnbc1".to_owned(), amount: Some(7) }),
        Request::LookupInvoice(LookupInvoice {
            payment_hash: Some("aa".repeat(32)),
            invoice: None,
        }),
        Request::ListTransactions(ListTransactions {
            from: Some(1),
            limit: Some(20),
            direction: Some("outgoing".to_owned()),
            ..ListTransactions::default()
        }),
    ] {
        let theirs = nip47::Request::from_json(request.to_json()).expect("readable for others");
        assert_eq!(theirs.method.as_str(), request.method());
        assert_eq!(Request::parse(&theirs.as_json()), Ok(request));
    }
    let paid = Paid { preimage: Some("bb".repeat(32)), fees_paid: Some(3) };
    let response = Response {
        result_type: "pay_invoice".to_owned(),
        outcome: Ok(serde_json::to_value(paid).expect("JSON")),
    };
    let theirs = nip47::Response::from_json(response.to_json()).expect("readable for others");
    assert_eq!(theirs.to_pay_invoice().expect("paid").fees_paid, Some(3));
    let refused = Response {
        result_type: "pay_invoice".to_owned(),
        outcome: Err(Refusal { code: Code::QuotaExceeded, message: "no".to_owned() }),
    };
    let theirs = nip47::Response::from_json(refused.to_json()).expect("readable for others");
    assert_eq!(theirs.error.expect("refused").code, nip47::ErrorCode::QuotaExceeded);
}
