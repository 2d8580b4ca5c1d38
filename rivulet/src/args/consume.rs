//! The command line of `rivulet consume`.

use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::ArgValueCompleter;
use rivulet_formats::schema_registry::RegistrySettings;
use rivulet_pipeline::ComponentConfig;

use crate::complete;
use crate::consume::StartAt;
use crate::times::TimeSpan;

#[derive(clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option that takes no value"
)]
pub struct ConsumeArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC", add = ArgValueCompleter::new(complete::topics))]
    pub topics: Vec<String>,
    /// The consumer group to join; without one, all partitions are read and nothing is committed
    #[arg(long, short, value_name = "NAME", conflicts_with = "partition",
          add = ArgValueCompleter::new(complete::groups))]
    pub group: Option<String>,
    /// Where to start: earliest, latest, an offset, a time (RFC 3339), or how long ago, such as 2h.
    /// A group goes on at its committed offsets; earliest and latest are for partitions without one
    #[arg(long, short, value_name = "START", default_value = "earliest")]
    pub from: StartAt,
    /// End when all records have been read
    #[arg(long, short = 'e')]
    pub until_end: bool,
    /// End after so many records
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub limit: Option<u64>,
    /// How many members of the group read at once, in this process
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub members: u32,
    /// Only records with this key
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// Only this partition of each topic
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<i32>,
    /// Whether the records of open and of aborted transactions are read, too
    #[arg(long, value_enum, default_value_t)]
    pub isolation: Isolation,
    /// When the group's offsets are committed: automatically, or never. With --store they are
    /// committed after each record
    #[arg(long, value_enum, default_value_t)]
    pub commit: CommitOption,
    /// Keep each record with its offset in this SQLite database, in one transaction, and go on
    /// after what is in it: no record is in it twice
    #[arg(long, value_name = "FILE", conflicts_with = "members")]
    pub store: Option<PathBuf>,
    /// Keep records without their offsets, and go on where the group has committed: a record that
    /// is stored but not committed is stored again
    #[arg(long, requires_all = ["store", "group"])]
    pub commit_after_store: bool,
    /// Wait between storing a record and committing its offset, so that you have time to kill the
    /// process in between
    #[arg(long, value_name = "SPAN", requires = "store")]
    pub store_delay: Option<TimeSpan>,
    /// Print each record as a JSON object on a line
    #[arg(long, short)]
    pub json: bool,
    /// Print only how many records there are
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// The schema registry that has the schemas of Avro records: its URL, or settings as in a
    /// pipeline file, such as 'url = "…", api-key-file = "…"'. By default that of the topic's
    /// format in the pipeline file
    #[arg(long, value_name = "URL|TOML", value_parser = registry)]
    pub registry: Option<RegistrySettings>,
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Isolation {
    /// Only those of committed transactions
    #[default]
    ReadCommitted,
    /// All
    ReadUncommitted,
}

/// When offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CommitOption {
    /// Every five seconds and at the end, for records that were printed
    #[default]
    Auto,
    /// Never
    Never,
}

pub const EXAMPLES: &str = "Examples:
  rivulet consume readings --brokers localhost:9092 --until-end
  rivulet consume readings --group lesson --members 2 --quiet      # each member is counted
  rivulet consume readings --from 2h --key sensor0 --json | jq .value
  rivulet consume readings --group drill --store readings.db       # none is stored twice";

/// Parses the settings of a schema registry, or its URL.
pub(super) fn registry(text: &str) -> Result<RegistrySettings, String> {
    let settings = if text.contains('=') {
        format!("registry = {{ {text} }}")
    } else {
        format!("registry = {{ url = {text:?} }}")
    };
    let settings = ComponentConfig::parse(&settings).map_err(|error| error.to_string())?;
    settings.settings().map_err(|error| error.to_string())
}
