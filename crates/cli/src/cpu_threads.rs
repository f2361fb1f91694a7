//! How many threads one op may use on the CPU while it is measured.
//!
//! The library splits large ops over helper threads. Measurements turn that off: a core's rate
//! is compared with a core's limit, and callers that share a machine are its only threads.

const VARIABLE: &str = "WOOTZ_THREADS";

/// One thread for each op, unless the user said otherwise.
pub fn default_to_one() {
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: `main` calls this before it starts anything, so no other thread reads the
        // environment.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

/// What the user said.
pub fn count() -> usize {
    let value = std::env::var(VARIABLE).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(1)
        .max(1)
}
