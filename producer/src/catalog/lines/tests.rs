//! Lines from a pipe.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use rivulet_pipeline::ComponentConfig;

use super::*;
use crate::line_reader::LONGEST;
use crate::testing::{Observed, all, diagnostic, readings};

fn lines(settings: &str) -> Lines {
    ComponentConfig::parse(&format!("lines = {{ {settings} }}"))
        .unwrap()
        .settings()
        .unwrap()
}

fn source(text: impl Into<Vec<u8>>) -> LinesSource {
    lines("").read_from(io::Cursor::new(text.into())).unwrap()
}

/// A pipe that the test writes to.
struct Pipe(Receiver<&'static str>);

impl Read for Pipe {
    fn read(&mut self, mut to: &mut [u8]) -> io::Result<usize> {
        match self.0.recv() {
            Ok(text) => io::Write::write(&mut to, text.as_bytes()),
            Err(_) => Ok(0),
        }
    }
}

fn piped() -> (Sender<&'static str>, LinesSource) {
    let (write, read) = channel();
    (write, lines("").read_from(Pipe(read)).unwrap())
}

#[test]
fn a_line_is_a_number_or_sensor_and_number_or_a_reading() {
    let before = now();
    let json = r#"{"sensor":"k","seq":70,"time":5,"value":1,"unit":"kelvin"}"#;
    let mut source = source(format!("20\r\n\n kitchen\t-1.5e1 \n{json}\n21\nkitchen 3"));
    let found = readings(&mut source, 99);
    let plain: Vec<_> = found
        .iter()
        .map(|got| (got.sensor.as_str(), got.seq, got.value))
        .collect();
    assert_eq!(
        plain,
        [
            ("stdin", 0, 20.0),
            ("kitchen", 0, -15.0),
            ("k", 70, 1.0),
            ("stdin", 1, 21.0),
            ("kitchen", 1, 3.0)
        ]
    );
    assert_eq!((found[2].time, found[2].unit), (5, Some(Unit::Kelvin)));
    assert!((before..=now()).contains(&found[0].time) && found[0].unit == Some(Unit::Celsius));
    assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::End));
}

#[test]
fn a_bad_line_is_yielded_with_its_bytes_and_its_number() {
    let text = [
        &b"1\nabc\n1 2 3\n\xff\xfe\nNaN\n1e999\n\"7\"\n{\"sensor\":1}\n"[..],
        &vec![b'9'; LONGEST + 1],
        b"\n2",
    ]
    .concat();
    let found = all(&mut source(text));
    let bad: Vec<_> = found
        .iter()
        .filter_map(|seen| match seen {
            Observed::Record(record) => panic!("{record:?}"),
            Observed::Bad {
                bytes,
                place,
                reason,
            } => Some((&bytes[..], place.as_str(), *reason)),
            Observed::Reading(_) => None,
        })
        .collect();
    assert_eq!(
        bad[0],
        (&b"abc"[..], "standard input line 2", "not-a-number")
    );
    assert_eq!(
        bad[1],
        (&b"1 2 3"[..], "standard input line 3", "not-a-reading")
    );
    assert_eq!(
        bad[2],
        (&b"\xff\xfe"[..], "standard input line 4", "not-utf-8")
    );
    assert_eq!(
        bad[3..6].iter().map(|bad| bad.2).collect::<Vec<_>>(),
        ["not-finite", "not-finite", "not-a-number"]
    );
    assert_eq!(bad[6].2, "not-json");
    assert_eq!((bad[7].0.len(), bad[7].2), (LONGEST, "too-long"));
    assert_eq!((bad.len(), found.len()), (8, 10));
    assert!(
        matches!(&found[9], Observed::Reading(got) if (got.seq, got.value) == (1, 2.0)),
        "bad lines take no sequence number"
    );
}

#[test]
fn next_waits_no_longer_than_asked_for_an_incomplete_line() {
    let (write, mut source) = piped();
    assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::NotYet));
    write.send("2").unwrap();
    let start = Instant::now();
    assert!(matches!(
        source.next(Duration::from_millis(20)).unwrap(),
        Next::NotYet
    ));
    assert!(start.elapsed() < Duration::from_secs(5));
    write.send("0\n2").unwrap();
    assert_eq!(readings(&mut source, 1)[0].value, 20.0);
    write.send("1").unwrap();
    drop(write);
    assert_eq!(
        readings(&mut source, 9)[0].value,
        21.0,
        "the end of the input ends the last line"
    );
}

#[test]
fn a_read_error_is_returned_once() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    let mut source = lines("").read_from(Broken).unwrap();
    let error = source.next(Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.to_string(), "reading standard input: unplugged");
    assert!(matches!(
        source.next(Duration::from_secs(5)).unwrap(),
        Next::End
    ));
}

#[test]
fn an_endless_pipe_is_not_read_too_far_ahead() {
    struct Endless(Arc<AtomicUsize>);
    impl Read for Endless {
        fn read(&mut self, mut to: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            io::Write::write(&mut to, b"1\n")
        }
    }
    let blocks = Arc::new(AtomicUsize::new(0));
    let mut source = lines("").read_from(Endless(blocks.clone())).unwrap();
    assert_eq!(readings(&mut source, 100).len(), 100);
    assert!(blocks.load(Ordering::Relaxed) <= 100 + AHEAD + 1);
    // Without a receiver the thread ends and closes the pipe.
    drop(source);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Arc::strong_count(&blocks) > 1 {
        assert!(Instant::now() < deadline, "the thread still reads");
        thread::yield_now();
    }
}

#[test]
fn after_a_restart_sequence_numbers_continue() {
    let mut first = source("1\n2\na 3\n");
    assert_eq!(readings(&mut first, 99).len(), 3);
    let mut second = source("4\na 5\nb 6\n");
    second.resume(&first.position()).unwrap();
    let seqs: Vec<u64> = readings(&mut second, 99)
        .iter()
        .map(|got| got.seq)
        .collect();
    assert_eq!(seqs, [2, 1, 0]);
}

#[test]
fn an_invalid_setting_is_explained() {
    assert!(diagnostic("lines = { unit = \"\" }").contains("leave it out"));
    assert!(diagnostic("lines = { sensor = \"living room\" }").contains("give one word"));
}
