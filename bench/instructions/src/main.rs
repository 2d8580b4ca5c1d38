//! Runs the stage loop and one operator on records in memory: `instructions STEP RECORDS`.
//!
//! `make instructions` counts the instructions of two such runs. There is no Kafka and no clock in
//! them, so the count is the same on each run.

mod log;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use rivulet_core::dead_letter::DeadLetters;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::metrics::Metrics;
use rivulet_core::processing::{InputTopic, OutputTopic, Processing, ProcessingConfig};
use rivulet_core::rules::Rules;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::{self, CommitPolicy};
use rivulet_formats::catalog::json::JsonFormat;
use rivulet_operators::Chain;
use rivulet_pipeline::ComponentConfig;

use self::log::MemoryLog;

const STAGE: &str = "measured";
/// More than any record and any state has here.
const PLENTY: usize = 1 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let [step, records] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: instructions STEP RECORDS")?;
    let chain = Chain::build(&[ComponentConfig::parse(&step)?]).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })?;
    let policy = CommitPolicy::default();
    let metrics = Arc::new(Metrics::default());
    let task = Processing::new(
        ProcessingConfig {
            stage: STAGE.to_owned(),
            inputs: vec![InputTopic {
                name: "input".to_owned(),
                format: Box::new(JsonFormat::default()),
            }],
            outputs: vec![OutputTopic {
                name: "output".to_owned(),
                format: Box::new(JsonFormat::default()),
                largest_record: PLENTY,
            }],
            changelog: "changelog".to_owned(),
            dead_letters: DeadLetters::new(STAGE, "dead-letters".to_owned(), PLENTY),
            rules: Rules::default(),
            guarantee: Guarantee::ExactlyOnce,
            commit_records: policy.records,
            state_bytes: PLENTY as u64,
        },
        Box::new(chain),
        metrics.clone(),
    );
    let shutdown = Shutdown::new();
    shutdown.drain();
    let log = MemoryLog::new(records.parse()?);
    stage::run(log, task, policy, &shutdown, &metrics)?;
    println!(
        "{} records read, {} written, {} commits",
        metrics.read.get(),
        metrics.written.get(),
        metrics.commits.get()
    );
    Ok(())
}
