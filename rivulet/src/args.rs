//! The command line.

mod consume;
mod dlq;
mod experiment;
mod formats;
mod groups;
mod live;
mod look;
mod produce;
mod state;
mod topics;
mod truth;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use rivulet_node::cli::Common;
use rivulet_node::observe::ObserveArgs;

pub use self::consume::{CommitOption, ConsumeArgs, Isolation};
use self::dlq::DLQ_EXAMPLES;
pub use self::dlq::{Confirmation, DlqCommand};
pub use self::experiment::ExperimentArgs;
pub use self::formats::FormatsCommand;
pub use self::groups::{GroupsArgs, LagOption};
pub use self::live::{ReportArgs, TopArgs, WebArgs};
pub use self::look::{PlotArgs, TapArgs};
pub use self::produce::{KeyArgs, ProduceArgs, TransactionArgs};
pub use self::state::StateCommand;
pub use self::topics::TopicsCommand;
pub use self::truth::TruthArgs;

/// Chains of small stream operators over Kafka: check, run, watch and verify them
#[derive(Parser)]
#[command(name = "rivulet", version, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,

    /// How long to wait for the first answer of a broker; by default 10, and less than 2 if none
    /// takes a connection
    #[arg(long, value_name = "SECONDS", global = true)]
    timeout: Option<u64>,

    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// How long to wait for the first answer of a broker.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a whole pipeline in this process and verify its results
    ///
    /// Without --brokers it runs on an embedded broker. That has no transactions, so the pipeline
    /// runs at-least-once. With --brokers it runs on that Kafka, with the guarantee of the
    /// pipeline.
    #[command(after_help = "Examples:
  rivulet demo --pipeline config/chain.toml
  rivulet demo --pipeline config/fused.toml     # two stages, the same results
  rivulet demo --pipeline config/chain.toml --brokers localhost:9092   # exactly-once")]
    Demo,
    /// Show every error in a pipeline file, or draw the pipeline
    #[command(after_help = "Examples:
  rivulet check config/chain.toml
  rivulet check config/chain.toml --json          # stages and digests, for deployments
  rivulet check --schema > pipeline.schema.json   # for editors: #:schema ./pipeline.schema.json")]
    Check {
        /// The pipeline file; by default that of --pipeline
        file: Option<PathBuf>,
        /// As JSON, for deployments: the stages in the order in which data flows, each with the
        /// program that runs it, whether it keeps state of sensors, and a digest that changes when
        /// anything in the file changes that concerns its process
        #[arg(long)]
        json: bool,
        /// Print the JSON Schema of pipeline files, for editors; no file is read
        #[arg(long, conflicts_with_all = ["file", "json"])]
        schema: bool,
    },
    /// Read topics and show their records
    ///
    /// It needs no pipeline file. Each record is a line: key, topic, partition, offset, timestamp,
    /// headers and value. Avro is decoded, and bytes that are not text are in hexadecimal. What is
    /// not a record goes to standard error: assigned partitions, a count every 1000 records, and
    /// the sum.
    #[command(after_help = consume::EXAMPLES)]
    Consume(Box<ConsumeArgs>),
    /// List what a pipeline file can name: sources, operators, sinks and formats
    ///
    /// Each has its settings, their defaults and an example. The output is Markdown. No file is
    /// read.
    #[command(after_help = "Examples:
  rivulet catalog                           # everything
  rivulet catalog ewma
  rivulet catalog sqlite | less")]
    Catalog {
        /// Only the one of this name
        name: Option<String>,
    },
    /// Try a format on a sample of records, or guess the mapping of somebody else's messages
    #[command(subcommand)]
    Formats(FormatsCommand),
    Produce(Box<ProduceArgs>),
    Experiment(Box<ExperimentArgs>),
    /// Run stages in this process, one thread each
    ///
    /// They run until they are asked to stop, as on nodes.
    #[command(after_help = "Examples:
  rivulet run convert threshold             # these two
  rivulet run --all                         # the whole pipeline
  rivulet run --all --memory-max '64 MB'
  rivulet run --all --metrics 9464          # and curl 127.0.0.1:9464/readyz")]
    Run {
        /// The stages to run
        #[arg(required_unless_present = "all")]
        stages: Vec<String>,
        /// Run every stage of the file
        #[arg(long, conflicts_with = "stages")]
        all: bool,
        #[command(flatten)]
        observe: ObserveArgs,
    },
    /// Create, show, watch, empty or delete topics: those of the pipeline, or any
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show the consumer groups of the stages: members, assigned partitions and lag
    ///
    /// The exit status is 1 unless every group has members, all partitions assigned and no lag. The
    /// lag counts committed records after the committed offset, without transaction markers; a
    /// large one, with `~`, counts offsets.
    ///
    /// With --watch each look says where the lag goes: `grows 30/s`, `drains in 12 s` or `steady`.
    /// The rate is the slope of the line through the lags of the last 10 seconds (least squares),
    /// or of those since the lag turned. A lag is steady if all that was there 2 seconds ago has
    /// been read, or if the line changes by less than three times the standard deviation of the
    /// lags around it. At a terminal the table is drawn again each time, elsewhere tables follow
    /// one another. Brokers that go away are said once, and watching goes on.
    ///
    /// With --targets each process is asked for its `/readyz`, so producers are shown, too. A
    /// process is not reachable if it does not answer within a second. That changes nothing about
    /// the exit status.
    Groups(Box<GroupsArgs>),
    /// Show how the two branches differ, live
    ///
    /// It shows the table of the sink `compare`, from the first records on, without a consumer
    /// group. It commits nothing and leaves nothing on the cluster, so any number of people can use
    /// it at once, whether the sink runs or not. At a terminal the table is updated as readings
    /// arrive. Ctrl-C ends it.
    #[command(after_help = "Examples:
  rivulet compare                           # the sink `compare` of the pipeline file
  rivulet compare --once                    # the records so far
  rivulet compare temperatures_ewma temperatures_moving_average --latest")]
    Compare(CompareArgs),
    /// Watch the pipeline in the terminal: its stages, and the two branches over one another
    ///
    /// Each stage has its node, its state, records in and out a second, its lag and where that
    /// goes, the latency from end to end, commits and memory. Below, the input, the EWMA and the
    /// moving average of a sensor are drawn over one another, with their comparison. It reads
    /// Kafka, and with --targets the metrics of the processes. Nothing is changed, and no group is
    /// joined. Keys: ? shows them, q ends it.
    Top(Box<TopArgs>),
    /// Watch the pipeline on a page: its graph, charts, the comparison, lag and dead letters
    ///
    /// Everything on the page comes from this program: it works without an internet. The page can
    /// change nothing. It is for this machine only, unless you name another address: then it asks
    /// for a token, which is in the address that the command prints.
    Web(Box<WebArgs>),
    /// Write the comparison of a run as one HTML file, and as CSV
    ///
    /// The file has the pipeline, charts, the comparison, the verdict of `rivulet verify`, versions
    /// and dates. It opens without an internet, and prints.
    Report(Box<ReportArgs>),
    /// Show what a stage read beside what it made of it
    ///
    /// Each record of the inputs is a line with its outputs: the same record, converted; dropped;
    /// or a dead letter, with the reason. Without --last it shows new records until Ctrl-C. It
    /// joins no group, and changes nothing.
    Tap(Box<TapArgs>),
    /// Draw the sensors of any topics live
    ///
    /// Up to eight series are drawn, 1000 points each, in the order of event time. It needs no
    /// pipeline file; a topic of the file has its format. With --group it commits what it has
    /// drawn, and goes on there.
    Plot(Box<PlotArgs>),
    /// Show the state of stages, check it, keep it with new settings, reset or forget it
    #[command(subcommand)]
    State(StateCommand),
    /// List, show, replay or drop dead letters
    #[command(subcommand, after_help = DLQ_EXAMPLES)]
    Dlq(DlqCommand),
    /// Compute what the output topics must hold, and compare it with what they hold
    ///
    /// The expected readings are computed from the first topics of the pipeline, by code that
    /// shares nothing with the operators. The exit status is 1 if a reading is missing, extra,
    /// wrong or out of order, or if something cannot be verified: because retention has deleted its
    /// input, because the order of readings is not defined, or because inputs were read again after
    /// a reset.
    #[command(after_help = "Examples:
  rivulet verify
  rivulet verify --allow-duplicates         # for an at-least-once pipeline
  rivulet verify --allow-unverifiable; echo $?")]
    Verify {
        /// Count repeated readings with the same value, but not as errors
        #[arg(long)]
        allow_duplicates: bool,
        /// Report what cannot be verified, but not as an error
        #[arg(long)]
        allow_unverifiable: bool,
    },
    Truth(Box<TruthArgs>),
    /// Print what a shell needs to complete commands, options, topics and groups
    ///
    /// Topics and groups are asked for when you press Tab, if a broker answers within a second.
    #[command(after_help = "Examples:
  source <(rivulet completions bash)        # in ~/.bashrc
  source <(rivulet completions zsh)         # in ~/.zshrc
  rivulet completions fish | source")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page: `rivulet man | man -l -`
    #[command(after_help = "Examples:
  rivulet man | man -l -
  rivulet man > rivulet.1
  rivulet man | sudo tee /usr/local/share/man/man1/rivulet.1 > /dev/null")]
    Man,
}

#[derive(clap::Args)]
pub struct CompareArgs {
    /// The sink, if the file has several, or the topic of the EWMA
    #[arg(value_name = "SINK|TOPIC")]
    pub first: Option<String>,
    /// The topic of the moving average
    #[arg(value_name = "TOPIC")]
    pub second: Option<String>,
    /// The input topic of both operators, instead of that of the sink
    #[arg(long, value_name = "TOPIC")]
    pub input: Option<String>,
    /// Start with new records, like auto.offset.reset=latest
    #[arg(long, conflicts_with = "once")]
    pub latest: bool,
    /// End when all current records have been read
    #[arg(long)]
    pub once: bool,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Args;

    /// The commands without commands of their own.
    fn leaves(command: &Command) -> Vec<&Command> {
        let mut subcommands = command.get_subcommands().peekable();
        if subcommands.peek().is_none() {
            return vec![command];
        }
        subcommands.flat_map(leaves).collect()
    }

    #[test]
    fn every_command_has_three_examples() {
        let args = Args::command();
        let leaves = leaves(&args);
        assert!(leaves.len() > 25, "{}", leaves.len());
        for command in leaves {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples = help.matches("\n  ").count();
            let name = command.get_name();
            assert!(help.starts_with("Examples:\n"), "{name}: {help}");
            assert!(examples >= 3, "{name} has {examples}: {help}");
        }
    }
}
