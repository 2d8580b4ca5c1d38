//! Running a sink stage.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use stream::cli::BoxError;
use stream::counters::Counters;
use stream::dead_letter::{self, DeadLetters};
use stream::format::Format;
use stream::log::{Fault, Log, Record, Rejection, TopicPartition};
use stream::pipeline::{self, Diagnostic, OnGap, Pipeline, Stage, StageKind, Unread};
use stream::process::Process;
use stream::stage::{Assignment, Task, gap_error};

use crate::catalog::{self, SinkContext};
use crate::sink::{Delivery, Failure, Sink};

/// Checks the sink of a stage that is one; see [`CheckStage`].
///
/// [`CheckStage`]: stream::pipeline::CheckStage
#[must_use]
pub fn check(_: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
    let table = stage.table();
    let StageKind::Sink { sink } = &stage.kind else {
        return Vec::new();
    };
    if unread.has(&table, "sink") {
        return Vec::new();
    }
    let settings = if unread.has(&table, "from") {
        stream::catalog::read(catalog::CATALOG, "sink", sink)
    } else {
        catalog::read(sink, &stage.from)
    };
    settings.err().into_iter().flatten().collect()
}

/// Runs a sink stage until it is asked to stop; what it shows goes to `output`.
///
/// # Errors
/// Errors in the sink's settings, what it cannot show or keep, or what Kafka refuses.
pub fn run(process: &Process<'_>, output: Box<dyn Write + Send>) -> Result<(), BoxError> {
    let stage = process.stage;
    let pipeline::StageKind::Sink { sink } = &stage.kind else {
        return Err(process.wrong_program().into());
    };
    let settings = catalog::read(sink, &stage.from)?;
    let folder = process.pipeline.text.folder().to_owned();
    let sink = settings.open(SinkContext {
        folder,
        stage: stage.name.clone(),
        topics: stage.from.clone(),
        output,
    })?;
    let Some(log) = process.open_log()? else {
        return Ok(());
    };
    let formats = stage
        .from
        .iter()
        .map(|topic| process.pipeline.topic(topic).build_format());
    let task = SinkTask {
        stage: stage.name.clone(),
        sink,
        inputs: stage.from.clone(),
        formats: formats.collect(),
        stops_at_gap: stage.rules.on_gap == Some(OnGap::Stop),
        dead_letters: DeadLetters::of(process.pipeline, stage),
        counters: process.counters.clone(),
        paused: None,
    };
    let mut task = stream::stage::run(
        log,
        task,
        process.pipeline.commit_policy(),
        &process.shutdown,
        &process.counters,
    )?;
    task.sink.finish()?;
    Ok(())
}

/// The task of a sink stage: decodes records and passes them to the sink.
struct SinkTask {
    stage: String,
    sink: Box<dyn Sink>,
    /// The names of the topics that are read.
    inputs: Vec<String>,
    /// Their formats.
    formats: Vec<Box<dyn Format>>,
    /// Whether the stage ends at a gap.
    stops_at_gap: bool,
    dead_letters: DeadLetters,
    counters: Arc<Counters>,
    /// Since when the sink cannot store readings.
    paused: Option<Instant>,
}

impl SinkTask {
    /// A failure that may pass aborts the transaction and is retried, as with an unreachable
    /// broker.
    fn fault(&mut self, failure: Failure) -> Fault {
        match failure {
            Failure::Passing(error) => {
                self.paused.get_or_insert_with(Instant::now);
                Fault::Abortable(error)
            }
            Failure::Lasting(error) => Fault::Fatal(error),
        }
    }
}

impl<L: Log> Task<L> for SinkTask {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn restore(&mut self, _: &mut L, assignments: &[Assignment]) -> Result<(), Fault> {
        for assignment in assignments {
            let topic = &self.inputs[assignment.partition.topic];
            assignment.check_end(&self.stage, topic)?;
            let Some(gap) = assignment.gap().filter(|_| self.stops_at_gap) else {
                continue;
            };
            return Err(Fault::Fatal(gap_error(
                &self.stage,
                topic,
                assignment.partition.partition,
                &gap,
            )));
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.sink.rollback();
        self.dead_letters.rolled_back();
    }

    fn process_gap(
        &mut self,
        log: &L,
        partition: TopicPartition,
        offsets: Range<i64>,
    ) -> Result<(), Fault> {
        let topic = &self.inputs[partition.topic];
        self.dead_letters
            .route_gap(log, topic, partition.partition, &offsets)
    }

    fn process_rejected(
        &mut self,
        log: &L,
        record: &L::Record<'_>,
        rejections: &[Rejection],
    ) -> Result<(), Fault> {
        let incoming = record.fields();
        let topic = &self.inputs[incoming.topic];
        let invalid = dead_letter::rejected(rejections);
        self.dead_letters.route_truncated(
            log,
            topic,
            &incoming,
            &record.headers(),
            &invalid,
            rejections.len(),
        )
    }

    fn process(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault> {
        let incoming = record.fields();
        let topic = &self.inputs[incoming.topic];
        let reading = match self.formats[incoming.topic].decode(&incoming) {
            Ok(reading) => reading,
            Err(invalid) => {
                return self
                    .dead_letters
                    .route(log, topic, &incoming, &record.headers(), &invalid);
            }
        };
        let delivery = Delivery {
            topic,
            partition: incoming.partition,
            offset: incoming.offset,
            timestamp: incoming.timestamp,
            key: incoming.key,
            reading: &reading,
        };
        self.sink
            .write(&delivery)
            .map_err(|failure| self.fault(failure))?;
        self.counters.written.add(1);
        Ok(())
    }

    fn prepare_commit(
        &mut self,
        _: &mut L,
        _: &[(TopicPartition, i64)],
        _: bool,
    ) -> Result<(), Fault> {
        self.sink.flush().map_err(|failure| self.fault(failure))?;
        if let Some(since) = self.paused.take() {
            tracing::info!(
                "storing readings again after {:.1} s",
                since.elapsed().as_secs_f64()
            );
        }
        Ok(())
    }

    fn on_committed(&mut self) {
        self.dead_letters.committed(&self.counters);
    }

    fn on_idle(&mut self) -> Result<(), Fault> {
        self.sink.tick(Instant::now()).map_err(Fault::Fatal)
    }
}
