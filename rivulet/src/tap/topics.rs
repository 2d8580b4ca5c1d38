//! The topics that a stage reads and writes: [`TapTopics`].

use std::fmt;

use rivulet_core::format::Format;
use rivulet_pipeline::{Check, Diagnostic, Diagnostics, Stage, StageKind};

use super::records::KeptParts;
use crate::CheckedPipeline;

/// The operators that emit a reading only for a reading with the same sequence number and time.
const IN_STEP: [&str; 6] = ["convert", "threshold", "ewma", "average", "noise", "round"];

/// A topic that is read, by its name in Kafka, and what it is to the stage.
pub(super) struct TapTopic {
    pub(super) name: String,
    /// Its name in the pipeline file.
    pub(super) in_file: String,
    pub(super) role: TapRole,
}

/// What a topic is to the stage. With its format, and an index into the topics of its kind.
pub(super) enum TapRole {
    Input(usize, Box<dyn Format>),
    Output(usize, Box<dyn Format>),
    DeadLetters,
}

/// An operator stage, and the topics that it reads and writes.
pub(super) struct TapTopics<'p> {
    pub(super) stage: &'p Stage,
    pub(super) topics: Vec<TapTopic>,
    /// By output topic.
    pub(super) kept: Vec<KeptParts>,
}

impl<'p> TapTopics<'p> {
    /// The topics of the operator of this name.
    ///
    /// # Errors
    /// If there is no such stage, or it is no operator.
    pub(super) fn of_stage(
        pipeline: &'p CheckedPipeline<'_>,
        name: &str,
    ) -> Result<Self, Diagnostics> {
        let stage = pipeline.stage(name)?;
        let in_file = |topic: &String| pipeline.in_file(topic).to_owned();
        let wrong = |what: &str, help: String| {
            let diagnostic = Diagnostic::at(stage.place.clone(), format!("`{name}` {what}"));
            Diagnostics::new(pipeline.text.clone(), vec![diagnostic.help(help)])
        };
        let steps = match &stage.kind {
            StageKind::Operator { steps } => steps,
            StageKind::Producer { .. } => {
                let topics: Vec<String> = stage.to.iter().map(in_file).collect();
                return Err(wrong(
                    "is a producer: it reads no topic",
                    format!(
                        "see what it writes with `rivulet consume {}`, or draw it with `rivulet \
                         plot`",
                        topics.join(",")
                    ),
                ));
            }
            StageKind::Sink { .. } => {
                let topics: Vec<String> = stage.from.iter().map(in_file).collect();
                return Err(wrong(
                    "is a sink: it writes no topic",
                    format!(
                        "see what it reads with `rivulet consume {}`, and how far it is with \
                         `rivulet groups --stages {name}`",
                        topics.join(",")
                    ),
                ));
            }
        };
        let format = |topic: &String| pipeline.format(topic, pipeline.registry.formats());
        let in_step = |name: &str| IN_STEP.contains(&name);
        let is_strict = steps.iter().all(|step| in_step(step.name()));
        let (mut topics, mut kept) = (Vec::new(), Vec::new());
        let mut add = |name: &String, role| {
            topics.push(TapTopic {
                name: name.clone(),
                in_file: in_file(name),
                role,
            });
        };
        for (index, topic) in stage.from.iter().enumerate() {
            add(topic, TapRole::Input(index, format(topic)?));
        }
        for (index, topic) in stage.to.iter().enumerate() {
            let format = format(topic)?;
            let of_format = KeptParts::of(&*format);
            kept.push(if is_strict {
                of_format
            } else {
                of_format.loose()
            });
            add(topic, TapRole::Output(index, format));
        }
        add(&stage.dead_letters(), TapRole::DeadLetters);
        Ok(TapTopics {
            stage,
            topics,
            kept,
        })
    }

    /// The inputs, in order.
    pub(super) fn inputs(&self) -> Vec<&TapTopic> {
        let topics = self.topics.iter();
        topics
            .filter(|topic| matches!(topic.role, TapRole::Input(..)))
            .collect()
    }

    /// The outputs, in order.
    pub(super) fn outputs(&self) -> Vec<&TapTopic> {
        let topics = self.topics.iter();
        topics
            .filter(|topic| matches!(topic.role, TapRole::Output(..)))
            .collect()
    }
}

impl fmt::Display for TapTopics<'_> {
    /// A line that says what is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |topics: Vec<&TapTopic>| {
            let names = topics.into_iter().map(|topic| topic.in_file.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        write!(
            f,
            "{}: {} → {}, new records from now on",
            self.stage.name,
            names(self.inputs()),
            names(self.outputs())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Part;
    use super::*;
    use crate::checked::tests::parse;

    const FILE: &str = r#"
prefix = "team7-"
[producer.in]
source = { list = { values = [1] } }
to = ["cold", "warm"]
[operator.both]
from = ["cold", "warm"]
steps = [{ ewma = { alpha = 0.5 } }]
to = ["smooth", "copy"]
[operator.mean]
from = "cold"
steps = [{ mean-of = {} }]
to = "means"
[sink.out]
from = "smooth"
sink = "console"
"#;

    #[test]
    fn an_operator_has_inputs_and_outputs() {
        let pipeline = parse(FILE).unwrap();
        let topics = TapTopics::of_stage(&pipeline, "both").unwrap();
        let names: Vec<&str> = topics.topics.iter().map(|one| one.name.as_str()).collect();
        let expected = ["cold", "warm", "smooth", "copy", "both-dead-letters"];
        assert_eq!(names, expected.map(|name| format!("team7-{name}")));
        let said = "both: cold, warm → smooth, copy, new records from now on";
        assert_eq!(topics.to_string(), said);
        assert!(topics.kept[0].is_all());
        let topics = TapTopics::of_stage(&pipeline, "mean").unwrap();
        assert_eq!(topics.kept[0].seq, Part::Unknown);
    }

    #[test]
    fn other_stages_are_named_with_what_to_use_instead() {
        let pipeline = parse(FILE).unwrap();
        let error = |name| {
            let error = TapTopics::of_stage(&pipeline, name).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        let shown = error("in");
        assert!(shown.contains("`in` is a producer"), "{shown}");
        assert!(shown.contains("rivulet consume cold,warm"), "{shown}");
        let shown = error("out");
        assert!(shown.contains("`out` is a sink"), "{shown}");
        assert!(shown.contains("rivulet consume smooth"), "{shown}");
        let shown = error("bth");
        assert!(shown.contains("did you mean `both`?"), "{shown}");
    }
}
