//! The command line of `rivulet dlq`.

use clap::Subcommand;

use crate::dlq::{Offsets, Selection};
use crate::times::TimeBound;

pub(super) const DLQ_EXAMPLES: &str = "Examples:
  rivulet dlq ls                                    # open dead letters by stage and reason
  rivulet dlq show convert --reason not-json        # each of them
  rivulet dlq replay convert --since 2h --dry-run   # which records would be sent again
  rivulet dlq drop convert --offset 3,7..9          # close these";

#[derive(Subcommand)]
pub enum DlqCommand {
    /// Count the dead letters by stage and reason
    ///
    /// Dead letters that were replayed or dropped are no longer open and are counted apart.
    #[command(after_help = "Examples:
  rivulet dlq ls
  rivulet dlq ls convert --since 2h
  rivulet dlq ls --json | jq '.[].open'")]
    Ls {
        #[command(flatten)]
        which: DlqSelection,
        /// Print JSON, a list of groups, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Print dead letters: origin, reason, error, time, key, headers and value
    #[command(after_help = "Examples:
  rivulet dlq show convert                  # each open one
  rivulet dlq show convert --reason not-json --full
  rivulet dlq show convert --offset 3,7..9 --handled")]
    Show {
        #[command(flatten)]
        which: DlqSelection,
        /// Print those that were replayed or dropped, too
        #[arg(long)]
        handled: bool,
        /// Print long keys, headers and values in full
        #[arg(long)]
        full: bool,
    },
    /// Send the original records to their topics again, exactly once
    ///
    /// Key, value, headers and timestamp are unchanged; the key decides the partition. Every stage
    /// that reads the topic processes the record again. If the command is killed, run it again to
    /// continue with the open dead letters. Of two that run at once, the last to start fences the
    /// other. It needs a Kafka with transactions, whatever the pipeline's guarantee.
    #[command(after_help = "Examples:
  rivulet dlq replay convert --dry-run      # which records would be sent again
  rivulet dlq replay convert --reason wrong-unit
  rivulet dlq replay convert --since 2h --yes")]
    Replay {
        #[command(flatten)]
        which: DlqSelection,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Drop dead letters: they are no longer open
    ///
    /// No record is deleted until the topic's retention deletes it.
    #[command(after_help = "Examples:
  rivulet dlq drop convert --offset 3,7..9
  rivulet dlq drop convert --reason gap --yes
  rivulet dlq drop --until 30d --dry-run    # of all stages")]
    Drop {
        #[command(flatten)]
        which: DlqSelection,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// A selection of dead letters: those that match all options
#[derive(clap::Args)]
pub struct DlqSelection {
    /// The stage; by default every stage of the file
    pub stage: Option<String>,
    /// Only those with this reason, a word that `ls` shows
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only records that entered the pipeline at this time or later: RFC 3339, or how long ago,
    /// such as 2h
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
pub struct Confirmation {
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
}
