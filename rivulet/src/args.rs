//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use rivulet::dlq::{Offsets, Selection, TimeBound};
use rivulet::state::Age;
use stream::cli::Common;

/// Chains of small stream operators over Kafka: check, run, watch and verify them
#[derive(Parser)]
#[command(name = "rivulet", version, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a whole pipeline here and verify what comes out
    ///
    /// Without --brokers it runs on a broker inside this process, which knows no transactions, so
    /// the pipeline runs at-least-once. With --brokers it runs on that Kafka, with the pipeline's
    /// own guarantee.
    Demo,
    /// Show every mistake in a pipeline file, or draw the pipeline
    Check {
        /// The pipeline file; by default that of --pipeline
        file: Option<PathBuf>,
        /// As JSON, for deployments: the stages in the order of the data's way, each with the
        /// program that runs it, whether it remembers something of sensors, and a digest that
        /// changes when anything changes in the file that concerns its process
        #[arg(long)]
        json: bool,
    },
    /// Run stages in this process, a thread each
    Run {
        /// The stages to run
        #[arg(required_unless_present = "all")]
        stages: Vec<String>,
        /// Run every stage of the file
        #[arg(long, conflicts_with = "stages")]
        all: bool,
    },
    /// Make, show, compare or delete the pipeline's topics
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show who runs each stage that reads, and how many records it has left to read
    ///
    /// Ends with 1 unless every group has a member and nothing left to read. Nothing is left if a
    /// reader of committed records finds none behind the committed offset; the marks of
    /// transactions do not count.
    #[command(after_help = "Examples:
  rivulet groups
  rivulet groups --wait 60 --stages convert,threshold,ewma,average
  rivulet groups --wait 60 --lag any        # readings go on coming; nobody falls behind")]
    Groups {
        /// Wait for it, at most so long, also for a cluster that is away
        #[arg(
            long,
            value_name = "SECONDS",
            default_value_t = 0,
            hide_default_value = true
        )]
        wait: u64,
        /// Only these stages
        #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
        stages: Vec<String>,
        /// What may be left to read: nothing, or anything that does not become more
        #[arg(long, value_enum, default_value_t)]
        lag: LagOption,
    },
    /// Show how the two branches differ, live
    ///
    /// It shows what the sink `compare` does, from the first records on, and is in no consumer
    /// group: it commits nothing and leaves nothing on the cluster, so any number of people can
    /// look at once, whether the sink runs or not. At a terminal the table is drawn anew while
    /// readings come; Ctrl-C ends it.
    #[command(after_help = "Examples:
  rivulet compare                           # the sink `compare` of the pipeline file
  rivulet compare --once                    # what there is now
  rivulet compare temperatures_ewma temperatures_moving_average --latest")]
    Compare(CompareArgs),
    /// Show what stages remember, check that it fits the file, keep it under new settings, or
    /// forget it
    #[command(subcommand)]
    State(StateCommand),
    /// Look at what stages refused, send it back or drop it
    #[command(subcommand, after_help = DLQ_EXAMPLES)]
    Dlq(DlqCommand),
    /// Compute what the output topics must hold, and compare it with what they hold
    ///
    /// The truth is computed from the pipeline's first topics, by code that shares nothing with the
    /// operators. Ends with 1 if anything is missing, extra, wrong or out of order, or if something
    /// cannot be verified: because retention has deleted what it was made from, because the order
    /// of readings is not defined, or because inputs were read again after a reset.
    Verify {
        /// Count readings that are there twice with the same value, but do not take them for errors
        #[arg(long)]
        allow_duplicates: bool,
        /// Tell what cannot be verified, but do not take it for an error
        #[arg(long)]
        allow_unverifiable: bool,
    },
    /// Print completions for a shell: put them where it looks for them
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page: `rivulet man | man -l -`
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
    /// The topic that both were made from, if not the sink's
    #[arg(long, value_name = "TOPIC")]
    pub input: Option<String>,
    /// Begin with what comes from now on
    #[arg(long, conflicts_with = "once")]
    pub latest: bool,
    /// End when all that there is now has been read
    #[arg(long)]
    pub once: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub enum LagOption {
    #[default]
    Zero,
    Any,
}

#[derive(Subcommand)]
pub enum TopicsCommand {
    /// Make those that are missing
    Create,
    /// Those that the cluster has
    List,
    /// The file and the cluster side by side; ends with 1 if they differ
    Describe,
    /// Delete them with all that is in them
    Delete {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
pub enum StateCommand {
    /// What a stage remembers of each sensor, and whether that is whole; or a line for each stage
    ///
    /// It is read from the stage's changelog and compared with what the stage noted beside the
    /// offsets that it committed. Ends with 1 if the stage would not start with it. The lag of a
    /// stage counts offsets, those of transactions' marks among them.
    #[command(after_help = "Examples:
  rivulet state show                        # a line for each stage
  rivulet state show ewma --sensor seattle
  rivulet state show ewma --json | jq '.sensors[].memories'")]
    Show {
        /// The stage; without it all that keep something
        stage: Option<String>,
        /// Only this sensor
        #[arg(long, value_name = "NAME", requires = "stage")]
        sensor: Option<String>,
        /// As JSON, with every number in full
        #[arg(long, requires = "stage")]
        json: bool,
    },
    /// Whether what stages remember was made by the steps that the file names now
    ///
    /// A stage refuses a state that other steps or settings made. Nothing is touched, and stages
    /// may run. Ends with 1 if any would be refused, and names the remedies.
    #[command(after_help = "Example: rivulet state check ewma average")]
    Check {
        /// The stages; without any, all that keep something
        stages: Vec<String>,
    },
    /// Have a stage whose settings have changed go on with what it remembers
    ///
    /// The stage must not run, and its steps must be the same but for their settings. An average
    /// over a shorter window keeps the last readings, one over a longer window fills up first.
    /// Nothing is processed twice. `rivulet verify` knows where the settings changed.
    #[command(after_help = "Example: rivulet state keep ewma --dry-run")]
    Keep {
        /// The stage
        stage: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Have a stage forget what it remembers of some sensors, such as those that are unplugged
    ///
    /// The stage must not run. It goes on where it was; what a forgotten sensor sends later begins
    /// with an empty memory. `rivulet verify` knows of it. A stage with `state-ttl` does this by
    /// itself.
    #[command(group = clap::ArgGroup::new("which").required(true), after_help = "Examples:
  rivulet state forget ewma --idle 30d --dry-run   # which of them have been silent for so long
  rivulet state forget ewma --sensor attic cellar")]
    Forget {
        /// The stage
        stage: String,
        /// These sensors
        #[arg(long, value_name = "NAME", num_args = 1.., group = "which")]
        sensor: Vec<String>,
        /// Those whose last reading is so much older than the newest that the stage remembers, by
        /// the readings' own times: 30d, 12h or 2h 30m
        #[arg(long, value_name = "SPAN", group = "which")]
        idle: Option<Age>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Have a stage whose offsets Kafka has forgotten go on where it was
    ///
    /// Kafka forgets the committed offsets of a stage that was stopped for longer than the brokers'
    /// offsets.retention.minutes. The stage's changelog still tells them. The stage must not run.
    #[command(after_help = "Example: rivulet state resume convert --dry-run")]
    Resume {
        /// The stage: an operator, whether it remembers anything or not
        stage: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Have a stage forget what it remembers: it begins with an empty state
    ///
    /// The stage must not run. It goes on at its committed offsets, so nothing is processed twice;
    /// a producer, which keeps nothing but its position, begins anew.
    #[command(after_help = "Examples:
  rivulet state reset ewma --dry-run        # what would be \
                            done
  rivulet state reset ewma --from-start     # process the inputs \
                            anew; the outputs are written again")]
    Reset {
        /// The stage
        stage: String,
        /// Begin at the first records of the inputs: results are written again
        #[arg(long)]
        from_start: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

const DLQ_EXAMPLES: &str = "Examples:
  rivulet dlq ls                                    what is \
                            open, by stage and reason
  rivulet dlq show convert --reason \
                            not-json        each of them
  rivulet dlq replay convert --since 2h \
                            --dry-run   what would be sent back
  rivulet dlq drop convert \
                            --offset 3,7..9          nothing is to be done about these";

#[derive(Subcommand)]
pub enum DlqCommand {
    /// Count the dead letters by stage and reason
    ///
    /// Letters that were replayed or dropped are not open any more and are counted apart.
    #[command(after_help = "Example: rivulet dlq ls --since 2h")]
    Ls {
        #[command(flatten)]
        which: DlqSelection,
        /// Print JSON, a list of groups, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Print dead letters: where they come from, why, when, and what is in them
    #[command(after_help = "Example: rivulet dlq show convert --reason not-json --full")]
    Show {
        #[command(flatten)]
        which: DlqSelection,
        /// Print also those that were replayed or dropped
        #[arg(long)]
        handled: bool,
        /// Print all of keys, headers and values, however long
        #[arg(long)]
        full: bool,
    },
    /// Send the originals back to the topics that they came from, exactly once
    ///
    /// Key, value, headers and timestamp are as they were; the key decides about the partition.
    /// Every stage that reads the topic gets the record again. Killed in between and run again, it
    /// goes on with what is open; of two that run at once the one that began last goes on. Needs a
    /// Kafka with transactions, whatever the pipeline's guarantee.
    #[command(after_help = "Example: rivulet dlq replay convert --reason wrong-unit --dry-run")]
    Replay {
        #[command(flatten)]
        which: DlqSelection,
        #[command(flatten)]
        how: How,
    },
    /// Mark dead letters as dropped: nothing is to be done about them
    ///
    /// Nothing is deleted: they are no longer counted as open, and the topic's retention takes them
    /// in its time.
    #[command(after_help = "Example: rivulet dlq drop convert --offset 3,7..9")]
    Drop {
        #[command(flatten)]
        which: DlqSelection,
        #[command(flatten)]
        how: How,
    },
}

/// Which dead letters: those for which all that is given holds
#[derive(clap::Args)]
pub struct DlqSelection {
    /// The stage that refused them; by default every stage of the file
    pub stage: Option<String>,
    /// Only those that were refused for this reason, a word that `ls` shows
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only records that entered the pipeline at this time or later: RFC 3339, or how long ago, as
    /// 2h
    #[arg(long, value_name = "TIME")]
    since: Option<TimeBound>,
    /// Only records that entered the pipeline before this time
    #[arg(long, value_name = "TIME")]
    until: Option<TimeBound>,
    /// Only those at these offsets of the dead-letter topic: 3, 7..9 (both ends) or 3,7..9
    #[arg(long, value_name = "OFFSETS")]
    offset: Option<Offsets>,
}

impl DlqSelection {
    pub fn selection(&self) -> Selection {
        Selection {
            reason: self.reason.clone(),
            since: self.since,
            until: self.until,
            offsets: self.offset.clone(),
        }
    }
}

#[derive(clap::Args)]
pub struct How {
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
