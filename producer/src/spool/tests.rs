use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rivulet_core::reading::Reading;
use tempfile::TempDir;

use super::*;

const MB: u64 = 1_000_000;

fn settings(size: u64, when_full: WhenFull) -> SpoolSettings {
    SpoolSettings {
        path: PathBuf::new(),
        size,
        when_full,
        sync: Duration::ZERO,
    }
}

fn open_full(folder: &Path, size: u64, when_full: WhenFull) -> Spool {
    Spool::open(folder, &settings(size, when_full), false).unwrap()
}

fn open(folder: &Path) -> Spool {
    open_full(folder, MB, WhenFull::DropOldest)
}

/// Pushes the reading `seq`, about `padding` bytes long.
fn push(spool: &mut Spool, seq: u64, padding: usize) {
    let sensor = "s".repeat(padding).into();
    let reading = Reading {
        sensor,
        seq,
        time: 0,
        value: 1.0,
        unit: None,
    };
    spool.push(&SpoolRecord::Reading(reading, None)).unwrap();
}

fn seq_of(bytes: &[u8]) -> u64 {
    match record::decode(bytes) {
        Ok((SpoolRecord::Reading(reading, _), _)) => reading.seq,
        other => panic!("{other:?}"),
    }
}

/// What a spool returns: a reading's sequence number, or how many readings are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Seq(u64),
    Lost(u64),
}

fn pop(spool: &mut Spool) -> Option<Got> {
    let mut bytes = Vec::new();
    spool.pop(&mut bytes).unwrap().map(|popped| match popped {
        Popped::Record(_) => Got::Seq(seq_of(&bytes)),
        Popped::Lost(count, _) => Got::Lost(count),
    })
}

fn all(spool: &mut Spool) -> Vec<Got> {
    std::iter::from_fn(|| pop(spool)).collect()
}

fn seqs(range: std::ops::Range<u64>) -> Vec<Got> {
    range.map(Got::Seq).collect()
}

fn on_disk(folder: &TempDir) -> u64 {
    fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some());
    files.sort();
    files
}

/// Drops a spool as a power cut does: without the records that are not synced.
fn cut_power(mut spool: Spool) {
    spool.batch.clear();
    spool.next_push = spool.end().end;
    spool.counted = 0;
}

#[test]
fn readings_come_in_order_once_they_are_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    (0..3).for_each(|seq| push(&mut spool, seq, 5));
    assert_eq!(
        (pop(&mut spool), spool.waiting(), spool.is_dirty()),
        (None, 3, true)
    );
    spool.sync(Some("{}".into())).unwrap();
    push(&mut spool, 3, 5);
    assert_eq!((all(&mut spool), spool.waiting()), (seqs(0..3), 1));
    spool.sync(None).unwrap();
    assert_eq!(
        (all(&mut spool), spool.waiting(), spool.position()),
        (seqs(3..4), 0, Some("{}"))
    );
}

#[test]
fn it_resumes_at_any_position_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    let id = spool.id();
    // Several files with several readings each.
    (0..300).for_each(|seq| push(&mut spool, seq, 1000));
    spool.sync(Some("[7]".into())).unwrap();
    drop(spool);
    assert!(files(&folder).len() > 3);
    for position in 0..=300 {
        // `seek` deletes committed files, so each position gets a copy.
        let copy = tempfile::tempdir().unwrap();
        for file in files(&folder) {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        let mut spool = open(copy.path());
        assert_eq!((spool.id(), spool.position()), (id.clone(), Some("[7]")));
        spool.seek(position);
        assert_eq!(all(&mut spool), seqs(position..300), "at {position}");
    }
}

#[test]
fn committed_files_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for round in 0..20 {
        (round * 100..(round + 1) * 100).for_each(|seq| push(&mut spool, seq, 1000));
        spool.sync(Some("[7]".into())).unwrap();
        assert_eq!(all(&mut spool), seqs(round * 100..(round + 1) * 100));
        spool.committed((round + 1) * 100);
        assert!(
            on_disk(&folder) < 2 * MB / FILES,
            "{round}: {}",
            on_disk(&folder)
        );
    }
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!(
        spool.position(),
        Some("[7]"),
        "the position survives the files that it was written to"
    );
    spool.seek(2000);
    assert_eq!(pop(&mut spool), None);
    push(&mut spool, 2000, 5);
    spool.sync(None).unwrap();
    assert_eq!(all(&mut spool), seqs(2000..2001));
}

#[test]
fn a_full_spool_drops_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for seq in 0..5000 {
        push(&mut spool, seq, 1000);
        assert!(on_disk(&folder) <= MB);
    }
    spool.sync(None).unwrap();
    assert!(
        on_disk(&folder) <= MB && on_disk(&folder) > MB * 3 / 4,
        "{}",
        on_disk(&folder)
    );
    let dropped = spool.dropped();
    assert!(dropped > 4000 && dropped + spool.waiting() == 5000);
    let found = all(&mut spool);
    assert_eq!(found[0], Got::Lost(dropped));
    assert_eq!(found[1..], seqs(dropped..5000));
    drop(spool);
    // This is not committed, so it is reported again after a restart.
    assert_eq!(pop(&mut open(folder.path())), Some(Got::Lost(dropped)));
}

#[test]
fn a_full_spool_drops_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open_full(folder.path(), MB, WhenFull::DropNewest);
    (0..2000).for_each(|seq| push(&mut spool, seq, 1000));
    spool.sync(None).unwrap();
    assert!(on_disk(&folder) <= MB);
    let stored = 2000 - spool.dropped();
    assert!(stored > 700 && spool.waiting() == stored);
    for seq in 0..stored {
        assert_eq!(pop(&mut spool), Some(Got::Seq(seq)));
    }
    assert_eq!(
        pop(&mut spool),
        None,
        "lost readings are reported before the next one"
    );
    drop(spool);
    let mut spool = open_full(folder.path(), MB, WhenFull::DropNewest);
    spool.seek(stored);
    push(&mut spool, 2000, 1000);
    push(&mut spool, 2001, 1000);
    spool.sync(None).unwrap();
    assert_eq!(
        all(&mut spool),
        [Got::Lost(2000 - stored), Got::Seq(2000), Got::Seq(2001)]
    );
}

#[test]
fn an_incomplete_last_record_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    (0..3).for_each(|seq| push(&mut spool, seq, 5));
    spool.sync(None).unwrap();
    let good = on_disk(&folder);
    push(&mut spool, 3, 5);
    spool.sync(None).unwrap();
    drop(spool);
    let [file] = &files(&folder)[..] else {
        panic!("one file")
    };
    let content = fs::read(file).unwrap();
    for length in good..content.len() as u64 {
        for tail in [
            &b""[..],
            &[0; 600],
            b"\xff\xff\xff\x7f what was in that block before",
        ] {
            let incomplete = [&content[..usize::try_from(length).unwrap()], tail].concat();
            fs::write(file, &incomplete).unwrap();
            let mut spool = open(folder.path());
            assert_eq!(on_disk(&folder), good, "cut at {length}");
            push(&mut spool, 77, 5);
            spool.sync(None).unwrap();
            let expected = [seqs(0..3), vec![Got::Seq(77)]].concat();
            assert_eq!(all(&mut spool), expected, "cut at {length}");
        }
    }
}

#[test]
fn a_file_with_an_incomplete_header_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    (0..100).for_each(|seq| push(&mut spool, seq, 1000));
    spool.sync(None).unwrap();
    let (next, id) = (spool.next_push, spool.id());
    drop(spool);
    for length in 0..segment::HEAD {
        fs::write(segment::path(folder.path(), next), vec![7; length]).unwrap();
        let mut spool = open(folder.path());
        assert_eq!((all(&mut spool), spool.id()), (seqs(0..100), id.clone()));
    }
}

#[test]
fn damage_in_a_file_costs_the_rest_of_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    (0..300).for_each(|seq| push(&mut spool, seq, 1000));
    spool.sync(None).unwrap();
    let [_, second, third, ..] = &files(&folder)[..] else {
        panic!("some files")
    };
    let [second_base, third_base] = [second, third].map(|file| {
        let base = file.file_stem().unwrap().to_str().unwrap();
        base.parse::<u64>().unwrap()
    });
    let mut content = fs::read(second).unwrap();
    content[segment::HEAD + 5000] ^= 1;
    fs::write(second, content).unwrap();
    let missing = third_base - second_base - 4;
    let expected = [
        seqs(0..second_base + 4),
        vec![Got::Lost(missing)],
        seqs(third_base..300),
    ]
    .concat();
    assert_eq!(all(&mut spool), expected, "found while running");
    drop(spool);
    assert_eq!(all(&mut open(folder.path())), expected, "found when opened");
}

#[test]
fn a_disk_that_loses_synced_records_loses_no_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    (0..10).for_each(|seq| push(&mut spool, seq, 5));
    spool.sync(None).unwrap();
    push(&mut spool, 10, 5);
    spool.sync(None).unwrap();
    // Kafka says that fifteen are committed, but the spool only has eleven.
    spool.seek(15);
    assert_eq!(
        pop(&mut spool),
        Some(Got::Seq(0)),
        "all were pushed since the spool was opened"
    );
    drop(spool);
    let mut spool = open(folder.path());
    push(&mut spool, 11, 5);
    spool.sync(None).unwrap();
    spool.seek(15);
    assert_eq!(all(&mut spool), seqs(11..12));
}

#[test]
fn a_spool_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let error = Spool::open(folder.path(), &settings(MB, WhenFull::DropOldest), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("help: another process uses it"), "{error}");
    drop(spool);
    drop(open(folder.path()));
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path()));
    fs::copy(&files(&other)[0], folder.path().join("1.spool")).unwrap();
    let error = Spool::open(folder.path(), &settings(MB, WhenFull::DropOldest), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("files of two spools"), "{error}");
    fs::write(other.path().join("file"), "").unwrap();
    let wrong = other.path().join("file");
    let error = Spool::open(&wrong, &settings(MB, WhenFull::DropOldest), false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("help: let this user read and write the folder"),
        "{error}"
    );
}

#[test]
fn from_start_makes_a_new_spool() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0, 5);
    let id = spool.id();
    drop(spool);
    let mut spool = Spool::open(folder.path(), &settings(MB, WhenFull::DropOldest), true).unwrap();
    assert_ne!(spool.id(), id);
    assert_eq!((pop(&mut spool), spool.position()), (None, None));
}

#[test]
fn a_file_of_a_later_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let file = &files(&folder)[0];
    let mut content = fs::read(file).unwrap();
    content[7] = 2;
    let sum = crc32fast::hash(&content[..segment::HEAD - 4]).to_le_bytes();
    content[segment::HEAD - 4..segment::HEAD].copy_from_slice(&sum);
    fs::write(file, &content).unwrap();
    let error = Spool::open(folder.path(), &settings(MB, WhenFull::DropOldest), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("another version"), "{error}");
    assert_eq!(fs::read(file).unwrap(), content);
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Sync,
    Pop(u8),
    Commit,
    /// Stops the process or cuts the power, and resumes at the last commit.
    Restart {
        power: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..80_u8).prop_map(Step::Push),
        4 => Just(Step::Sync),
        4 => (1..90_u8).prop_map(Step::Pop),
        3 => Just(Step::Commit),
        1 => any::<bool>().prop_map(|power| Step::Restart { power }),
    ]
}

proptest! {
    // Few cases, because each syncs the disk many times.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Compares the spool with a plain list.
    #[test]
    fn nothing_is_lost_duplicated_or_reordered(
        steps in proptest::collection::vec(step(), 1..60),
        newest in any::<bool>(),
        large in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let when_full = if newest { WhenFull::DropNewest } else { WhenFull::DropOldest };
        let (size, padding) = if large { (100 * MB, 300) } else { (MB, 3000) };
        let reopen = |folder: &TempDir| open_full(folder.path(), size, when_full);
        let mut spool = reopen(&folder);
        // The sequence numbers of the records in the spool, by the number of the record.
        let mut pushed: Vec<u64> = Vec::new();
        let (mut seq, mut synced) = (0, 0);
        let (mut at, mut committed) = (0, 0);
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    push(&mut spool, seq, padding);
                    pushed.push(seq);
                    seq += 1;
                },
                Step::Sync => {
                    spool.sync(Some(seq.to_string())).unwrap();
                    synced = pushed.len();
                }
                Step::Pop(count) => for _ in 0..count {
                    let mut bytes = Vec::new();
                    match spool.pop(&mut bytes).unwrap() {
                        Some(Popped::Record(number)) => {
                            prop_assert_eq!(number, at);
                            let index = usize::try_from(number).unwrap();
                            prop_assert_eq!(seq_of(&bytes), pushed[index]);
                            at += 1;
                        }
                        Some(Popped::Lost(lost, next)) => {
                            prop_assert!(!large && lost > 0);
                            at += lost;
                            prop_assert_eq!(next, at);
                        }
                        None => {
                            if large {
                                prop_assert!(at >= synced as u64, "synced records can be popped");
                            }
                            break;
                        }
                    }
                },
                Step::Commit => {
                    committed = at;
                    spool.committed(committed);
                }
                Step::Restart { power } => {
                    if power { cut_power(spool) } else { drop(spool) }
                    spool = reopen(&folder);
                    let next = usize::try_from(spool.next_push).unwrap();
                    prop_assert!(next <= pushed.len());
                    if large {
                        prop_assert!(next >= synced && (power || next == pushed.len()));
                    }
                    pushed.truncate(next);
                    synced = next;
                    spool.seek(committed);
                    at = committed;
                }
            }
            prop_assert!(on_disk(&folder) <= size);
        }
    }
}

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
