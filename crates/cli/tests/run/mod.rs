//! Running the command, and reading what it says.

#![allow(dead_code, reason = "each program that includes this uses a part")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub fn wootz(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
    command.args(args).stdin(Stdio::null());
    command.output().expect("the command starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// Standard output of a run that must succeed and say nothing on standard error.
pub fn succeed(args: &[&str]) -> String {
    let output = wootz(args);
    assert_eq!(text(&output.stderr), "", "{args:?}");
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    text(&output.stdout)
}

/// The error message of a run that must fail with `code`.
pub fn fail(code: i32, args: &[&str]) -> String {
    let output = wootz(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    message
}

pub fn objects(lines: &str) -> Vec<Value> {
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert!(!objects.is_empty(), "no rows");
    objects
}

/// The names of an object's fields, in its own order.
pub fn fields(line: &str) -> Vec<String> {
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
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Scratch(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }

    pub fn read(&self) -> String {
        std::fs::read_to_string(&self.0).expect("the command wrote it")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
