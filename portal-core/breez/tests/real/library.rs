//! Which files are taken for the library, and what is said about the others.

use std::path::{Path, PathBuf};

use object::{Object as _, ObjectSection as _};
use portal_breez::{BreezLibrary, LibraryError};

use crate::world::library_path;

/// The place in the file of the code or data behind a symbol.
fn place(file: &[u8], symbol: &str) -> usize {
    let library = object::File::parse(file).expect("a library");
    let exports = library.exports().expect("it has some");
    let export = exports.iter().find(|export| export.name() == symbol.as_bytes());
    let address = export.unwrap_or_else(|| panic!("no {symbol}")).address();
    let at = library.sections().find_map(|section| {
        let offset = address.checked_sub(section.address())?;
        let (start, size) = section.file_range()?;
        (offset < size).then(|| start + offset)
    });
    usize::try_from(at.expect("in a section")).expect("an offset")
}

/// A copy of the library, changed.
fn changed(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let path = library_path().expect("the caller looked");
    let mut file = std::fs::read(path).expect("readable");
    change(&mut file);
    let path = folder.join("changed.so");
    std::fs::write(&path, file).expect("written");
    path
}

fn refusal(path: &Path) -> LibraryError {
    let error = BreezLibrary::open(Some(path)).expect_err("refused");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains("pip download breez-sdk-spark==0.27.2"), "it says what to do: {text}");
    error
}

#[test]
fn the_tested_library_opens_and_opens_again() {
    let Some(path) = library_path() else { return };
    BreezLibrary::check(&path).expect("the tested one");
    let first = BreezLibrary::open(Some(&path)).expect("the tested one");
    let second = BreezLibrary::open(None).expect("found by the variable");
    assert_eq!(first.path(), path);
    assert_eq!(second.path(), path);
}

#[test]
fn what_is_not_the_library_is_told_apart() {
    let Some(_) = library_path() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.so");
    assert!(matches!(refusal(&missing), LibraryError::NotFound { .. }));
    let text = folder.path().join("text.so");
    std::fs::write(&text, "#!/bin/sh\n").expect("written");
    assert!(matches!(refusal(&text), LibraryError::NotALibrary { .. }));
    let own = std::env::current_exe().expect("a test is a program");
    assert!(matches!(refusal(&own), LibraryError::NotBreez { .. }));
    let cut = changed(folder.path(), |file| file.truncate(1 << 20));
    assert!(matches!(
        refusal(&cut),
        LibraryError::NotALibrary { .. } | LibraryError::NotBreez { .. }
    ));
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn another_contract_is_refused() {
    let Some(_) = library_path() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = changed(folder.path(), |file| {
        let at = place(file, "ffi_breez_sdk_spark_uniffi_contract_version");
        // push 29; pop rax; ret
        assert_eq!(file[at..at + 4], [0x6a, 29, 0x58, 0xc3]);
        file[at + 1] = 30;
    });
    let error = refusal(&path);
    assert!(matches!(error, LibraryError::OtherContract { found: 30, .. }), "{error}");
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn another_checksum_of_a_function_is_refused() {
    let Some(_) = library_path() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = changed(folder.path(), |file| {
        let at = place(file, "uniffi_breez_sdk_spark_checksum_method_breezsdk_send_payment");
        let at = (at..at + 16)
            .find(|at| file[*at..*at + 2] == 54349u16.to_le_bytes())
            .expect("the checksum is in the code");
        file[at] ^= 1;
    });
    let error = refusal(&path);
    assert!(matches!(error, LibraryError::OtherVersion { .. }), "{error}");
    assert!(error.to_string().contains("send_payment"), "{error}");
}

#[test]
fn another_description_is_refused_before_anything_runs() {
    let Some(_) = library_path() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let rename = |symbol: &'static str, from: &'static [u8], to: &'static [u8]| {
        changed(folder.path(), move |file| {
            let at = place(file, symbol);
            let found = file[at..].windows(from.len()).position(|window| window == from);
            let at = at + found.expect("the name is there");
            file[at..at + to.len()].copy_from_slice(to);
        })
    };
    for (symbol, from, to, says) in [
        // A field that is used has another name.
        (
            "UNIFFI_META_BREEZ_SDK_SPARK_RECORD_PAYMENT",
            b"timestamp".as_slice(),
            b"timebelow".as_slice(),
            "Payment.timestamp",
        ),
        // A function has another signature: its checksum is computed from it.
        (
            "UNIFFI_META_BREEZ_SDK_SPARK_METHOD_BREEZSDK_SEND_PAYMENT",
            b"SendPaymentResponse",
            b"SendPaymentReceipts",
            "send_payment",
        ),
        // Something that is not used at all: still not the version that was tested.
        (
            "UNIFFI_META_BREEZ_SDK_SPARK_METHOD_BREEZSDK_ADD_CONTACT",
            b"Contact",
            b"Kontact",
            "its description is",
        ),
    ] {
        let path = rename(symbol, from, to);
        let error = refusal(&path);
        assert!(matches!(error, LibraryError::OtherVersion { .. }), "{symbol}: {error}");
        assert!(error.to_string().contains(says), "{symbol}: {error}");
        assert!(BreezLibrary::check(&path).is_err());
    }
}
