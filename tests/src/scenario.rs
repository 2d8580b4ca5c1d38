//! A scenario: one pipeline on a broker, with names that no other scenario has.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Process;
use crate::records::{self, Record};
use crate::{Cage, Kafka, PipelineBuilder, guard, programs, wait};

/// One pipeline on a broker; its folder is removed when it goes out of scope.
#[derive(Debug)]
pub struct Scenario {
    pipeline: PipelineBuilder,
    brokers: String,
    ending: String,
    folder: PathBuf,
    guarantee: &'static str,
}

impl Scenario {
    /// The pipeline on the broker that all tests share; its topics are created.
    #[must_use]
    pub fn new(pipeline: PipelineBuilder) -> Self {
        let scenario = Self::on(Kafka::shared(), pipeline);
        scenario.create_topics();
        scenario
    }

    /// The pipeline on some broker; no topics are created.
    #[must_use]
    pub fn on(brokers: impl Into<String>, pipeline: PipelineBuilder) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Test processes one after the other meet on one broker, so the process is part of the
        // name.
        let ending = format!(
            "-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = guard::folder("scenario");
        let scenario = Scenario {
            pipeline,
            brokers: brokers.into(),
            ending,
            folder,
            guarantee: "exactly-once",
        };
        scenario.write("pipeline.toml", scenario.pipeline.text(&scenario.ending));
        scenario
    }

    /// The same with another guarantee than `exactly-once`.
    #[must_use]
    pub fn guarantee(mut self, guarantee: &'static str) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Writes a file beside the pipeline file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content)
            .unwrap_or_else(|error| panic!("writing {name}: {error}"));
    }

    /// The path of a file beside the pipeline file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A stage's or topic's full name.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{name}{}", self.ending)
    }

    /// The full name of the topic with what a stage refused.
    #[must_use]
    pub fn dead_letters(&self, stage: &str) -> String {
        format!("{}-dead-letters", self.name(stage))
    }

    /// The full name of the topic with a stage's state, or a source's position.
    #[must_use]
    pub fn changelog(&self, stage: &str) -> String {
        format!("{}-changelog", self.name(stage))
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

    /// Starts a stage as an instance of that name.
    #[must_use]
    pub fn start_as(&self, stage: &str, instance: &str) -> Process {
        Process::start(
            format!("{stage}@{instance}"),
            &mut self.stage(stage, instance),
        )
    }

    /// Starts a stage as instance `a` that knows the brokers by another address, such as a proxy's.
    #[must_use]
    pub fn start_through(&self, brokers: &str, stage: &str) -> Process {
        Process::start(
            format!("{stage}@a through {brokers}"),
            &mut self.stage_on(brokers, stage, "a"),
        )
    }

    /// Starts a stage with hard limits on its memory.
    #[must_use]
    pub fn start_within(&self, cage: &Cage, stage: &str) -> Process {
        Process::start(
            format!("{stage}@a"),
            &mut cage.command(&self.stage(stage, "a")),
        )
    }

    /// Starts a stage as instance `a` that reads standard input from there.
    #[must_use]
    pub fn start_on(&self, stage: &str, input: impl Into<Stdio>) -> Process {
        Process::start(format!("{stage}@a"), self.stage(stage, "a").stdin(input))
    }

    /// Runs a stage until it has processed all there is to read.
    pub fn drain(&self, stage: &str) {
        Process::start(
            format!("{stage} draining"),
            self.stage(stage, "a").arg("--drain"),
        )
        .succeeds();
    }

    /// Starts `rivulet` with these arguments, the pipeline and the brokers.
    #[must_use]
    pub fn rivulet(&self, arguments: &[&str]) -> Process {
        self.program("rivulet", arguments)
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

    /// Starts `rivulet check` on a file beside the pipeline file, or on that itself.
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

    /// Fails unless `rivulet verify` finds nothing amiss.
    pub fn verify(&self) {
        let mut verify = self.rivulet(&["verify"]);
        verify.succeeds();
        verify.says(&["0 missing, 0 extra, 0 wrong, 0 out of order"]);
    }

    /// All committed records of a topic, once there are at least so many.
    #[must_use]
    pub fn read(&self, topic: &str, at_least: usize) -> Vec<Record> {
        records::read(&self.brokers, &self.name(topic), at_least)
    }

    /// The values of the committed readings of a topic, once there are at least so many.
    #[must_use]
    pub fn values(&self, topic: &str, at_least: usize) -> Vec<f64> {
        self.read(topic, at_least)
            .iter()
            .map(Record::number)
            .collect()
    }

    /// How many records a topic has ever got, those of Kafka's own among them.
    #[must_use]
    pub fn written(&self, topic: &str) -> i64 {
        records::written(&self.brokers, &self.name(topic))
    }

    /// The sum of the offsets that a stage has committed for a topic.
    #[must_use]
    pub fn committed(&self, stage: &str, topic: &str) -> i64 {
        records::committed(&self.brokers, &self.name(stage), &self.name(topic))
    }

    /// Waits until a topic has got so many records more than now.
    pub fn grows(&self, topic: &str, by: i64) {
        let start = self.written(topic);
        wait::until_so(&format!("{topic} grows by {by} records"), || {
            self.written(topic) >= start + by
        });
    }

    /// Waits until the stage's group is at rest with so many members.
    pub fn has_members(&self, stage: &str, count: usize) {
        let group = self.name(stage);
        let what = format!("{stage}'s group is at rest with {count} members");
        wait::until_so(&what, || {
            records::members(&self.brokers, &group) == Some(count)
        });
    }

    fn stage(&self, stage: &str, instance: &str) -> Command {
        self.stage_on(&self.brokers, stage, instance)
    }

    fn stage_on(&self, brokers: &str, stage: &str, instance: &str) -> Command {
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
        ])
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs::program(program));
        command.current_dir(&self.folder).stdin(Stdio::null());
        // Whoever runs the tests may use rivulet too.
        for variable in ["PIPELINE", "BROKERS", "GUARANTEE", "INSTANCE"] {
            command.env_remove(format!("RIVULET_{variable}"));
        }
        command.env_remove("RUST_LOG");
        command
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        guard::remove(&self.folder);
    }
}
