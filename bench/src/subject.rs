//! What is measured: [`Subject`], and how one stage of it is started.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use rivulet_core::guarantee::Guarantee;
use rivulet_kafka::NewTopic;
use rivulet_operators::OperatorRegistry;
use rivulet_pipeline::Pipeline;
use rivulet_tests::programs;

use crate::outcome::Outcome;
use crate::running::Running;
use crate::step::Step;

/// The programs of other engines, in the order of the tables.
pub(crate) const CONTENDERS: [&str; 4] = [
    "franz-go",
    "kafka-streams",
    "confluent-kafka",
    "quix-streams",
];

/// Rivulet's pipeline file of Theodolite's use case 1.
pub(crate) const UC1: &str = include_str!("../contenders/theodolite-uc1/uc1.toml");

/// Something that runs stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its name in the tables.
    pub(crate) name: String,
    program: Program,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Program {
    /// `rivulet-operator`, of this build or of another.
    Rivulet(PathBuf),
    /// Has the command line of all contenders.
    Contender(PathBuf),
}

/// When a stage commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interval {
    /// By its own rule.
    Own,
    /// Every so many milliseconds.
    Ms(u64),
    /// By its own rule, with this share of its time.
    Percent(u32),
    /// As often as one broker can.
    Lowest,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interval::Own => f.write_str("own rule"),
            Interval::Ms(ms) => write!(f, "{ms} ms"),
            Interval::Percent(percent) => write!(f, "{percent} %"),
            Interval::Lowest => f.write_str("lowest"),
        }
    }
}

/// How a pipeline file says when stages commit.
pub(crate) fn commit_setting(interval: Interval) -> String {
    match interval {
        Interval::Own => String::new(),
        Interval::Ms(ms) => {
            format!("[commit]\nleast-interval-ms = {ms}\nlongest-interval-ms = {ms}\n")
        }
        Interval::Percent(percent) => format!("[commit]\ntime-percent = {percent}\n"),
        Interval::Lowest => "[commit]\nleast-interval-ms = 10\ntime-percent = 50\n".to_owned(),
    }
}

/// One stage that runs.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The consumer group, and the beginning of the names of its own topics.
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) step: Step,
    pub(crate) partitions: i32,
    pub(crate) guarantee: Guarantee,
    pub(crate) interval: Interval,
    /// How many sensors there are: the state may need more memory than a stage has by default.
    pub(crate) sensors: u64,
}

/// With more sensors a stage gets more memory.
const MANY_SENSORS: u64 = 100_000;

impl Job {
    fn pipeline(&self) -> String {
        let is_large = self.sensors > MANY_SENSORS;
        let memory = if is_large {
            "[limits]\nmemory = \"1 GB\"\n"
        } else {
            ""
        };
        format!(
            "{}{memory}[defaults]\npartitions = {}\n[topic.{}]\nexternal = true\n\
             [operator.{}]\nfrom = \"{}\"\nsteps = [{{ {} }}]\nto = \"{}\"\n",
            commit_setting(self.interval),
            self.partitions,
            self.from,
            self.name,
            self.from,
            self.step.settings(),
            self.to
        )
    }

    /// Writes the pipeline file, and returns its place.
    fn file(&self, folder: &Path) -> Outcome<PathBuf> {
        let file = folder.join(format!("{}.toml", self.name));
        std::fs::write(&file, self.pipeline())?;
        Ok(file)
    }

    fn topics(&self, folder: &Path) -> Outcome<Vec<NewTopic>> {
        topics_of(&self.file(folder)?)
    }
}

/// Theodolite's use case 1 as a stage.
#[derive(Debug, Clone)]
pub(crate) struct Uc1Job {
    /// The consumer group, and the beginning of the names of its own topics.
    pub(crate) name: String,
    pub(crate) from: String,
}

impl Uc1Job {
    /// The pipeline file, with the names of this run.
    fn file(&self, folder: &Path) -> Outcome<PathBuf> {
        let file = folder.join(format!("{}.toml", self.name));
        let pipeline = UC1.replace("uc1-input", &self.from);
        std::fs::write(&file, pipeline.replace("uc1-database", &self.name))?;
        Ok(file)
    }

    /// The topics that must be there before it starts.
    pub(crate) fn topics(&self, folder: &Path) -> Outcome<Vec<NewTopic>> {
        topics_of(&self.file(folder)?)
    }
}

/// The topics that a pipeline has, as `rivulet topics create` makes them.
fn topics_of(file: &Path) -> Outcome<Vec<NewTopic>> {
    let pipeline = Pipeline::load(file, &OperatorRegistry::default())?;
    let topics = pipeline.topics.iter().map(|(name, topic)| NewTopic {
        name: name.clone(),
        partitions: topic.partitions,
        replication: topic.replication,
        settings: topic.settings(),
    });
    Ok(topics.collect())
}

impl Subject {
    /// This build of rivulet.
    pub(crate) fn rivulet() -> Self {
        Subject {
            name: "rivulet".to_owned(),
            program: Program::Rivulet(programs::program("rivulet-operator")),
        }
    }

    /// One of the relays.
    pub(crate) fn relay(name: &str) -> Self {
        Subject {
            name: name.to_owned(),
            program: Program::Contender(programs::program(name)),
        }
    }

    /// One of [`CONTENDERS`].
    pub(crate) fn contender(name: &str) -> Outcome<Self> {
        let run = programs::target().join("contenders").join(name).join("run");
        if !run.is_file() {
            return Err(format!(
                "{} does not exist: run `scripts/contenders {name}`, or leave it out with \
                 `--without {name}`",
                run.display()
            )
            .into());
        }
        Ok(Subject {
            name: name.to_owned(),
            program: Program::Contender(run),
        })
    }

    /// Whether it is a build of rivulet.
    pub(crate) fn is_rivulet(&self) -> bool {
        matches!(self.program, Program::Rivulet(_))
    }

    /// Whether it is slow enough to get a tenth of the readings.
    pub(crate) fn is_python(&self) -> bool {
        matches!(self.name.as_str(), "confluent-kafka" | "quix-streams")
    }

    /// The topics that must be there before it starts.
    pub(crate) fn topics(&self, job: &Job, folder: &Path) -> Outcome<Vec<NewTopic>> {
        if job.step == Step::Copy {
            let step = Step::Convert;
            return self.topics(
                &Job {
                    step,
                    ..job.clone()
                },
                folder,
            );
        }
        let mut topics = job.topics(folder)?;
        // The output, and the changelog of the relay, which creates nothing.
        let changelog = format!("{}-changelog", job.name);
        let is_relay = self.name.starts_with("relay");
        if !self.is_rivulet() {
            topics.retain(|topic| {
                topic.name == job.to
                    || topic.name == job.from
                    || is_relay && topic.name == changelog
            });
        }
        Ok(topics)
    }

    /// Starts a stage.
    pub(crate) fn start(&self, job: &Job, brokers: &str, folder: &Path) -> Outcome<Running> {
        let mut command = match &self.program {
            Program::Rivulet(program) => rivulet(program, &job.file(folder)?, &job.name),
            Program::Contender(program) => {
                let mut command = contender(program, &job.name, &job.from, job.interval);
                command.args(["--to", &job.to, "--step", job.step.name()]);
                command
            }
        };
        command.stdout(Stdio::null());
        self.run(command, brokers, job.guarantee, folder)
    }

    /// Starts Theodolite's use case 1, which writes to `lines`.
    pub(crate) fn start_uc1(
        &self,
        job: &Uc1Job,
        brokers: &str,
        folder: &Path,
        lines: File,
    ) -> Outcome<Running> {
        let Uc1Job { name, from } = job;
        let mut command = match &self.program {
            Program::Rivulet(program) => {
                let program = program.with_file_name("rivulet-sink");
                rivulet(&program, &job.file(folder)?, name)
            }
            Program::Contender(program) => {
                contender(&program.with_file_name("uc1"), name, from, Interval::Own)
            }
        };
        command.stdout(lines);
        self.run(command, brokers, Guarantee::AtLeastOnce, folder)
    }

    fn run(
        &self,
        mut command: Command,
        brokers: &str,
        guarantee: Guarantee,
        folder: &Path,
    ) -> Outcome<Running> {
        command
            .args(["--brokers", brokers, "--guarantee", guarantee.name()])
            .stdin(Stdio::null())
            .current_dir(folder);
        let started = Running::start(&mut command);
        Ok(started.map_err(|error| format!("starting {}: {error}", self.name))?)
    }
}

/// A program of rivulet with its stage.
fn rivulet(program: &Path, pipeline: &Path, stage: &str) -> Command {
    let mut command = Command::new(program);
    programs::forget_settings(&mut command);
    command
        .env("RUST_LOG", "warn")
        .args(["--instance", "bench"])
        .arg("--pipeline")
        .arg(pipeline)
        .arg(stage);
    command
}

/// A program of another engine with the options that all have.
fn contender(program: &Path, name: &str, from: &str, interval: Interval) -> Command {
    let ms = match interval {
        Interval::Ms(ms) => ms,
        // They have no rule of their own.
        Interval::Own | Interval::Percent(_) | Interval::Lowest => 100,
    };
    let mut command = Command::new(program);
    command
        .args(["--name", name, "--from", from])
        .args(["--commit-ms", &ms.to_string()]);
    command
}

/// The programs of another version of rivulet.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    name: String,
    program: PathBuf,
}

impl Version {
    /// It as a subject.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            name: self.name.clone(),
            program: Program::Rivulet(self.program.clone()),
        }
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, folder) = text
            .split_once('=')
            .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .ok_or("write NAME=FOLDER, with a name of letters and digits")?;
        // Stages are started in another folder.
        let program = std::path::absolute(Path::new(folder).join("rivulet-operator"));
        let program = program.map_err(|error| error.to_string())?;
        if !program.is_file() {
            return Err(format!("{} does not exist", program.display()));
        }
        let name = name.to_owned();
        Ok(Version { name, program })
    }
}
