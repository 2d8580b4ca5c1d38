//! Builds the chain of a stage, and checks that it fits the stage's topics.

use rivulet_core::operator::Operator;
use rivulet_core::reading::LONGEST_SENSOR;
use rivulet_pipeline::catalog::{Catalog, Formats};
use rivulet_pipeline::{Check, ComponentConfig, Diagnostic, Pipeline, Stage, StageKind, Unread};

use crate::chain::Chain;
use crate::registry::OperatorRegistry;

impl OperatorRegistry {
    /// Builds the chain of an operator stage, and checks that it fits the stage's topics.
    ///
    /// # Errors
    /// Every error in the stage's steps, and between them and its topics.
    pub fn chain(
        &self,
        pipeline: &Pipeline,
        stage: &Stage,
        steps: &[ComponentConfig],
    ) -> Result<Chain, Vec<Diagnostic>> {
        let (chain, diagnostics) = check_steps(self, pipeline, &Unread::default(), stage, steps);
        if diagnostics.is_empty() {
            Ok(chain)
        } else {
            Err(diagnostics)
        }
    }
}

impl Check for OperatorRegistry {
    fn formats(&self) -> &Formats {
        &self.formats
    }

    fn encodes(&self, stage: &Stage) -> bool {
        matches!(stage.kind, StageKind::Operator { .. })
    }

    fn check_stage(&self, pipeline: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
        match &stage.kind {
            StageKind::Operator { steps } => check_steps(self, pipeline, unread, stage, steps).1,
            StageKind::Producer { .. } | StageKind::Sink { .. } => Vec::new(),
        }
    }
}

/// The chain of a stage as far as it is known.
struct Sketch {
    /// A step whose settings have errors is the example of the catalog.
    chain: Chain,
    /// Whether no step is missing.
    is_complete: bool,
    /// Whether each step has its own settings.
    is_exact: bool,
}

impl Sketch {
    fn new(
        operators: &Catalog<dyn Operator>,
        steps: &[ComponentConfig],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let (mut is_complete, mut is_exact) = (true, true);
        let mut chain = Vec::with_capacity(steps.len());
        for step in steps {
            match operators.read(step) {
                Ok(operator) => chain.push(operator),
                Err(errors) => {
                    diagnostics.extend(errors);
                    let example = operators.example(step);
                    is_complete &= example.is_some();
                    is_exact = false;
                    chain.extend(example);
                }
            }
        }
        Sketch {
            chain: Chain::new(chain),
            is_complete,
            is_exact,
        }
    }
}

/// The chain of a stage as far as it is known, and every error in its steps, and between them and
/// the stage's topics. Without errors it is the whole chain.
fn check_steps(
    registry: &OperatorRegistry,
    pipeline: &Pipeline,
    unread: &Unread,
    stage: &Stage,
    steps: &[ComponentConfig],
) -> (Chain, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let Sketch {
        chain,
        is_complete,
        is_exact,
    } = Sketch::new(&registry.operators, steps, &mut diagnostics);
    let is_complete = is_complete && !unread.has(&stage.table(), "steps");
    let diagnostic = |message: String| Diagnostic::at(stage.place.clone(), message);
    let is_known = |topic: &str, key: &str| !unread.has(&format!("topic.{topic}"), key);
    let inputs: Vec<_> = stage
        .from
        .iter()
        .map(|name| (name, pipeline.topic(name)))
        .collect();
    let counted: Vec<_> = inputs
        .iter()
        .filter(|(name, _)| is_known(name, "partitions"))
        .collect();
    if chain.states() > 0 {
        for (name, topic) in &counted {
            let is_keyed = !is_known(name, "format")
                || pipeline
                    .format(name, &registry.formats)
                    .is_ok_and(|format| format.keyed());
            if !is_keyed && topic.partitions > 1 {
                let message = format!(
                    "`{}` keeps state, but `{name}` is of format `{}` and has {} partitions",
                    stage.name,
                    topic.format.name(),
                    topic.partitions
                );
                diagnostics.push(diagnostic(message).help(
                    "its records have no key, so the readings of a sensor are in all partitions, \
                     and each partition has its own state: give the topic 1 partition, or write \
                     it in json",
                ));
            }
        }
        if counted
            .iter()
            .any(|(_, topic)| topic.partitions != counted[0].1.partitions)
        {
            let message = format!(
                "`{}` keeps state, but its inputs have different numbers of partitions",
                stage.name
            );
            diagnostics.push(diagnostic(message).help(
                "a sensor must be in the same partition of each: give them the same number of \
                 partitions",
            ));
        }
    }
    diagnostics.extend(check_rules(stage, &chain, is_complete));
    if is_complete && is_exact && is_known(&stage.changelog(), "config") {
        diagnostics.extend(check_changelog(pipeline, stage, &chain));
    }
    (chain, diagnostics)
}

/// Whether the state of a sensor fits into a record of the changelog.
fn check_changelog(pipeline: &Pipeline, stage: &Stage, chain: &Chain) -> Option<Diagnostic> {
    let largest = largest_state(stage, chain);
    let changelog = pipeline.topic(&stage.changelog());
    if chain.states() == 0 || largest <= changelog.largest_record() {
        return None;
    }
    let message = format!(
        "the state of one sensor of `{}` can have {largest} bytes, too many for {}",
        stage.name,
        stage.changelog()
    );
    Some(Diagnostic::at(stage.place.clone(), message).help(format!(
        "set config = {{ \"max.message.bytes\" = {} }} in [topic.{}], or use steps \
         with less state",
        largest + changelog.largest_message() - changelog.largest_record(),
        stage.changelog()
    )))
}

/// Settings of a stage that say nothing, or not what it takes to follow them.
fn check_rules(stage: &Stage, chain: &Chain, is_complete: bool) -> Option<Diagnostic> {
    stage.rules.state_ttl?;
    let diagnostic = |message: String| Diagnostic::at(stage.place.clone(), message);
    if chain.states() == 0 && !is_complete {
        return None;
    }
    if chain.states() == 0 {
        let message = format!(
            "`{}` keeps no state, so `state-ttl` has no effect",
            stage.name
        );
        return Some(diagnostic(message).help("remove it"));
    }
    let message = format!("`{}` has `state-ttl` and several inputs", stage.name);
    let help = "which reading is the newest depends on which input is read first: give the stage \
                one input";
    (stage.from.len() > 1).then(|| diagnostic(message).help(help))
}

/// The largest changelog record of the state of one sensor, in bytes: the key, and the value in
/// JSON.
fn largest_state(stage: &Stage, chain: &Chain) -> usize {
    // `-1.2345678901234567e-308,` and `"…":9223372036854775807,`
    const NUMBER: usize = 25;
    const OFFSET: usize = 24;
    const OVERHEAD: usize = 100;
    const LONGEST_TOPIC: usize = 249;
    // The prefix before a topic's name may be any.
    let offsets = stage.from.len() * (LONGEST_TOPIC + OFFSET);
    // JSON escapes the few quotes and control characters in a description.
    LONGEST_SENSOR
        + OVERHEAD
        + 2 * chain.describe().len()
        + offsets
        + NUMBER * chain.numbers()
        + 3 * chain.states()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rivulet_pipeline::Text;

    use super::*;

    const EWMA: &str = "{ ewma = { alpha = 0.5 } }";
    const KEEP: &str = "{ threshold = { above = 1 } }";

    /// The diagnostics of the first stage of a pipeline file, an operator.
    fn diagnostics_of(text: String) -> Vec<String> {
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }))
        .unwrap();
        let StageKind::Operator { steps } = &pipeline.stages[0].kind else {
            unreachable!("it is an operator")
        };
        let built = OperatorRegistry::default().chain(&pipeline, &pipeline.stages[0], steps);
        built
            .err()
            .unwrap_or_default()
            .iter()
            .map(|diagnostic| format!("{diagnostic:?}"))
            .collect()
    }

    /// The diagnostics of a stage with these steps that reads topics with these settings and writes
    /// one.
    fn diagnostics(steps: &str, inputs: &[&str], output: &str) -> Vec<String> {
        let names: Vec<String> = (0..inputs.len())
            .map(|number| format!("in-{number}"))
            .collect();
        let settings = names.iter().zip(inputs);
        let topics: Vec<String> = settings
            .map(|(name, settings)| format!("[topic.{name}]\nexternal = true\n{settings}\n"))
            .collect();
        let work = format!("[operator.work]\nfrom = {names:?}\nsteps = [{steps}]\nto = \"out\"\n");
        diagnostics_of(format!("{work}{}[topic.out]\n{output}\n", topics.concat()))
    }

    /// Fails unless there is exactly one diagnostic, and it contains these words.
    fn assert_one(diagnostics: &[String], words: &str) {
        assert!(
            diagnostics.len() == 1 && diagnostics[0].contains(words),
            "{diagnostics:?}"
        );
    }

    const NUMBER: &str = "format = \"number\"";
    const NUMBERS: &str = "format = \"number\"\npartitions = 2";
    const JSON: &str = "partitions = 2";

    #[test]
    fn state_needs_keys_where_there_are_several_partitions() {
        assert_one(
            &diagnostics(EWMA, &[NUMBERS], NUMBER),
            "is of format `number` and has 2 partitions",
        );
        assert!(diagnostics(KEEP, &[NUMBERS], NUMBER).is_empty());
        assert!(diagnostics(EWMA, &[NUMBER], NUMBER).is_empty());
        assert!(diagnostics(EWMA, &[JSON], NUMBER).is_empty());
    }

    #[test]
    fn state_needs_as_many_partitions_in_each_input() {
        assert_one(
            &diagnostics(EWMA, &[JSON, "partitions = 3"], ""),
            "different numbers of partitions",
        );
        assert!(diagnostics(EWMA, &[JSON, JSON], "").is_empty());
        assert!(diagnostics(KEEP, &[JSON, "partitions = 3"], "").is_empty());
    }

    #[test]
    fn the_state_of_a_sensor_fits_into_a_record_of_the_changelog() {
        fn with_windows(count: usize, topic: &str) -> Vec<String> {
            let steps = vec!["{ average = { window = 4096 } }"; count].join(", ");
            diagnostics_of(format!(
                "[topic.in]\nexternal = true\n[operator.work]\nfrom = \"in\"\nsteps = [{steps}]\n\
                 to = \"out\"\n{topic}"
            ))
        }
        assert!(with_windows(5, "").is_empty());
        assert_one(&with_windows(20, ""), "max.message.bytes");
        let larger = "[topic.work-changelog]\nconfig = { \"max.message.bytes\" = 3000000 }\n";
        assert!(with_windows(20, larger).is_empty());
        let smaller = "[topic.work-changelog]\nconfig = { \"max.message.bytes\" = 3000 }\n";
        assert_one(&with_windows(1, smaller), "too many for work-changelog");
    }

    #[test]
    fn a_ttl_needs_a_state_and_one_input() {
        fn with_ttl(steps: &str, from: &str) -> Vec<String> {
            diagnostics_of(format!(
                "[topic.a]\nexternal = true\n\
                 [operator.work]\nfrom = {from}\nsteps = [{steps}]\nto = \"out\"\n\
                 state-ttl = \"30d\"\n\
                 [topic.b]\nexternal = true\n[sink.show]\nfrom = \"b\"\nsink = \"console\"\n"
            ))
        }
        assert!(with_ttl(EWMA, "\"a\"").is_empty());
        assert_one(&with_ttl(KEEP, "\"a\""), "keeps no state");
        assert_one(&with_ttl(EWMA, "[\"a\", \"b\"]"), "several inputs");
    }
}
