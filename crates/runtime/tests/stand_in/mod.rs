//! A CUDA driver and a compiler that do what they are told, for tests that are each its own child, whose
//! libraries those are.

#![allow(dead_code, reason = "each program that includes this uses a part")]

use crate::small::{run, small};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use wootz_runtime::{Buffer, Device, Error, Module, Resident, Stream};

pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// What makes a process the child of a test.
const CHILD: &str = "WOOTZ_TEST_DRIVER";

/// Where the libraries are, and what the children keep.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        if env::var_os(CHILD).is_some() {
            return folder;
        }
        // What another run left.
        let _ = fs::remove_dir_all(&folder);
        for (source, library, options) in [
            ("driver.c", "sound/libcuda.so", &[][..]),
            ("driver.c", "old/libcuda.so", &["-DOLD"]),
            ("nvrtc.c", "sound/libnvrtc.so.12", &[]),
        ] {
            let library = folder.join(library);
            fs::create_dir_all(library.parent().unwrap()).unwrap();
            let source = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/stand_in")
                .join(source);
            let built = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
                .args([&library, &source])
                .args(options)
                .status()
                .expect("the C compiler that Rust links with");
            assert!(built.success());
        }
        folder
    })
}

/// Runs `body` in a process whose driver is as `settings` say; gives what the process said.
pub fn with(test: &str, settings: Settings<'_>, body: fn()) -> String {
    if env::var_os(CHILD).is_some() {
        body();
        std::process::exit(0);
    }
    let sound = folder().join("sound");
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "")
        .env("LD_LIBRARY_PATH", &sound)
        .env("WOOTZ_CUDA_PATH", &sound)
        .env("WOOTZ_CACHE", folder().join(test))
        .env_remove("WOOTZ_SUBMIT")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let run = String::from_utf8_lossy(&output.stdout);
    assert!(run.contains("running 1 test"), "no test is named {test}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{settings:?}: {output:?}\n{said}");
    said
}

/// The device is absent, and `info` has a reason with these words.
pub fn absent(words: &str) {
    assert!(matches!(
        Device::open("cuda"),
        Err(Error::UnknownDevice { .. })
    ));
    let reasons = Device::absent();
    assert!(
        reasons.iter().any(|reason| reason.contains(words)),
        "{reasons:?}"
    );
}

pub fn device() -> Device {
    Device::open("cuda").unwrap_or_else(|error| panic!("{error}: {:?}", Device::absent()))
}

pub fn stream() -> Stream {
    Stream::new(device()).unwrap()
}

pub fn add(stream: &Stream) -> wootz_runtime::Result<Buffer> {
    let x = stream.allocate(256)?;
    run(stream, "small_add", 64, 0, &[&x, &x])
}

/// Names what may be resident.
pub fn provide() {
    Resident::provide(|| Resident {
        in_place: 0,
        module: Module::new(small().text().to_owned()),
        entries: vec!["small_add"],
    });
}

/// Plans take the ring as soon as it is there.
pub fn wait_for_the_executor(stream: &Stream) {
    provide();
    // Waited for: only an empty CUDA stream lets plans take the ring.
    add(stream).unwrap().wait().unwrap();
    while device().residence() == wootz_runtime::Residence::Coming {
        std::thread::yield_now();
    }
}
