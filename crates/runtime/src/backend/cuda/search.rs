//! Where NVRTC may lie: in a toolkit, in pip's packages, or where `WOOTZ_CUDA_PATH` says.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// Folders inside a toolkit, an environment or a pip package folder that hold the library.
const INSIDE: &[&str] = if cfg!(windows) {
    &["bin/x64", "bin", "lib/x64", ""]
} else {
    &[
        "lib64",
        "lib",
        "targets/x86_64-linux/lib",
        "targets/sbsa-linux/lib",
        "",
    ]
};

/// pip's packages with NVRTC, newest first.
const PACKAGES: &[&str] = &["nvidia/cu13", "nvidia/cuda_nvrtc"];

/// The machine as the search sees it.
pub(super) struct Machine<'a> {
    /// An environment variable's value.
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Where the file system begins.
    pub(super) root: &'a Path,
}

/// The libraries to try, in this order. Those that are newer than `major`, the driver's CUDA
/// version, are left out unless `WOOTZ_CUDA_PATH` names them: the driver would refuse their code.
pub(super) fn candidates(machine: &Machine<'_>, major: u32) -> Vec<PathBuf> {
    let path = |name| (machine.variable)(name).map(PathBuf::from);
    if let Some(named) = path("WOOTZ_CUDA_PATH") {
        if named.is_file() {
            return vec![named];
        }
        let packages = PACKAGES.iter().map(|package| named.join(package));
        let places: Vec<_> = [named.clone()].into_iter().chain(packages).collect();
        return places
            .iter()
            .flat_map(|place| libraries(place))
            .map(|(_, path)| path)
            .collect();
    }
    let toolkits = ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(path);
    let mut places: Vec<PathBuf> = toolkits.collect();
    places.extend(installed(machine.root));
    for site in site_packages(machine) {
        places.extend(PACKAGES.iter().map(|package| site.join(package)));
    }
    let mut found: Vec<PathBuf> = vec![];
    for (version, path) in places.iter().flat_map(|place| libraries(place)) {
        if version <= major && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Toolkits where installers put them, the default one first.
fn installed(root: &Path) -> Vec<PathBuf> {
    let mut places = vec![root.join("usr/local/cuda"), root.join("opt/cuda")];
    let versions = entries(&root.join("usr/local"), |name| name.starts_with("cuda-"));
    places.extend(versions.into_iter().rev());
    places.push(root.join("usr/lib/x86_64-linux-gnu"));
    places.push(root.join("usr/lib/aarch64-linux-gnu"));
    places
}

/// Python's package folders: of the active environment, of each Python on the path, of the user.
fn site_packages(machine: &Machine<'_>) -> Vec<PathBuf> {
    let path = |name| (machine.variable)(name).map(PathBuf::from);
    let mut prefixes: Vec<PathBuf> = vec![];
    prefixes.extend(path("VIRTUAL_ENV"));
    prefixes.extend(path("CONDA_PREFIX"));
    let folders = (machine.variable)("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&folders) {
        let pythons = ["python3", "python", "python.exe"];
        if pythons.iter().any(|python| folder.join(python).exists()) {
            prefixes.extend(folder.parent().map(Path::to_owned));
            prefixes.push(folder);
        }
    }
    prefixes.extend(path("HOME").map(|home| home.join(".local")));
    prefixes.push(machine.root.join("usr/local"));
    prefixes.push(machine.root.join("usr"));
    let in_prefix = |prefix: PathBuf| {
        let mut pythons = entries(&prefix.join("lib"), |name| name.starts_with("python3"));
        pythons.push(prefix.join("Lib"));
        let kinds = ["site-packages", "dist-packages"];
        pythons
            .into_iter()
            .flat_map(move |python| kinds.map(|kind| python.join(kind)))
    };
    prefixes.into_iter().flat_map(in_prefix).collect()
}

/// NVRTC's libraries in a place and the folders inside, newest first, with their major version.
fn libraries(place: &Path) -> Vec<(u32, PathBuf)> {
    let in_folder = |inside: &&str| {
        let folder = if inside.is_empty() {
            place.to_owned()
        } else {
            place.join(inside)
        };
        let paths = entries(&folder, |name| major_of(name).is_some());
        paths.into_iter().filter_map(|path| {
            let major = major_of(path.file_name()?.to_str()?)?;
            Some((major, path))
        })
    };
    let mut found: Vec<_> = INSIDE.iter().flat_map(in_folder).collect();
    found.sort_by_key(|&(major, _)| std::cmp::Reverse(major));
    found
}

/// What the library at `path` looks for by its bare name when it first compiles. NVRTC 13 finds it
/// only on the loader's path, where pip's packages are not; once loaded, it is found.
pub(super) fn companions(path: &Path) -> Vec<PathBuf> {
    let ours = |name: &str| {
        let stem = name.strip_prefix("lib").unwrap_or(name);
        stem.starts_with("nvrtc-builtins") && !stem.contains(".alt.")
    };
    path.parent().map_or(vec![], |folder| entries(folder, ours))
}

/// The major version in a library's file name: 13 in `libnvrtc.so.13` and `nvrtc64_130_0.dll`.
fn major_of(name: &str) -> Option<u32> {
    if let Some(version) = name.strip_prefix("libnvrtc.so.") {
        return version.split('.').next()?.parse().ok();
    }
    let version = name.strip_prefix("nvrtc64_")?.strip_suffix(".dll")?;
    let digits = version.split('_').next()?;
    digits.get(..2)?.parse().ok()
}

/// The entries of a folder whose names satisfy `wanted`, in order of their names.
fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(folder) else {
        return vec![];
    };
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<String> = names.filter(|name| wanted(name)).collect();
    found.sort();
    found.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[&str]) -> Tree {
            let name = format!("wootz-search-{name}-{}", std::process::id());
            let tree = Tree(std::env::temp_dir().join(name));
            for file in files {
                let path = tree.0.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            tree
        }

        /// What is found with these variables, whose values lie in the tree.
        fn find(&self, variables: &[(&str, &str)], major: u32) -> Vec<String> {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| self.0.join(value).into_os_string())
            };
            let machine = Machine {
                variable: &variable,
                root: &self.0,
            };
            let relative = |path: PathBuf| {
                let path = path.strip_prefix(&self.0).unwrap();
                path.to_str().unwrap().to_owned()
            };
            candidates(&machine, major)
                .into_iter()
                .map(relative)
                .collect()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn toolkits_come_before_packages_and_new_before_old() {
        let tree = Tree::new(
            "all",
            &[
                "usr/local/cuda/lib64/libnvrtc.so.12",
                "usr/local/cuda/lib64/libnvrtc-builtins.so.12.4",
                "usr/local/cuda-12.2/lib64/libnvrtc.so.12.2.140",
                "opt/cuda/lib64/libnvrtc.so.13",
                "env/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
                "env/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            ],
        );
        let environment = [("VIRTUAL_ENV", "env")];
        assert_eq!(
            tree.find(&environment, 13),
            [
                "usr/local/cuda/lib64/libnvrtc.so.12",
                "opt/cuda/lib64/libnvrtc.so.13",
                "usr/local/cuda-12.2/lib64/libnvrtc.so.12.2.140",
                "env/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
                "env/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            ]
        );
        assert_eq!(
            tree.find(&environment, 12),
            [
                "usr/local/cuda/lib64/libnvrtc.so.12",
                "usr/local/cuda-12.2/lib64/libnvrtc.so.12.2.140",
                "env/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            ],
            "the driver would refuse newer code"
        );
    }

    #[test]
    fn a_python_on_the_path_leads_to_its_packages() {
        let tree = Tree::new(
            "path",
            &[
                "py/bin/python3",
                "py/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            ],
        );
        assert_eq!(
            tree.find(&[("PATH", "py/bin")], 13),
            ["py/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"]
        );
        assert!(tree.find(&[], 13).is_empty());
    }

    #[test]
    fn a_named_place_is_the_only_one() {
        let tree = Tree::new(
            "named",
            &[
                "mine/lib/libnvrtc.so.14",
                "site/nvidia/cu13/lib/libnvrtc.so.13",
                "usr/local/cuda/lib64/libnvrtc.so.12",
            ],
        );
        let find = |place| tree.find(&[("WOOTZ_CUDA_PATH", place)], 12);
        assert_eq!(find("mine"), ["mine/lib/libnvrtc.so.14"]);
        assert_eq!(find("mine/lib"), ["mine/lib/libnvrtc.so.14"]);
        assert_eq!(find("mine/lib/libnvrtc.so.14"), ["mine/lib/libnvrtc.so.14"]);
        assert_eq!(find("site"), ["site/nvidia/cu13/lib/libnvrtc.so.13"]);
        assert!(find("nowhere").is_empty());
    }

    #[test]
    fn a_library_comes_with_its_companions() {
        let tree = Tree::new(
            "companions",
            &[
                "lib/libnvrtc.so.13",
                "lib/libnvrtc-builtins.so.13.0",
                "lib/libnvrtc-builtins.alt.so.13.0",
                "lib/libcudart.so.13",
            ],
        );
        assert_eq!(
            companions(&tree.0.join("lib/libnvrtc.so.13")),
            [tree.0.join("lib/libnvrtc-builtins.so.13.0")]
        );
    }

    #[test]
    fn names_tell_the_version() {
        assert_eq!(major_of("libnvrtc.so.11.2"), Some(11));
        assert_eq!(major_of("nvrtc64_130_0.dll"), Some(13));
        assert_eq!(major_of("nvrtc64_112_0.dll"), Some(11));
        assert_eq!(major_of("libnvrtc-builtins.so.13.0"), None);
        assert_eq!(major_of("nvrtc-builtins64_130.dll"), None);
        assert_eq!(major_of("libnvrtc.so"), None);
        assert_eq!(major_of("libnvrtc.alt.so.13"), None);
    }
}
