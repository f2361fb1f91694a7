//! Compiled kernels on disk, shared by processes.
//!
//! A file is named by the fingerprint of all that went into the compile, and holds a mark, the
//! fingerprint of the image, and the image. It gets its name by a rename when it is whole. A file
//! that does not hold what it says is removed, and its kernel compiled again. A folder that cannot
//! be written costs a compile a process and nothing else; each trouble is told once. What a process
//! that was killed left half written, another one removes an hour later.

use crate::fingerprint::fingerprint;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

/// What every file begins with; a new form gets a new mark.
const MARK: &[u8; 8] = b"wootz-1\n";
const HEADER: usize = MARK.len() + size_of::<u128>();

#[derive(Debug)]
pub(crate) struct Kept {
    folder: Option<PathBuf>,
    told: AtomicBool,
    swept: AtomicBool,
}

impl Kept {
    /// Files in `folder`; nothing is kept when there is none.
    pub(crate) fn new(folder: Option<PathBuf>) -> Kept {
        Kept {
            folder,
            told: AtomicBool::new(false),
            swept: AtomicBool::new(false),
        }
    }

    /// The image of `key`, if it is there and whole.
    pub(crate) fn get(&self, key: u128) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        let mut file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.tell(&path, &error.to_string());
                return None;
            }
        };
        if !is_whole(&file) {
            self.tell(&path, "damaged; it is compiled again");
            self.forget(key);
            return None;
        }
        file.drain(..HEADER);
        Some(file)
    }

    /// Keeps the image of `key`, if that is possible.
    pub(crate) fn put(&self, key: u128, image: &[u8]) {
        let Some(path) = self.path(key) else {
            return;
        };
        if !self.swept.swap(true, Ordering::Relaxed) {
            path.parent().map(sweep);
        }
        if let Err(error) = write(&path, image) {
            self.tell(&path, &error.to_string());
        }
    }

    /// Removes the image of `key`.
    pub(crate) fn forget(&self, key: u128) {
        if let Some(path) = self.path(key) {
            // What another process removed first is gone as well.
            let _ = fs::remove_file(path);
        }
    }

    /// Where `key` is kept, if anything is.
    pub(crate) fn path(&self, key: u128) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(format!("{key:032x}")))
    }

    /// Tells of a trouble, unless one was told already.
    pub(crate) fn tell(&self, path: &Path, trouble: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            eprintln!("wootz: kept kernel {}: {trouble}", path.display());
        }
    }
}

fn is_whole(file: &[u8]) -> bool {
    let Some((header, image)) = file.split_at_checked(HEADER) else {
        return false;
    };
    let (mark, print) = header.split_at(MARK.len());
    mark == MARK && print == fingerprint([image]).to_le_bytes()
}

/// Removes drafts that nobody can be writing any more.
fn sweep(folder: &Path) {
    const LONG: Duration = Duration::from_secs(3600);
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_draft = path
            .extension()
            .is_some_and(|extension| extension.to_string_lossy().contains('-'));
        let written = entry.metadata().and_then(|about| about.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if is_draft && age.is_some_and(|age| age > LONG) {
            // What another process removed first is gone as well.
            let _ = fs::remove_file(path);
        }
    }
}

fn write(path: &Path, image: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    // A name that no other thread or process uses.
    let draft = path.with_extension(format!("{}-{count}", std::process::id()));
    let file = [MARK.as_slice(), &fingerprint([image]).to_le_bytes(), image].concat();
    let written = fs::write(&draft, file).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("wootz-kept-{name}-{}", std::process::id());
            Folder(std::env::temp_dir().join(name))
        }

        fn kept(&self) -> Kept {
            Kept::new(Some(self.0.clone()))
        }

        fn files(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_put_is_found_again_by_its_key_alone() {
        let folder = Folder::new("put");
        assert_eq!(folder.kept().get(1), None);
        folder.kept().put(1, b"one");
        folder.kept().put(2, b"");
        assert_eq!(folder.kept().get(1).as_deref(), Some(&b"one"[..]));
        assert_eq!(folder.kept().get(2).as_deref(), Some(&b""[..]));
        assert_eq!(folder.kept().get(3), None);
        assert_eq!(folder.files().len(), 2, "no draft is left");
    }

    #[test]
    fn a_damaged_file_is_not_found_and_makes_room() {
        let folder = Folder::new("damaged");
        let kept = folder.kept();
        kept.put(1, b"a compiled kernel");
        let path = folder.files().remove(0);
        let whole = fs::read(&path).unwrap();
        let mut turned = whole.clone();
        *turned.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() - 1], &whole[..5], &[], &turned] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(kept.get(1), None);
            assert!(!path.exists());
        }
        kept.put(1, b"again");
        assert_eq!(kept.get(1).as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_only_the_keeping() {
        let folder = Folder::new("file");
        fs::write(&folder.0, "no folder").unwrap();
        let kept = folder.kept();
        kept.put(1, b"one");
        assert_eq!(kept.get(1), None);
        fs::remove_file(&folder.0).unwrap();
        let nowhere = Kept::new(None);
        nowhere.put(1, b"one");
        assert_eq!(nowhere.get(1), None);
    }

    #[test]
    fn writers_at_once_leave_one_whole_file() {
        let folder = Folder::new("race");
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let kept = folder.kept();
                scope.spawn(move || {
                    for _ in 0..50 {
                        kept.put(1, &vec![writer; 10_000]);
                        let image = kept.get(1).expect("always whole");
                        assert!(image.len() == 10_000 && image.iter().all(|b| *b == image[0]));
                    }
                });
            }
        });
        assert_eq!(folder.files().len(), 1);
    }

    #[test]
    fn drafts_of_long_ago_are_removed() {
        let folder = Folder::new("drafts");
        fs::create_dir_all(&folder.0).unwrap();
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
        for (name, written) in [
            ("1.9-0", Some(long_ago)),
            ("2.9-0", None),
            ("3", Some(long_ago)),
            ("3.archive", Some(long_ago)),
        ] {
            let file = fs::File::create(folder.0.join(name)).unwrap();
            written.map_or(Ok(()), |at| file.set_modified(at)).unwrap();
        }
        folder.kept().put(4, b"four");
        let left = ["1.9-0", "2.9-0", "3", "3.archive"];
        let left = left.map(|name| folder.0.join(name).exists());
        assert_eq!(left, [false, true, true, true]);
    }

    /// Starts this test again as another process, whose folder is the same.
    #[cfg(unix)]
    fn child(test: &str, folder: &Folder) -> std::process::Child {
        let this = concat!(module_path!(), "::");
        let (_, this) = this.split_once("::").unwrap();
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{this}{test}"), "--nocapture"])
            .env(CHILD, &folder.0)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[cfg(unix)]
    const CHILD: &str = "WOOTZ_TEST_KEPT";

    #[test]
    #[cfg(unix)]
    fn a_full_disk_costs_only_the_keeping() {
        let folder = Folder::new("full");
        if let Some(shared) = std::env::var_os(CHILD) {
            let most = libc::rlimit {
                rlim_cur: 1000,
                rlim_max: 1000,
            };
            // SAFETY: plain calls; a write past the limit becomes an error.
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const most), 0);
            }
            let kept = Kept::new(Some(shared.into()));
            kept.put(1, &[1; 5000]);
            kept.put(2, &[2; 5000]);
            assert_eq!((kept.get(1), kept.get(2)), (None, None));
            kept.put(3, b"three");
            std::process::exit(0);
        }
        let output = child("a_full_disk_costs_only_the_keeping", &folder).wait_with_output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.matches("wootz: kept kernel").count(), 1, "{said}");
        assert_eq!(folder.kept().get(3).as_deref(), Some(&b"three"[..]));
        assert_eq!(folder.files().len(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_writer_that_is_killed_leaves_what_is_whole_or_nothing() {
        let folder = Folder::new("killed");
        if let Some(shared) = std::env::var_os(CHILD) {
            let kept = Kept::new(Some(shared.into()));
            for round in 0.. {
                kept.put(1, &vec![round as u8; 1 << 22]);
            }
        }
        for after in [30, 45, 60, 75] {
            let mut writer = child(
                "a_writer_that_is_killed_leaves_what_is_whole_or_nothing",
                &folder,
            );
            std::thread::sleep(Duration::from_millis(after));
            writer.kill().unwrap();
            writer.wait().unwrap();
            let kept = folder.kept();
            let image = kept.get(1);
            let whole =
                |image: &Vec<u8>| image.len() == 1 << 22 && image.iter().all(|b| *b == image[0]);
            assert!(image.as_ref().is_none_or(whole) && !kept.told.load(Ordering::Relaxed));
        }
    }
}
