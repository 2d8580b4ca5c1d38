//! The command line of `rivulet experiment`.

use std::path::PathBuf;

use clap::value_parser;
use clap_complete::ArgValueCompleter;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::listen_address::ListenAddress;
use rivulet_producer::experiment::hash::{self, SecretKey};
use rivulet_producer::experiment::plan::{
    ExperimentPlan, MOST_SAMPLE_RATE, MOST_SAMPLES, MOST_SENSORS, PlanOptions, read_load,
};
use rivulet_producer::experiment::{ExperimentOptions, TRUTH_LOG};

use crate::complete;

const EXAMPLES: &str = "Examples:
  rivulet experiment --brokers localhost:9092 --secret-key-file secret-key
  rivulet experiment --secret-key-file secret-key --config-file config/loads/2.json --serve
  rivulet experiment --secret-key-file secret-key --num-sensors 1000 --sample-rate 10 --truth-log";

/// Send the messages of experiments, for the consumers of a course; needs no pipeline file
///
/// Each experiment brings its temperature into a range, carries out a random walk and ends. The
/// messages are Avro object container files with the experiment's UUID as key. Everything is
/// delivered before the command ends, also at Ctrl-C and SIGTERM. A stage of a pipeline with the
/// source `experiment` does the same, exactly once and across restarts.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExperimentArgs {
    /// The topic of the messages, which must exist
    #[arg(
        long,
        value_name = "TOPIC",
        default_value = "experiment",
        add = ArgValueCompleter::new(complete::topics)
    )]
    pub topic: String,
    /// The topic of a document of each experiment, sent at its end; by default there is none
    #[arg(long, value_name = "TOPIC", add = ArgValueCompleter::new(complete::topics))]
    pub topic_document: Option<String>,
    /// Run the experiments of this JSON file, all at once, instead of the one of the options
    #[arg(long, value_name = "FILE", conflicts_with = "single")]
    pub config_file: Option<PathBuf>,
    /// Write what the experiments really were to NAME and the date, a file a day, for `rivulet
    /// truth`; without NAME it is producer.json.log
    #[arg(
        long,
        alias = "file-subscriber",
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = TRUTH_LOG
    )]
    pub truth_log: Option<PathBuf>,
    /// Repeat the experiments of a run with this seed; the seed of a run is printed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Show events a second on a page, and counts on /metrics, at [HOST:]PORT; without it at
    /// 127.0.0.1:3001
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "3001"
    )]
    pub serve: Option<ListenAddress>,

    #[command(
        flatten,
        next_help_heading = "The secret key of the measurement hashes"
    )]
    pub key: SecretKeyArgs,
    #[command(flatten, next_help_heading = "A single experiment")]
    pub single: SingleArgs,
}

#[derive(clap::Args)]
#[group(multiple = false)]
pub struct SecretKeyArgs {
    /// The 32 characters of the key; other users of this machine can see the command line
    #[arg(
        long,
        env = "RIVULET_SECRET_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub secret_key: Option<String>,
    /// The file whose first line is the key
    #[arg(long, value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

#[derive(clap::Args)]
#[group(id = "single", multiple = true)]
pub struct SingleArgs {
    /// Who the experiment belongs to; by default researcher
    #[arg(long, value_name = "TEXT")]
    pub researcher: Option<String>,
    /// How many sensors measure; by default 2
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "COUNT",
        value_parser = value_parser!(u64).range(1..=MOST_SENSORS)
    )]
    pub num_sensors: Option<u64>,
    /// How many milliseconds are between two samples; by default 1000
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "MS",
        value_parser = value_parser!(u64).range(1..=MOST_SAMPLE_RATE)
    )]
    pub sample_rate: Option<u64>,
    /// How many samples there are until the middle of the range is reached; by default 2
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "COUNT",
        value_parser = value_parser!(u64).range(..=MOST_SAMPLES)
    )]
    pub stabilization_samples: Option<u64>,
    /// How many samples there are from there on; by default 20
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "COUNT",
        value_parser = value_parser!(u64).range(..=MOST_SAMPLES)
    )]
    pub carry_out_samples: Option<u64>,
    /// The temperature before the first sample; by default 16
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub start_temperature: Option<f32>,
    /// The lowest temperature in the range; by default 25.5
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub lower_threshold: Option<f32>,
    /// The highest temperature in the range; by default 26.5
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub upper_threshold: Option<f32>,
}

impl SecretKeyArgs {
    fn read(&self) -> Result<SecretKey> {
        match (&self.secret_key, &self.secret_key_file) {
            (Some(key), _) => SecretKey::new(key),
            (None, Some(file)) => SecretKey::read(file),
            (None, None) => {
                let cause = "neither --secret-key nor --secret-key-file is given";
                Err(Error::new("looking for the secret key", cause)
                    .of_kind(Kind::Usage)
                    .help(hash::HELP))
            }
        }
    }
}

impl SingleArgs {
    fn plan(&self) -> Result<ExperimentPlan> {
        let options = PlanOptions {
            researcher: self.researcher.clone(),
            sensors: self.num_sensors,
            sample_rate: self.sample_rate,
            stabilization_samples: self.stabilization_samples,
            carry_out_samples: self.carry_out_samples,
            start_temperature: self.start_temperature,
            lower_threshold: self.lower_threshold,
            upper_threshold: self.upper_threshold,
        };
        let plan = options.plan();
        plan.map_err(|why| Error::new("planning the experiment", why).of_kind(Kind::Usage))
    }
}

impl ExperimentArgs {
    /// What to run.
    ///
    /// # Errors
    /// If the key or the experiments cannot be read, or are not possible.
    pub fn options(&self) -> Result<ExperimentOptions> {
        Ok(ExperimentOptions {
            plans: match &self.config_file {
                Some(file) => read_load(file)?,
                None => vec![self.single.plan()?],
            },
            key: self.key.read()?,
            topic: Some(self.topic.clone()),
            document_topic: self.topic_document.clone(),
            truth_log: self.truth_log.clone(),
            seed: self.seed,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use rivulet_producer::experiment::range::TemperatureRange;

    use super::*;
    use crate::args::{Args, Command};

    const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

    fn options(arguments: &str) -> Result<ExperimentOptions, String> {
        let arguments = ["rivulet", "experiment"]
            .into_iter()
            .chain(arguments.split_whitespace());
        match Args::try_parse_from(arguments)
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Experiment(args) => args.options().map_err(|error| error.to_string()),
            _ => Err("another command".to_owned()),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_original_producer() {
        let options = options(&format!("--secret-key {KEY}")).unwrap();
        assert_eq!(options.plans, [ExperimentPlan::default()]);
        assert_eq!(options.topic.as_deref(), Some("experiment"));
        assert_eq!((options.document_topic, options.truth_log), (None, None));
    }

    #[test]
    fn the_options_have_the_names_of_the_original_producer() {
        let options = options(&format!(
            "--secret-key {KEY} --topic t --topic-document d --num-sensors 3 --sample-rate 100 \
             --stabilization-samples 4 --carry-out-samples 5 --start-temperature -6.5 \
             --lower-threshold -2 --upper-threshold 7 --file-subscriber"
        ))
        .unwrap();
        let expected = ExperimentPlan {
            sensors: 3,
            sample_rate: 100,
            stabilization_samples: 4,
            carry_out_samples: 5,
            start_temperature: -6.5,
            range: TemperatureRange::new(-2.0, 7.0).unwrap(),
            ..ExperimentPlan::default()
        };
        assert_eq!(options.plans, [expected]);
        assert_eq!(options.document_topic.as_deref(), Some("d"));
        assert_eq!(options.truth_log, Some(TRUTH_LOG.into()));
    }

    #[test]
    fn what_no_experiment_can_be_is_rejected() {
        for (arguments, words) in [
            ("--num-sensors 0", "1..=100000"),
            ("--sample-rate -5", "invalid value '-5' for '--sample-rate"),
            (
                "--lower-threshold 3 --upper-threshold 2",
                "3 is above the upper threshold 2",
            ),
            (
                "--config-file load.json --num-sensors 2",
                "cannot be used with",
            ),
            ("--secret-key-file key", "cannot be used with"),
            ("--config-file nothing.json", "nothing.json"),
            ("--num-sensrs 2", "--num-sensors"),
        ] {
            let arguments = format!("--secret-key {KEY} {arguments}");
            let error = options(&arguments).unwrap_err();
            assert!(error.contains(words), "{arguments}: {error}");
        }
        for (arguments, words) in [
            ("", "openssl rand -hex 16"),
            ("--secret-key short", "5 characters"),
            ("--secret-key-file nothing", "nothing"),
        ] {
            let error = options(arguments).unwrap_err();
            assert!(error.contains(words), "{arguments}: {error}");
        }
    }
}
