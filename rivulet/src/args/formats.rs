//! The command line of `rivulet formats`.

use clap::Subcommand;
use rivulet_core::unit::Unit;

#[derive(Subcommand)]
pub enum FormatsCommand {
    /// Show what a format makes of records, one by one
    ///
    /// A file is a JSON array, one JSON value, JSON lines or an Avro object container file. A topic
    /// needs brokers, and its own format is tried by default. The exit status is 65 if no record
    /// has a reading.
    #[command(after_help = "Examples:
  rivulet formats try sample.json --format 'json = { sensor = \"/id\", value = \"/t\" }'
  rivulet formats try greenhouse            # with its format in the pipeline file
  rivulet formats try greenhouse --format number --records 3 --brokers localhost:9092")]
    Try {
        /// The file, or the topic if there is no such file
        #[arg(value_name = "FILE|TOPIC")]
        from: String,
        /// The format, as in a pipeline file
        #[arg(long, value_name = "TOML")]
        format: Option<String>,
        /// The topic's unit
        #[arg(long)]
        unit: Option<Unit>,
        /// How many records at most
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        records: usize,
    },
    /// Propose the mapping of JSON messages, as a table to paste into a pipeline file
    ///
    /// It looks at the names and the values of all fields. Check what it proposes: it only knows
    /// the sample.
    #[command(after_help = "Examples:
  rivulet formats guess sample.json
  rivulet formats guess sample.json >> pipeline.toml
  rivulet formats guess greenhouse --brokers localhost:9092")]
    Guess {
        /// The file, or the topic if there is no such file
        #[arg(value_name = "FILE|TOPIC")]
        from: String,
        /// How many records at most
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        records: usize,
    },
}
