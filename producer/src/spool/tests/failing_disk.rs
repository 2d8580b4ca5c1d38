//! A disk that fails, and what is there after a power cut.

use super::*;

/// A disk that fails at some calls.
#[derive(Debug, Clone)]
struct Failing {
    calls: Arc<Mutex<u64>>,
    /// The numbers of the calls that fail.
    fails: BTreeSet<u64>,
    /// How many bytes a failing write writes nevertheless.
    part: usize,
    /// Whether a failing sync syncs nevertheless.
    synced: bool,
}

impl Failing {
    fn new(fails: impl IntoIterator<Item = u64>, part: usize, synced: bool) -> Self {
        Failing {
            calls: Arc::default(),
            fails: fails.into_iter().collect(),
            part,
            synced,
        }
    }

    fn fails(&self) -> bool {
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        self.fails.contains(&*calls)
    }

    fn call<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.fails() {
            Err(io::Error::other("the disk fails"))
        } else {
            call()
        }
    }

    fn file(&self, file: io::Result<Box<dyn Appended>>) -> io::Result<Box<dyn Appended>> {
        Ok(Box::new(FailingFile {
            file: file?,
            disk: self.clone(),
            unsynced: 0,
            length: 0,
        }))
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Box<dyn Appended>,
    disk: Failing,
    /// How many bytes were written since the last sync, and in total.
    unsynced: u64,
    length: u64,
}

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        self.call(|| self.file(SystemDisk.create(path)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        let length = fs::metadata(path)?.len();
        let file = self.call(|| SystemDisk.open(path))?;
        Ok(Box::new(FailingFile {
            file,
            disk: self.clone(),
            unsynced: 0,
            length,
        }))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call(|| SystemDisk.sync_folder(folder))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|| SystemDisk.remove(path))
    }
}

impl Appended for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fails = self.disk.fails();
        let bytes = if fails {
            &bytes[..self.disk.part.min(bytes.len())]
        } else {
            bytes
        };
        self.file.write(bytes)?;
        self.unsynced += bytes.len() as u64;
        self.length += bytes.len() as u64;
        if fails {
            Err(io::Error::other("No space left on device"))
        } else {
            Ok(())
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.disk.fails() {
            self.unsynced = 0;
            return self.file.sync();
        }
        if !self.disk.synced {
            // The kernel drops pages that it could not write.
            self.file.truncate(self.length - self.unsynced)?;
        }
        Err(io::Error::other("the disk fails"))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.disk.fails() {
            return Err(io::Error::other("the disk fails"));
        }
        self.length = length;
        self.file.truncate(length)
    }
}

/// What a new process finds after a power cut. It reads a copy, because this process still locks
/// the folder.
fn after_a_power_cut(folder: &Path) -> Vec<Got> {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    all(&mut open(copy.path()))
}

/// Regression: after an error the same batch was written a second time after the first, which was
/// on disk nevertheless.
#[test]
fn after_a_failed_sync_the_batch_is_written_once() {
    for (part, synced) in [(0, false), (0, true), (10, false), (1000, true)] {
        for fails in 1..20 {
            let folder = tempfile::tempdir().unwrap();
            drop(open(folder.path()));
            let disk = Failing::new([fails], part, synced);
            let settings = settings(MB, WhenFull::DropOldest);
            let Ok(mut spool) = Spool::open_on(Box::new(disk), folder.path(), &settings, false)
            else {
                continue;
            };
            for seq in 0..10 {
                push(&mut spool, seq, 8);
                let _ = spool.sync(None);
            }
            spool.sync(None).unwrap();
            assert_eq!(
                after_a_power_cut(folder.path()),
                seqs(0..10),
                "{part} {synced} {fails}"
            );
            assert_eq!(all(&mut spool), seqs(0..10), "{part} {synced} {fails}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The disk fails at any calls, once or for a while.
    #[test]
    fn on_a_failing_disk_each_reading_is_there_once_in_order(
        fails in prop::collection::btree_set(1..120_u64, 0..30),
        full in (1..120_u64, 0..30_u64),
        part in 0..2000_usize,
        synced: bool,
        syncs in prop::collection::vec((any::<bool>(), 1..12_000_usize), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        drop(open_full(folder.path(), 4 * MB, WhenFull::DropOldest));
        let fails = fails.into_iter().chain(full.0..full.0 + full.1);
        let disk = Failing::new(fails, part, synced);
        let settings = settings(4 * MB, WhenFull::DropOldest);
        let opened = Spool::open_on(Box::new(disk.clone()), folder.path(), &settings, false);
        prop_assume!(opened.is_ok());
        let mut spool = opened.unwrap();
        let (mut pushed, mut safe, mut found) = (0, 0, Vec::new());
        for (sync, padding) in syncs {
            let sensor = "s".repeat(padding);
            let reading = Reading {
                sensor: sensor.into(),
                seq: pushed,
                time: 0,
                value: 1.0,
                unit: None,
            };
            if spool.push(&SpoolRecord::Reading(reading, None)).is_ok() {
                pushed += 1;
            }
            if sync && spool.sync(Some(format!("{{\"next\":{pushed}}}"))).is_ok() {
                safe = pushed;
            }
            found.extend(std::iter::from_fn(|| pop(&mut spool)));
            let there = after_a_power_cut(folder.path());
            prop_assert!(there.len() as u64 >= safe, "{} of {safe} are left", there.len());
            prop_assert_eq!(&there, &seqs(0..there.len() as u64));
        }
        // At some point the disk works again.
        while spool.sync(None).is_err() {}
        found.extend(std::iter::from_fn(|| pop(&mut spool)));
        prop_assert_eq!(found, seqs(0..pushed));
        drop(spool);
        let mut spool = open_full(folder.path(), 4 * MB, WhenFull::DropOldest);
        prop_assert_eq!(all(&mut spool), seqs(0..pushed));
    }
}
