//! The text of a pipeline file, built stage by stage.

use std::fmt::Write;

/// A pipeline. Its names get a suffix when it becomes the file of a scenario.
#[derive(Debug, Clone, Default)]
pub struct PipelineBuilder {
    settings: String,
    topics: Vec<(String, String)>,
    stages: Vec<Stage>,
}

#[derive(Debug, Clone)]
struct Stage {
    name: String,
    /// `producer`, `operator` or `sink`: the name of the table, and the end of the program's name.
    kind: &'static str,
    from: Option<String>,
    to: Option<String>,
    /// The line that says what it does.
    work: String,
}

impl PipelineBuilder {
    /// An empty pipeline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds lines to the top, such as `guarantee = "exactly-once"`. Tables must come after plain
    /// settings.
    #[must_use]
    pub fn settings(mut self, lines: &str) -> Self {
        writeln!(self.settings, "{lines}").expect("writing to a string succeeds");
        self
    }

    /// Adds the table of a topic, with these lines.
    #[must_use]
    pub fn topic(mut self, name: &str, lines: &str) -> Self {
        self.topics.push((name.to_owned(), lines.to_owned()));
        self
    }

    /// Adds a producer: `source` is TOML, such as `{ lines = {} }`.
    #[must_use]
    pub fn producer(self, name: &str, source: &str, to: &str) -> Self {
        self.stage(
            name,
            "producer",
            None,
            Some(to),
            format!("source = {source}"),
        )
    }

    /// Adds a producer with a spool. `source` and `spool` are TOML.
    #[must_use]
    pub fn spooled_producer(self, name: &str, source: &str, spool: &str, to: &str) -> Self {
        self.stage(
            name,
            "producer",
            None,
            Some(to),
            format!("source = {source}\nspool = {spool}"),
        )
    }

    /// Adds an operator: `steps` are TOML, such as `{ ewma = { alpha = 0.5 } }, "noise"`.
    #[must_use]
    pub fn operator(self, name: &str, from: &str, steps: &str, to: &str) -> Self {
        self.stage(
            name,
            "operator",
            Some(from),
            Some(to),
            format!("steps = [{steps}]"),
        )
    }

    /// Adds a sink: `sink` is TOML, such as `"console"`.
    #[must_use]
    pub fn sink(self, name: &str, from: &str, sink: &str) -> Self {
        self.stage(name, "sink", Some(from), None, format!("sink = {sink}"))
    }

    /// Adds a line to the table of the last stage, such as `on-gap = "stop"`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        let stage = self.stages.last_mut().expect("a stage comes first");
        write!(stage.work, "\n{line}").expect("writing to a string succeeds");
        self
    }

    fn stage(
        mut self,
        name: &str,
        kind: &'static str,
        from: Option<&str>,
        to: Option<&str>,
        work: String,
    ) -> Self {
        let [from, to] = [from, to].map(|topic| topic.map(str::to_owned));
        self.stages.push(Stage {
            name: name.to_owned(),
            kind,
            from,
            to,
            work,
        });
        self
    }

    /// The names of the stages of a kind: `producer`, `operator` or `sink`.
    #[must_use]
    pub fn stages(&self, kind: &str) -> Vec<String> {
        self.stages
            .iter()
            .filter(|stage| stage.kind == kind)
            .map(|stage| stage.name.clone())
            .collect()
    }

    /// The kind of a stage.
    pub(crate) fn kind(&self, stage: &str) -> &'static str {
        let found = self.stages.iter().find(|known| known.name == stage);
        found
            .unwrap_or_else(|| panic!("the scenario has no stage `{stage}`"))
            .kind
    }

    /// The file, with `suffix` added to the name of each stage and topic.
    pub(crate) fn text(&self, suffix: &str) -> String {
        let mut text = self.settings.clone();
        for (name, lines) in &self.topics {
            write!(text, "\n[topic.{name}{suffix}]\n{lines}\n")
                .expect("writing to a string succeeds");
        }
        for stage in &self.stages {
            write!(
                text,
                "\n[{}.{}{suffix}]\n{}\n",
                stage.kind, stage.name, stage.work
            )
            .expect("writing to a string succeeds");
            for (key, topic) in [("from", &stage.from), ("to", &stage.to)] {
                if let Some(topic) = topic {
                    writeln!(text, "{key} = \"{topic}{suffix}\"")
                        .expect("writing to a string succeeds");
                }
            }
        }
        text
    }
}
