//! A scenario: one pipeline on a broker, with unique names.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Process;
use crate::records::{self, Record};
use crate::{Kafka, MemoryLimit, PipelineBuilder, Pty, guard, programs, wait};

/// One pipeline on a broker. Its folder is removed on drop.
#[derive(Debug)]
pub struct Scenario {
    pipeline: PipelineBuilder,
    brokers: String,
    suffix: String,
    folder: PathBuf,
    guarantee: &'static str,
    prefix: Prefix,
}

/// What stands before the names in Kafka, and where the programs have it from.
#[derive(Debug, Clone, Copy)]
pub enum Prefix {
    /// The pipeline file, if it has one.
    None,
    /// The option `--prefix`.
    Option(&'static str),
    /// The environment variable `RIVULET_PREFIX`.
    Environment(&'static str),
}

impl Scenario {
    /// The pipeline on the shared broker, with its topics.
    #[must_use]
    pub fn new(pipeline: PipelineBuilder) -> Self {
        let scenario = Self::on(Kafka::shared(), pipeline);
        scenario.create_topics();
        scenario
    }

    /// The pipeline on any broker, without its topics.
    #[must_use]
    pub fn on(brokers: impl Into<String>, pipeline: PipelineBuilder) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Consecutive test processes may share a broker, so the process id is part of the names.
        let suffix = format!(
            "-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = guard::folder("scenario");
        let scenario = Scenario {
            pipeline,
            brokers: brokers.into(),
            suffix,
            folder,
            guarantee: "exactly-once",
            prefix: Prefix::None,
        };
        scenario.write_pipeline();
        scenario
    }

    /// The same pipeline file on the same broker, in a folder of its own.
    #[must_use]
    pub fn twin(&self) -> Self {
        let twin = Scenario {
            pipeline: self.pipeline.clone(),
            brokers: self.brokers.clone(),
            suffix: self.suffix.clone(),
            folder: guard::folder("scenario"),
            ..*self
        };
        twin.write_pipeline();
        twin
    }

    /// The same with this prefix of all names in Kafka.
    #[must_use]
    pub fn prefix(mut self, prefix: Prefix) -> Self {
        self.prefix = prefix;
        self
    }

    fn write_pipeline(&self) {
        self.write("pipeline.toml", self.pipeline.text(&self.suffix));
    }

    /// The same with this guarantee. The default is `exactly-once`.
    #[must_use]
    pub fn guarantee(mut self, guarantee: &'static str) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Writes a file next to the pipeline file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content)
            .unwrap_or_else(|error| panic!("writing {name}: {error}"));
    }

    /// The path of a file next to the pipeline file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The full name of a stage or topic in the pipeline file.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// The full name of a topic or group in Kafka.
    #[must_use]
    pub fn in_kafka(&self, name: &str) -> String {
        let (Prefix::Option(prefix) | Prefix::Environment(prefix)) = self.prefix else {
            return self.name(name);
        };
        format!("{prefix}{}", self.name(name))
    }

    /// The full name of a stage's dead-letter topic.
    #[must_use]
    pub fn dead_letters(&self, stage: &str) -> String {
        format!("{}-dead-letters", self.in_kafka(stage))
    }

    /// The full name of a stage's changelog.
    #[must_use]
    pub fn changelog(&self, stage: &str) -> String {
        format!("{}-changelog", self.in_kafka(stage))
    }

    /// The broker's address.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Starts a stage as instance `a`.
    #[must_use]
    pub fn start(&self, stage: &str) -> Process {
        self.start_as(stage, "a")
    }

    /// Starts a stage as this instance.
    #[must_use]
    pub fn start_as(&self, stage: &str, instance: &str) -> Process {
        Process::start(
            format!("{stage}@{instance}"),
            &mut self.stage(stage, instance),
        )
    }

    /// Starts a stage as instance `a`, with other addresses of the brokers, such as a proxy's.
    #[must_use]
    pub fn start_through(&self, brokers: &str, stage: &str) -> Process {
        Process::start(
            format!("{stage}@a through {brokers}"),
            &mut self.stage_on(brokers, stage, "a"),
        )
    }

    /// Starts a stage with a memory limit.
    #[must_use]
    pub fn start_with_limit(&self, limit: &MemoryLimit, stage: &str) -> Process {
        Process::start(
            format!("{stage}@a"),
            &mut limit.command(&self.stage(stage, "a")),
        )
    }

    /// Starts a stage as instance `a`, with this standard input.
    #[must_use]
    pub fn start_on(&self, stage: &str, input: impl Into<Stdio>) -> Process {
        Process::start(format!("{stage}@a"), self.stage(stage, "a").stdin(input))
    }

    /// Runs a stage until it has processed all records.
    pub fn drain(&self, stage: &str) {
        Process::start(
            format!("{stage} draining"),
            self.stage(stage, "a").arg("--drain"),
        )
        .succeeds();
    }

    /// Starts `rivulet` with these arguments.
    #[must_use]
    pub fn rivulet(&self, arguments: &[&str]) -> Process {
        self.program("rivulet", arguments)
    }

    /// Starts `rivulet` with these arguments at a terminal with so many columns and rows.
    #[must_use]
    pub fn at_terminal(&self, arguments: &[&str], size: (u16, u16)) -> Pty {
        self.at_terminal_with(arguments, size, &[])
    }

    /// The same with these environment variables.
    #[must_use]
    pub fn at_terminal_with(
        &self,
        arguments: &[&str],
        size: (u16, u16),
        environment: &[(&str, &str)],
    ) -> Pty {
        let mut command = self.command("rivulet");
        self.options(&self.brokers, command.args(arguments));
        command.envs(environment.iter().copied());
        Pty::start(format!("rivulet {}", arguments.join(" ")), &command, size)
    }

    /// Starts `rivulet` with these arguments and the brokers, without a pipeline file.
    #[must_use]
    pub fn tool(&self, arguments: &[&str]) -> Process {
        let mut command = self.command("rivulet");
        command.args(arguments).args(["--brokers", &self.brokers]);
        Process::start(format!("rivulet {}", arguments.join(" ")), &mut command)
    }

    /// Starts one of the project's programs with these arguments, the pipeline and the brokers.
    #[must_use]
    pub fn program(&self, program: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(program);
        Process::start(
            format!("{program} {}", arguments.join(" ")),
            self.options(&self.brokers, command.args(arguments)),
        )
    }

    /// Starts `rivulet check` on a file next to the pipeline file, or on that file.
    #[must_use]
    pub fn check(&self, file: &str) -> Process {
        Process::start(
            format!("rivulet check {file}"),
            self.command("rivulet").arg("check").arg(self.path(file)),
        )
    }

    /// Creates the pipeline's topics.
    pub fn create_topics(&self) {
        self.rivulet(&["topics", "create"]).succeeds();
    }

    /// Kills stages with `kill -9` while records flow, and verifies: `produce` writes the records
    /// of each round, and each stage is killed once new ones have arrived in the topic `to`.
    pub fn survives_kills(
        &self,
        stages: &[&str],
        to: &str,
        rounds: usize,
        mut produce: impl FnMut(usize),
    ) {
        let mut running: Vec<Process> = stages.iter().map(|stage| self.start(stage)).collect();
        for round in 0..rounds {
            let before = self.written(to);
            produce(round);
            // All are at work.
            wait::until_true("results arrive", || self.written(to) > before + 20);
            for (stage, process) in stages.iter().zip(&mut running) {
                process.kill();
                *process = self.start(stage);
            }
        }
        running.iter_mut().for_each(Process::kill);
        for stage in stages {
            self.drain(stage);
        }
        self.verify();
    }

    /// Fails unless `rivulet verify` finds no differences.
    pub fn verify(&self) {
        let mut verify = self.rivulet(&["verify"]);
        verify.succeeds();
        verify.says(&["0 missing, 0 extra, 0 wrong, 0 out of order"]);
    }

    /// All committed records of a topic, once there are at least `at_least`.
    #[must_use]
    pub fn read(&self, topic: &str, at_least: usize) -> Vec<Record> {
        records::read(&self.brokers, &self.in_kafka(topic), at_least)
    }

    /// The values of all committed readings of a topic, once there are at least `at_least`.
    #[must_use]
    pub fn values(&self, topic: &str, at_least: usize) -> Vec<f64> {
        self.read(topic, at_least)
            .iter()
            .map(Record::number)
            .collect()
    }

    /// The sum of the end offsets of a topic's partitions, including transaction markers.
    #[must_use]
    pub fn written(&self, topic: &str) -> i64 {
        records::written(&self.brokers, &self.in_kafka(topic))
    }

    /// The sum of the offsets that a stage has committed for a topic.
    #[must_use]
    pub fn committed(&self, stage: &str, topic: &str) -> i64 {
        records::committed(&self.brokers, &self.in_kafka(stage), &self.in_kafka(topic))
    }

    /// Waits until a topic has grown by `by` records.
    pub fn grows(&self, topic: &str, by: i64) {
        let start = self.written(topic);
        wait::until_true(&format!("{topic} grows by {by} records"), || {
            self.written(topic) >= start + by
        });
    }

    /// Waits until the stage's group is stable with `count` members.
    pub fn has_members(&self, stage: &str, count: usize) {
        let group = self.in_kafka(stage);
        let what = format!("{stage}'s group is stable with {count} members");
        wait::until_true(&what, || {
            records::members(&self.brokers, &group) == Some(count)
        });
    }

    /// The command that starts a stage as an instance.
    #[must_use]
    pub fn stage(&self, stage: &str, instance: &str) -> Command {
        self.stage_on(&self.brokers, stage, instance)
    }

    /// The same on other brokers, such as some that do not exist.
    #[must_use]
    pub fn stage_on(&self, brokers: &str, stage: &str, instance: &str) -> Command {
        let mut command = self.command(&format!("rivulet-{}", self.pipeline.kind(stage)));
        self.options(
            brokers,
            command.arg(self.name(stage)).args(["--instance", instance]),
        );
        command
    }

    fn options<'c>(&self, brokers: &str, command: &'c mut Command) -> &'c mut Command {
        let pipeline = self.path("pipeline.toml");
        command.arg("--pipeline").arg(pipeline).args([
            "--brokers",
            brokers,
            "--guarantee",
            self.guarantee,
        ]);
        match self.prefix {
            Prefix::None => command,
            Prefix::Option(prefix) => command.args(["--prefix", prefix]),
            Prefix::Environment(prefix) => command.env("RIVULET_PREFIX", prefix),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::program(program));
        command.current_dir(&self.folder).stdin(Stdio::null());
        programs::forget_settings(&mut command);
        command
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        guard::remove(&self.folder);
    }
}
