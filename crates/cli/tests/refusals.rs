//! What the command says, and with which exit code it ends, when it is asked nonsense or finds the
//! machine in disorder.

mod run;

use std::process::Command;

use run::{Scratch, fail, text};

#[test]
fn modes_and_chains_that_have_no_meaning_are_refused() {
    let refused = |args: &[&str]| fail(2, &[&["scale", "--device", "cpu"], args].concat());
    for mode in [
        "launch",
        "ring",
        "ring-graph",
        "raw",
        "raw-graph",
        "device-wait",
        "event-wait",
    ] {
        let message = refused(&["--mode", mode]);
        let start = format!("wootz: no mode {mode} on cpu: ");
        assert!(message.starts_with(&start), "{message}");
    }
    let message = refused(&["--op", "sum", "--chain", "2"]);
    assert!(
        message.contains("--chain 2: sum does not take its own result"),
        "{message}"
    );
    assert!(refused(&["--chain", "0"]).contains("0 is not in 1..=4096"));
    assert!(refused(&["--batch", "x"]).contains("invalid digit"));
    assert!(refused(&["--with", "/nowhere/peer"]).contains("cannot start /nowhere/peer: No such"));
}

#[test]
fn unknown_names_get_a_suggestion() {
    let cases: [(&[&str], &str); 6] = [
        (&["check", "--op", "sofmax"], "did you mean 'softmax'?"),
        (&["bench", "sofmax"], "did you mean 'softmax'?"),
        (&["scale", "--op", "softmx"], "did you mean 'softmax'?"),
        (&["scale", "--mode", "mutx"], "did you mean 'mutex'?"),
        (&["bench", "--dtype", "b16"], "did you mean 'bf16'?"),
        (&["scale", "--device", "cpo"], "did you mean 'cpu'?"),
    ];
    for (args, suggestion) in cases {
        let message = fail(2, args);
        assert!(message.contains(suggestion), "{args:?}: {message}");
    }
    assert!(fail(2, &["check", "--device", "zz"]).contains("no device named 'zz'; there is cpu"));
}

#[test]
fn nonsense_in_the_environment_is_refused() {
    let cases = [
        (
            "WOOTZ_PACKED",
            "much",
            "WOOTZ_PACKED: expected a number of MiB, not 'much'",
        ),
        (
            "WOOTZ_LOG",
            "paths",
            "WOOTZ_LOG: expected path, ring or both, not 'paths'",
        ),
        ("WOOTZ_THREADS", "zero", "zero"),
        ("WOOTZ_THREADS", "0", "WOOTZ_THREADS"),
        ("WOOTZ_CPU", "avx", "did you mean 'avx2'?"),
        (
            "WOOTZ_CPU",
            "9",
            "no instruction set named '9'; there is portable",
        ),
    ];
    for (variable, value, reason) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
        let output = command
            .arg("info")
            .env(variable, value)
            .output()
            .expect("it starts");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn nonsense_is_refused_with_what_was_wrong() {
    let cases: [(&[&str], &str); 16] = [
        (&["scale", "--threads", "-1"], "-1 is not in 1..=1024"),
        (
            &["scale", "--seconds", "-1"],
            "expected a number of seconds",
        ),
        (&["scale", "--chain", "-1"], "-1 is not in 1..=4096"),
        (
            &["bench", "--shape", "-1x4"],
            "a shape is sizes joined by 'x'",
        ),
        (
            &["scale", "--plot", "a.svg", "--json", "a.svg"],
            "--plot a.svg: --json writes there too",
        ),
        (
            &["scale", "--plot", "a.png"],
            "--plot a.png: the picture is SVG",
        ),
        (&["scale", "--threads", "0"], "0"),
        (&["scale", "--threads", "2,x"], "x"),
        (
            &["scale", "--seconds", "nan"],
            "expected a number of seconds",
        ),
        (
            &["bench", "--shape", "64*64"],
            "a shape is sizes joined by 'x'",
        ),
        (
            &["bench", "matmul", "--shape", "3x3"],
            "matmul: the benchmark's shape is 3×3, expected m×n×k",
        ),
        (
            &["bench", "softmax", "--shape", "1x1x1x1x1x1x1x1x1"],
            "softmax: a tensor of shape [1, 1, 1, 1, 1, 1, 1, 1, 1] has more than 8 axes",
        ),
        (
            &["bench", "add", "--shape", "4294967296x4294967296x0"],
            "add: a tensor of shape [4294967296, 4294967296, 0] is too large",
        ),
        (
            &["bench", "add", "--shape", "1073741824x1048576"],
            "add: measuring it at 1073741824x1048576 takes",
        ),
        (
            &["bench", "softmax", "--dtype", "i32"],
            "no benchmark of softmax in i32",
        ),
        (&["frobnicate"], "frobnicate"),
    ];
    for (args, reason) in cases {
        let message = fail(2, args);
        assert!(message.contains(reason), "{args:?}: {message}");
    }
}

#[test]
fn files_that_cannot_be_written_are_named_before_the_work() {
    for option in ["--plot", "--json"] {
        // Long enough that a test which waited for it would be noticed.
        let message = fail(
            2,
            &["scale", "--seconds", "3600", option, "/nowhere/at/all.svg"],
        );
        assert!(
            message.contains("cannot write /nowhere/at/all.svg"),
            "{message}"
        );
    }
    assert!(fail(2, &["bench", "--json", "/nowhere/at/all"]).contains("cannot write"));
    assert!(
        fail(2, &["man", "--dir", "/dev/null/pages"]).contains("cannot create /dev/null/pages")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named() {
    let args = ["bench", "relu", "--shape", "9", "--json", "/dev/full"];
    let output = run::wootz(&args);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("cannot write /dev/full: No space left"),
        "{message}"
    );
    for args in [&["--help"], &["info"]] {
        let full = std::fs::File::create("/dev/full").expect("Linux has it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
        let output = command.args(args).stdout(full).output().expect("it starts");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(
            message.contains("cannot write to standard output: No space left"),
            "{message}"
        );
    }
}

#[test]
fn a_failed_run_leaves_an_older_file_alone() {
    let file = Scratch::new("older.jsonl");
    std::fs::write(&file.0, "older").expect("a file to keep");
    fail(
        2,
        &[
            "scale",
            "--with",
            "/nowhere/peer",
            "--threads",
            "1",
            "--json",
            file.path(),
        ],
    );
    assert_eq!(file.read(), "older");
}

#[test]
fn a_peer_that_misbehaves_is_a_device_error() {
    let message = fail(
        3,
        &["scale", "--mode", "own", "--threads", "1", "--with", "true"],
    );
    assert!(message.contains("true ended early"), "{message}");
    let message = fail(
        3,
        &["scale", "--mode", "own", "--threads", "1", "--with", "echo"],
    );
    assert!(
        message.contains("echo said something unexpected"),
        "{message}"
    );
}

/// A vendor's library may be missing and what was measured may be spoilt: neither stops anybody.
#[test]
fn what_a_path_needs_may_be_missing_or_spoilt() {
    use wootz::{Device, tuning};
    let cache = std::env::temp_dir().join(format!("wootz-tuning-{}", std::process::id()));
    let run = |args: &[&str], path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
        let command = command.args(args).env("WOOTZ_CACHE", &cache);
        let command = command
            .env("WOOTZ_BLAS", "/nowhere/blas")
            .env("WOOTZ_PATH", path);
        let output = command.output().expect("the command starts");
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = run(&["tune", "--device", "cpu"], "auto");
    assert!(
        code == Some(2) && said.contains("nothing to measure against on cpu"),
        "{said}"
    );
    let (code, said) = run(&["tune", "--device", "cpu", "--show"], "auto");
    assert!(
        code == Some(2) && said.contains("nothing was measured on cpu"),
        "{said}"
    );
    let (code, said) = run(
        &[
            "check",
            "--op",
            "matmul",
            "--against",
            "vendor",
            "--device",
            "cpu",
        ],
        "own",
    );
    assert!(
        code == Some(2) && said.contains("no device has a vendor's library"),
        "{said}"
    );
    let check = ["check", "--op", "bmm", "--device", "cpu"];
    let (code, said) = run(&check, "vendor");
    assert!(
        code == Some(0) && said.matches("no vendor's products").count() == 1,
        "{said}"
    );
    let (code, said) = run(&check, "mine");
    assert!(
        code == Some(2) && said.contains("no path named 'mine'"),
        "{said}"
    );

    let file = tuning::file_of(Device::cpu()).expect("there is a folder");
    let file = cache
        .join("tuning")
        .join(file.file_name().expect("it is a file"));
    std::fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it is writable");
    std::fs::write(&file, "{\"version\": 1, \"entries\": [").expect("it is writable");
    let (code, said) = run(&check, "auto");
    let _ = std::fs::remove_dir_all(&cache);
    assert!(
        code == Some(0) && said.matches("the tuning table is ignored").count() == 1,
        "{said}"
    );
}
