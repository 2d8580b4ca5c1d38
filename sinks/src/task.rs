//! The task of a sink stage: [`SinkTask`].

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use rivulet_core::dead_letter::{self, DeadLetters};
use rivulet_core::error::Result;
use rivulet_core::format::{DecodeError, Format};
use rivulet_core::log::{Fault, Log, Record, Rejection, TopicPartition};
use rivulet_core::metrics::Metrics;
use rivulet_core::processing::InputTopic;
use rivulet_core::readings::Readings;
use rivulet_core::rules::OnGap;
use rivulet_core::stage::{Assignment, Task, gap_error};
use rivulet_pipeline::{Pipeline, Stage};

use crate::sink::{Delivery, Failure, Sink};

/// The task of a sink stage: decodes records and passes them to the sink.
pub struct SinkTask {
    stage: String,
    sink: Box<dyn Sink>,
    /// The names of the topics that are read.
    inputs: Vec<String>,
    /// Their formats.
    formats: Vec<Box<dyn Format>>,
    /// Whether the stage ends at a gap.
    stops_at_gap: bool,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
    /// Since when the sink cannot store readings.
    paused: Option<Instant>,
}

impl SinkTask {
    /// The task of `stage`, which passes what is in `inputs` to `sink`.
    #[must_use]
    pub fn new(
        pipeline: &Pipeline,
        stage: &Stage,
        inputs: Vec<InputTopic>,
        sink: Box<dyn Sink>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (inputs, formats) = inputs
            .into_iter()
            .map(|input| (input.name, input.format))
            .unzip();
        SinkTask {
            stage: stage.name.clone(),
            sink,
            inputs,
            formats,
            stops_at_gap: stage.rules.on_gap == Some(OnGap::Stop),
            dead_letters: pipeline.dead_letters(stage),
            metrics,
            paused: None,
        }
    }

    /// Finishes the sink when the stage has ended.
    ///
    /// # Errors
    /// What the sink cannot finish.
    pub fn finish(&mut self) -> Result<()> {
        self.sink.finish()
    }

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
        let readings = match self.formats[incoming.topic].decode(&incoming) {
            Ok(Readings::None) => {
                self.metrics.skipped.add(1);
                return Ok(());
            }
            Ok(readings) => readings,
            Err(DecodeError::Unavailable(error)) => return Err(Fault::Abortable(error)),
            Err(DecodeError::Invalid(invalid)) => {
                return self
                    .dead_letters
                    .route(log, topic, &incoming, &record.headers(), &invalid);
            }
        };
        let count = readings.as_slice().len() as u64;
        let delivery = Delivery {
            topic,
            partition: incoming.partition,
            offset: incoming.offset,
            timestamp: incoming.timestamp,
            key: incoming.key,
            readings: readings.as_slice(),
        };
        self.sink
            .write(&delivery)
            .map_err(|failure| self.fault(failure))?;
        self.metrics.written.add(count);
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
        self.dead_letters.committed(&self.metrics);
    }

    fn on_idle(&mut self) -> Result<(), Fault> {
        self.sink.tick(Instant::now()).map_err(Fault::Fatal)
    }
}
