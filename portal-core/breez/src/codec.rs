//! Values of the library, and how they are written for it and read from it.
//!
//! Records are laid out field after field, so a version that adds a field shifts everything
//! behind it. Therefore nothing here knows a record: the description that the library carries does
//! ([`Interface`]), and fields this crate does not name take the default that it states.

use std::fmt;

use portal_core::primitives::Secret;
use uniffi_meta::{FieldMetadata, LiteralMetadata, Type};
use zeroize::Zeroizing;

use crate::metadata::Interface;

/// Deeper than any type of the library.
const MAX_DEPTH: u32 = 32;

/// A value in either direction.
#[derive(Clone)]
pub(crate) enum Value {
    /// An absent optional.
    None,
    Flag(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// A text that is wiped.
    Secret(Secret<String>),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Record(Vec<(String, Value)>),
    /// A variant of an enum or an error, with its fields.
    Variant(String, Vec<(String, Value)>),
}

/// A value does not have the form it should have. What it is, is never said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} has an unexpected form")]
pub(crate) struct Misfit {
    /// Which type or field.
    pub place: String,
}

impl Misfit {
    pub(crate) fn at(place: impl Into<String>) -> Self {
        Self { place: place.into() }
    }
}

impl Value {
    /// A record or the fields of a variant.
    pub(crate) fn record<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Record(named(fields))
    }

    /// A variant.
    pub(crate) fn variant<const N: usize>(name: &str, fields: [(&str, Self); N]) -> Self {
        Self::Variant(name.to_owned(), named(fields))
    }

    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A value or its absence.
    pub(crate) fn optional<T>(value: Option<T>, make: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::None, make)
    }

    /// Replaces a field that is there.
    pub(crate) fn set(&mut self, field: &str, value: Self) -> Result<(), Misfit> {
        *self.slot(field)? = value;
        Ok(())
    }

    /// A field to change.
    pub(crate) fn slot(&mut self, field: &str) -> Result<&mut Self, Misfit> {
        let (Self::Record(fields) | Self::Variant(_, fields)) = self else {
            return Err(Misfit::at(field));
        };
        let place = fields.iter_mut().find(|(name, _)| name == field);
        place.map(|(_, value)| value).ok_or_else(|| Misfit::at(field))
    }

    /// A field.
    pub(crate) fn get(&self, field: &str) -> Result<&Self, Misfit> {
        let (Self::Record(fields) | Self::Variant(_, fields)) = self else {
            return Err(Misfit::at(field));
        };
        let place = fields.iter().find(|(name, _)| name == field);
        place.map(|(_, value)| value).ok_or_else(|| Misfit::at(field))
    }

    /// A field that may be absent.
    pub(crate) fn maybe(&self, field: &str) -> Result<Option<&Self>, Misfit> {
        Ok(match self.get(field)? {
            Self::None => None,
            value => Some(value),
        })
    }

    /// A field that is a text.
    pub(crate) fn get_text(&self, field: &str) -> Result<&str, Misfit> {
        self.get(field)?.as_text().ok_or_else(|| Misfit::at(field))
    }

    /// A field that is a whole number, also one that travels as decimal digits.
    pub(crate) fn get_number(&self, field: &str) -> Result<u64, Misfit> {
        match self.get(field)? {
            Self::Unsigned(number) => Ok(*number),
            Self::Text(digits) => digits.parse().map_err(|_| Misfit::at(field)),
            _ => Err(Misfit::at(field)),
        }
    }

    /// A field that is a list.
    pub(crate) fn get_list(&self, field: &str) -> Result<&[Self], Misfit> {
        match self.get(field)? {
            Self::List(items) => Ok(items),
            _ => Err(Misfit::at(field)),
        }
    }

    /// The name of a variant.
    pub(crate) fn get_variant(&self, field: &str) -> Result<&str, Misfit> {
        match self.get(field)? {
            Self::Variant(name, _) => Ok(name),
            _ => Err(Misfit::at(field)),
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn named<const N: usize>(fields: [(&str, Value); N]) -> Vec<(String, Value)> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl fmt::Debug for Value {
    /// Values carry invoices, preimages and words: only their kind is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Flag(_) => "Flag",
            Self::Unsigned(_) => "Unsigned",
            Self::Signed(_) => "Signed",
            Self::Float(_) => "Float",
            Self::Text(_) => "Text",
            Self::Secret(_) => "Secret",
            Self::Bytes(_) => "Bytes",
            Self::List(_) => "List",
            Self::Map(_) => "Map",
            Self::Record(_) => "Record",
            Self::Variant(..) => "Variant",
        })
    }
}

/// A field's name; those of tuples are called `v0`, `v1`, ….
pub(crate) fn field_name(index: usize, field: &FieldMetadata) -> String {
    if field.name.is_empty() { format!("v{index}") } else { field.name.clone() }
}

impl Interface {
    /// Writes an argument. A text alone has no length before it.
    pub(crate) fn encode(&self, ty: &Type, value: &Value) -> Result<Zeroizing<Vec<u8>>, Misfit> {
        // Large enough that secrets are not left behind in blocks that were outgrown.
        let mut out = Zeroizing::new(Vec::with_capacity(16 * 1024));
        self.write(ty, value, &mut out)?;
        Ok(out)
    }

    /// Reads a result. It must end where the bytes end.
    pub(crate) fn decode(&self, ty: &Type, bytes: &[u8]) -> Result<Value, Misfit> {
        if *ty == Type::String {
            let text = std::str::from_utf8(bytes).map_err(|_| Misfit::at("a text"))?;
            return Ok(Value::text(text));
        }
        let mut rest = bytes;
        let value = self.read_value(ty, &mut rest, MAX_DEPTH)?;
        if rest.is_empty() { Ok(value) } else { Err(Misfit::at(describe(ty))) }
    }

    fn write(&self, ty: &Type, value: &Value, out: &mut Vec<u8>) -> Result<(), Misfit> {
        let misfit = || Misfit::at(describe(ty));
        let number = || match value {
            Value::Unsigned(number) => Ok(*number),
            _ => Err(misfit()),
        };
        match (ty, value) {
            (Type::Boolean, Value::Flag(flag)) => out.push(u8::from(*flag)),
            (Type::UInt8, _) => out.push(u8::try_from(number()?).map_err(|_| misfit())?),
            (Type::UInt16, _) => {
                out.extend(u16::try_from(number()?).map_err(|_| misfit())?.to_be_bytes());
            }
            (Type::UInt32, _) => {
                out.extend(u32::try_from(number()?).map_err(|_| misfit())?.to_be_bytes());
            }
            (Type::UInt64, _) => out.extend(number()?.to_be_bytes()),
            (Type::Int8, Value::Signed(number)) => {
                out.extend(i8::try_from(*number).map_err(|_| misfit())?.to_be_bytes());
            }
            (Type::Int16, Value::Signed(number)) => {
                out.extend(i16::try_from(*number).map_err(|_| misfit())?.to_be_bytes());
            }
            (Type::Int32, Value::Signed(number)) => {
                out.extend(i32::try_from(*number).map_err(|_| misfit())?.to_be_bytes());
            }
            (Type::Int64, Value::Signed(number)) => out.extend(number.to_be_bytes()),
            (Type::Float64, Value::Float(number)) => out.extend(number.to_be_bytes()),
            (Type::String, Value::Text(text)) => write_bytes(out, text.as_bytes())?,
            (Type::String, Value::Secret(text)) => write_bytes(out, text.expose().as_bytes())?,
            (Type::Bytes, Value::Bytes(bytes)) => write_bytes(out, bytes)?,
            (Type::Optional { .. }, Value::None) => out.push(0),
            (Type::Optional { inner_type }, value) => {
                out.push(1);
                self.write(inner_type, value, out)?;
            }
            (Type::Sequence { inner_type }, Value::List(items)) => {
                write_length(out, items.len())?;
                for item in items {
                    self.write(inner_type, item, out)?;
                }
            }
            (Type::Map { key_type, value_type }, Value::Map(entries)) => {
                write_length(out, entries.len())?;
                for (key, value) in entries {
                    self.write(key_type, key, out)?;
                    self.write(value_type, value, out)?;
                }
            }
            (Type::Record { name, .. }, Value::Record(given)) => {
                let fields = self.records.get(name).ok_or_else(misfit)?;
                self.write_fields(name, fields, given, out)?;
            }
            (Type::Enum { name, .. }, Value::Variant(variant, given)) => {
                let variants = self.enums.get(name).ok_or_else(misfit)?;
                let index = variants.iter().position(|it| it.name == *variant);
                let index = index.ok_or_else(|| Misfit::at(format!("{name}.{variant}")))?;
                let number = i32::try_from(index.saturating_add(1)).map_err(|_| misfit())?;
                out.extend(number.to_be_bytes());
                let place = format!("{name}.{variant}");
                self.write_fields(&place, &variants[index].fields, given, out)?;
            }
            (Type::Custom { builtin, .. }, value) => self.write(builtin, value, out)?,
            _ => return Err(misfit()),
        }
        Ok(())
    }

    fn write_fields(
        &self,
        place: &str,
        fields: &[FieldMetadata],
        given: &[(String, Value)],
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        // A field that nobody reads would be a misspelt one.
        if let Some((name, _)) = given.iter().find(|(name, _)| {
            !fields.iter().enumerate().any(|(index, field)| field_name(index, field) == *name)
        }) {
            return Err(Misfit::at(format!("{place}.{name}")));
        }
        for (index, field) in fields.iter().enumerate() {
            let name = field_name(index, field);
            let value = match given.iter().find(|(given, _)| *given == name) {
                Some((_, value)) => value.clone(),
                None => default(field).ok_or_else(|| Misfit::at(format!("{place}.{name}")))?,
            };
            self.write(&field.ty, &value, out)?;
        }
        Ok(())
    }

    fn read_value(&self, ty: &Type, rest: &mut &[u8], depth: u32) -> Result<Value, Misfit> {
        let misfit = || Misfit::at(describe(ty));
        let depth = depth.checked_sub(1).ok_or_else(misfit)?;
        Ok(match ty {
            Type::Boolean => Value::Flag(match take::<1>(rest)? {
                [0] => false,
                [1] => true,
                _ => return Err(misfit()),
            }),
            Type::UInt8 => Value::Unsigned(u64::from(u8::from_be_bytes(take(rest)?))),
            Type::UInt16 => Value::Unsigned(u64::from(u16::from_be_bytes(take(rest)?))),
            Type::UInt32 => Value::Unsigned(u64::from(u32::from_be_bytes(take(rest)?))),
            Type::UInt64 => Value::Unsigned(u64::from_be_bytes(take(rest)?)),
            Type::Int8 => Value::Signed(i64::from(i8::from_be_bytes(take(rest)?))),
            Type::Int16 => Value::Signed(i64::from(i16::from_be_bytes(take(rest)?))),
            Type::Int32 => Value::Signed(i64::from(i32::from_be_bytes(take(rest)?))),
            Type::Int64 => Value::Signed(i64::from_be_bytes(take(rest)?)),
            Type::Float32 => Value::Float(f64::from(f32::from_be_bytes(take(rest)?))),
            Type::Float64 => Value::Float(f64::from_be_bytes(take(rest)?)),
            Type::String => {
                let bytes = read_bytes(rest)?;
                Value::text(std::str::from_utf8(bytes).map_err(|_| misfit())?)
            }
            Type::Bytes => Value::Bytes(read_bytes(rest)?.to_vec()),
            Type::Optional { inner_type } => match take::<1>(rest)? {
                [0] => Value::None,
                [1] => self.read_value(inner_type, rest, depth)?,
                _ => return Err(misfit()),
            },
            Type::Sequence { inner_type } => {
                let mut items = Vec::new();
                for _ in 0..read_count(rest)? {
                    items.push(self.read_value(inner_type, rest, depth)?);
                }
                Value::List(items)
            }
            Type::Map { key_type, value_type } => {
                let mut entries = Vec::new();
                for _ in 0..read_count(rest)? {
                    let key = self.read_value(key_type, rest, depth)?;
                    entries.push((key, self.read_value(value_type, rest, depth)?));
                }
                Value::Map(entries)
            }
            Type::Record { name, .. } => {
                let fields = self.records.get(name).ok_or_else(misfit)?;
                Value::Record(self.read_fields(fields, rest, depth)?)
            }
            Type::Enum { name, .. } => {
                let variants = self.enums.get(name).ok_or_else(misfit)?;
                let number = i32::from_be_bytes(take(rest)?);
                let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                let variant = index.and_then(|it| variants.get(it)).ok_or_else(misfit)?;
                let fields = self.read_fields(&variant.fields, rest, depth)?;
                Value::Variant(variant.name.clone(), fields)
            }
            Type::Custom { builtin, .. } => self.read_value(builtin, rest, depth)?,
            Type::Timestamp
            | Type::Duration
            | Type::Object { .. }
            | Type::CallbackInterface { .. } => return Err(misfit()),
        })
    }

    fn read_fields(
        &self,
        fields: &[FieldMetadata],
        rest: &mut &[u8],
        depth: u32,
    ) -> Result<Vec<(String, Value)>, Misfit> {
        let named = fields.iter().enumerate().map(|(index, field)| {
            let value = self.read_value(&field.ty, rest, depth)?;
            Ok((field_name(index, field), value))
        });
        named.collect()
    }
}

/// What a field is when nobody says: its stated default, or absent where it may be.
pub(crate) fn default(field: &FieldMetadata) -> Option<Value> {
    match (&field.default, &field.ty) {
        (Some(LiteralMetadata::Boolean(flag)), _) => Some(Value::Flag(*flag)),
        (Some(LiteralMetadata::String(text)), _) => Some(Value::text(text.as_str())),
        (Some(LiteralMetadata::UInt(number, ..)), _) => Some(Value::Unsigned(*number)),
        (Some(LiteralMetadata::Int(number, ..)), Type::Int8 | Type::Int16 | Type::Int32)
        | (Some(LiteralMetadata::Int(number, ..)), Type::Int64) => Some(Value::Signed(*number)),
        (Some(LiteralMetadata::Int(number, ..)), _) => {
            u64::try_from(*number).ok().map(Value::Unsigned)
        }
        (Some(LiteralMetadata::EmptySequence), _) => Some(Value::List(Vec::new())),
        (Some(LiteralMetadata::EmptyMap), _) => Some(Value::Map(Vec::new())),
        (Some(LiteralMetadata::None), _) | (None, Type::Optional { .. }) => Some(Value::None),
        (
            Some(
                LiteralMetadata::Float(..)
                | LiteralMetadata::Enum(..)
                | LiteralMetadata::Some { .. },
            ),
            _,
        )
        | (None, _) => None,
    }
}

/// A type in the words of [`crate::api`].
pub(crate) fn describe(ty: &Type) -> String {
    match ty {
        Type::UInt8 => "u8".to_owned(),
        Type::Int8 => "i8".to_owned(),
        Type::UInt16 => "u16".to_owned(),
        Type::Int16 => "i16".to_owned(),
        Type::UInt32 => "u32".to_owned(),
        Type::Int32 => "i32".to_owned(),
        Type::UInt64 => "u64".to_owned(),
        Type::Int64 => "i64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::String => "text".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Timestamp => "time".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Object { name, .. }
        | Type::Record { name, .. }
        | Type::Enum { name, .. }
        | Type::CallbackInterface { name, .. }
        | Type::Custom { name, .. } => name.clone(),
        Type::Optional { inner_type } => format!("{}?", describe(inner_type)),
        Type::Sequence { inner_type } => format!("[{}]", describe(inner_type)),
        Type::Map { key_type, value_type } => {
            format!("{{{}: {}}}", describe(key_type), describe(value_type))
        }
    }
}

fn write_length(out: &mut Vec<u8>, length: usize) -> Result<(), Misfit> {
    let length = i32::try_from(length).map_err(|_| Misfit::at("a length"))?;
    out.extend(length.to_be_bytes());
    Ok(())
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Misfit> {
    write_length(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Misfit> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or_else(|| Misfit::at("the end"))?;
    *rest = left;
    Ok(*taken)
}

fn read_length(rest: &mut &[u8]) -> Result<usize, Misfit> {
    usize::try_from(i32::from_be_bytes(take(rest)?)).map_err(|_| Misfit::at("a length"))
}

/// How many items follow; each takes a byte at least.
fn read_count(rest: &mut &[u8]) -> Result<usize, Misfit> {
    let count = read_length(rest)?;
    if count > rest.len() { Err(Misfit::at("a length")) } else { Ok(count) }
}

fn read_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Misfit> {
    let length = read_length(rest)?;
    let (taken, left) = rest.split_at_checked(length).ok_or_else(|| Misfit::at("the end"))?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests;
