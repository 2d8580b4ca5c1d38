//! The stage loop on a log in memory that fails on demand.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::log::{Each, Incoming, Outgoing};
use crate::operator::{Flow, Memory, Operator};
use crate::pipeline::{Pipeline, Text};
use crate::processing::Processing;
use crate::reading::{Reading, Refusal};

/// One input topic of one partition, in memory. What is sent is pending until it is committed.
#[derive(Default)]
struct MemoryLog {
    input: Vec<String>,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    is_given: bool,
    /// The next record to read; nothing before the partition is assigned.
    next: Option<usize>,
    committed: usize,
    pending: Vec<Sent>,
    visible: Vec<Sent>,
    /// What happens at the polls to come, instead of the next record.
    events: VecDeque<Event<()>>,
    /// What the commits to come do.
    commits: VecDeque<Commit>,
    releases: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Sent {
    topic: String,
    key: String,
    value: String,
}

enum Commit {
    Succeeds,
    Fails,
    /// It went through, but the answer was lost.
    SeemsToFail,
}

struct MemoryRecord {
    offset: i64,
    value: String,
}

impl Record for MemoryRecord {
    fn incoming(&self) -> Incoming<'_> {
        Incoming {
            topic: 0,
            partition: 0,
            offset: self.offset,
            timestamp: 0,
            key: None,
            value: Some(self.value.as_bytes()),
        }
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        Vec::new()
    }
}

const ONLY: Partition = Partition { topic: 0, partition: 0 };

impl Log for MemoryLog {
    type Record<'a> = MemoryRecord;

    fn poll(&self, _: Duration) -> Result<Event<MemoryRecord>, Fault> {
        let mut inner = self.inner.borrow_mut();
        if !inner.is_given {
            inner.is_given = true;
            return Ok(Event::Given(vec![ONLY]));
        }
        match inner.events.pop_front() {
            Some(Event::Taken { lost }) => return Ok(Event::Taken { lost }),
            Some(Event::Given(partitions)) => return Ok(Event::Given(partitions)),
            Some(Event::Nothing | Event::Record(())) | None => {}
        }
        let Some(value) = inner.next.and_then(|next| self.input.get(next)) else { return Ok(Event::Nothing) };
        let offset = inner.next.unwrap_or_default();
        inner.next = Some(offset + 1);
        Ok(Event::Record(MemoryRecord { offset: i64::try_from(offset).unwrap(), value: value.clone() }))
    }

    fn assign(&mut self, _: &[Partition]) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        inner.next = Some(inner.committed);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        inner.next = None;
        inner.is_given = false;
        inner.releases += 1;
        Ok(())
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), Fault> {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        let sent = Sent { topic: record.topic.to_owned(), key: text(record.key), value: text(record.value) };
        self.inner.borrow_mut().pending.push(sent);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        let commit = inner.commits.pop_front().unwrap_or(Commit::Succeeds);
        if !matches!(commit, Commit::Fails) {
            let pending = std::mem::take(&mut inner.pending);
            inner.visible.extend(pending);
            for position in positions {
                inner.committed = usize::try_from(position.next).unwrap();
            }
        }
        match commit {
            Commit::Succeeds => Ok(()),
            Commit::Fails | Commit::SeemsToFail => Err(Fault::Undo(Error::new("committing", "no answer"))),
        }
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        let mut inner = self.inner.borrow_mut();
        inner.pending.clear();
        inner.next = None;
        Ok(())
    }

    fn restore(&mut self, topic: &str, _: &[i32], each: Each<'_>) -> Result<(), Fault> {
        for sent in self.inner.borrow().visible.iter().filter(|sent| sent.topic == topic) {
            each(0, sent.key.as_bytes(), Some(sent.value.as_bytes()));
        }
        Ok(())
    }

    fn at_end(&mut self, positions: &[(Partition, Option<i64>)]) -> Result<bool, Fault> {
        assert_eq!(positions.len(), 1);
        Ok(self.inner.borrow().next == Some(self.input.len()))
    }
}

/// Adds up the values of each sensor, so that a reading too many or too few shows in all that follow.
struct Sum;

impl Operator for Sum {
    fn apply(&self, reading: &mut Reading<'_>, memories: &mut [Memory]) -> Result<Flow, Refusal> {
        let sum = memories[0].first().copied().unwrap_or_default() + reading.value;
        memories[0] = vec![sum];
        reading.value = sum;
        Ok(Flow::Pass)
    }

    fn memories(&self) -> usize {
        1
    }

    fn describe(&self) -> String {
        "sum".into()
    }
}

/// Twenty numbers, one of them spoilt.
fn log() -> MemoryLog {
    let mut input: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    input[7] = "abc".into();
    MemoryLog { input, ..MemoryLog::default() }
}

/// Runs the stage to the end of its input.
fn drained(log: &mut MemoryLog) -> Counters {
    let (counters, result) = outcome(log);
    result.unwrap();
    counters
}

fn outcome(log: &mut MemoryLog) -> (Counters, crate::error::Result<()>) {
    let text = r#"
        [defaults]
        format = "number"
        [topic.in]
        external = true
        [operator.sum]
        from = "in"
        steps = ["sum"]
        to = "out"
    "#;
    let pipeline = Pipeline::parse(Arc::new(Text { path: "p.toml".into(), text: text.into() })).unwrap();
    let counters = Arc::new(Counters::default());
    let mut work = Processing::new(&pipeline, &pipeline.stages[0], Box::new(Sum), counters.clone());
    let shutdown = Shutdown::new();
    shutdown.drain();
    let policy = CommitPolicy { records: 4, least_interval: Duration::ZERO, longest_interval: Duration::ZERO };
    let result = run(log, &mut work, policy, &shutdown, &counters);
    drop(work);
    (Arc::into_inner(counters).unwrap(), result)
}

fn values(log: &MemoryLog, topic: &str) -> Vec<String> {
    let inner = log.inner.borrow();
    inner.visible.iter().filter(|sent| sent.topic == topic).map(|sent| sent.value.clone()).collect()
}

/// What must be there, computed plainly.
fn assert_exact(log: &MemoryLog) {
    let sums: Vec<String> = (1..=20)
        .filter(|number| *number != 8)
        .scan(0, |sum, number| {
            *sum += number;
            Some(format!("{sum}.0"))
        })
        .collect();
    assert_eq!(values(log, "out"), sums);
    assert_eq!(values(log, "sum-dead-letters"), ["abc"]);
    assert_eq!(log.inner.borrow().committed, 20);
}

#[test]
fn everything_is_processed_once_and_a_bad_record_is_a_dead_letter() {
    let mut log = log();
    let counters = drained(&mut log);
    assert_exact(&log);
    assert_eq!((counters.read.get(), counters.written.get(), counters.dead.get()), (20, 19, 1));
    let last = r#"{"chain":"sum","offsets":{"in":19},"memories":[[202.0]]}"#;
    assert_eq!(values(&log, "sum-changelog").last().map(String::as_str), Some(last));
}

#[test]
fn a_commit_that_fails_is_done_again_with_the_state_of_the_commit_before() {
    let mut log = log();
    log.inner.get_mut().commits = [Commit::Succeeds, Commit::Fails, Commit::Fails].into();
    let counters = drained(&mut log);
    assert_exact(&log);
    assert_eq!(counters.rewinds.get(), 2);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_done_again() {
    let mut log = log();
    log.inner.get_mut().commits = [Commit::SeemsToFail, Commit::Succeeds, Commit::SeemsToFail].into();
    let counters = drained(&mut log);
    assert_exact(&log);
    assert_eq!(counters.rewinds.get(), 2);
}

#[test]
fn partitions_are_given_up_only_after_a_commit() {
    let mut log = log();
    let taken = || Event::Taken { lost: false };
    log.inner.get_mut().events = [Event::Nothing, Event::Nothing, taken(), Event::Nothing, taken()].into();
    let counters = drained(&mut log);
    assert_exact(&log);
    assert_eq!((log.inner.borrow().releases, counters.rewinds.get()), (2, 0));
}

#[test]
fn what_was_done_on_a_lost_partition_is_not_committed() {
    let mut log = log();
    log.inner.get_mut().events = [Event::Nothing, Event::Nothing, Event::Taken { lost: true }].into();
    let counters = drained(&mut log);
    assert_exact(&log);
    assert_eq!(counters.rewinds.get(), 1);
}

#[test]
fn offsets_that_were_moved_back_behind_the_state_are_refused() {
    let mut log = log();
    drained(&mut log);
    *log.inner.get_mut() = Inner { visible: std::mem::take(&mut log.inner.get_mut().visible), ..Inner::default() };
    let error = outcome(&mut log).1.unwrap_err().to_string();
    assert!(error.contains("the offsets were moved back") && error.contains("delete sum-changelog"), "{error}");
    assert_eq!(values(&log, "out").len(), 19, "nothing was added");
}
