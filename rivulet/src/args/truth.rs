//! The command line of `rivulet truth`.

use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::ArgValueCompleter;
use rivulet_formats::schema_registry::RegistrySettings;
use rivulet_verify::experiment::ResultKind;

use super::consume::registry;
use crate::complete;
use crate::times::TimeBound;
use crate::truth::FieldOption;

const EXAMPLES: &str = "Examples:
  rivulet truth producer.json.log.*                      # what the log says, as JSON
  rivulet truth producer.json.log.2026-11-29 --since 1h  # the experiments of the last hour
  rivulet truth producer.json.log.* --compare experiment --brokers localhost:9092
  rivulet truth producer.json.log.* --results-topic notifications --field event=/notification_type
  rivulet truth producer.json.log.* --results averages.jsonl --field average=/mean
  rivulet truth producer.json.log.* --results team7.jsonl --json | jq .is_clean";

/// Show the ground truth of experiments, or compare it with a topic or with somebody's results
///
/// The ground truth log is what the producer of experiments writes. Without --compare and
/// --results, each experiment is a banner and a JSON array: its stages, averages and range events.
/// With them, the exit status is 1 if anything differs from the log. A line that is none of a log
/// is a warning with its file and number, and the rest counts.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct TruthArgs {
    /// The logs, in any order: a run past midnight has two
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// Only the experiments with a stage line at this time or later: RFC 3339, or how long ago,
    /// such as 2h
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeBound>,

    #[command(flatten, next_help_heading = "What to compare with")]
    pub with: WithArgs,
    #[command(flatten, next_help_heading = "How to compare")]
    pub how: HowArgs,
}

#[derive(clap::Args)]
pub struct WithArgs {
    /// The topic of the experiments: averages and range events are computed again from its
    /// messages. Each message takes 16 bytes of memory, and each measurement some 400
    #[arg(long, value_name = "TOPIC", group = "with",
          add = ArgValueCompleter::new(complete::topics))]
    pub compare: Option<String>,
    /// A file of results: a JSON object a line, with the id of the measurement and its average, its
    /// range event, or both
    #[arg(long, value_name = "FILE", group = "with")]
    pub results: Option<PathBuf>,
    /// A topic of results: JSON or Avro
    #[arg(long, value_name = "TOPIC", group = "with",
          add = ArgValueCompleter::new(complete::topics))]
    pub results_topic: Option<String>,
}

#[derive(clap::Args)]
pub struct HowArgs {
    /// Where a part of a result is, such as average=/mean: a name, or a JSON pointer. The parts are
    /// measurement, average, event and experiment. By default they are at `/measurement_id`,
    /// `/average`, `/event` and `/experiment_id`, or where this command prints them itself. A
    /// result needs the id of its measurement: a time does not say which one it is about
    #[arg(
        long = "field",
        value_name = "PART=PLACE",
        requires = "with",
        conflicts_with = "compare"
    )]
    pub fields: Vec<FieldOption>,
    /// What the results must have of every measurement; by default what they have of any
    #[arg(
        long,
        value_enum,
        value_name = "KIND,…",
        value_delimiter = ',',
        requires = "with",
        conflicts_with = "compare"
    )]
    pub require: Vec<RequireOption>,
    /// How much two averages may differ: 32-bit sums depend on their order. The producer keeps
    /// averages 0.01 away from the thresholds, so less changes no range event
    #[arg(long, value_name = "DEGREES", default_value = "0.01", value_parser = tolerance)]
    pub tolerance: f64,
    /// How many differences are shown; all are counted
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub show: usize,
    /// Print the outcome as JSON
    #[arg(long, requires = "with")]
    pub json: bool,
    /// The schema registry that has the schemas of Avro results, as for `rivulet consume`
    #[arg(long, value_name = "URL|TOML", requires = "results_topic", value_parser = registry)]
    pub registry: Option<RegistrySettings>,
}

/// What results must have of every measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequireOption {
    /// Its average
    Averages,
    /// Its range event, if there is one
    Events,
}

impl From<RequireOption> for ResultKind {
    fn from(option: RequireOption) -> Self {
        match option {
            RequireOption::Averages => ResultKind::Averages,
            RequireOption::Events => ResultKind::Events,
        }
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "write a number from 0, such as 0.01".to_owned())
}
