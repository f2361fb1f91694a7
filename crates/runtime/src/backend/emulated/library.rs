//! Compiles kernel source with the system's C++ compiler and loads it.
//!
//! A compiled library is kept on disk beside the source it came from, named by a hash of the
//! source and the command. It is used again only if that source is the same byte for byte, and it
//! gets its name by a rename when it is whole, so processes can share the folder.

use super::machine::{Entry, HOOKS, Hooks};
use crate::fingerprint::fingerprint;
use std::{
    ffi::{CStr, CString, c_void},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// `-fsanitize=thread` makes the compiler report each access; it is linked without it.
const COMPILE: &[&str] = &[
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fsanitize=thread",
    "-fno-exceptions",
    "-fno-rtti",
    "-ffp-contract=off",
    "-fno-math-errno",
];

/// Compiled kernels in this process. Never unloaded: entries are plain function pointers.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    handle: *mut c_void,
}

// SAFETY: the handle is only passed to `dlsym`, which is thread-safe, and is never closed.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

/// Why kernels could not be compiled or loaded.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No C++ compiler could be started.
    #[error("cannot start the C++ compiler {compiler:?} (CXX names another): {source}")]
    NoCompiler {
        /// What was tried.
        compiler: String,
        /// Why it did not start.
        source: io::Error,
    },
    /// The compiler refused the source.
    #[error("{compiler} refused the kernel:\n{diagnostics}")]
    Refused {
        /// The compiler.
        compiler: String,
        /// Its first errors.
        diagnostics: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The dynamic loader refused the library.
    #[error("cannot load a compiled kernel: {0}")]
    Load(String),
    /// The library has no such entry point.
    #[error("the compiled source has no entry point {0:?}")]
    NoEntry(String),
}

impl Library {
    /// The library of `source`, from `cache` if it is there.
    pub fn open(source: &str, cache: &Path) -> Result<Library, LibraryError> {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let command = [&*compiler, &COMPILE.join(" "), source];
        let key = fingerprint(command.map(str::as_bytes));
        let library = cache.join(format!("{key:032x}.so"));
        let kept = library.with_extension("cpp");
        let known = library.exists() && fs::read(&kept).is_ok_and(|k| k == source.as_bytes());
        if known && let Ok(library) = Library::load(&library) {
            return Ok(library);
        }
        fs::create_dir_all(cache).map_err(file(cache))?;
        let stem = temporary(cache, key);
        let outcome = build(&compiler, source, &stem).and_then(|()| {
            rename(&stem.with_extension("cpp"), &kept)?;
            rename(&stem.with_extension("so"), &library)
        });
        for extension in ["cpp", "o", "so"] {
            // What was renamed is gone already; what was not is of no use.
            let _ = fs::remove_file(stem.with_extension(extension));
        }
        outcome?;
        Library::load(&library)
    }

    fn load(path: &Path) -> Result<Library, LibraryError> {
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| LibraryError::Load("the path contains a NUL".to_owned()))?;
        // SAFETY: a valid C string; the library's initialisers are the compiler's empty ones.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(LibraryError::Load(loader_error()));
        }
        let library = Library { handle };
        let attach = library.symbol("wootz_attach")?;
        // SAFETY: the dialect defines `wootz_attach` with this signature in every source.
        unsafe {
            let attach: unsafe extern "C" fn(&Hooks) = std::mem::transmute(attach);
            attach(&HOOKS);
        }
        Ok(library)
    }

    /// The entry point called `name`.
    pub fn entry(&self, name: &str) -> Result<Entry, LibraryError> {
        let symbol = self.symbol(name)?;
        // SAFETY: the dialect's ENTRY gives every exported kernel this signature.
        Ok(unsafe { std::mem::transmute::<*mut c_void, Entry>(symbol) })
    }

    fn symbol(&self, name: &str) -> Result<*mut c_void, LibraryError> {
        let missing = || LibraryError::NoEntry(name.to_owned());
        let c_name = CString::new(name).map_err(|_| missing())?;
        // SAFETY: the handle came from `dlopen`, the name is a C string.
        let symbol = unsafe { libc::dlsym(self.handle, c_name.as_ptr()) };
        if symbol.is_null() {
            Err(missing())
        } else {
            Ok(symbol)
        }
    }
}

/// Compiles `source` to `stem.so`.
fn build(compiler: &str, source: &str, stem: &Path) -> Result<(), LibraryError> {
    let (text, object) = (stem.with_extension("cpp"), stem.with_extension("o"));
    fs::write(&text, source).map_err(file(&text))?;
    run(
        compiler,
        Command::new(compiler)
            .args(COMPILE)
            .arg("-c")
            .arg(&text)
            .arg("-o")
            .arg(&object),
    )?;
    let library = stem.with_extension("so");
    run(
        compiler,
        Command::new(compiler)
            .arg("-shared")
            .arg(&object)
            .arg("-o")
            .arg(&library),
    )
}

fn run(compiler: &str, command: &mut Command) -> Result<(), LibraryError> {
    /// Enough for the cause; a template error can go on for pages.
    const LINES: usize = 30;
    let output = command
        .output()
        .map_err(|source| LibraryError::NoCompiler {
            compiler: compiler.to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let diagnostics = text.lines().take(LINES).collect::<Vec<_>>().join("\n");
    Err(LibraryError::Refused {
        compiler: compiler.to_owned(),
        diagnostics,
    })
}

/// A name that no other thread or process uses.
fn temporary(cache: &Path, key: u128) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    cache.join(format!("{key:032x}-{}-{count}", std::process::id()))
}

fn rename(from: &Path, to: &Path) -> Result<(), LibraryError> {
    fs::rename(from, to).map_err(file(to))
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> LibraryError {
    let path = path.to_owned();
    move |source| LibraryError::File { path, source }
}

fn loader_error() -> String {
    // SAFETY: returns null or a C string that is valid until this thread's next loader call.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            return "no reason given".to_owned();
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}
