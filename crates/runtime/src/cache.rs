//! Where compiled kernels, and what was measured, are kept between runs.

use std::path::PathBuf;

/// The folder for compiled kernels: `WOOTZ_CACHE`, or the system's place for caches. None when
/// there is no home: code is not loaded from folders that others can write.
pub fn folder() -> Option<PathBuf> {
    folder_of(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn folder_of(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from);
    if let Some(named) = path("WOOTZ_CACHE") {
        return Some(named);
    }
    let system = if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        path("HOME").map(|home| home.join("Library/Caches"))
    } else {
        path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))
    };
    Some(system?.join("wootz"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<PathBuf> {
        folder_of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_first_place_that_is_named_is_taken() {
        let (home, system) = (("HOME", "/h"), ("XDG_CACHE_HOME", "/x"));
        assert_eq!(of(&[home]), Some("/h/.cache/wootz".into()));
        assert_eq!(of(&[home, system]), Some("/x/wootz".into()));
        assert_eq!(
            of(&[home, system, ("WOOTZ_CACHE", "/c")]),
            Some("/c".into())
        );
        assert_eq!(of(&[]), None);
    }
}
