//! Every kernel passes the lint: clang as C++ for OpenCL, whose address spaces are real, through
//! `dialect/metal.h`, with what that uses of Metal's library declared in `tests/metal`; and as C++14 with
//! numbered address spaces, where a member function works on thread memory alone. What both take, and
//! `kernel_words.rs`, Metal's compiler takes.

use std::{
    io::Write,
    process::{Command, Stdio},
};
use wootz::kernels::{Id, flatten, module, modules, residents};

const PASSES: &[(&str, &[&str])] = &[
    (
        "numbered address spaces",
        &["-x", "c++", "-std=c++14", "-DWOOTZ_LINT"],
    ),
    (
        "Metal's own words",
        &[
            "-x",
            "clcpp",
            "-cl-std=clc++2021",
            "-D__METAL_VERSION__=310",
            "-Wno-unknown-attributes",
            "-Wno-unknown-pragmas",
            "-I",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metal"),
        ],
    ),
];

/// A clang of this machine; its absence is said, because then nothing was checked.
fn clang() -> Option<String> {
    let named = std::env::var("WOOTZ_CLANG").ok();
    let found = named
        .into_iter()
        .chain(["clang++-19", "clang++"].map(str::to_owned))
        .find(|name| {
            let quiet = Command::new(name)
                .arg("--version")
                .stdout(Stdio::null())
                .status();
            quiet.is_ok_and(|status| status.success())
        });
    if found.is_none() {
        eprintln!("kernel lint skipped: no clang++ (WOOTZ_CLANG names one)");
    }
    found
}

/// What clang says against `source`, or nothing.
fn refusal(clang: &str, pass: &[&str], source: &str) -> Option<String> {
    let mut child = Command::new(clang)
        .args(pass)
        .args(["-fsyntax-only", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(source.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_kernel_passes() {
    let Some(clang) = clang() else { return };
    for ids in modules().into_iter().chain([residents()]) {
        let instances: Vec<_> = ids.into_iter().map(Id::instance).collect();
        let source = module(&instances);
        for (name, pass) in PASSES {
            if let Some(text) = refusal(&clang, pass, &source) {
                panic!("{} as {name}:\n{text}", instances[0].name);
            }
        }
    }
}

#[test]
fn what_a_simd_cannot_exchange_is_refused() {
    let Some(clang) = clang() else { return };
    let (name, pass) = PASSES[1];
    let planted = |what: &str| flatten("dialect/dialect.h").unwrap() + what;
    for (what, taken) in [
        (
            "namespace wootz { bf16 f(Place at, bf16 x) { return shuffle(at, x, 1); } }\n",
            true,
        ),
        (
            "bfloat f(bfloat x) { return metal::simd_shuffle(x, 1); }\n",
            false,
        ),
        (
            "long f(long x) { return metal::simd_shuffle(x, 1); }\n",
            false,
        ),
        ("float f(float x) { double y = x; return y; }\n", false),
    ] {
        let outcome = refusal(&clang, pass, &planted(what));
        assert_eq!(outcome.is_none(), taken, "{name}: {what}{outcome:?}");
    }
}

#[test]
fn a_pointer_to_the_wrong_space_is_refused() {
    let Some(clang) = clang() else { return };
    let planted = "namespace wootz { scratch f32* lost(device f32* x) { return x; } }\n";
    let source = flatten("dialect/dialect.h").unwrap() + planted;
    for (name, pass) in PASSES {
        assert!(refusal(&clang, pass, &source).is_some(), "{name} took it");
    }
}
