//! The command line of `rivulet state`.

use clap::Subcommand;

use crate::times::TimeSpan;

#[derive(Subcommand)]
pub enum StateCommand {
    /// Show the state of a stage and whether it is complete, or a line for each stage
    ///
    /// The state is read from the changelog and compared with the digest in the metadata of the
    /// committed offsets. The exit status is 1 if the stage would not start with it. The lag of a
    /// stage counts offsets, including those of transaction markers.
    #[command(after_help = "Examples:
  rivulet state show                        # a line for each stage
  rivulet state show ewma --sensor seattle
  rivulet state show ewma --json | jq '.sensors[].memories'")]
    Show {
        /// The stage; by default all stages that keep state
        stage: Option<String>,
        /// Only this sensor
        #[arg(long, value_name = "NAME", requires = "stage")]
        sensor: Option<String>,
        /// Print JSON, with every number in full
        #[arg(long, requires = "stage")]
        json: bool,
    },
    /// Check whether the state of stages was made by the steps in the file
    ///
    /// A stage does not start with a state that other steps or settings have made. The command
    /// changes nothing, and stages may run. The exit status is 1 if a stage would not start; the
    /// remedies are named.
    #[command(after_help = "Examples:
  rivulet state check                       # all that keep state
  rivulet state check ewma average
  rivulet state check ewma && systemctl restart rivulet-operator@ewma")]
    Check {
        /// The stages; by default all that keep state
        stages: Vec<String>,
    },
    /// Keep the state of a stage whose settings have changed
    ///
    /// The stage must not run, and only the settings of its steps may have changed. An average with
    /// a shorter window keeps the last readings; one with a longer window fills it first. No record
    /// is processed twice. `rivulet verify` takes the change into account.
    #[command(after_help = "Examples:
  rivulet state keep ewma --dry-run         # what would be done
  rivulet state keep ewma                   # asks first
  rivulet state keep average --yes")]
    Keep {
        /// The stage
        stage: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Forget the state of some sensors, such as those that are unplugged
    ///
    /// The stage must not run. It continues at its offsets; a forgotten sensor starts with an empty
    /// state when it sends again. `rivulet verify` takes this into account. With `state-ttl` a
    /// stage forgets idle sensors by itself.
    #[command(group = clap::ArgGroup::new("which").required(true), after_help = "Examples:
  rivulet state forget ewma --idle 30d --dry-run   # which sensors have been idle for that long
  rivulet state forget ewma --sensor attic cellar
  rivulet state forget average --idle 12h --yes")]
    Forget {
        /// The stage
        stage: String,
        /// These sensors
        #[arg(long, value_name = "NAME", num_args = 1.., group = "which")]
        sensor: Vec<String>,
        /// Sensors whose last reading is older than the newest one in the state by this time, such
        /// as 30d, 12h or 2h 30m
        #[arg(long, value_name = "SPAN", group = "which")]
        idle: Option<TimeSpan>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Resume a stage whose committed offsets have expired
    ///
    /// Kafka deletes the committed offsets of a stage that is stopped for longer than the brokers'
    /// offsets.retention.minutes. The stage's changelog still has them. The stage must not run.
    #[command(after_help = "Examples:
  rivulet state resume convert --dry-run    # where it would go on
  rivulet state resume convert              # asks first
  rivulet state resume ewma --yes")]
    Resume {
        /// The stage: an operator, with or without state
        stage: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Reset a stage: it starts with an empty state
    ///
    /// The stage must not run. It continues at its committed offsets, so no record is processed
    /// twice. A producer, whose only state is its position, starts from the beginning.
    #[command(after_help = "Examples:
  rivulet state reset ewma --dry-run        # what would be done
  rivulet state reset thermometer           # the source starts from its beginning
  rivulet state reset ewma --from-start     # process the inputs again; results are written again")]
    Reset {
        /// The stage
        stage: String,
        /// Start at the first records of the inputs: results are written again
        #[arg(long)]
        from_start: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
}
