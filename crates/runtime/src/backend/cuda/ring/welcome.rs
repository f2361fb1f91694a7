//! When a kernel that stays on the device is unwelcome.

use std::{env, fs};

/// Libraries that tools put into a process to watch its kernels. They wait for each kernel's end,
/// or stop it, and a resident kernel ends late.
const WATCHERS: &[&str] = &[
    "libsanitizer-collection",
    "libInterceptorInjectionTarget",
    "libcuda-injection",
    "libnvperf_host_injection",
    "libToolsInjection",
    "libcudadebugger",
];

/// Variables by which tools, or people, ask that a process's kernels be watched one by one.
const VARIABLES: &[&str] = &[
    "CUDA_INJECTION64_PATH",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_ENABLE_COREDUMP_ON_EXCEPTION",
    "NV_SANITIZER_INJECTION_PORT_BASE",
    "NV_NSIGHT_INJECTION_PORT_BASE",
];

/// Why the executor should not run by itself in this process, if that is so.
pub(super) fn unwelcome() -> Option<String> {
    let set =
        |name: &&&str| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    if let Some(name) = VARIABLES.iter().find(set) {
        return Some(format!("{name} is set"));
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    if is_traced(&read("/proc/self/status")) {
        return Some("a debugger traces this process".to_owned());
    }
    let watcher = watcher(&read("/proc/self/maps"));
    watcher.map(|name| format!("{name} watches this process"))
}

fn is_traced(status: &str) -> bool {
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

fn watcher(maps: &str) -> Option<&'static str> {
    WATCHERS.iter().find(|name| maps.contains(**name)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracer_and_a_watcher_are_seen() {
        assert!(is_traced("Name:\tx\nTracerPid:\t12\n"));
        assert!(!is_traced("Name:\tx\nTracerPid:\t0\n") && !is_traced(""));
        let maps = "7f00-7f10 r-xp 0 0:1 2 /opt/x/libsanitizer-collection.so\n";
        assert_eq!(watcher(maps), Some("libsanitizer-collection"));
        assert_eq!(watcher("7f00-7f10 r-xp 0 0:1 2 /usr/lib/libc.so.6\n"), None);
    }
}
