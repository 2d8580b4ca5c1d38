//! The demo: a whole pipeline in one process, shown live until all records are processed.

mod screen;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::CheckedPipeline;
use crate::print;
use rivulet_core::error::Result;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::EmbeddedBroker;
use rivulet_node::cli::BoxError;
use rivulet_pipeline::{Stage, StageKind, Topic};

use self::screen::Screen;
use crate::run::Running;

/// How often the screen is drawn and the end is checked.
const TICK: Duration = Duration::from_millis(100);

/// Creates the topics of a pipeline on an embedded broker, and changes it to use that broker.
///
/// # Errors
/// If a topic cannot be created.
pub fn adopt(
    broker: &EmbeddedBroker,
    pipeline: &mut CheckedPipeline<'_>,
    topics: &BTreeMap<String, Topic>,
) -> Result<()> {
    for (name, topic) in topics {
        broker.create_topic(name, topic.partitions)?;
    }
    // The embedded broker has neither TLS nor passwords.
    pipeline.kafka.retain(|name, _| {
        !["security.", "ssl.", "sasl."]
            .iter()
            .any(|start| name.starts_with(start))
    });
    pipeline
        .kafka
        .insert("bootstrap.servers".into(), broker.brokers());
    // Readers see the records of open transactions there.
    pipeline.guarantee = Guarantee::AtLeastOnce;
    Ok(())
}

/// Runs every stage until the sources have ended and all records are processed. A stage drains and
/// stops after the stages before it. Then the results of the comparisons are printed.
///
/// # Errors
/// Those of the stages, or if it was asked to stop before the end.
pub fn run(
    pipeline: &CheckedPipeline<'_>,
    instance: &str,
    shutdown: &Shutdown,
) -> Result<(), BoxError> {
    let order = pipeline.in_order();
    let shown: Vec<(&Stage, Shown)> = order
        .iter()
        .map(|stage| (*stage, Shown::default()))
        .collect();
    thread::scope(|scope| {
        let mut screen = Screen::new(&order);
        let mut running: Vec<Option<Running<'_, '_>>> = shown
            .iter()
            .map(|(stage, shown)| {
                Some(Running::start(
                    scope,
                    pipeline,
                    stage,
                    instance,
                    false,
                    Box::new(shown.clone()),
                ))
            })
            .collect();
        let metrics: Vec<_> = running
            .iter()
            .flatten()
            .map(|running| running.metrics.clone())
            .collect();
        let mut failure = None;
        let mut last = Instant::now();
        while let Some(first) = running.iter().position(Option::is_some) {
            if shutdown.is_stopping() || failure.is_some() {
                running
                    .iter()
                    .flatten()
                    .for_each(|running| running.shutdown.stop());
            }
            // All stages before the first running one have ended: its inputs are complete.
            if let Some(next) = &running[first]
                && !matches!(next.stage.kind, StageKind::Producer { .. })
            {
                next.shutdown.drain();
            }
            for slot in &mut running {
                if let Some(ended) = slot.take_if(|running| running.is_finished())
                    && let Err(error) = ended.join()
                {
                    failure.get_or_insert(error);
                }
            }
            thread::sleep(TICK.saturating_sub(last.elapsed()));
            last = Instant::now();
            let stages = metrics.iter().zip(&running).zip(&shown);
            screen.draw(stages.map(|((metrics, running), (_, shown))| {
                (&**metrics, running.is_some(), shown.last_line())
            }));
        }
        screen.close();
        match failure {
            Some(failure) => Err(failure),
            None if shutdown.is_stopping() => {
                Err("stopped before all records were processed".into())
            }
            None => Ok(()),
        }
    })?;
    for (stage, shown) in &shown {
        if let StageKind::Sink { sink } = &stage.kind
            && sink.name() == "compare"
        {
            print::line(format_args!("\n{}", shown.text()))?;
        }
    }
    Ok(())
}

/// The output of a sink, kept for the screen.
#[derive(Debug, Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

/// How many bytes of the output are kept: all of a table, the last lines of a list of readings.
const KEPT: usize = 256 * 1024;

impl Shown {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    fn last_line(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = bytes
            .iter()
            .rposition(|byte| *byte != b'\n')
            .map_or(0, |at| at + 1);
        let start = bytes[..end]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        String::from_utf8_lossy(&bytes[start..end]).into_owned()
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        if kept.len() > 2 * KEPT {
            let cut = kept.len() - KEPT;
            kept.drain(..cut);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
