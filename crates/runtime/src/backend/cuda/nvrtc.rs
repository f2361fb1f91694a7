//! NVRTC, the compiler: loaded when a kernel is first compiled, and not at all on a warm start.

use super::{
    ending::{self, AtWork},
    search::{Machine, candidates, companions},
};
use libloading::Library;
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::Path,
    ptr,
    sync::OnceLock,
    thread,
};

/// How the dialect asks to be compiled (`dialect/cuda.h`).
pub(super) const OPTIONS: &[&str] = &["--std=c++17", "-default-device", "-fmad=false"];

type Program = *mut c_void;
type Status = c_int;
type Ask = extern "C" fn(*mut c_void, *mut c_void) -> c_int;

/// The compiler's functions; their interface has not changed since CUDA 11.2.
pub(super) struct Nvrtc {
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    log: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    code_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    code: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    text_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    text: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    known: unsafe extern "C" fn(*mut c_int) -> Status,
    architectures: unsafe extern "C" fn(*mut c_int) -> Status,
    words: unsafe extern "C" fn(Status) -> *const c_char,
    /// Sets what is asked whether to give up; came with CUDA 12.8.
    ask: Option<unsafe extern "C" fn(Program, Ask, *mut c_void) -> Status>,
    /// What the functions live in.
    _library: Library,
}

/// A compile that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The source is wrong; the compiler's log.
    Source(String),
    /// The compiler cannot serve this device at all.
    Compiler(String),
}

/// The compiler for a driver of CUDA version `major`, or why there is none. Looked for once.
pub(super) fn nvrtc(major: u32) -> Result<&'static Nvrtc, String> {
    static NVRTC: OnceLock<Result<Nvrtc, String>> = OnceLock::new();
    let found = NVRTC.get_or_init(|| {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let machine = Machine {
            variable: &variable,
            root: Path::new("/"),
        };
        Nvrtc::find(&machine, major)
    });
    found.as_ref().map_err(Clone::clone)
}

impl Nvrtc {
    fn find(machine: &Machine<'_>, major: u32) -> Result<Nvrtc, String> {
        let mut tried = vec![];
        for path in candidates(machine, major) {
            match Nvrtc::open(&path) {
                Ok(nvrtc) => return Ok(nvrtc),
                Err(error) => tried.push(format!("{}: {error}", path.display())),
            }
        }
        let cure = "install the CUDA toolkit or `pip install nvidia-cuda-nvrtc`, \
                    or set WOOTZ_CUDA_PATH to where it lies";
        if tried.is_empty() {
            return Err(format!("NVRTC was not found; {cure}"));
        }
        Err(format!(
            "NVRTC does not load ({}); {cure}",
            tried.join("; ")
        ))
    }

    fn open(path: &Path) -> Result<Nvrtc, libloading::Error> {
        // SAFETY: the file is NVRTC by its name and place, whose initialisers are NVIDIA's; each
        // symbol has the type that its manual gives.
        unsafe {
            for companion in companions(path) {
                // Kept loaded; where it does not load, the compiler will say so.
                let _ = Library::new(companion).map(std::mem::forget);
            }
            let library = Library::new(path)?;
            Ok(Nvrtc {
                create: *library.get("nvrtcCreateProgram")?,
                compile: *library.get("nvrtcCompileProgram")?,
                destroy: *library.get("nvrtcDestroyProgram")?,
                log_size: *library.get("nvrtcGetProgramLogSize")?,
                log: *library.get("nvrtcGetProgramLog")?,
                code_size: *library.get("nvrtcGetCUBINSize")?,
                code: *library.get("nvrtcGetCUBIN")?,
                text_size: *library.get("nvrtcGetPTXSize")?,
                text: *library.get("nvrtcGetPTX")?,
                known: *library.get("nvrtcGetNumSupportedArchs")?,
                architectures: *library.get("nvrtcGetSupportedArchs")?,
                words: *library.get("nvrtcGetErrorString")?,
                ask: library.get("nvrtcSetFlowCallback").ok().map(|ask| *ask),
                _library: library,
            })
        }
    }

    /// Compiles `source` for compute capability `capability` (90 for 9.0): to machine code, or,
    /// for a device newer than this compiler, to the newest form that the driver can finish.
    pub(super) fn compile(
        &self,
        source: &str,
        capability: u32,
        options: &[&str],
    ) -> Result<Vec<u8>, Refusal> {
        /// The compiler recurses deeper than the stack of a small thread may allow.
        const STACK: usize = 32 << 20;
        thread::scope(|scope| {
            let builder = thread::Builder::new().stack_size(STACK);
            let compiling =
                builder.spawn_scoped(scope, || self.compile_here(source, capability, options));
            let compiling = compiling.map_err(|error| Refusal::Compiler(error.to_string()))?;
            let gone = |_| Err(Refusal::Compiler("the compile panicked".to_owned()));
            compiling.join().unwrap_or_else(gone)
        })
    }

    fn compile_here(
        &self,
        source: &str,
        capability: u32,
        options: &[&str],
    ) -> Result<Vec<u8>, Refusal> {
        let Some(_at_work) = AtWork::begin() else {
            return Err(Refusal::Compiler("the process ends".to_owned()));
        };
        let target = target(capability, &self.architectures());
        let target = target.ok_or_else(|| {
            Refusal::Compiler(format!(
                "NVRTC here serves no compute capability {capability}"
            ))
        })?;
        let text = CString::new(source)
            .map_err(|_| Refusal::Source("the source contains a NUL".to_owned()))?;
        let mut program = Running(self, ptr::null_mut());
        // SAFETY: a C string, no name, no headers.
        let status = unsafe {
            let none = ptr::null();
            (self.create)(
                &raw mut program.1,
                text.as_ptr(),
                none,
                0,
                ptr::null(),
                ptr::null(),
            )
        };
        self.check(status)?;
        if let Some(ask) = self.ask {
            // SAFETY: a program, and a function that lives as long as the process. Where this is
            // refused, the compile goes on to its end.
            unsafe { ask(program.1, ending::give_up, ptr::null_mut()) };
        }
        let target_option = [target.option.as_str()].into_iter();
        program.compile(target_option.chain(options.iter().copied()))?;
        let (size, bytes) = if target.finished {
            (self.code_size, self.code)
        } else {
            (self.text_size, self.text)
        };
        program.bytes(size, bytes)
    }

    fn architectures(&self) -> Vec<u32> {
        let mut count = 0;
        // SAFETY: writes one number, then as many as it said.
        unsafe {
            if (self.known)(&raw mut count) != 0 {
                return vec![];
            }
            let mut all = vec![0; count.max(0) as usize];
            if (self.architectures)(all.as_mut_ptr()) != 0 {
                return vec![];
            }
            all.into_iter()
                .filter_map(|one| one.try_into().ok())
                .collect()
        }
    }

    fn check(&self, status: Status) -> Result<(), Refusal> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: a constant C string for every status.
        let words = unsafe { CStr::from_ptr((self.words)(status)) };
        let words = words.to_string_lossy();
        Err(Refusal::Compiler(format!("NVRTC gave up: {words}")))
    }
}

/// A program, destroyed at the end.
struct Running<'a>(&'a Nvrtc, Program);

impl Running<'_> {
    fn compile<'a>(&self, options: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
        const SOURCE_IS_WRONG: Status = 6;
        let options: Vec<CString> = options.filter_map(|o| CString::new(o).ok()).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        // SAFETY: a program, and as many C strings as said.
        let status =
            unsafe { (self.0.compile)(self.1, pointers.len() as c_int, pointers.as_ptr()) };
        if status == SOURCE_IS_WRONG {
            let log = self.bytes(self.0.log_size, self.0.log)?;
            let log = String::from_utf8_lossy(&log);
            return Err(Refusal::Source(
                log.trim_end_matches('\0').trim().to_owned(),
            ));
        }
        self.0.check(status)
    }

    /// What the program gives in two calls: the size, then the bytes.
    fn bytes(
        &self,
        size: unsafe extern "C" fn(Program, *mut usize) -> Status,
        bytes: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    ) -> Result<Vec<u8>, Refusal> {
        let mut count = 0;
        // SAFETY: a program; writes one number, then as many bytes as it said.
        unsafe {
            self.0.check(size(self.1, &raw mut count))?;
            let mut all = vec![0u8; count];
            self.0.check(bytes(self.1, all.as_mut_ptr().cast()))?;
            Ok(all)
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.1.is_null() {
            // SAFETY: the program was made and is not used again.
            unsafe { (self.0.destroy)(&raw mut self.1) };
        }
    }
}

/// What to compile for.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    option: String,
    /// Whether the outcome is machine code.
    finished: bool,
}

/// The device's own architecture with all its instructions if the compiler knows it, else the
/// newest it knows that came before, for the driver to finish.
fn target(capability: u32, known: &[u32]) -> Option<Target> {
    /// From here on an architecture has instructions of its own that no later one has.
    const OWN_INSTRUCTIONS: u32 = 90;
    if known.contains(&capability) {
        let own = if capability >= OWN_INSTRUCTIONS {
            "a"
        } else {
            ""
        };
        return Some(Target {
            option: format!("--gpu-architecture=sm_{capability}{own}"),
            finished: true,
        });
    }
    let before = known.iter().filter(|&&known| known < capability).max()?;
    Some(Target {
        option: format!("--gpu-architecture=compute_{before}"),
        finished: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_its_own_code_or_the_newest_text_before_it() {
        let known = [75, 80, 90, 100];
        let of = |capability| {
            let target = target(capability, &known)?;
            Some((target.option, target.finished))
        };
        let option = |name: &str| format!("--gpu-architecture={name}");
        assert_eq!(of(80), Some((option("sm_80"), true)));
        assert_eq!(of(90), Some((option("sm_90a"), true)));
        assert_eq!(of(89), Some((option("compute_80"), false)));
        assert_eq!(of(120), Some((option("compute_100"), false)));
        assert_eq!(of(70), None);
    }

    /// Needs NVRTC, but no device; its absence is said, because then nothing was checked.
    #[test]
    fn what_is_sound_compiles_and_what_is_not_gets_a_log() {
        let nvrtc = match nvrtc(u32::MAX) {
            Ok(nvrtc) => nvrtc,
            Err(reason) => return eprintln!("NVRTC not checked: {reason}"),
        };
        let sound = "extern \"C\" __global__ void sound(int* x) { *x = 1; }";
        let code = nvrtc.compile(sound, 90, OPTIONS).unwrap();
        assert!(code.starts_with(b"\x7fELF"));
        match nvrtc.compile("int broken(", 90, OPTIONS) {
            Err(Refusal::Source(log)) => assert!(log.contains("error"), "{log}"),
            other => panic!("{other:?}"),
        }
    }

    /// Runs itself as children that end while they compile, each after another time.
    #[test]
    fn the_process_ends_well_though_a_compile_is_under_way() {
        const CHILD: &str = "WOOTZ_TEST_ENDS_WHILE_COMPILING";
        const ENDED: i32 = 7;
        let nvrtc = match nvrtc(u32::MAX) {
            Ok(nvrtc) => nvrtc,
            Err(reason) => return eprintln!("NVRTC not checked: {reason}"),
        };
        if let Ok(after) = std::env::var(CHILD) {
            let kernel = |k| {
                format!(
                    "extern \"C\" __global__ void k{k}(float* x) {{\n#pragma unroll\n\
                     for (int i = 0; i < 64; ++i) x[i] = sinf(x[i * {k}]); }}\n"
                )
            };
            let long: String = (0..100).map(kernel).collect();
            thread::spawn(move || nvrtc.compile(&long, 90, OPTIONS).is_ok());
            thread::sleep(std::time::Duration::from_millis(after.parse().unwrap()));
            std::process::exit(ENDED);
        }
        let this = concat!(
            module_path!(),
            "::the_process_ends_well_though_a_compile_is_under_way"
        );
        let (_, this) = this.split_once("::").unwrap();
        for after in [100, 200, 400] {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", this])
                .env(CHILD, after.to_string())
                .output()
                .unwrap();
            assert_eq!(child.status.code(), Some(ENDED), "{child:?}");
        }
    }

    #[test]
    fn a_missing_compiler_says_what_to_do() {
        let machine = Machine {
            variable: &|_| None,
            root: Path::new("/nowhere"),
        };
        let Err(reason) = Nvrtc::find(&machine, 13) else {
            panic!("a compiler where nothing is");
        };
        assert!(reason.contains("not found") && reason.contains("WOOTZ_CUDA_PATH"));
    }
}
