//! Every call into the foreign library, and all the `unsafe` of this crate.
//!
//! The library speaks UniFFI's C interface, contract 29. What is relied on, for every block below:
//!
//! - [`Native::load`] has read the contract from the library itself, and [`crate::metadata`] has
//!   compared the checksum of each function with the one this crate was written for. A function
//!   pointer therefore has the type that [`Shape`] says.
//! - A library is never unloaded: its own threads run to the end of the process.
//! - A `RustBuffer` is owned by whoever holds it. Passing one to the library gives it away; one
//!   that comes back is copied and freed at once by [`Native::take`].
//! - A future handle is freed exactly once, by [`Running`]. Freeing a future that is waiting calls
//!   its continuation, so the box behind the continuation is always taken back.

use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use libloading::Library;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// What hears the events of the library: the encoded event.
pub(crate) type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// The form of a function, which decides the type of its pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `fn(argument) -> value`, at once.
    Plain,
    /// `async fn(argument) -> object`.
    Constructor,
    /// `async fn(object)`, with or without a value.
    Method {
        /// Whether it takes an argument besides the object.
        argument: bool,
        /// Whether it returns a value.
        value: bool,
    },
    /// `async fn(object, listener) -> value`.
    Listen,
}

/// A function to look up, with the checksum it must have.
pub(crate) struct Wanted {
    /// How callers name it.
    pub name: &'static str,
    /// What the library calls it.
    pub symbol: String,
    /// The function that tells its checksum.
    pub checksum_symbol: String,
    /// What that function must say.
    pub checksum: u16,
    /// Its form.
    pub shape: Shape,
}

/// Why a library cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NativeError {
    /// The system cannot load it.
    #[error("the system cannot load it")]
    Load(#[source] libloading::Error),
    /// A symbol is missing.
    #[error("it has no function {symbol}")]
    Symbol {
        /// Which.
        symbol: String,
    },
    /// Another contract.
    #[error("it speaks contract {found}")]
    Contract {
        /// What it says.
        found: u32,
    },
    /// Another function than expected.
    #[error("its function {symbol} is another one")]
    Checksum {
        /// Whose checksum differs.
        symbol: String,
    },
}

/// How a call ended, when not well.
pub(crate) enum Raised {
    /// The library's own error, encoded.
    Error(Zeroizing<Vec<u8>>),
    /// It panicked, or broke the rules of the interface.
    Panic(String),
}

/// What a call gave.
pub(crate) enum Given {
    Nothing,
    Value(Zeroizing<Vec<u8>>),
    Object(Object),
}

#[repr(C)]
struct RustBuffer {
    capacity: u64,
    len: u64,
    data: *mut u8,
}

#[repr(C)]
struct ForeignBytes {
    len: i32,
    data: *const u8,
}

#[repr(C)]
struct CallStatus {
    code: i8,
    error: RustBuffer,
}

#[repr(C)]
struct ForeignFuture {
    handle: u64,
    free: extern "C" fn(u64),
}

/// Only `status` is there for a callback that returns nothing.
#[repr(C)]
struct CallbackResult {
    status: CallStatus,
}

type Complete = unsafe extern "C" fn(u64, CallbackResult);

#[repr(C)]
struct ListenerTable {
    on_event: extern "C" fn(u64, RustBuffer, Complete, u64, *mut ForeignFuture),
    free: extern "C" fn(u64),
}

/// The library keeps the address, so it lives for ever.
static LISTENER: ListenerTable = ListenerTable { on_event, free: free_listener };

struct Listener {
    native: Arc<Native>,
    sink: Sink,
}

#[derive(Clone, Copy)]
enum Entry {
    Plain(unsafe extern "C" fn(RustBuffer, *mut CallStatus) -> RustBuffer),
    Start(unsafe extern "C" fn(RustBuffer) -> u64),
    StartOn(unsafe extern "C" fn(*mut c_void) -> u64),
    StartOnWith(unsafe extern "C" fn(*mut c_void, RustBuffer) -> u64),
    StartListening(unsafe extern "C" fn(*mut c_void, u64) -> u64),
}

/// The three functions that drive a future of one kind of result.
struct Futures<T> {
    poll: unsafe extern "C" fn(u64, extern "C" fn(u64, i8), u64),
    complete: unsafe extern "C" fn(u64, *mut CallStatus) -> T,
    free: unsafe extern "C" fn(u64),
}

/// A loaded library whose functions have been checked.
pub(crate) struct Native {
    entries: HashMap<&'static str, (Shape, Entry)>,
    from_bytes: unsafe extern "C" fn(ForeignBytes, *mut CallStatus) -> RustBuffer,
    free_buffer: unsafe extern "C" fn(RustBuffer, *mut CallStatus),
    clone_object: unsafe extern "C" fn(*mut c_void, *mut CallStatus) -> *mut c_void,
    free_object: unsafe extern "C" fn(*mut c_void, *mut CallStatus),
    nothing: Futures<()>,
    values: Futures<RustBuffer>,
    objects: Futures<*mut c_void>,
    /// Never unloaded: what it started runs on.
    _library: ManuallyDrop<Library>,
}

/// An object of the library, counted there.
pub(crate) struct Object {
    native: Arc<Native>,
    pointer: *mut c_void,
}

// SAFETY: UniFFI objects are `Arc<T>` with `T: Send + Sync`; the pointer is only handed to the
// library, which counts it, and freed once, in `drop`.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

/// A future of the library, freed when it is dropped.
struct Running {
    handle: u64,
    free: unsafe extern "C" fn(u64),
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: the handle came from the library, and only this frees it. A continuation that
        // still waits is called by the library, which gives its box back.
        unsafe { (self.free)(self.handle) }
    }
}

impl RustBuffer {
    const EMPTY: Self = Self { capacity: 0, len: 0, data: std::ptr::null_mut() };
}

impl CallStatus {
    const fn new() -> Self {
        Self { code: 0, error: RustBuffer::EMPTY }
    }
}

impl Native {
    /// Loads a library and looks up everything that is used.
    pub(crate) fn load(
        path: &Path,
        namespace: &str,
        object: &str,
        contract: u32,
        wanted: &[Wanted],
    ) -> Result<Arc<Self>, NativeError> {
        // SAFETY: running the initialisers of a library is what the operator asks for by naming
        // it; `metadata` has seen before that it is a build of the right version.
        let library = unsafe { Library::new(path) }.map_err(NativeError::Load)?;
        let library = ManuallyDrop::new(library);
        let ffi = |name: &str| format!("ffi_{namespace}_{name}");
        // SAFETY: the one function whose type every UniFFI library shares.
        let said = unsafe {
            let ask: unsafe extern "C" fn() -> u32 =
                symbol(&library, &ffi("uniffi_contract_version"))?;
            ask()
        };
        if said != contract {
            return Err(NativeError::Contract { found: said });
        }
        let mut entries = HashMap::new();
        for function in wanted {
            // SAFETY: checksum functions have no argument under this contract.
            let checksum = unsafe {
                let ask: unsafe extern "C" fn() -> u16 =
                    symbol(&library, &function.checksum_symbol)?;
                ask()
            };
            if checksum != function.checksum {
                return Err(NativeError::Checksum { symbol: function.symbol.clone() });
            }
            let name = &function.symbol;
            // SAFETY: the checksum covers the signature that the shape was taken from.
            let entry = unsafe {
                match function.shape {
                    Shape::Plain => Entry::Plain(symbol(&library, name)?),
                    Shape::Constructor => Entry::Start(symbol(&library, name)?),
                    Shape::Method { argument: false, .. } => {
                        Entry::StartOn(symbol(&library, name)?)
                    }
                    Shape::Method { argument: true, .. } => {
                        Entry::StartOnWith(symbol(&library, name)?)
                    }
                    Shape::Listen => Entry::StartListening(symbol(&library, name)?),
                }
            };
            entries.insert(function.name, (function.shape, entry));
        }
        // SAFETY: the types of these follow from the contract, which was checked above. The table
        // of the listener is a static.
        let native = unsafe {
            let set_listener: unsafe extern "C" fn(*const ListenerTable) = symbol(
                &library,
                &format!("uniffi_{namespace}_fn_init_callback_vtable_eventlistener"),
            )?;
            let native = Self {
                entries,
                from_bytes: symbol(&library, &ffi("rustbuffer_from_bytes"))?,
                free_buffer: symbol(&library, &ffi("rustbuffer_free"))?,
                clone_object: symbol(&library, &format!("uniffi_{namespace}_fn_clone_{object}"))?,
                free_object: symbol(&library, &format!("uniffi_{namespace}_fn_free_{object}"))?,
                nothing: Futures::find(&library, namespace, "void")?,
                values: Futures::find(&library, namespace, "rust_buffer")?,
                objects: Futures::find(&library, namespace, "pointer")?,
                _library: library,
            };
            set_listener(&raw const LISTENER);
            native
        };
        Ok(Arc::new(native))
    }

    /// Calls a function that answers at once.
    pub(crate) fn call(&self, name: &'static str, argument: &[u8]) -> Result<Given, Raised> {
        let Some((_, Entry::Plain(function))) = self.entries.get(name) else {
            return Err(Raised::Panic(format!("{name} is not a plain function")));
        };
        let argument = self.give(argument)?;
        let mut status = CallStatus::new();
        // SAFETY: the type was checked; the argument is given away.
        let buffer = unsafe { function(argument, &raw mut status) };
        self.judge(status)?;
        Ok(Given::Value(self.take(buffer)))
    }

    /// Calls an asynchronous function, of an object or of nobody.
    ///
    /// # Cancel safety
    /// Dropping the future drops the library's future, which may leave its work half done.
    pub(crate) async fn run(
        self: &Arc<Self>,
        name: &'static str,
        object: Option<&Object>,
        argument: Option<&[u8]>,
    ) -> Result<Given, Raised> {
        let wrong = || Raised::Panic(format!("{name} is called in a wrong way"));
        let (shape, entry) = *self.entries.get(name).ok_or_else(wrong)?;
        let handle = match (entry, object, argument) {
            (Entry::Start(function), None, Some(argument)) => {
                let argument = self.give(argument)?;
                // SAFETY: the type was checked; the argument is given away.
                unsafe { function(argument) }
            }
            (Entry::StartOn(function), Some(object), None) => {
                // SAFETY: the type was checked; the counted pointer is given away.
                unsafe { function(object.counted()?) }
            }
            (Entry::StartOnWith(function), Some(object), Some(argument)) => {
                let argument = self.give(argument)?;
                // SAFETY: as above, both.
                unsafe { function(object.counted()?, argument) }
            }
            _ => return Err(wrong()),
        };
        self.finish(shape, handle).await
    }

    /// Has the library tell `sink` of its events until the object is gone. The sink runs on a
    /// thread of the library and must return at once.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        name: &'static str,
        object: &Object,
        sink: Sink,
    ) -> Result<Given, Raised> {
        let Some((shape, Entry::StartListening(function))) = self.entries.get(name).copied() else {
            return Err(Raised::Panic(format!("{name} takes no listener")));
        };
        let listener = Box::new(Listener { native: self.clone(), sink });
        let pointer = object.counted()?;
        // SAFETY: the type was checked. The library owns the box from here and gives it back to
        // `free_listener`.
        let handle = unsafe { function(pointer, Box::into_raw(listener) as u64) };
        self.finish(shape, handle).await
    }

    async fn finish(self: &Arc<Self>, shape: Shape, handle: u64) -> Result<Given, Raised> {
        match shape {
            Shape::Constructor => {
                let pointer = self.objects.drive(self, handle).await?;
                let object = Object { native: self.clone(), pointer: pointer.0 };
                if object.pointer.is_null() {
                    return Err(Raised::Panic("it gave no object".to_owned()));
                }
                Ok(Given::Object(object))
            }
            Shape::Method { value: false, .. } => {
                self.nothing.drive(self, handle).await?;
                Ok(Given::Nothing)
            }
            Shape::Method { value: true, .. } | Shape::Listen | Shape::Plain => {
                let buffer = self.values.drive(self, handle).await?;
                Ok(Given::Value(self.take(buffer.0)))
            }
        }
    }

    /// Copies bytes into a buffer of the library.
    fn give(&self, bytes: &[u8]) -> Result<RustBuffer, Raised> {
        let len = i32::try_from(bytes.len())
            .map_err(|_| Raised::Panic("the argument is too long".to_owned()))?;
        let mut status = CallStatus::new();
        // SAFETY: the bytes live through the call, which copies them.
        let buffer = unsafe {
            (self.from_bytes)(ForeignBytes { len, data: bytes.as_ptr() }, &raw mut status)
        };
        self.judge(status)?;
        Ok(buffer)
    }

    /// Copies what is in a buffer of the library, and frees it.
    fn take(&self, buffer: RustBuffer) -> Zeroizing<Vec<u8>> {
        let bytes = match usize::try_from(buffer.len) {
            Ok(len) if len > 0 && !buffer.data.is_null() => {
                // SAFETY: a buffer of the library holds `len` bytes at `data` until it is freed.
                unsafe { std::slice::from_raw_parts(buffer.data, len) }.to_vec()
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        let mut status = CallStatus::new();
        // SAFETY: the buffer came from the library, and nobody else has it.
        unsafe { (self.free_buffer)(buffer, &raw mut status) };
        Zeroizing::new(bytes)
    }

    fn judge(&self, status: CallStatus) -> Result<(), Raised> {
        match status.code {
            0 => Ok(()),
            1 => Err(Raised::Error(self.take(status.error))),
            _ => {
                let text = self.take(status.error);
                Err(Raised::Panic(String::from_utf8_lossy(&text).into_owned()))
            }
        }
    }
}

/// A result that is carried across threads between two calls.
struct Carried<T>(T);

// SAFETY: both kinds of result (a buffer, a counted pointer) belong to whoever holds them and are
// tied to no thread.
unsafe impl<T> Send for Carried<T> {}

impl<T> Futures<T> {
    /// # Safety
    /// `kind` and `T` must belong together.
    unsafe fn find(library: &Library, namespace: &str, kind: &str) -> Result<Self, NativeError> {
        let name = |verb: &str| format!("ffi_{namespace}_rust_future_{verb}_{kind}");
        // SAFETY: the caller's promise.
        unsafe {
            Ok(Self {
                poll: symbol(library, &name("poll"))?,
                complete: symbol(library, &name("complete"))?,
                free: symbol(library, &name("free"))?,
            })
        }
    }

    async fn drive(&self, native: &Native, handle: u64) -> Result<Carried<T>, Raised> {
        let running = Running { handle, free: self.free };
        loop {
            let (sender, receiver) = oneshot::channel::<i8>();
            // SAFETY: the handle is alive; the continuation is called once and takes its box.
            unsafe { (self.poll)(handle, wake, Box::into_raw(Box::new(sender)) as u64) };
            match receiver.await {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return Err(Raised::Panic("a call was given up".to_owned())),
            }
        }
        let mut status = CallStatus::new();
        // SAFETY: the future is ready and its result is taken once.
        let result = Carried(unsafe { (self.complete)(handle, &raw mut status) });
        drop(running);
        native.judge(status)?;
        Ok(result)
    }
}

impl Object {
    /// One more count of the object, to give away.
    fn counted(&self) -> Result<*mut c_void, Raised> {
        let mut status = CallStatus::new();
        // SAFETY: the pointer is alive as long as `self`.
        let pointer = unsafe { (self.native.clone_object)(self.pointer, &raw mut status) };
        self.native.judge(status)?;
        Ok(pointer)
    }

    /// The library it belongs to.
    pub(crate) const fn native(&self) -> &Arc<Native> {
        &self.native
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.pointer.is_null() {
            return;
        }
        let mut status = CallStatus::new();
        // SAFETY: our own count is given back, once.
        unsafe { (self.native.free_object)(self.pointer, &raw mut status) };
        if self.native.judge(status).is_err() {
            tracing::warn!("the Breez library failed to free the wallet");
        }
    }
}

/// Looks a symbol up as a function of type `T`.
///
/// # Safety
/// `T` must be the type of that function.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, NativeError> {
    // SAFETY: the caller's promise.
    let found = unsafe { library.get::<T>(name.as_bytes()) };
    found.map(|found| *found).map_err(|_| NativeError::Symbol { symbol: name.to_owned() })
}

/// The continuation of a future: 0 is ready, anything else asks to be polled again.
extern "C" fn wake(data: u64, code: i8) {
    // SAFETY: `data` is the box that `drive` made for this one call.
    let sender = unsafe { Box::from_raw(data as *mut oneshot::Sender<i8>) };
    if sender.send(code).is_err() {
        tracing::trace!("a call of the Breez library was dropped");
    }
}

extern "C" fn on_event(
    handle: u64,
    event: RustBuffer,
    complete: Complete,
    data: u64,
    future: *mut ForeignFuture,
) {
    // SAFETY: the handle is the box of `Native::listen`, which lives until `free_listener`; the
    // library does not free it while it calls it.
    let listener = unsafe { &*(handle as *const Listener) };
    let bytes = listener.native.take(event);
    // A panic must not run into the library.
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| (listener.sink)(&bytes)));
    if told.is_err() {
        tracing::error!("the listener of the Breez wallet panicked");
    }
    // SAFETY: `future` is a place of the library to write to; `complete` is called once, with its
    // own data.
    unsafe {
        if !future.is_null() {
            future.write(ForeignFuture { handle: 0, free: free_nothing });
        }
        complete(data, CallbackResult { status: CallStatus::new() });
    }
}

extern "C" fn free_listener(handle: u64) {
    // SAFETY: the library gives back the box of `Native::listen`, once.
    drop(unsafe { Box::from_raw(handle as *mut Listener) });
}

extern "C" fn free_nothing(_: u64) {}
