//! Protocol buffers by field number: the few messages that are spoken here need no more.

/// A message that is being written. Zero and empty values are left out, as proto3 has it.
#[derive(Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
        self
    }

    pub(super) fn bytes(self, field: u64, value: impl AsRef<[u8]>) -> Self {
        if value.as_ref().is_empty() { self } else { self.block(field, value.as_ref()) }
    }

    /// A message within; written also when it is empty.
    pub(super) fn message(self, field: u64, value: &Self) -> Self {
        self.block(field, &value.0)
    }

    /// An entry of a map from text to message.
    pub(super) fn entry(self, field: u64, key: &str, value: &Self) -> Self {
        self.message(field, &Self::default().bytes(1, key).message(2, value))
    }

    /// Seconds since the epoch as a timestamp.
    pub(super) fn time(self, field: u64, seconds: u64) -> Self {
        self.message(field, &Self::default().number(1, seconds))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn block(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(u64::try_from(value.len()).expect("a length of memory"));
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).expect("seven bits"));
    }
}

/// A message that was read.
#[derive(Default)]
pub(super) struct Fields<'a>(Vec<(u64, Item<'a>)>);

enum Item<'a> {
    Number(u64),
    Block(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// Reads the fields; `None` when these bytes are no message.
    pub(super) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let item = match tag & 7 {
                0 => Item::Number(varint(&mut bytes)?),
                1 => Item::Block(take(&mut bytes, 8)?),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    Item::Block(take(&mut bytes, length)?)
                }
                5 => Item::Block(take(&mut bytes, 4)?),
                _ => return None,
            };
            fields.push((tag >> 3, item));
        }
        Some(Self(fields))
    }

    pub(super) fn number(&self, field: u64) -> u64 {
        self.0
            .iter()
            .rev()
            .find_map(|(number, item)| match item {
                Item::Number(value) if *number == field => Some(*value),
                _ => None,
            })
            .unwrap_or(0)
    }

    pub(super) fn all(&self, field: u64) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(number, item)| match item {
            Item::Block(value) if *number == field => Some(*value),
            _ => None,
        })
    }

    pub(super) fn bytes(&self, field: u64) -> &'a [u8] {
        self.all(field).last().unwrap_or_default()
    }

    pub(super) fn text(&self, field: u64) -> &'a str {
        std::str::from_utf8(self.bytes(field)).unwrap_or_default()
    }

    /// A message within; empty when it is not there or none.
    pub(super) fn message(&self, field: u64) -> Self {
        Self::read(self.bytes(field)).unwrap_or_default()
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::default().number(1, 300).bytes(2, "text");
        let bytes = Message::default()
            .message(1, &inner)
            .message(1, &Message::default())
            .number(9, u64::MAX)
            .number(4, 0)
            .entry(5, "key", &inner)
            .finish();
        let read = Fields::read(&bytes).expect("a message");
        assert_eq!(read.all(1).count(), 2);
        assert_eq!((read.number(9), read.number(4)), (u64::MAX, 0));
        let entry = read.message(5);
        assert_eq!(entry.text(1), "key");
        assert_eq!((entry.message(2).number(1), entry.message(2).text(2)), (300, "text"));
    }

    #[test]
    fn cut_off_messages_are_none() {
        let bytes = Message::default().bytes(1, "text").number(2, 1 << 40).finish();
        for end in 1..bytes.len() {
            if end != 6 {
                assert!(Fields::read(&bytes[..end]).is_none(), "{end}");
            }
        }
        assert!(Fields::read(&[0xff; 12]).is_none());
    }
}
