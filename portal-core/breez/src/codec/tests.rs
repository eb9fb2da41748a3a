//! What is written and read, with a description made by hand.

use std::collections::HashMap;

use uniffi_meta::{Radix, VariantMetadata};

use super::*;

fn field(name: &str, ty: Type, default: Option<LiteralMetadata>) -> FieldMetadata {
    FieldMetadata { name: name.to_owned(), ty, default, docstring: None }
}

fn optional(inner: Type) -> Type {
    Type::Optional { inner_type: Box::new(inner) }
}

fn record() -> Type {
    Type::Record { module_path: "a".to_owned(), name: "Order".to_owned() }
}

fn state() -> Type {
    Type::Enum { module_path: "a".to_owned(), name: "State".to_owned() }
}

fn interface() -> Interface {
    let variant = |name: &str, fields| VariantMetadata {
        name: name.to_owned(),
        discr: None,
        fields,
        docstring: None,
    };
    Interface {
        records: HashMap::from([(
            "Order".to_owned(),
            vec![
                field("id", Type::String, None),
                field("note", optional(Type::String), None),
                field("fast", Type::Boolean, Some(LiteralMetadata::Boolean(true))),
                field(
                    "count",
                    Type::UInt32,
                    Some(LiteralMetadata::UInt(7, Radix::Decimal, Type::UInt32)),
                ),
                field("state", state(), None),
            ],
        )]),
        enums: HashMap::from([(
            "State".to_owned(),
            vec![variant("New", vec![]), variant("Done", vec![field("", Type::UInt64, None)])],
        )]),
        functions: HashMap::new(),
        fingerprint: [0; 32],
    }
}

#[test]
fn fields_that_are_not_given_take_their_defaults() {
    let interface = interface();
    let done = Value::variant("Done", [("v0", Value::Unsigned(9))]);
    let order = Value::record([("state", done), ("id", Value::text("a1"))]);
    let bytes = interface.encode(&record(), &order).expect("complete");
    let read = interface.decode(&record(), &bytes).expect("as written");
    assert_eq!(read.get_text("id"), Ok("a1"));
    assert!(read.maybe("note").expect("there").is_none());
    assert_eq!(read.get_number("count"), Ok(7));
    assert!(matches!(read.get("fast"), Ok(Value::Flag(true))));
    assert_eq!(read.get("state").and_then(|state| state.get_number("v0")), Ok(9));
}

#[test]
fn missing_misspelt_and_overflowing_fields_are_refused() {
    let interface = interface();
    let new = || Value::variant("New", []);
    for (wrong, place) in [
        (Value::record([("state", new())]), "Order.id"),
        (Value::record([("id", Value::text("")), ("state", new()), ("sate", new())]), "Order.sate"),
        (
            Value::record([("id", Value::text("")), ("state", Value::variant("Old", []))]),
            "State.Old",
        ),
        (
            Value::record([
                ("id", Value::text("")),
                ("state", new()),
                ("count", Value::Unsigned(1 << 40)),
            ]),
            "u32",
        ),
    ] {
        assert_eq!(interface.encode(&record(), &wrong).err(), Some(Misfit::at(place)));
    }
}

#[test]
fn no_bytes_make_the_reader_panic_or_read_on() {
    let interface = interface();
    let order = Value::record([("state", Value::variant("New", [])), ("id", Value::text("x"))]);
    let bytes = interface.encode(&record(), &order).expect("complete");
    for end in 0..bytes.len() {
        assert!(interface.decode(&record(), &bytes[..end]).is_err());
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[place] ^= 0xff;
        drop(interface.decode(&record(), &damaged));
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(interface.decode(&record(), &longer).is_err());
    let list = Type::Sequence { inner_type: Box::new(Type::UInt64) };
    assert!(interface.decode(&list, &i32::MAX.to_be_bytes()).is_err());
    assert!(interface.decode(&list, &(-1i32).to_be_bytes()).is_err());
}

#[test]
fn secrets_are_written_and_never_shown() {
    let interface = interface();
    let words = Value::Secret(Secret::new("abandon about".to_owned()));
    assert!(!format!("{words:?}").contains("abandon"));
    let bytes = interface.encode(&Type::String, &words).expect("a text");
    assert!(bytes.ends_with(b"abandon about"));
}
