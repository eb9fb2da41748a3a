//! The official library: found, checked, loaded.
//!
//! ```text
//!   path ─▶ description read from the file ─▶ version ─▶ functions, records, variants ─▶ loaded
//!    │            │                              │              │                          │
//!  NotFound   NotALibrary, NotBreez        OtherVersion    OtherVersion     NotLoadable, OtherContract
//! ```
//!
//! Nothing of the file runs before its description is the one this crate was written for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::{NAMESPACE, OBJECT};
use crate::contract::{self, FUNCTIONS};
use crate::ffi::{Native, NativeError, Shape, Wanted};
use crate::find;
use crate::metadata::{Interface, MetadataError};
use uniffi_meta::{Type, UNIFFI_CONTRACT_VERSION};

/// The version this crate was written for and is tested with.
pub const VERSION: &str = "0.27.2";

/// What the descriptions in the builds of [`VERSION`] hash to.
const FINGERPRINTS: &[&str] = &["d79fd01b022a02133f6185d2ba39c9d9e0dd0d3771565fb9bcc6771c7515d611"];

const HELP: &str = "get it with `pip download breez-sdk-spark==0.27.2 --no-deps`, unzip the wheel, \
                    and set PORTAL_BREEZ_LIB to the library in it";

/// Why there is no library to work with. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It is not there.
    #[error("the Breez library was not found ({}): {HELP}", list(.searched))]
    NotFound {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no library of this platform.
    #[error("{} is not a library for this machine: {HELP}", .path.display())]
    NotALibrary {
        /// Which.
        path: PathBuf,
    },
    /// It is another library.
    #[error("{} is not the Breez library: {HELP}", .path.display())]
    NotBreez {
        /// Which.
        path: PathBuf,
    },
    /// It speaks to its callers in another way.
    #[error("{} speaks contract {found} and not {UNIFFI_CONTRACT_VERSION}: {HELP}", .path.display())]
    OtherContract {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// It is another version.
    #[error("{} is not version {VERSION} of the Breez library ({what}): {HELP}", .path.display())]
    OtherVersion {
        /// Which.
        path: PathBuf,
        /// What differs first.
        what: String,
    },
    /// The system cannot load it.
    #[error("{} cannot be loaded: {reason}; {HELP}", .path.display())]
    NotLoadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

fn list(searched: &[PathBuf]) -> String {
    searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The official library, loaded. Cheap to clone; any number of wallets can share it.
#[derive(Clone)]
pub struct BreezLibrary {
    pub(crate) native: Arc<Native>,
    pub(crate) interface: Arc<Interface>,
    path: PathBuf,
}

impl std::fmt::Debug for BreezLibrary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BreezLibrary({})", self.path.display())
    }
}

impl BreezLibrary {
    /// Looks for the library: at `named`, else where `PORTAL_BREEZ_LIB` says, else under
    /// [`find::FILE_NAME`] beside this program, on the library path, and in the usual folders.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`] with all the places.
    pub fn locate(named: Option<&Path>) -> Result<PathBuf, LibraryError> {
        let program = std::env::current_exe().ok();
        find::find(named, |name| std::env::var_os(name), program.as_deref())
            .map_err(|searched| LibraryError::NotFound { searched })
    }

    /// Whether the file is a library that [`BreezLibrary::open`] would load. Runs nothing of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(path: &Path) -> Result<(), LibraryError> {
        interface(path).map(|_| ())
    }

    /// Finds, checks and loads the library. Reads the whole file (52 MB): call it where blocking
    /// is allowed.
    ///
    /// # Errors
    /// See [`LibraryError`].
    pub fn open(named: Option<&Path>) -> Result<Self, LibraryError> {
        let path = Self::locate(named)?;
        let interface = interface(&path)?;
        let wanted = wanted(&interface).map_err(|what| other_version(&path, what))?;
        // A relative path would be searched for in other places than the file that was checked.
        let absolute = std::path::absolute(&path)
            .map_err(|source| LibraryError::Unreadable { path: path.clone(), source })?;
        let contract = UNIFFI_CONTRACT_VERSION;
        let loaded = Native::load(&absolute, NAMESPACE, OBJECT, contract, &wanted);
        let native = loaded.map_err(|error| match error {
            NativeError::Contract { found } => {
                LibraryError::OtherContract { path: path.clone(), found }
            }
            NativeError::Load(source) => {
                LibraryError::NotLoadable { path: path.clone(), reason: source.to_string() }
            }
            NativeError::Symbol { .. } | NativeError::Checksum { .. } => {
                other_version(&path, error.to_string())
            }
        })?;
        Ok(Self { native, interface: Arc::new(interface), path })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn other_version(path: &Path, what: String) -> LibraryError {
    LibraryError::OtherVersion { path: path.to_owned(), what }
}

/// The description in the file, if it is the one this crate was written for.
fn interface(path: &Path) -> Result<Interface, LibraryError> {
    let owned = || path.to_owned();
    let interface = Interface::read(path, NAMESPACE).map_err(|error| match error {
        MetadataError::Io(source) => LibraryError::Unreadable { path: owned(), source },
        MetadataError::NotALibrary => LibraryError::NotALibrary { path: owned() },
        MetadataError::Foreign { .. } => LibraryError::NotBreez { path: owned() },
        MetadataError::Unreadable => other_version(path, error.to_string()),
    })?;
    contract::check(&interface).map_err(|what| other_version(path, what))?;
    wanted(&interface).map_err(|what| other_version(path, what))?;
    // Last, since the checks above say more precisely what differs.
    let fingerprint = hex::encode(interface.fingerprint);
    if !FINGERPRINTS.contains(&fingerprint.as_str()) {
        return Err(other_version(path, format!("its description is {fingerprint}")));
    }
    Ok(interface)
}

/// The functions that are used, with the symbols that the description gives them.
fn wanted(interface: &Interface) -> Result<Vec<Wanted>, String> {
    let look_up = |&(name, checksum): &(&'static str, u16)| {
        let function = interface.functions.get(name).ok_or(format!("it has no {name}"))?;
        if function.checksum != checksum {
            return Err(format!("its {name} is another one"));
        }
        let method = name.contains('.');
        let value = function.returns.is_some();
        let shape = match (&function.inputs[..], function.is_async, method) {
            ([_], false, false) if value => Shape::Plain,
            ([_], true, false) if matches!(function.returns, Some(Type::Object { .. })) => {
                Shape::Constructor
            }
            ([Type::CallbackInterface { .. }], true, true) if value => Shape::Listen,
            ([], true, true) => Shape::Method { argument: false, value },
            ([Type::Record { .. }], true, true) => Shape::Method { argument: true, value },
            _ => return Err(format!("its {name} has another form")),
        };
        Ok(Wanted {
            name,
            symbol: function.symbol.clone(),
            checksum_symbol: function.checksum_symbol.clone(),
            checksum,
            shape,
        })
    };
    FUNCTIONS.iter().map(look_up).collect()
}
