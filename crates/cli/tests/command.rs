//! The command as its users meet it: output, exit codes, what it says when it is asked nonsense.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const SUBCOMMANDS: [&str; 7] = [
    "info",
    "check",
    "bench",
    "scale",
    "tune",
    "completions",
    "man",
];

fn wootz(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
    command.args(args).stdin(Stdio::null());
    command.output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// Standard output of a run that must succeed and say nothing on standard error.
fn succeed(args: &[&str]) -> String {
    let output = wootz(args);
    assert_eq!(text(&output.stderr), "", "{args:?}");
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    text(&output.stdout)
}

/// The error message of a run that must fail with `code`.
fn fail(code: i32, args: &[&str]) -> String {
    let output = wootz(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    message
}

fn objects(lines: &str) -> Vec<Value> {
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert!(!objects.is_empty(), "no rows");
    objects
}

/// The names of an object's fields, in its own order.
fn fields(line: &str) -> Vec<String> {
    let first = line.lines().next().expect("a row");
    let value: Value = serde_json::from_str(first).expect("JSON");
    let mut names: Vec<String> = value
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    names.sort_by_key(|name| first.find(&format!("\"{name}\":")));
    names
}

/// A path for a file of this test, gone before and after.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.0).expect("the command wrote it")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn help_teaches_by_example() {
    for subcommand in SUBCOMMANDS {
        let help = succeed(&[subcommand, "--help"]);
        assert!(
            help.contains("Examples:"),
            "{subcommand} --help shows no example"
        );
        assert!(
            help.contains(&format!("wootz {subcommand}")),
            "{subcommand} --help shows no use of it"
        );
    }
    let help = succeed(&["--help"]);
    assert!(help.contains("Exit codes:"));
    assert!(
        SUBCOMMANDS
            .iter()
            .all(|subcommand| help.contains(subcommand))
    );
    assert!(!help.contains("worker"), "the worker is nobody's business");
}

#[test]
fn completions_and_manual_render() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeed(&["completions", shell]);
        assert!(
            script.contains("wootz") && script.contains("scale"),
            "{shell}"
        );
        // Names of ops and modes complete too.
        assert!(
            script.contains("rms_norm") && script.contains("mutex")
                || shell == "powershell"
                || shell == "elvish",
            "{shell}"
        );
    }
    let page = succeed(&["man"]);
    assert!(page.contains(".TH wootz 1") && page.contains("Exit codes"));
    let dir = Scratch::new("man");
    succeed(&["man", "--dir", dir.path()]);
    for subcommand in SUBCOMMANDS {
        let page = dir.0.join(format!("wootz-{subcommand}.1"));
        let page = std::fs::read_to_string(page).expect("a page for each subcommand");
        assert!(page.contains(&format!(".TH wootz-{subcommand} 1")));
    }
    std::fs::remove_dir_all(&dir.0).expect("the pages can go");
}

#[test]
fn info_lists_devices_and_ops() {
    let table = succeed(&["info"]);
    assert!(table.contains("cpu") && table.contains("softmax"));
    let rows = objects(&succeed(&["info", "--json"]));
    let (absent, devices): (Vec<Value>, Vec<Value>) =
        rows.into_iter().partition(|row| row["absent"].is_string());
    let cpu = devices
        .iter()
        .find(|device| device["device"] == "cpu")
        .expect("every machine has a CPU");
    assert_eq!(
        cpu["ops"]["softmax"],
        serde_json::json!(["f32", "f16", "bf16"])
    );
    assert_eq!(
        devices
            .iter()
            .filter(|device| device["best"] == true)
            .count(),
        1
    );
    // There is one way to the CPU.
    assert!(cpu["submission"].is_null() && cpu["resident"].is_null());
    // A device that this machine lacks is told with the reason, and so is one who asks for it.
    for row in absent {
        let (name, reason) = (
            row["device"].as_str().unwrap(),
            row["absent"].as_str().unwrap(),
        );
        assert!(table.contains(reason), "{table}");
        let message = fail(2, &["check", "--device", name]);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn check_reports_each_type_of_an_op() {
    let lines = succeed(&["check", "--device", "cpu", "--op", "softmax", "--json"]);
    assert_eq!(
        fields(&lines),
        ["op", "device", "dtype", "cases", "failed", "worst"]
    );
    for row in objects(&lines) {
        assert_eq!((&row["op"], &row["failed"]), (&"softmax".into(), &0.into()));
        assert!(row["cases"].as_u64() > Some(0) && row["worst"].as_f64() <= Some(1.0));
    }
    assert!(succeed(&["check", "--op", "softmax"]).contains("worst"));
}

#[test]
fn bench_writes_a_row_for_each_shape() {
    let file = Scratch::new("bench.jsonl");
    let args = [
        "bench",
        "softmax",
        "--shape",
        "3x5x70",
        "--dtype",
        "f32,bf16",
        "--json",
        file.path(),
    ];
    let table = succeed(&args);
    assert!(table.contains("3x5x70") && table.contains("fraction"));
    let names = [
        "op", "device", "dtype", "shape", "time_us", "gbps", "gflops", "limit", "fraction",
    ];
    assert_eq!(fields(&file.read()), names);
    let rows = objects(&file.read());
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert!(row["time_us"].as_f64() > Some(0.0) && row["gflops"].is_null());
        let (gbps, limit) = (
            row["gbps"].as_f64().expect("a rate"),
            row["limit"].as_f64().expect("a limit"),
        );
        assert!((row["fraction"].as_f64().expect("a share") * limit / gbps - 1.0).abs() < 1e-12);
    }
}

#[test]
fn scale_measures_every_mode_and_draws_it() {
    let (json, plot) = (Scratch::new("scale.jsonl"), Scratch::new("scale.svg"));
    let args = [
        "--threads",
        "2",
        "--seconds",
        "0.02",
        "--json",
        json.path(),
        "--plot",
        plot.path(),
    ];
    let table = succeed(&[&["scale", "--device", "cpu"], &args[..]].concat());
    assert!(table.contains("efficiency") && table.contains("p99.9 µs"));
    let names = [
        "device",
        "op",
        "mode",
        "threads",
        "ops_per_s",
        "speedup",
        "efficiency",
        "p50_us",
        "p99_us",
        "p999_us",
        "ops_per_wait",
        "gpu_share",
        "limit",
    ];
    assert_eq!(fields(&json.read()), names);
    let rows = objects(&json.read());
    let pairs: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| {
            (
                row["mode"].as_str().expect("a name"),
                row["threads"].as_u64().expect("a count"),
            )
        })
        .collect();
    let expected: Vec<(&str, u64)> = ["own", "graph", "batch", "shared", "mutex", "processes"]
        .into_iter()
        .flat_map(|mode| [(mode, 1), (mode, 2)])
        .collect();
    assert_eq!(pairs, expected);
    for row in &rows {
        let number = |name: &str| row[name].as_f64().expect("a number");
        assert!(number("ops_per_s") > 0.0 && number("p50_us") <= number("p99_us"));
        assert!(number("p99_us") <= number("p999_us"));
        let calls = if row["mode"] == "batch" { 32 } else { 1 };
        assert_eq!(row["ops_per_wait"], calls);
        // Nobody can time the CPU's kernels apart from their calls.
        assert!(row["gpu_share"].is_null() && row["limit"].is_string());
        assert!((number("efficiency") * number("threads") / number("speedup") - 1.0).abs() < 1e-12);
    }
    assert!(plot.read().starts_with("<svg") && plot.read().contains("processes"));
    // Modes without a meaning here are named with the reason.
    for mode in ["ring", "raw", "device-wait"] {
        let line = table.lines().find(|line| line.starts_with(mode));
        assert!(
            line.is_some_and(|line| line.contains("not here: ")),
            "{table}"
        );
    }
}

#[test]
fn scale_counts_the_ops_of_a_chain() {
    let args = ["--threads", "1", "--seconds", "0.02", "--json", "-"];
    let modes = ["--mode", "own,graph,batch", "--batch", "3", "--chain", "4"];
    let lines = succeed(&[&["scale", "--device", "cpu"], &modes[..], &args[..]].concat());
    let ops: Vec<Value> = objects(&lines)
        .iter()
        .map(|row| row["ops_per_wait"].clone())
        .collect();
    assert_eq!(ops, [4, 4, 12]);
    // A wait is as long as its ops together.
    for row in objects(&lines) {
        let number = |name: &str| row[name].as_f64().expect("a number");
        let each = number("p50_us") / number("ops_per_wait");
        assert!(each < 2e6 / number("ops_per_s"), "{row}");
    }
}

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
fn json_on_standard_output_stands_alone() {
    let args = [
        "scale",
        "--mode",
        "own",
        "--threads",
        "1",
        "--seconds",
        "0.01",
        "--json",
        "-",
    ];
    assert_eq!(objects(&succeed(&args)).len(), 1);
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
            "WOOTZ_LOG: expected path, not 'paths'",
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
            "softmax: a tensor of shape [1, 1, 1, 1, 1, 1, 1, 1, 1] is too large",
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
#[cfg(unix)]
fn results_go_into_pipes_and_devices_too() {
    let run = |file: &str| {
        let args = ["bench", "relu", "--shape", "9", "--json", file];
        succeed(&args)
    };
    assert!(run("/dev/null").contains("relu"));
    let both = run("/dev/stdout");
    assert!(
        both.contains("fraction") && both.contains("\"fraction\":"),
        "{both}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named() {
    let args = ["bench", "relu", "--shape", "9", "--json", "/dev/full"];
    let output = wootz(&args);
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
fn a_shorter_result_replaces_a_longer_one() {
    let file = Scratch::new("longer.jsonl");
    std::fs::write(&file.0, "x".repeat(1 << 16)).expect("a file to replace");
    succeed(&["bench", "relu", "--shape", "9", "--json", file.path()]);
    assert_eq!(objects(&file.read()).len(), 1);
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

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
    let mut child = command
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
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
