//! A sink put into the stage loop.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use stream::cli::BoxError;
use stream::counters::Counters;
use stream::dead_letter::DeadLetters;
use stream::format::Format;
use stream::log::{Fault, Log, Partition, Record};
use stream::pipeline;
use stream::process::Process;
use stream::stage::Work;

use crate::catalog::{self, Context};
use crate::sink::{Delivery, Failure, Sink};

/// Runs a sink stage until it is asked to stop; what it shows goes to `output`.
///
/// # Errors
/// Mistakes in the sink's settings, what it cannot show or keep, or what Kafka refuses.
pub fn run(process: &Process<'_>, output: Box<dyn Write + Send>) -> Result<(), BoxError> {
    let stage = process.stage;
    let pipeline::Work::Sink { sink } = &stage.work else { return Err(process.wrong_program().into()) };
    let settings = catalog::read(sink, &stage.from).map_err(|mistake| process.mistakes(vec![mistake]))?;
    let folder = process.pipeline.text.folder().to_owned();
    let sink = settings.open(Context { folder, stage: stage.name.clone(), topics: stage.from.clone(), output })?;
    let Some(log) = process.open_log(false)? else { return Ok(()) };
    let inputs = stage.from.iter().map(|topic| (topic.clone(), process.pipeline.topic(topic).build_format()));
    let work = Delivering {
        sink,
        inputs: inputs.collect(),
        dead_letters: DeadLetters::of(process.pipeline, stage),
        counters: process.counters.clone(),
        paused: None,
    };
    let mut work =
        stream::stage::run(log, work, process.pipeline.commit_policy(), &process.shutdown, &process.counters)?;
    work.sink.finish()?;
    Ok(())
}

/// The work of a sink stage: decode, hand over.
struct Delivering {
    sink: Box<dyn Sink>,
    inputs: Vec<(String, Box<dyn Format>)>,
    dead_letters: DeadLetters,
    counters: Arc<Counters>,
    /// Since when the sink cannot keep readings, if that is so.
    paused: Option<Instant>,
}

impl Delivering {
    /// What will pass is a reason to go back to the last commit and try again, like a broker that is away.
    fn fault(&mut self, failure: Failure) -> Fault {
        match failure {
            Failure::Passing(error) => {
                self.paused.get_or_insert_with(Instant::now);
                Fault::Undo(error)
            }
            Failure::Lasting(error) => Fault::Fatal(error),
        }
    }
}

impl<L: Log> Work<L> for Delivering {
    fn given(&mut self, _: &mut L, _: &[Partition]) -> Result<(), Fault> {
        Ok(())
    }

    fn forget(&mut self) {
        self.sink.rollback();
    }

    fn record(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault> {
        let incoming = record.incoming();
        let (topic, format) = &self.inputs[incoming.topic];
        let reading = match format.decode(&incoming) {
            Ok(reading) => reading,
            Err(refusal) => {
                return self.dead_letters.bury(log, topic, &incoming, &record.headers(), &refusal, &self.counters);
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
        self.sink.write(&delivery).map_err(|failure| self.fault(failure))?;
        self.counters.written.add(1);
        Ok(())
    }

    fn before_commit(&mut self, _: &mut L) -> Result<(), Fault> {
        self.sink.flush().map_err(|failure| self.fault(failure))?;
        if let Some(since) = self.paused.take() {
            tracing::info!("keeping readings again after {:.1} s", since.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), Fault> {
        self.sink.tick(Instant::now()).map_err(Fault::Fatal)
    }
}
