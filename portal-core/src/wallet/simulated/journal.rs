//! The ledger's file: one JSON record a line, on the disk before anyone hears of it.
//!
//! One process at a time; nothing here locks the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::ledger::Record;

/// The open file.
pub(super) struct Journal {
    file: File,
    /// After a failed write the end of the file is unknown, so nothing more is appended.
    broken: bool,
}

impl Journal {
    /// Opens or makes the file and reads what is in it. A last line that was torn by a crash is
    /// cut off: nobody was told of it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let records = bytes[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(io::Error::from))
            .collect::<io::Result<Vec<Record>>>()?;
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok((Self { file, broken: false }, records))
    }

    /// Appends records as one write and waits for the disk.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        self.broken = written.is_err();
        written
    }
}
