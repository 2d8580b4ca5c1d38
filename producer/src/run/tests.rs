//! The producer's loop on a log in memory that fails on demand.

use std::cell::RefCell;
use std::collections::VecDeque;

use stream::format::FormatName;
use stream::log::{Each, Event, Incoming, Partition, Position, Record};
use stream::pipeline::{CommitPolicy, Pipeline, Text};

use super::*;
use crate::catalog::lines::Lines;

/// What is sent is pending until it is committed; values by topic.
#[derive(Default)]
struct MemoryLog {
    pending: RefCell<Vec<(String, String)>>,
    visible: Vec<(String, String)>,
    commits: VecDeque<Commit>,
}

enum Commit {
    Succeeds,
    Fails,
    /// It went through, but the answer was lost.
    SeemsToFail,
}

/// A producer reads nothing.
struct Nothing;

impl Record for Nothing {
    fn incoming(&self) -> Incoming<'_> {
        unreachable!("a producer reads nothing")
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        Vec::new()
    }
}

impl Log for MemoryLog {
    type Record<'a> = Nothing;

    fn poll(&self, _: Duration) -> Result<Event<Nothing>, Fault> {
        Ok(Event::Nothing)
    }

    fn assign(&mut self, _: &[Partition]) -> Result<(), Fault> {
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), Fault> {
        let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
        self.pending.borrow_mut().push((record.topic.to_owned(), value));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self, _: &[Position]) -> Result<(), Fault> {
        let commit = self.commits.pop_front().unwrap_or(Commit::Succeeds);
        if !matches!(commit, Commit::Fails) {
            self.visible.append(&mut self.pending.borrow_mut());
        }
        match commit {
            Commit::Succeeds => Ok(()),
            Commit::Fails | Commit::SeemsToFail => Err(Fault::Undo(Error::new("committing", "no answer"))),
        }
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        self.pending.borrow_mut().clear();
        Ok(())
    }

    fn restore(&mut self, topic: &str, _: &[i32], each: Each<'_>) -> Result<(), Fault> {
        for (_, value) in self.visible.iter().filter(|(sent_to, _)| sent_to == topic) {
            each(0, b"position", Some(value.as_bytes()));
        }
        Ok(())
    }

    fn at_end(&mut self, _: &[(Partition, Option<i64>)]) -> Result<bool, Fault> {
        Ok(true)
    }
}

/// A JSON reading, which moves no position, or a line that is none.
fn line(number: u64) -> String {
    if number == 3 {
        return "three degrees or so".to_owned();
    }
    format!("{{\"sensor\":\"a\",\"seq\":{number},\"time\":0,\"value\":1.0,\"unit\":\"kelvin\"}}")
}

/// What becomes of seven lines, with a commit after every second, where commits do this.
fn visible(commits: impl IntoIterator<Item = Commit>) -> Vec<(String, String)> {
    let text: String = (0..7).map(|number| line(number) + "\n").collect();
    let file = "[producer.in]\nsource = { lines = {} }\nto = \"out\"\n";
    let pipeline = Pipeline::parse(Arc::new(Text { path: "p.toml".into(), text: file.into() })).unwrap();
    let Work::Producer { source } = &pipeline.stages[0].work else { unreachable!("it is a producer") };
    let lines: Lines = source.settings().unwrap();
    let policy = CommitPolicy { records: 2, ..CommitPolicy::default() };
    let mut producer = Producer {
        source: Box::new(lines.read_from(std::io::Cursor::new(text)).unwrap()),
        outputs: vec![Output { topic: "out".into(), format: FormatName::Json.build(None) }],
        changelog: "in-changelog".into(),
        dead_letters: DeadLetters::of(&pipeline, &pipeline.stages[0]),
        pace: Pace::new(None, Instant::now()),
        clock: CommitClock::new(policy, Instant::now()),
        back_off: BackOff::new(),
        pending: Pending::default(),
        commits: 0,
        counters: Arc::default(),
        shutdown: Shutdown::new(),
    };
    let mut log = MemoryLog { commits: commits.into_iter().collect(), ..MemoryLog::default() };
    producer.run(&mut log, false, &mut |_| ()).unwrap();
    assert_eq!(producer.counters.written.get(), 6);
    log.visible.into_iter().filter(|(topic, _)| topic != "in-changelog").collect()
}

fn expected() -> Vec<(String, String)> {
    let topic = |number| if number == 3 { "in-dead-letters" } else { "out" };
    (0..7).map(|number| (topic(number).to_owned(), line(number))).collect()
}

#[test]
fn what_a_failed_commit_held_is_sent_again() {
    assert_eq!(visible([Commit::Succeeds, Commit::Fails, Commit::Fails]), expected());
}

#[test]
fn what_was_committed_is_not_sent_again_though_the_answer_was_lost() {
    assert_eq!(visible([Commit::SeemsToFail, Commit::Succeeds, Commit::SeemsToFail]), expected());
}

#[test]
fn readings_that_move_no_position_are_not_taken_for_committed() {
    assert_eq!(visible([Commit::Fails, Commit::SeemsToFail, Commit::Fails]), expected());
}
