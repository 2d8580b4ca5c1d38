//! A spool that restarts, fills up and is damaged.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rivulet_core::reading::Reading;
use rivulet_pipeline::SpoolSettings;
use tempfile::TempDir;

use super::disk::SystemDisk;
use super::open::FILES;
use super::segment;
use super::*;

mod any_steps;
mod failing_disk;

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
