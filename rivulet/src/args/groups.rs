//! The command line of `rivulet groups`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  rivulet groups
  rivulet groups --wait 60 --stages convert,threshold,ewma,average
  rivulet groups --wait 60 --lag any        # readings keep arriving, and no lag grows
  rivulet groups --watch                    # where each lag goes, once a second
  rivulet groups --partitions --watch 5     # the same of each partition, every 5 seconds
  rivulet groups --targets targets.json     # which processes are ready, and why not
  rivulet groups --watch --json | jq -c '.stages[] | [.stage, .lag, .direction]'")]
pub struct GroupsArgs {
    /// Wait for that at most this long, even while the brokers are unreachable
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub wait: u64,
    /// Only these stages
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    pub stages: Vec<String>,
    /// The lag that a group may have: none, or any that does not grow
    #[arg(long, value_enum, default_value_t)]
    pub lag: LagOption,
    /// Look again and again, by default once a second, until Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "1",
        value_parser = interval,
        conflicts_with_all = ["wait", "lag"]
    )]
    pub watch: Option<Duration>,
    /// A row for each partition instead of each stage
    #[arg(long)]
    pub partitions: bool,
    /// As JSON, with the partitions: one document, or with --watch one on each line
    #[arg(long, conflicts_with = "partitions")]
    pub json: bool,
    /// Ask each process in this file whether it is ready: a list of targets for Prometheus, as JSON
    #[arg(long, env = "RIVULET_TARGETS", value_name = "FILE")]
    pub targets: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub enum LagOption {
    #[default]
    Zero,
    Any,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write seconds from 0.1 to 86400, such as 5".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};

    use super::*;

    fn parsed(options: &str) -> Result<GroupsArgs, String> {
        let words = ["groups"].into_iter().chain(options.split_whitespace());
        let command = GroupsArgs::augment_args(Command::new("groups"));
        let matches = command.try_get_matches_from(words);
        let args = matches.and_then(|matches| GroupsArgs::from_arg_matches(&matches));
        args.map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_watched_once_a_second_unless_a_time_is_given() {
        let watch = |options: &str| parsed(options).map(|args| args.watch);
        assert_eq!(watch(""), Ok(None));
        assert_eq!(watch("--watch"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(watch("--watch --json"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(watch("--watch 0.5"), Ok(Some(Duration::from_millis(500))));
        for text in ["0", "-1", "soon", "nan", "1e9"] {
            let error = watch(&format!("--watch={text}")).unwrap_err();
            assert!(error.contains("write seconds from 0.1"), "{text}: {error}");
        }
    }

    #[test]
    fn options_that_make_no_sense_together_are_rejected() {
        for options in [
            "--watch --wait 5",
            "--watch --lag any",
            "--json --partitions",
        ] {
            let error = parsed(options).err().unwrap_or_default();
            assert!(error.contains("cannot be used with"), "{options}: {error}");
        }
        assert!(parsed("--wait 5 --lag any --json").is_ok());
        assert!(parsed("--wait 5 --partitions").is_ok());
    }
}
