//! The command lines of what looks into topics: `tap` and `plot`.

use clap_complete::ArgValueCompleter;
use rivulet_core::listen_address::ListenAddress;
use rivulet_kafka::ReadFrom;

use super::live::start;
use crate::complete;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  rivulet tap convert                       # live: 12.8 °C → 55.04 °F
  rivulet tap threshold --last 20           # the last 20, and which were dropped
  rivulet tap ewma --sensor seattle --json | jq .outputs")]
pub struct TapArgs {
    /// The operator stage
    pub stage: String,
    /// Show the last so many records of its inputs, and end
    #[arg(long, short = 'n', value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub last: Option<u32>,
    /// Go on with new records after the last ones
    #[arg(long, short, requires = "last")]
    pub follow: bool,
    /// Only this sensor
    #[arg(long, value_name = "NAME")]
    pub sensor: Option<String>,
    /// Print each input with its outputs as a JSON object on a line
    #[arg(long, short)]
    pub json: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  rivulet plot temperatures_ewma
  rivulet plot temperatures_ewma temperatures_moving_average --sensors seattle
  rivulet plot readings --group plots       # a second one takes over half of the sensors
  rivulet plot readings --page 8461         # on a page instead of the terminal")]
pub struct PlotArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC", add = ArgValueCompleter::new(complete::topics))]
    pub topics: Vec<String>,
    /// Only these sensors; by default the first eight
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub sensors: Vec<String>,
    /// Where reading starts: earliest, latest, a time (RFC 3339), or how long ago, such as 2h. A
    /// group goes on at its committed offsets
    #[arg(long, short, value_name = "START", default_value = "earliest", value_parser = start)]
    pub from: ReadFrom,
    /// The consumer group to join: its members share the partitions, and with them the sensors
    #[arg(long, short, value_name = "NAME", add = ArgValueCompleter::new(complete::groups))]
    pub group: Option<String>,
    /// How the values of a topic that is not in the pipeline file carry readings, such as `number`
    /// or `json = { sensor = "/id", value = "/value" }`
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: String,
    /// Draw on a page at this address instead of the terminal, as PORT or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub page: Option<ListenAddress>,
}
