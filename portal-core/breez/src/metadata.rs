//! What a library says about itself: the description that UniFFI embeds in every build.
//!
//! It is read from the file, before anything of the file is run. A file can be anything, so
//! whatever is wrong with it is an error here and never a crash.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use object::macho::MachHeader64;
use object::{Endianness, FileKind, Object as _, ObjectSection as _};
use sha2::{Digest, Sha256};
use uniffi_meta::{FieldMetadata, FnParamMetadata, Metadata, Type, VariantMetadata};

/// Each description is in a symbol with a name that begins so.
const PREFIX: &str = "UNIFFI_META_";
/// A build of 0.27.2 has 52 MB per architecture.
const MAX_FILE: u64 = 1 << 30;
/// More descriptions than this are no library of ours (0.27.2 has 623).
const MAX_ITEMS: usize = 20_000;
/// No single description is longer.
const MAX_ITEM: u64 = 1 << 18;

/// Why a file has no usable description.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] std::io::Error),
    /// It is no library of any system, or none for this machine.
    #[error("the file is not a library")]
    NotALibrary,
    /// It is a library of something else.
    #[error("the library has no description of {namespace}")]
    Foreign {
        /// What was looked for.
        namespace: &'static str,
    },
    /// The description cannot be understood.
    #[error("the description in the library cannot be understood")]
    Unreadable,
}

/// A function or a method.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// What the library calls it.
    pub symbol: String,
    /// The function that tells its checksum.
    pub checksum_symbol: String,
    /// As computed from its description.
    pub checksum: u16,
    /// Its arguments, without the object.
    pub inputs: Vec<Type>,
    /// What it returns.
    pub returns: Option<Type>,
    /// Its error.
    pub throws: Option<Type>,
    /// Whether it returns a future.
    pub is_async: bool,
}

/// Everything a library says about itself.
pub(crate) struct Interface {
    /// Fields by record.
    pub records: HashMap<String, Vec<FieldMetadata>>,
    /// Variants by enum.
    pub enums: HashMap<String, Vec<VariantMetadata>>,
    /// By `name` or `Object.name`.
    pub functions: HashMap<String, Function>,
    /// SHA-256 over all of it: names one version of the interface.
    pub fingerprint: [u8; 32],
}

impl Interface {
    /// Reads the description out of a library file.
    pub(crate) fn read(path: &Path, namespace: &'static str) -> Result<Self, MetadataError> {
        let about = std::fs::metadata(path)?;
        if !about.is_file() || about.len() > MAX_FILE {
            return Err(MetadataError::NotALibrary);
        }
        let file = std::fs::read(path)?;
        let texts = texts(slice_for_here(&file)?)?;
        if texts.is_empty() {
            return Err(MetadataError::Foreign { namespace });
        }
        // The reader of descriptions trusts them to be whole; here they come from a file.
        std::panic::catch_unwind(AssertUnwindSafe(|| Self::parse(&texts, namespace)))
            .unwrap_or(Err(MetadataError::Unreadable))
    }

    fn parse(texts: &[&[u8]], namespace: &'static str) -> Result<Self, MetadataError> {
        let mut items = texts
            .iter()
            .map(|text| Metadata::read(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| MetadataError::Unreadable)?;
        items.sort();
        let ours =
            |item: &Metadata| matches!(item, Metadata::Namespace(it) if it.name == namespace);
        if !items.iter().any(ours) {
            return Err(MetadataError::Foreign { namespace });
        }
        let mut digest = Sha256::new();
        for item in &items {
            digest.update(format!("{item:?}\n"));
        }
        let mut interface = Self {
            records: HashMap::new(),
            enums: HashMap::new(),
            functions: HashMap::new(),
            fingerprint: digest.finalize().into(),
        };
        for item in items {
            interface.add(item);
        }
        Ok(interface)
    }

    fn add(&mut self, item: Metadata) {
        let types = |inputs: Vec<FnParamMetadata>| inputs.into_iter().map(|it| it.ty).collect();
        match item {
            Metadata::Record(record) => {
                self.records.insert(record.name, record.fields);
            }
            Metadata::Enum(one) => {
                self.enums.insert(one.name, one.variants);
            }
            Metadata::Func(it) => {
                let (symbol, checksum_symbol) = (it.ffi_symbol_name(), it.checksum_symbol_name());
                let Some(checksum) = it.checksum else { return };
                let function = Function {
                    symbol,
                    checksum_symbol,
                    checksum,
                    inputs: types(it.inputs),
                    returns: it.return_type,
                    throws: it.throws,
                    is_async: it.is_async,
                };
                self.functions.insert(it.name, function);
            }
            Metadata::Method(it) => {
                let (symbol, checksum_symbol) = (it.ffi_symbol_name(), it.checksum_symbol_name());
                let Some(checksum) = it.checksum else { return };
                let function = Function {
                    symbol,
                    checksum_symbol,
                    checksum,
                    inputs: types(it.inputs),
                    returns: it.return_type,
                    throws: it.throws,
                    is_async: it.is_async,
                };
                self.functions.insert(format!("{}.{}", it.self_name, it.name), function);
            }
            Metadata::TraitMethod(it) => {
                let (symbol, checksum_symbol) = (it.ffi_symbol_name(), it.checksum_symbol_name());
                let Some(checksum) = it.checksum else { return };
                let function = Function {
                    symbol,
                    checksum_symbol,
                    checksum,
                    inputs: types(it.inputs),
                    returns: it.return_type,
                    throws: it.throws,
                    is_async: it.is_async,
                };
                self.functions.insert(format!("{}.{}", it.trait_name, it.name), function);
            }
            // Nothing of these is used.
            Metadata::Namespace(_)
            | Metadata::UdlFile(_)
            | Metadata::Object(_)
            | Metadata::CallbackInterface(_)
            | Metadata::Constructor(_)
            | Metadata::UniffiTrait(_)
            | Metadata::ObjectTraitImpl(_)
            | Metadata::CustomType(_) => {}
        }
    }
}

/// Libraries of Apple systems may hold one build per architecture: where the one of this machine
/// is, if the file is of that kind.
fn slice_for_here(file: &[u8]) -> Result<&[u8], MetadataError> {
    use object::Architecture;
    use object::read::macho::{FatArch as _, MachOFatFile32, MachOFatFile64};

    let kind = FileKind::parse(file).map_err(|_| MetadataError::NotALibrary)?;
    let here = match std::env::consts::ARCH {
        "aarch64" => Architecture::Aarch64,
        _ => Architecture::X86_64,
    };
    let slices: Vec<_> = match kind {
        FileKind::MachOFat32 => MachOFatFile32::parse(file)
            .map_err(|_| MetadataError::NotALibrary)?
            .arches()
            .iter()
            .map(|arch| (arch.architecture(), arch.data(file)))
            .collect(),
        FileKind::MachOFat64 => MachOFatFile64::parse(file)
            .map_err(|_| MetadataError::NotALibrary)?
            .arches()
            .iter()
            .map(|arch| (arch.architecture(), arch.data(file)))
            .collect(),
        _ => return Ok(file),
    };
    let ours = slices.into_iter().find(|(architecture, _)| *architecture == here);
    ours.and_then(|(_, slice)| slice.ok()).ok_or(MetadataError::NotALibrary)
}

/// The bytes from the beginning of each description on. Where one ends only its reader knows.
fn texts(data: &[u8]) -> Result<Vec<&[u8]>, MetadataError> {
    let kind = FileKind::parse(data).map_err(|_| MetadataError::NotALibrary)?;
    let found = match kind {
        FileKind::MachO64 => apple(data).ok_or(MetadataError::NotALibrary)?,
        _ => elf_or_pe(data).ok_or(MetadataError::NotALibrary)?,
    };
    if found.len() > MAX_ITEMS {
        return Err(MetadataError::Unreadable);
    }
    let texts = found.into_iter().map(|text| text.ok_or(MetadataError::Unreadable));
    texts.collect()
}

fn is_description(symbol: &[u8]) -> bool {
    symbol.strip_prefix(b"_").unwrap_or(symbol).starts_with(PREFIX.as_bytes())
}

/// `None` when it is no library; `None` in place of a description that lies outside of the file.
fn elf_or_pe(data: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let file = object::File::parse(data).ok()?;
    let sections: Vec<_> = file.sections().collect();
    let exports = file.exports().ok()?;
    let addresses = exports.iter().filter(|it| is_description(it.name())).map(|it| it.address());
    let texts = addresses.map(|address| {
        sections.iter().find_map(|section| {
            let end = section.address().checked_add(section.size())?;
            let here = (section.address()..end).contains(&address);
            let size = end.checked_sub(address).filter(|_| here)?.min(MAX_ITEM);
            section.data_range(address, size).ok().flatten()
        })
    });
    Some(texts.collect())
}

/// The same for Apple's format, by segments: the published build has sections that cannot be read.
fn apple(data: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    use object::read::macho::{MachHeader as _, Nlist as _};

    let header = MachHeader64::<Endianness>::parse(data, 0).ok()?;
    let endian = header.endian().ok()?;
    let mut commands = header.load_commands(endian, data, 0).ok()?;
    let (mut segments, mut table) = (Vec::new(), None);
    while let Some(command) = commands.next().ok()? {
        if let Some((segment, _)) = command.segment_64().ok()? {
            let (from, size) = (segment.vmaddr.get(endian), segment.filesize.get(endian));
            segments.push((from, from.checked_add(size)?, segment.fileoff.get(endian)));
        } else if let Some(found) = command.symtab().ok()? {
            table = Some(found);
        }
    }
    let symbols = table?.symbols::<MachHeader64<Endianness>, _>(endian, data).ok()?;
    let named = symbols
        .iter()
        .filter(|symbol| symbol.name(endian, symbols.strings()).is_ok_and(is_description));
    let texts = named.map(|symbol| {
        let address = symbol.n_value(endian);
        let (from, to, offset) =
            segments.iter().find(|(from, to, _)| (*from..*to).contains(&address))?;
        let place =
            |address: u64| usize::try_from(address.checked_sub(*from)?.checked_add(*offset)?).ok();
        let end = address.saturating_add(MAX_ITEM).min(*to);
        data.get(place(address)?..place(end)?)
    });
    Some(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> MetadataError {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("library.so");
        std::fs::write(&path, bytes).expect("written");
        Interface::read(&path, "breez_sdk_spark").err().expect("refused")
    }

    #[test]
    fn what_is_no_library_is_said_to_be_none() {
        assert!(matches!(read(b""), MetadataError::NotALibrary));
        assert!(matches!(read(b"not a library at all"), MetadataError::NotALibrary));
        assert!(matches!(read(b"\x7fELF\x02\x01\x01"), MetadataError::NotALibrary));
        let folder = tempfile::tempdir().expect("a folder");
        let of_a_folder = Interface::read(folder.path(), "breez_sdk_spark");
        assert!(of_a_folder.is_err());
        let missing = Interface::read(&folder.path().join("missing"), "breez_sdk_spark");
        assert!(matches!(missing, Err(MetadataError::Io(_))));
    }

    #[test]
    fn a_program_without_descriptions_is_foreign() {
        let own = std::env::current_exe().expect("a test is a program");
        let error = Interface::read(&own, "breez_sdk_spark").err().expect("refused");
        assert!(matches!(error, MetadataError::Foreign { .. }), "{error:?}");
    }

    #[test]
    fn a_damaged_description_is_unreadable_and_nothing_panics_outside() {
        let items = [vec![0, 200, 1, 2, 3], vec![255, 1], vec![]];
        for item in items {
            let whole = std::panic::catch_unwind(|| Interface::parse(&[&item], "breez_sdk_spark"));
            assert!(!matches!(whole, Ok(Ok(_))));
        }
    }
}
