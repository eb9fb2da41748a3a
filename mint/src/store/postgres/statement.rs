//! cdk's statements, as PostgreSQL gets them.
//!
//! cdk writes a list as so many placeholders (`y IN ($1, $2, $3)`), so that each length would be a
//! statement of its own to prepare. Here a list is one parameter (`y = ANY($1)`), and a statement
//! is prepared once, however long its lists.
//!
//! It also says which statements may be sent without waiting for their answer ([`Pace`]).

use cdk_common::database::Error;
use cdk_sql_common::stmt::{PlaceholderValue, SqlPart, Statement};
use cdk_sql_common::value::Value;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, WrongType, to_sql_checked};
use tokio_util::bytes::BytesMut;

type Boxed = Box<dyn std::error::Error + Sync + Send>;

/// A statement's text and parameters.
pub(super) struct Prepared {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) pace: Pace,
}

/// When the answer to a statement is needed.
///
/// Nobody reads how many rows these writes concern, and whoever called cdk does the same whether
/// such a write fails or what comes after it does: the transaction is given up. So within a
/// transaction they are sent ahead, and answered for by the next statement that is waited for, at
/// the latest by the commit. A text that is not known here is waited for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Before anything else is done.
    Wait,
    /// Later.
    Ahead,
    /// Later, and as one with those like it: so much more was issued of a keyset.
    Issued {
        /// Which.
        keyset: String,
        /// How much.
        amount: i64,
    },
}

impl Prepared {
    pub(super) fn new(statement: Statement) -> Result<Self, Error> {
        let pace = Pace::of(&statement.parts);
        let listed = statement
            .parts
            .iter()
            .any(|part| matches!(part, SqlPart::Placeholder(_, Some(PlaceholderValue::Set(_)))));
        if listed {
            return with_lists(statement.parts, pace);
        }
        let (sql, values) = statement.to_sql()?;
        Ok(Self { sql, parameters: values.into_iter().map(Parameter::One).collect(), pace })
    }
}

/// The text, with every list that can be one parameter as one.
fn with_lists(parts: Vec<SqlPart>, pace: Pace) -> Result<Prepared, Error> {
    let mut sql = String::new();
    let mut parameters: Vec<Parameter> = Vec::new();
    for part in parts {
        match part {
            SqlPart::Raw(raw) => {
                sql.push_str(&raw);
                continue;
            }
            SqlPart::Placeholder(name, None) => {
                return Err(Error::MissingPlaceholder(name.to_string()));
            }
            SqlPart::Placeholder(_, Some(PlaceholderValue::Value(value))) => {
                parameters.push(Parameter::One(value));
            }
            SqlPart::Placeholder(_, Some(PlaceholderValue::Set(values))) => {
                let of = ["NOT IN (", "IN ("].into_iter().find(|of| sql.ends_with(of));
                match of.filter(|_| Parameter::is_list(&values)) {
                    Some(of) => {
                        sql.truncate(sql.len().saturating_sub(of.len()));
                        sql.push_str(if of == "IN (" { "= ANY (" } else { "<> ALL (" });
                        parameters.push(Parameter::List(values));
                    }
                    None => {
                        for (index, value) in values.into_iter().enumerate() {
                            if index > 0 {
                                sql.push_str(", ");
                            }
                            parameters.push(Parameter::One(value));
                            sql.push_str(&format!("${}", parameters.len()));
                        }
                        continue;
                    }
                }
            }
        }
        sql.push_str(&format!("${}", parameters.len()));
    }
    Ok(Prepared { sql, parameters, pace })
}

impl Pace {
    fn of(parts: &[SqlPart]) -> Self {
        let Some(SqlPart::Raw(head)) = parts.first() else { return Self::Wait };
        let head = head.trim_start();
        let begins = |texts: &[&str]| texts.iter().any(|text| head.starts_with(text));
        if begins(&[
            "UPDATE blind_signature",
            "UPDATE proof SET state",
            "INSERT INTO completed_operations",
            "DELETE FROM saga_state",
        ]) {
            return Self::Ahead;
        }
        if begins(&["INSERT INTO blind_signature", "INSERT INTO proof"]) {
            // What is in the books already is refused by its place in the table. Issuing has one
            // answer for that, wherever it is noticed, and our own swap looks which it was; cdk's
            // melting wants to know at this very row.
            let kind = value(parts, "operation_kind");
            let later = matches!(kind, Some(Value::Text(kind)) if kind == "mint" || kind == "swap");
            return if later { Self::Ahead } else { Self::Wait };
        }
        if begins(&["INSERT INTO keyset_amounts"]) {
            return match (value(parts, "keyset_id"), value(parts, "amount")) {
                (Some(Value::Text(keyset)), Some(Value::Integer(amount))) => {
                    Self::Issued { keyset: keyset.clone(), amount: *amount }
                }
                _ => Self::Ahead,
            };
        }
        Self::Wait
    }
}

fn value<'a>(parts: &'a [SqlPart], wanted: &str) -> Option<&'a Value> {
    parts.iter().find_map(|part| match part {
        SqlPart::Placeholder(name, Some(PlaceholderValue::Value(value))) if **name == *wanted => {
            Some(value)
        }
        SqlPart::Placeholder(..) | SqlPart::Raw(_) => None,
    })
}

/// What stands for a `$n`.
#[derive(Debug)]
pub(super) enum Parameter {
    One(Value),
    /// All of them bytes, or all of them texts.
    List(Vec<Value>),
}

impl Parameter {
    fn is_list(values: &[Value]) -> bool {
        values.iter().all(|value| matches!(value, Value::Blob(_)))
            || values.iter().all(|value| matches!(value, Value::Text(_)))
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match self {
            Self::One(Value::Null) => Ok(IsNull::Yes),
            // As it stands: cdk keeps some texts in columns of bytes.
            Self::One(Value::Text(text)) => text.to_sql(kind, out),
            Self::One(Value::Blob(bytes)) => bytes.to_sql(kind, out),
            Self::One(Value::Real(number)) => number.to_sql_checked(kind, out),
            Self::One(Value::Integer(number)) => match *kind {
                Type::BOOL => (*number != 0).to_sql(kind, out),
                Type::INT2 => i16::try_from(*number)?.to_sql(kind, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
                _ => number.to_sql_checked(kind, out),
            },
            Self::List(values) => match values.first() {
                Some(Value::Text(_)) => {
                    let texts: Vec<&str> = values.iter().filter_map(text).collect();
                    texts.to_sql_checked(kind, out)
                }
                _ => {
                    let blobs: Vec<&[u8]> = values.iter().filter_map(blob).collect();
                    blobs.to_sql_checked(kind, out)
                }
            },
        }
    }

    fn accepts(_: &Type) -> bool {
        // It depends on the value, so it is looked at when that is written.
        true
    }

    to_sql_checked!();
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn blob(value: &Value) -> Option<&[u8]> {
    if let Value::Blob(bytes) = value { Some(bytes) } else { None }
}

/// A value of a row.
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(match *kind {
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => {
                Value::Text(String::from_sql(kind, raw)?)
            }
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::BOOL => Value::Integer(bool::from_sql(kind, raw)?.into()),
            Type::INT2 => Value::Integer(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::FLOAT8 => Value::Real(f64::from_sql(kind, raw)?),
            Type::VOID => Value::Null,
            _ => return Err(Box::new(WrongType::new::<Self>(kind.clone()))),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        // A type that is not known is an error of its own when it is read.
        true
    }
}

#[cfg(test)]
mod tests {
    use cdk_sql_common::stmt::query;

    use super::*;

    fn prepared(sql: &str, list: Vec<Value>) -> Prepared {
        let statement = query(sql).expect("a statement").bind("one", 7_i64);
        Prepared::new(statement.bind_vec("list", list).expect("not empty")).expect("complete")
    }

    #[test]
    fn a_list_is_one_parameter_however_long() {
        let sql = "SELECT y FROM proof WHERE a = :one AND y IN (:list) AND b = :one FOR UPDATE";
        let bytes = |count: u8| (0..count).map(|byte| Value::Blob(vec![byte])).collect();
        for count in [1, 2, 200] {
            let prepared = prepared(sql, bytes(count));
            assert_eq!(
                prepared.sql,
                "SELECT y FROM proof WHERE a = $1 AND y = ANY ($2) AND b = $3 FOR UPDATE"
            );
            assert_eq!(prepared.parameters.len(), 3);
        }
        let texts = vec![Value::Text("SPENT".to_owned())];
        let prepared = prepared("DELETE FROM proof WHERE state NOT IN (:list)", texts);
        assert_eq!(prepared.sql, "DELETE FROM proof WHERE state <> ALL ($1)");
    }

    #[test]
    fn what_cannot_be_one_parameter_is_many() {
        let list = || vec![Value::Text("a".to_owned()), Value::Text("b".to_owned())];
        let keys = prepared("SELECT unnest(ARRAY[:list]::TEXT[])", list());
        assert_eq!(keys.sql, "SELECT unnest(ARRAY[$1, $2]::TEXT[])");
        let mixed = vec![Value::Integer(1), Value::Text("b".to_owned())];
        assert_eq!(
            prepared("SELECT 1 WHERE a IN (:list)", mixed).sql,
            "SELECT 1 WHERE a IN ($1, $2)"
        );
    }

    #[test]
    fn rows_of_a_melt_are_waited_for_and_those_of_a_swap_are_not() {
        for table in ["blind_signature", "proof"] {
            let row = |kind: &str| {
                let sql = format!("INSERT INTO {table} (operation_kind) VALUES (:operation_kind)");
                let statement = query(&sql).expect("a statement").bind("operation_kind", kind);
                Prepared::new(statement).expect("complete").pace
            };
            for (kind, pace) in [
                ("mint", Pace::Ahead),
                ("swap", Pace::Ahead),
                ("melt", Pace::Wait),
                ("batch_mint", Pace::Wait),
            ] {
                assert_eq!(row(kind), pace, "{table} {kind}");
            }
        }
        for sql in ["SELECT 1", "INSERT INTO proof VALUES (1)", "UPDATE mint_quote SET a = 1"] {
            let statement = query(sql).expect("a statement");
            assert_eq!(Prepared::new(statement).expect("complete").pace, Pace::Wait, "{sql}");
        }
    }
}
