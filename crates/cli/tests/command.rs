//! The command as its users meet it: what it prints, and where.

mod run;

use std::process::{Command, Stdio};

use serde_json::Value;

use run::{Scratch, fail, fields, objects, succeed, text};

const SUBCOMMANDS: [&str; 7] = [
    "info",
    "check",
    "bench",
    "scale",
    "tune",
    "completions",
    "man",
];

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
fn processes_that_share_a_check_report_as_one_does() {
    let check = ["check", "--device", "cpu", "--op", "clamp", "--json"];
    let shared = [&check[..], &["--processes", "3"]].concat();
    assert_eq!(succeed(&shared), succeed(&check));
    // What one of them tells the one that started it.
    let share = [&check[..5], &["--share", "1/3"]].concat();
    let told = succeed(&share);
    let told: Vec<&str> = told.lines().filter(|line| !line.is_empty()).collect();
    let all = succeed(&check).lines().count();
    assert_eq!(told.len(), (all + 1) / 3, "{told:?}");
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
fn a_shorter_result_replaces_a_longer_one() {
    let file = Scratch::new("longer.jsonl");
    std::fs::write(&file.0, "x".repeat(1 << 16)).expect("a file to replace");
    succeed(&["bench", "relu", "--shape", "9", "--json", file.path()]);
    assert_eq!(objects(&file.read()).len(), 1);
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
