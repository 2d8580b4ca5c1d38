//! The demo: a whole pipeline in one process, shown live until all records are processed.

mod progress;
mod screen;
mod stages;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::CheckedPipeline;
use crate::{print, terminal};
use rivulet_core::error::Result;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::EmbeddedBroker;
use rivulet_node::cli::BoxError;
use rivulet_pipeline::Topic;

use self::progress::Progress;
use self::stages::DemoStages;

/// How often the end is checked.
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
/// stops after the stages before it. Meanwhile a terminal shows them. Then the results of the
/// comparisons are printed. `asks_groups`: the brokers can tell of consumer groups.
///
/// # Errors
/// Those of the stages, or if it was asked to stop before the end.
pub fn run(
    pipeline: &CheckedPipeline<'_>,
    instance: &str,
    asks_groups: bool,
    shutdown: &Shutdown,
) -> Result<(), BoxError> {
    let is_at_terminal = terminal::is_there();
    if is_at_terminal {
        shutdown.on_exit(terminal::restore);
    }
    let compared = thread::scope(|scope| {
        let mut stages = DemoStages::start(scope, pipeline, instance, is_at_terminal);
        let mut failure = None;
        if is_at_terminal {
            match screen::show(pipeline, instance, asks_groups, &mut stages, shutdown) {
                Ok(false) => (),
                Ok(true) => shutdown.stop(),
                Err(error) => {
                    failure = Some(error);
                    shutdown.stop();
                }
            }
        }
        let mut progress = Progress::new();
        while stages.go_on(shutdown) {
            thread::sleep(TICK);
            progress.print(&stages);
        }
        let compared = stages.compared()?;
        match failure {
            Some(failure) => Err(failure),
            None if shutdown.is_stopping() => {
                Err("stopped before all records were processed".into())
            }
            None => Ok(compared),
        }
    })?;
    for table in compared {
        print::line(format_args!("\n{table}"))?;
    }
    Ok(())
}
