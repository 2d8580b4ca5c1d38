//! The command line of `rivulet topics`.

use std::time::Duration;

use clap::Subcommand;
use clap::builder::RangedI64ValueParser;
use clap_complete::ArgValueCompleter;

use crate::complete;
use crate::times::TimeSpan;
use crate::topics::{NewTopicOptions, TruncateBound};

#[derive(Subcommand)]
pub enum TopicsCommand {
    /// Create topics: the missing ones of the pipeline file, or these
    ///
    /// A topic of the pipeline file is created as the file says, any other one as the options say.
    /// What no option says are the brokers' defaults: num.partitions and
    /// default.replication.factor. A topic that exists is not changed.
    #[command(after_help = "Examples:
  rivulet topics create                     # the missing topics of the pipeline file
  rivulet topics create weather --partitions 4 --config retention.ms=86400000
  rivulet topics create weather --config cleanup.policy=compact --brokers localhost:9092")]
    Create {
        /// The topics; by default those of the pipeline file
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        options: CreateOptions,
    },
    /// List the topics of the pipeline that exist, or all topics
    ///
    /// Without a pipeline file all topics are listed.
    #[command(after_help = "Examples:
  rivulet topics list
  rivulet topics list --all                 # those of others, too
  rivulet topics list --internal --brokers localhost:9092")]
    List {
        /// All topics, not only those of the pipeline file
        #[arg(long)]
        all: bool,
        /// All topics and Kafka's internal ones, whose names begin with `__`
        #[arg(long)]
        internal: bool,
    },
    /// Compare the pipeline file with the cluster, or show what is known of these topics
    ///
    /// Without names the file and the cluster are shown side by side, and the exit status is 1 if
    /// they differ. With names each partition is shown with the ids of its leader, of the brokers
    /// that have a replica and of those that are in sync, its first offset and its end, and the
    /// settings that differ from Kafka's defaults.
    #[command(after_help = "Examples:
  rivulet topics describe                   # the file and the cluster side by side
  rivulet topics describe weather --brokers localhost:9092
  rivulet topics describe weather wind")]
    Describe {
        /// The topics; by default those of the pipeline file
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::topics))]
        names: Vec<String>,
    },
    /// Delete topics with all their records: those of the pipeline file, or these
    ///
    /// It says how many records each has, and asks first. Offsets are counted: transaction markers
    /// have some, too. Kafka's internal topics are never deleted.
    #[command(after_help = "Examples:
  rivulet topics delete                     # all topics of the pipeline file
  rivulet topics delete weather wind        # asks first
  rivulet topics delete weather --yes --brokers localhost:9092")]
    Delete {
        /// The topics; by default those of the pipeline file
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::topics))]
        names: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Let a consumer group skip what it has not read of a topic
    ///
    /// It counts the committed records from the group's committed offsets to the current end, and
    /// commits the end for the group. Without a committed offset the group has read nothing. No
    /// record is deleted: other groups still read them. The group must have no members.
    #[command(after_help = "Examples:
  rivulet topics clean dashboard weather    # how many records, and asks
  rivulet topics clean dashboard weather --timeout 60
  rivulet topics clean dashboard weather --yes --brokers localhost:9092")]
    Clean {
        /// The consumer group; for a stage of the pipeline see `rivulet state reset`
        #[arg(add = ArgValueCompleter::new(complete::groups))]
        group: String,
        /// The topic
        #[arg(add = ArgValueCompleter::new(complete::topics))]
        topic: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Delete the records of a topic, all of them or the oldest
    ///
    /// The topic stays, and so do the committed offsets of its groups. It says how many offsets
    /// each partition loses, and asks first. Records that arrive meanwhile stay.
    #[command(after_help = "Examples:
  rivulet topics truncate weather                     # all records
  rivulet topics truncate weather --before 7d         # those older than a week
  rivulet topics truncate weather --before 2026-03-01T00:00:00Z --yes
  rivulet topics truncate weather --before 1500       # the same offset in each partition")]
    Truncate {
        /// The topic
        #[arg(add = ArgValueCompleter::new(complete::topics))]
        name: String,
        /// Only records before this offset, or before the first one of this time: RFC 3339, or
        /// how long ago, such as 2h
        #[arg(long, value_name = "OFFSET|TIME")]
        before: Option<TruncateBound>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Show how many records and bytes the partitions of topics have
    ///
    /// Records are offsets from the first to the end: transaction markers have some, too, and in a
    /// compacted topic most offsets have no record any more. Bytes are those of the segments on
    /// each broker's disk.
    #[command(after_help = "Examples:
  rivulet topics size                       # the topics of the pipeline file, or all
  rivulet topics size weather wind
  rivulet topics size weather --brokers localhost:9092")]
    Size {
        /// The topics; by default those of the pipeline file, or all if there is none
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::topics))]
        names: Vec<String>,
    },
    /// Watch the records that arrive in topics, and the groups that read them
    ///
    /// At a terminal the tables are drawn again each time, elsewhere they are printed one after the
    /// other. Ctrl-C ends it. The lag of a group counts committed records; a large one, with `~`,
    /// counts offsets.
    #[command(after_help = "Examples:
  rivulet topics watch                      # the topics of the pipeline file, or all
  rivulet topics watch weather --every 10s
  rivulet topics watch --once               # one table, after one interval")]
    Watch {
        /// The topics; by default those of the pipeline file, or all if there is none
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::topics))]
        names: Vec<String>,
        /// How long to wait between two tables, such as 10s
        #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = interval)]
        every: Duration,
        /// Print one table, after one interval
        #[arg(long)]
        once: bool,
    },
}

#[derive(clap::Args)]
pub struct CreateOptions {
    /// How many partitions each topic has; by default the brokers' num.partitions
    #[arg(long, value_name = "COUNT", value_parser = RangedI64ValueParser::<i32>::new().range(1..))]
    partitions: Option<i32>,
    /// How many copies each partition has; by default the brokers' default.replication.factor
    #[arg(
        long,
        value_name = "COUNT",
        value_parser = RangedI64ValueParser::<i32>::new().range(1..=32_767)
    )]
    replication: Option<i32>,
    /// A setting of the topic, such as retention.ms=86400000; for each one more
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
}

impl CreateOptions {
    pub fn options(&self) -> NewTopicOptions {
        NewTopicOptions {
            partitions: self.partitions,
            replication: self.replication,
            settings: self.config.iter().cloned().collect(),
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or_default();
    if name.is_empty() {
        return Err("write KEY=VALUE, such as retention.ms=86400000".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn interval(text: &str) -> Result<Duration, String> {
    let TimeSpan(every) = text.parse()?;
    if every < Duration::from_millis(100) {
        return Err("write at least 100ms".to_owned());
    }
    Ok(every)
}
