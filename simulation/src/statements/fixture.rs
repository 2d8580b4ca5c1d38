//! The pipeline of one statement, and its steps.

use std::sync::Arc;
use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, TopicPartition,
};
use rivulet_pipeline::{Pipeline, Text};

use super::broker::Broker;

/// How often to poll for an event that must come, and how long each time.
pub(super) const PATIENCE: u32 = 600;

pub(super) const WAIT: Duration = Duration::from_millis(100);

/// The pipeline of one statement, with its topics.
pub(super) struct Fixture {
    pub(super) pipeline: Pipeline,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) changelog: String,
}

impl Fixture {
    pub(super) fn new(broker: &impl Broker, guarantee: &str, partitions: u32) -> Self {
        Self::with(broker, guarantee, partitions, "")
    }

    /// A pipeline whose output topic has this config.
    pub(super) fn with(
        broker: &impl Broker,
        guarantee: &str,
        partitions: u32,
        output: &str,
    ) -> Self {
        let suffix = broker.suffix();
        Self::of(
            broker,
            &suffix,
            guarantee,
            partitions,
            &format!(
                "[topic.in{suffix}]\nexternal = true\n[topic.out{suffix}]\nconfig = {{ {output} \
                 }}\n[operator.mean{suffix}]\n\
                 from = \"in{suffix}\"\nsteps = [{{ ewma = {{ alpha = 0.5 }} }}]\nto \
                 = \"out{suffix}\"\n"
            ),
        )
    }

    /// A pipeline with a source.
    pub(super) fn of_source(broker: &impl Broker, guarantee: &str) -> Self {
        let suffix = broker.suffix();
        Self::of(
            broker,
            &suffix,
            guarantee,
            1,
            &format!(
                "[producer.source{suffix}]\nsource = {{ list = {{ values = [1] }} }}\nto \
                 = \"out{suffix}\"\n"
            ),
        )
    }

    pub(super) fn of(
        broker: &impl Broker,
        suffix: &str,
        guarantee: &str,
        partitions: u32,
        tables: &str,
    ) -> Self {
        let settings = broker.settings();
        let text = format!(
            "guarantee = \"{guarantee}\"\n{settings}\n[defaults]\npartitions = \
             {partitions}\n{tables}"
        );
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }));
        let pipeline = pipeline.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        broker.make_topics(&pipeline);
        let (stage, name) = (&pipeline.stages[0], |topic: &str| {
            format!("{topic}{suffix}")
        });
        Fixture {
            input: name("in"),
            output: name("out"),
            changelog: stage.changelog(),
            pipeline,
        }
    }

    pub(super) fn open<B: Broker>(&self, broker: &B, instance: &str) -> B::Log {
        ok(broker.open(&self.pipeline, instance))
    }
}

pub(super) fn ok<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{fault:?}"))
}

pub(super) fn send(log: &impl Log, topic: &str, value: &str) {
    send_keyed(log, topic, "", Some(value));
}

/// Sends a record with a key. Without a value it is a tombstone.
pub(super) fn send_keyed(log: &impl Log, topic: &str, key: &str, value: Option<&str>) {
    let outgoing = ProducerRecord {
        topic,
        partition: Some(0),
        timestamp: None,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        headers: &[],
    };
    ok(log.send(&outgoing));
}

/// Polls once. Records become offset and value, so that the log is free again.
pub(super) fn poll(log: &impl Log) -> Result<Event<(i64, String)>, Fault> {
    Ok(match log.poll(WAIT)? {
        Event::Record(record) => {
            let ConsumerRecord { offset, value, .. } = record.fields();
            Event::Record((
                offset,
                String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
            ))
        }
        Event::Assigned(partitions) => Event::Assigned(partitions),
        Event::Revoked { lost } => Event::Revoked { lost },
        Event::Timeout => Event::Timeout,
    })
}

/// Waits for an assignment, and starts to read it.
pub(super) fn await_assignment(log: &mut impl Log) -> Vec<TopicPartition> {
    for _ in 0..PATIENCE {
        match ok(poll(log)) {
            Event::Assigned(partitions) => {
                let from = from_committed(log, &partitions);
                ok(log.assign(&from));
                return partitions;
            }
            Event::Revoked { .. } => ok(log.unassign()),
            Event::Record(_) | Event::Timeout => {}
        }
    }
    panic!("no partitions were assigned")
}

/// The committed offsets, or 0.
pub(super) fn from_committed(
    log: &mut impl Log,
    partitions: &[TopicPartition],
) -> Vec<(TopicPartition, i64)> {
    let committed = ok(log.committed(partitions));
    let mut from = Vec::new();
    for partition in partitions {
        let mut committed = committed.iter();
        let committed = committed.find(|committed| committed.partition == *partition);
        from.push((
            *partition,
            committed.map_or(0, |committed| committed.offset),
        ));
    }
    from
}

/// Waits for the next record.
pub(super) fn next(log: &impl Log) -> (i64, String) {
    for _ in 0..PATIENCE {
        if let Event::Record(record) = ok(poll(log)) {
            return record;
        }
    }
    panic!("no record came")
}

pub(super) const FIRST: TopicPartition = TopicPartition {
    topic: 0,
    partition: 0,
};

pub(super) fn position(offset: i64, metadata: &str) -> OffsetAndMetadata {
    OffsetAndMetadata {
        partition: FIRST,
        offset,
        metadata: metadata.to_owned(),
    }
}

/// The restored keys and values, in order. Like a stage, it accepts a new assignment during the
/// restore, and then starts over.
pub(super) fn restored(log: &mut impl Log, fixture: &Fixture) -> Vec<(String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for _ in 0..PATIENCE {
        let mut found = Vec::new();
        match log.restore(&fixture.changelog, &[0], &mut |_, key, value| {
            found.push((text(key), value.map(text)));
        }) {
            Ok(()) => return found,
            Err(Fault::Abortable(_)) => {
                ok(log.abort());
                await_assignment(log);
            }
            Err(fault) => panic!("{fault:?}"),
        }
    }
    panic!("no restore ended")
}

pub(super) fn entry(key: &str, value: &str) -> (String, Option<String>) {
    (key.to_owned(), Some(value.to_owned()))
}

pub(super) fn assert_abortable(result: &Result<(), Fault>) {
    assert!(
        matches!(result, Err(Fault::Abortable(Error { .. }))),
        "{result:?}"
    );
}
