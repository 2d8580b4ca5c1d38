//! The producer's loop: take a reading, pace it, send it, commit it with the source's position.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stream::cli::BoxError;
use stream::counters::Counters;
use stream::dead_letter::DeadLetters;
use stream::error::{Error, Result};
use stream::format::Format;
use stream::log::{Fault, Log, Outgoing};
use stream::pipeline::Work;
use stream::process::Process;
use stream::reading::{Reading, Refusal};
use stream::shutdown::Shutdown;
use stream::stage::{BackOff, CommitClock};

use crate::catalog::{self, Context};
use crate::pace::Pace;
use crate::source::{Next, Progress, Source};

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Runs a producer stage until its source ends or it is asked to stop. `from_start` forgets the
/// position of an earlier run; `watch` is told now and then how far the source is.
///
/// # Errors
/// Mistakes in the source's settings, what the source cannot go on from, or what Kafka refuses.
pub fn run(process: &Process<'_>, from_start: bool, watch: &mut dyn FnMut(Option<Progress>)) -> Result<(), BoxError> {
    let Work::Producer { source } = &process.stage.work else { return Err(process.wrong_program().into()) };
    let settings = catalog::read(source).map_err(|mistake| process.mistakes(vec![mistake]))?;
    let folder = process.pipeline.text.folder().to_owned();
    let source = settings.open(&Context { folder, host: process.instance.clone() })?;
    let Some(mut log) = process.open_log(true)? else { return Ok(()) };
    let outputs = process
        .stage
        .to
        .iter()
        .map(|topic| Output { topic: topic.clone(), format: process.pipeline.topic(topic).build_format() });
    let mut producer = Producer {
        pace: Pace::new(source.rate(), Instant::now()),
        clock: CommitClock::new(process.pipeline.commit, Instant::now()),
        back_off: BackOff::new(),
        source,
        outputs: outputs.collect(),
        changelog: process.stage.changelog(),
        dead_letters: DeadLetters::of(process.pipeline, process.stage),
        pending: Pending::default(),
        commits: 0,
        counters: process.counters.clone(),
        shutdown: process.shutdown.clone(),
    };
    match producer.run(&mut log, from_start, watch) {
        Ok(()) | Err(Fault::Stopped) => {}
        Err(Fault::Fatal(error) | Fault::Undo(error)) => return Err(error.into()),
    }
    let Counters { written, dead, .. } = &*process.counters;
    tracing::info!(
        "delivered {} readings to {}, {} dead letters",
        written.get(),
        process.stage.to.join(", "),
        dead.get()
    );
    Ok(())
}

struct Producer {
    source: Box<dyn Source>,
    outputs: Vec<Output>,
    changelog: String,
    dead_letters: DeadLetters,
    pace: Pace,
    clock: CommitClock,
    back_off: BackOff,
    pending: Pending,
    /// How many commits there have been, those of earlier runs among them.
    commits: u64,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

struct Output {
    topic: String,
    format: Box<dyn Format>,
}

/// What was taken from the source since the last commit. A source need not be able to go back, so
/// what has to be sent again is kept here; a commit's size bounds it.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: Vec<Taken>,
}

enum Taken {
    Reading { output: usize, sensor: Range<usize>, value: Range<usize> },
    Bad { place: String, bytes: Range<usize>, refusal: Refusal },
}

impl Pending {
    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}

impl Producer {
    fn run(
        &mut self,
        log: &mut impl Log,
        from_start: bool,
        watch: &mut dyn FnMut(Option<Progress>),
    ) -> Result<(), Fault> {
        if let Some(Saved { commit, position }) = self.saved(log)? {
            self.commits = commit;
            if !from_start {
                self.source.resume(&position).map_err(Fault::Fatal)?;
                tracing::info!("going on behind {position}; --from-start begins anew");
            }
        }
        let mut told = Instant::now();
        loop {
            let more = self.turn(log);
            let more = self.settle(log, more)?;
            if !more || told.elapsed() >= LONGEST_WAIT {
                told = Instant::now();
                watch(self.source.progress());
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes one reading, or waits for one; whether there may be more.
    fn turn(&mut self, log: &mut impl Log) -> Result<bool, Fault> {
        let now = Instant::now();
        let early = self.pace.wait(now);
        // A reading that is not due yet leaves time to commit, as an input that is drained.
        if self.clock.is_due(now) || (!early.is_zero() && self.clock.is_due_when_drained(now)) {
            self.commit(log)?;
        }
        if self.shutdown.is_stopping() {
            self.commit(log)?;
            return Ok(false);
        }
        if !early.is_zero() {
            std::thread::sleep(early.min(LONGEST_WAIT).min(self.clock.wait(now)));
            return Ok(true);
        }
        let first = self.pending.records.len();
        match self.source.next(LONGEST_WAIT.min(self.clock.wait(now))).map_err(Fault::Fatal)? {
            Next::Reading(reading) => {
                self.counters.read.add(1);
                take(&mut self.pending, &self.outputs, &reading);
            }
            Next::Bad { bytes, place, refusal } => {
                let bytes = self.pending.keep(bytes);
                self.pending.records.push(Taken::Bad { place, bytes, refusal });
            }
            Next::NotYet => {
                if self.clock.is_due_when_drained(Instant::now()) {
                    self.commit(log)?;
                }
                return Ok(true);
            }
            Next::End => {
                self.commit(log)?;
                return Ok(false);
            }
        }
        self.pace.took_one();
        self.clock.worked();
        self.send(log, first)?;
        Ok(true)
    }

    /// Sends what is pending from the given record on.
    fn send(&self, log: &impl Log, first: usize) -> Result<(), Fault> {
        let bytes = |range: &Range<usize>| &self.pending.bytes[range.clone()];
        for taken in &self.pending.records[first..] {
            match taken {
                Taken::Reading { output, sensor, value } => {
                    let output = &self.outputs[*output];
                    log.send(&Outgoing {
                        topic: &output.topic,
                        partition: None,
                        timestamp: None,
                        key: output.format.keyed().then(|| bytes(sensor)),
                        value: Some(bytes(value)),
                        headers: &[],
                    })?;
                }
                Taken::Bad { place, bytes: range, refusal } => {
                    self.dead_letters.bury_input(log, place, bytes(range), refusal, &self.counters)?;
                }
            }
        }
        Ok(())
    }

    /// Makes what is pending permanent, together with the source's position behind it.
    fn commit(&mut self, log: &mut impl Log) -> Result<(), Fault> {
        if !self.clock.is_open() {
            return Ok(());
        }
        // Without transactions the position must not get ahead of the readings.
        log.flush()?;
        let saved = json!(Saved { commit: self.commits + 1, position: self.source.position() });
        log.send(&Outgoing {
            topic: &self.changelog,
            partition: Some(0),
            timestamp: None,
            key: Some(POSITION),
            value: Some(saved.to_string().as_bytes()),
            headers: &[],
        })?;
        log.commit(&[])?;
        self.committed();
        Ok(())
    }

    fn committed(&mut self) {
        let readings = self.pending.records.iter().filter(|taken| matches!(taken, Taken::Reading { .. })).count();
        self.counters.written.add(readings as u64);
        self.counters.commits.add(1);
        self.commits += 1;
        self.pending.clear();
        self.clock.committed(Instant::now());
        self.back_off.reset();
    }

    /// Goes on from a turn that failed: what is pending is sent and committed again, unless the commit
    /// that seemed to fail went through.
    fn settle(&mut self, log: &mut impl Log, turn: Result<bool, Fault>) -> Result<bool, Fault> {
        let mut outcome = turn;
        while let Err(Fault::Undo(cause)) = outcome {
            tracing::warn!("sending again what is not committed: {cause}");
            self.counters.rewinds.add(1);
            self.back_off.wait(&self.shutdown)?;
            outcome = self.redo(log).map(|()| true);
        }
        outcome
    }

    fn redo(&mut self, log: &mut impl Log) -> Result<(), Fault> {
        log.rewind()?;
        if self.clock.is_open() && self.saved(log)?.is_some_and(|saved| saved.commit > self.commits) {
            self.committed();
            return Ok(());
        }
        self.send(log, 0)?;
        self.commit(log)
    }

    /// What was committed last.
    fn saved(&self, log: &mut impl Log) -> Result<Option<Saved>, Fault> {
        let mut last = None;
        log.restore(&self.changelog, &[0], &mut |_, _, value| last = value.map(<[u8]>::to_vec))?;
        let Some(last) = last else { return Ok(None) };
        serde_json::from_slice(&last).map(Some).map_err(|error| {
            let error = Error::new(format!("reading the source's position from {}", self.changelog), error);
            Fault::Fatal(error.help("something else has written there: delete the topic to begin anew"))
        })
    }
}

/// The key of the one record that a source's changelog holds.
const POSITION: &[u8] = b"position";

/// That record's value.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Counts the commits. A position alone would not tell whether a commit went through: not every
    /// reading moves it.
    commit: u64,
    /// The source's own.
    position: Value,
}

/// Writes a reading in every output's format; one that a format cannot carry becomes a dead letter.
fn take(pending: &mut Pending, outputs: &[Output], reading: &Reading<'_>) {
    let (bytes_before, records_before) = (pending.bytes.len(), pending.records.len());
    let sensor = pending.keep(reading.sensor.as_bytes());
    for (output, Output { format, .. }) in outputs.iter().enumerate() {
        let start = pending.bytes.len();
        match format.encode(reading, &mut pending.bytes) {
            Ok(()) => {
                let value = start..pending.bytes.len();
                pending.records.push(Taken::Reading { output, sensor: sensor.clone(), value });
            }
            Err(refusal) => {
                pending.bytes.truncate(bytes_before);
                pending.records.truncate(records_before);
                let place = format!("sensor {} reading {}", reading.sensor, reading.seq);
                let bytes = pending.keep(format!("{reading:?}").as_bytes());
                pending.records.push(Taken::Bad { place, bytes, refusal });
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
