//! The command line of everything that shows a pipeline live: `top`, `web` and `report`.

use std::path::PathBuf;

use rivulet_core::error::Result;
use rivulet_core::listen_address::ListenAddress;
use rivulet_kafka::ReadFrom;

use crate::consume::StartAt;
use crate::groups::ProcessTargets;
use crate::live::LiveSettings;
use crate::times::TimeBound;

/// What is watched.
#[derive(clap::Args)]
pub struct LiveArgs {
    /// The sink that compares, if the file has several. Without any, the topics are shown that
    /// sinks read
    pub sink: Option<String>,
    /// Ask each process in this file for its metrics: a list of targets for Prometheus, as JSON
    #[arg(long, env = "RIVULET_TARGETS", value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Where reading starts: earliest, latest, a time (RFC 3339), or how long ago, such as 2h
    #[arg(long, short, value_name = "START", default_value = "earliest", value_parser = start)]
    pub from: ReadFrom,
}

impl LiveArgs {
    /// How the pipeline is watched.
    ///
    /// # Errors
    /// If the file of targets cannot be read.
    pub fn settings(&self) -> Result<LiveSettings> {
        Ok(LiveSettings {
            from: self.from,
            targets: self
                .targets
                .as_deref()
                .map(ProcessTargets::read)
                .transpose()?,
            asks_groups: true,
        })
    }
}

/// A start that is the same for several topics.
pub(super) fn start(text: &str) -> Result<ReadFrom, String> {
    match text.parse() {
        Ok(StartAt::Earliest) => Ok(ReadFrom::All),
        Ok(StartAt::Latest) => Ok(ReadFrom::Latest),
        Ok(StartAt::Time(time)) => Ok(ReadFrom::Since(time)),
        Ok(StartAt::Offset(_)) | Err(_) => Err(format!(
            "`{text}` is no start; write earliest, latest, a time such as 2026-03-01T12:00:00Z, or \
             how long ago, such as 2h"
        )),
    }
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  rivulet top                               # what Kafka tells
  rivulet top --targets targets.json        # and what each process tells of itself
  rivulet top --from 10m --sensor seattle
  ssh -t laptop rivulet top                 # over ssh; NO_COLOR=1 without colours")]
pub struct TopArgs {
    #[command(flatten)]
    pub live: LiveArgs,
    /// The sensor that is shown first
    #[arg(long, value_name = "NAME")]
    pub sensor: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  rivulet web                               # prints the address
  rivulet web --targets targets.json --listen 8080
  rivulet web --from 2h --listen 0.0.0.0:8080   # for everybody who has the token
  rivulet web --listen 0.0.0.0:8080 --token-file token")]
pub struct WebArgs {
    #[command(flatten)]
    pub live: LiveArgs,
    /// Where the page is, as PORT or ADDRESS:PORT; 0 is any port
    #[arg(
        long,
        env = "RIVULET_WEB",
        value_name = "ADDRESS",
        default_value = "8460"
    )]
    pub listen: ListenAddress,
    /// The token that others must give is the first line of this file; by default it is another one
    /// each time. On this machine only, none is asked for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  rivulet report                            # writes report.html
  rivulet report --from 2h --to 1h --output lesson.html
  rivulet report --csv report.csv --targets targets.json")]
pub struct ReportArgs {
    /// The sink that compares, if the file has several
    pub sink: Option<String>,
    /// Only records that entered the pipeline at this time or later: RFC 3339, or how long ago,
    /// such as 2h
    #[arg(long, value_name = "TIME")]
    pub from: Option<TimeBound>,
    /// Only records that entered the pipeline before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<TimeBound>,
    /// The file that is written: one HTML page with everything in it
    #[arg(long, short, value_name = "FILE", default_value = "report.html")]
    pub output: PathBuf,
    /// Also write the comparison to this file, a line for each sensor
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Ask each process in this file for its metrics: a list of targets for Prometheus, as JSON
    #[arg(long, env = "RIVULET_TARGETS", value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Do not compute what the topics must hold: the report says that it was not verified
    #[arg(long)]
    pub no_verify: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_one_for_all_topics() {
        assert_eq!(start("earliest"), Ok(ReadFrom::All));
        assert_eq!(start("latest"), Ok(ReadFrom::Latest));
        assert_eq!(start("1970-01-01T00:00:01Z"), Ok(ReadFrom::Since(1000)));
        assert!(matches!(start("2h"), Ok(ReadFrom::Since(_))));
        for text in ["17", "", "soon"] {
            let error = start(text).unwrap_err();
            assert!(error.contains("write earliest, latest"), "{text}: {error}");
        }
    }
}
