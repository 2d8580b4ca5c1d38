//! The command line of `rivulet produce`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap_complete::ArgValueCompleter;

use crate::complete;
use crate::produce::{FieldPath, InputFormat, KeyRange};
use crate::times::TimeSpan;

const EXAMPLES: &str = "Examples:
  rivulet produce readings measured.json --producers 2 --reports   # who wrote what where
  rivulet produce readings lines.txt --random-key 1..5 --seed 7    # the same keys in every run
  rivulet produce debits,credits moves.json --transaction 4 --hold 5s --abort 0.5   # or neither";

/// Send the records of a file, or what is typed, to any topic; needs no pipeline file
///
/// A record is a line without its line end (LF or CR LF), or an element of a JSON array as it
/// stands there; an element that is a text is sent without its quotes. Everything is delivered
/// before the command ends, also at Ctrl-C and SIGTERM, and the last transaction is ended.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ProduceArgs {
    /// The topics, which must exist; several get the records in turn
    #[arg(value_name = "TOPIC,…", add = ArgValueCompleter::new(complete::topics))]
    pub topics: Topics,
    /// The file to send; without one, or with `-`, standard input
    pub file: Option<PathBuf>,
    /// How records are in the input; by default an input that begins with `[` is an array, and
    /// what is typed at a terminal is lines
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    pub format: Option<InputFormat>,

    #[command(flatten, next_help_heading = "Keys and headers")]
    pub keys: KeyArgs,
    #[command(flatten, next_help_heading = "How fast")]
    pub pace: PaceArgs,
    #[command(flatten, next_help_heading = "Transactions")]
    pub transactions: TransactionArgs,
}

#[derive(clap::Args)]
pub struct KeyArgs {
    /// Give every record this key
    #[arg(long, value_name = "TEXT", group = "keys")]
    pub key: Option<String>,
    /// Give the records the keys 0, 1, 2 and so on
    #[arg(long, group = "keys")]
    pub count_keys: bool,
    /// Give each record a whole number of this range as its key, both ends included, each with the
    /// same chance
    #[arg(long, value_name = "LO..HI", group = "keys")]
    pub random_key: Option<KeyRange>,
    /// Take the key from this field of the value, which is JSON: a name, or a JSON pointer such as
    /// /device/id; there must be text or a number in it
    #[arg(long, value_name = "FIELD", group = "keys")]
    pub key_field: Option<FieldPath>,
    /// Repeat what a run with this seed drew at random; the seed of a run is printed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Send all records to this partition; otherwise the key decides, as in Java clients
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// Add this header to every record; can be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    pub header: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(clap::Args)]
pub struct PaceArgs {
    /// Let this many producers send the whole file at once, each with a client and a key of its
    /// own: producer0, producer1 and so on
    #[arg(long, value_name = "COUNT")]
    pub producers: Option<NonZeroUsize>,
    /// How many records a second each producer sends at most
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    pub rate: Option<f64>,
    /// Wait for this long after each record, such as 250ms or 2s
    #[arg(long, value_name = "SPAN")]
    pub pause: Option<TimeSpan>,
    /// Pause after every so many records only
    #[arg(long, value_name = "COUNT", requires = "pause")]
    pub pause_every: Option<NonZeroU64>,
    /// Wait after every so many records until all are delivered; 1 is after each
    #[arg(long, value_name = "COUNT")]
    pub flush_every: Option<NonZeroU64>,
    /// How many records each producer sends at most
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Print a line for each delivery: key, topic, partition, offset
    ///
    /// A report arrives when the client is polled: after each send, in a pause and at a flush. So
    /// the reports of the last records may be printed later than these are delivered. `-` stands
    /// for a record without a key.
    #[arg(long)]
    pub reports: bool,
}

#[derive(clap::Args)]
pub struct TransactionArgs {
    /// Put this many records into each transaction, then commit it; the last one may have fewer
    #[arg(long, value_name = "COUNT")]
    pub transaction: Option<NonZeroU64>,
    /// Hold each transaction open for this long before it ends
    #[arg(long, value_name = "SPAN", requires = "transaction")]
    pub hold: Option<TimeSpan>,
    /// Abort a transaction with this chance, from 0 (never, the default) to 1 (always)
    #[arg(long, value_name = "CHANCE", requires = "transaction", value_parser = chance)]
    pub abort: Option<f64>,
    /// The transactional id; by default one that no other process has. With several producers,
    /// the number of each is added
    #[arg(long, value_name = "ID", requires = "transaction")]
    pub transactional_id: Option<String>,
}

/// The names of topics. As text: `debits,credits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics(pub Vec<String>);

impl FromStr for Topics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.split(',').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err("a topic has no name; write readings, or debits,credits".to_owned());
        }
        Ok(Topics(names))
    }
}

fn header(text: &str) -> Result<(String, Option<Vec<u8>>), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_owned(), Some(value.as_bytes().to_vec())))
        }
        _ => Err("a header is NAME=VALUE".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "a rate is a number above 0".to_owned())
}

fn chance(text: &str) -> Result<f64, String> {
    let chance = text.parse().ok();
    chance
        .filter(|chance| (0.0..=1.0).contains(chance))
        .ok_or_else(|| "a chance is a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn parse(arguments: &str) -> Result<ProduceArgs, String> {
        let arguments = ["rivulet", "produce"]
            .into_iter()
            .chain(arguments.split(' '));
        match Args::try_parse_from(arguments)
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Produce(args) => Ok(*args),
            _ => Err("another command".to_owned()),
        }
    }

    #[test]
    fn topics_file_and_options_are_read() {
        let args = parse("a,b - --header x=1=2 --header y= --rate 0.5 --pause 250ms").unwrap();
        assert_eq!(args.topics.0, ["a", "b"]);
        assert_eq!(args.file, Some("-".into()));
        let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
        assert_eq!(args.keys.header, [header("x", b"1=2"), header("y", b"")]);
        assert_eq!(args.pace.pause.map(|span| span.0.as_millis()), Some(250));
    }

    #[test]
    fn what_makes_no_sense_is_rejected() {
        for (arguments, words) in [
            ("a,", "has no name"),
            ("a --key k --count-keys", "cannot be used with"),
            ("a --random-key 5..1", "write 1..5"),
            ("a --rate 0", "above 0"),
            ("a --pause soon", "250ms"),
            ("a --pause-every 3", "--pause"),
            ("a --header x", "NAME=VALUE"),
            ("a --partition=-1", "--partition"),
            ("a --abort 0.5", "--transaction"),
            ("a --transaction 0", "--transaction"),
            ("a --transaction 4 --abort 2", "from 0 to 1"),
        ] {
            let error = parse(arguments).err().unwrap_or_default();
            assert!(error.contains(words), "{arguments}: {error}");
        }
    }
}
