//! The command line that all programs share.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::log::{self, Level, LogFormat};
use crate::observe::{ObserveArgs, ObservedStage, Observer};
use crate::process::Process;
use crate::signals;
use rivulet_core::error::Error as StageError;
use rivulet_core::exit;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::limits::Limits;
use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_pipeline::{Check, Diagnostics, Pipeline, Prefix};

/// Where the pipeline file is by default.
pub const DEFAULT_PIPELINE: &str = "/etc/rivulet/pipeline.toml";

/// The options of every program.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The pipeline file
    #[arg(
        long,
        short,
        env = "RIVULET_PIPELINE",
        default_value = DEFAULT_PIPELINE,
        value_name = "FILE",
        global = true
    )]
    pub pipeline: PathBuf,

    /// A file of key=value lines for librdkafka, such as TLS and passwords; overrides `[kafka]`
    #[arg(
        long,
        env = "RIVULET_COMMAND_CONFIG",
        value_name = "FILE",
        global = true
    )]
    pub command_config: Option<PathBuf>,

    /// The bootstrap brokers, as HOST:PORT,…; overrides the files
    #[arg(long, env = "RIVULET_BROKERS", value_name = "LIST", global = true)]
    pub brokers: Option<String>,

    /// What stands before every name in Kafka, such as `team7-`; overrides the file
    #[arg(long, env = "RIVULET_PREFIX", value_name = "TEXT", global = true)]
    pub prefix: Option<Prefix>,

    /// `exactly-once` or `at-least-once`; overrides the file
    #[arg(long, env = "RIVULET_GUARANTEE", global = true)]
    pub guarantee: Option<Guarantee>,

    /// The memory budget of the process, such as `64 MB`; overrides the file
    #[arg(
        long,
        env = "RIVULET_MEMORY_MAX",
        value_name = "SIZE",
        value_parser = limits,
        global = true
    )]
    pub memory_max: Option<Limits>,

    /// The name of this process among those that run the same stage; by default the host's name
    #[arg(long, env = "RIVULET_INSTANCE", value_name = "NAME", global = true)]
    pub instance: Option<String>,

    /// How log lines are written to standard error
    #[arg(
        long,
        env = "RIVULET_LOG",
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    pub log: LogFormat,
}

impl Common {
    /// Loads the pipeline file and applies the options. `catalogs` are those that the program
    /// knows.
    ///
    /// # Errors
    /// All errors in the file, or else all in the command config.
    pub fn load(&self, catalogs: &dyn Check) -> Result<Pipeline, Diagnostics> {
        let mut pipeline = Pipeline::load_with(&self.pipeline, catalogs, self.prefix.as_ref())?;
        pipeline.kafka = self.client_properties(pipeline.kafka)?;
        if let Some(guarantee) = self.guarantee {
            pipeline.guarantee = guarantee;
        }
        if let Some(limits) = self.memory_max {
            pipeline.limits = limits;
        }
        Ok(pipeline)
    }

    /// The properties of librdkafka that the options ask for: `of_file`, those of the pipeline file
    /// if there is one, then those of the command config, then the brokers. Later ones override
    /// earlier ones.
    ///
    /// # Errors
    /// All errors in the command config, each with its line and what to do.
    pub fn client_properties(
        &self,
        of_file: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Diagnostics> {
        let mut properties = of_file;
        if let Some(path) = &self.command_config {
            properties.extend(rivulet_pipeline::client_properties(
                path,
                rivulet_kafka::is_known_property,
            )?);
        }
        if let Some(brokers) = &self.brokers {
            properties.insert("bootstrap.servers".into(), brokers.clone());
        }
        Ok(properties)
    }

    /// The name of this instance.
    #[must_use]
    pub fn instance(&self) -> String {
        self.instance
            .clone()
            .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned())
    }
}

fn limits(size: &str) -> Result<Limits, String> {
    Limits::new(size.parse()?)
}

/// The arguments of the programs that run one stage.
#[derive(Debug, Clone, clap::Args)]
pub struct StageArgs {
    /// The stage to run: the NAME of one of the file's tables
    pub stage: String,

    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    observe: ObserveArgs,
}

impl StageArgs {
    /// Logs to standard error from now on.
    pub fn log(&self) {
        log::to_stderr(Level::INFO, self.common.log);
        let prefix = self.common.prefix.clone().unwrap_or_default();
        log::identify(Some(&prefix.with(&self.stage)), &self.common.instance());
    }

    /// Loads the pipeline, whose components are in `catalogs`, and runs
    /// `stage` until it ends or the process is asked to stop. `end` ends a process that cannot stop
    /// in time.
    ///
    /// # Errors
    /// Errors in the file, errors of `stage`, and a stop that leaves records uncommitted.
    pub fn run(
        &self,
        drain: bool,
        catalogs: &dyn Check,
        end: EndProcess,
        stage: impl FnOnce(&Process<'_>) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let pipeline = self.common.load(catalogs)?;
        let (of_file, instance) = (pipeline.stage(&self.stage)?, self.common.instance());
        log::identify(Some(&of_file.group()), &instance);
        let shutdown = Shutdown::new();
        signals::watch(&shutdown, end)?;
        if drain {
            shutdown.drain();
        }
        let metrics = Arc::new(Metrics::default());
        let observed = ObservedStage::new(&pipeline, of_file, &instance, &metrics, &shutdown);
        Observer::start(&self.observe, vec![observed], pipeline.limits.memory().0)?;
        stage(&Process {
            pipeline: &pipeline,
            stage: of_file,
            instance,
            shutdown: shutdown.clone(),
            metrics,
            is_observed: self.observe.metrics.is_some(),
        })?;
        Ok(shutdown.check_done()?)
    }
}

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The exit code of a program: 0, or the [code](rivulet_core::exit) of an error, which is printed.
///
/// A closed pipe is no error: whoever read has seen enough.
#[must_use]
pub fn exit(result: Result<(), BoxError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.downcast_ref().map_or(exit::FAILED, StageError::code);
            log::fatal(&error.to_string(), code);
            ExitCode::from(code)
        }
    }
}

/// Whether standard output is a pipe that its reader has closed.
#[must_use]
pub fn is_closed_pipe(error: &BoxError) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_go_over_the_command_config_and_that_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("client.properties");
        std::fs::write(
            &path,
            "sasl.mechanisms=PLAIN\nmetadata.broker.list=b:1\nlinger.ms=3\n",
        )
        .expect("a file in it");
        let common = |brokers: Option<&str>| Common {
            pipeline: PathBuf::new(),
            command_config: Some(path.clone()),
            brokers: brokers.map(str::to_owned),
            prefix: None,
            guarantee: None,
            memory_max: None,
            instance: None,
            log: LogFormat::Text,
        };
        let map = |properties: [(&str, &str); 4]| {
            BTreeMap::from(properties.map(|(name, value)| (name.to_owned(), value.to_owned())))
        };
        let of_file = map([
            ("bootstrap.servers", "a:1"),
            ("linger.ms", "2"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "alice"),
        ]);
        for (brokers, expected) in [(None, "b:1"), (Some("c:1"), "c:1")] {
            let properties = common(brokers).client_properties(of_file.clone());
            let expected = map([
                ("bootstrap.servers", expected),
                ("linger.ms", "3"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "alice"),
            ]);
            assert_eq!(properties.unwrap(), expected);
        }
    }
}
