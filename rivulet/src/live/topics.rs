//! Which topics are worth looking at: [`LiveTopics`].

use rivulet_core::format::Format;
use rivulet_pipeline::{Check, Diagnostics, Pipeline};
use rivulet_sinks::catalog::compare::Comparison;

use super::readings::LiveTopic;
use crate::CheckedPipeline;
use crate::compare::LiveComparison;

/// How many topics are read if nothing is compared.
const MOST: usize = 8;

/// The topics that are watched, how they are read, and how they are compared.
pub struct LiveTopics {
    /// The topics; with a comparison the input first, then the EWMA, then the average.
    pub topics: Vec<LiveTopic>,
    /// How the records of each carry readings.
    pub formats: Vec<Box<dyn Format>>,
    /// The comparison of all of them, before the first reading.
    pub comparison: Option<Comparison>,
}

impl LiveTopics {
    /// The topics of the sink that compares, or of the one of this name. Without such a sink the
    /// topics that sinks read, and without sinks those that stages write.
    ///
    /// # Errors
    /// If there is no sink of this name that compares, or there are several and none is named.
    pub fn of_pipeline(
        pipeline: &CheckedPipeline<'_>,
        sink: Option<&str>,
    ) -> Result<Self, Diagnostics> {
        if sink.is_none() && !LiveComparison::is_in(pipeline) {
            return Self::read_with_formats(pipeline, of_sinks(pipeline), None);
        }
        let comparison = LiveComparison::find(pipeline, sink)?.comparison()?;
        let mut sides = comparison.topics().to_vec();
        // The input comes before what is made of it.
        let has_input = sides.len() > 2;
        sides.rotate_right(usize::from(has_input));
        let topics = sides.into_iter().map(|(in_kafka, side)| LiveTopic {
            name: pipeline.in_file(&in_kafka).to_owned(),
            in_kafka,
            side: Some(side),
        });
        Self::read_with_formats(pipeline, topics.collect(), Some(comparison))
    }

    fn read_with_formats(
        pipeline: &CheckedPipeline<'_>,
        topics: Vec<LiveTopic>,
        comparison: Option<Comparison>,
    ) -> Result<Self, Diagnostics> {
        let known = pipeline.registry.formats();
        let formats = topics
            .iter()
            .map(|topic| pipeline.format(&topic.in_kafka, known));
        let formats = formats.collect::<Result<_, Diagnostics>>()?;
        Ok(LiveTopics {
            topics,
            formats,
            comparison,
        })
    }
}

/// The topics that sinks read. Without sinks those that stages write.
fn of_sinks(pipeline: &Pipeline) -> Vec<LiveTopic> {
    let read = pipeline.stages.iter().filter(|stage| stage.to.is_empty());
    let mut found: Vec<&String> = read.flat_map(|stage| &stage.from).collect();
    if found.is_empty() {
        found = pipeline.stages.iter().flat_map(|stage| &stage.to).collect();
    }
    let mut topics: Vec<LiveTopic> = Vec::new();
    for in_kafka in found {
        if topics.len() < MOST && !topics.iter().any(|other| other.in_kafka == *in_kafka) {
            topics.push(LiveTopic {
                name: pipeline.in_file(in_kafka).to_owned(),
                in_kafka: in_kafka.clone(),
                side: None,
            });
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked::tests::parse;

    const STAGES: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = ["warm", "ewma", "average"]
[sink.out]
from = "average"
sink = "console"
"#;

    fn names(topics: &LiveTopics) -> Vec<(&str, bool)> {
        let names = topics.topics.iter();
        names
            .map(|topic| (topic.name.as_str(), topic.side.is_some()))
            .collect()
    }

    #[test]
    fn they_are_those_that_are_compared_or_else_those_of_sinks() {
        let pipeline = parse(format!("prefix = \"team7-\"\n{STAGES}")).unwrap();
        let found = LiveTopics::of_pipeline(&pipeline, None).unwrap();
        assert_eq!(names(&found), [("average", false)]);
        let compare = r#"
[sink.compare]
from = ["ewma", "average", "warm"]
sink = { compare = { ewma = "ewma", average = "average", input = "warm" } }
"#;
        let pipeline = parse(format!("prefix = \"team7-\"\n{STAGES}{compare}")).unwrap();
        for name in [None, Some("compare")] {
            let found = LiveTopics::of_pipeline(&pipeline, name).unwrap();
            assert_eq!(
                names(&found),
                [("warm", true), ("ewma", true), ("average", true)]
            );
            assert_eq!(found.topics[0].in_kafka, "team7-warm");
        }
        let error = LiveTopics::of_pipeline(&pipeline, Some("out"))
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("no sink `out` that compares"),
            "{error}"
        );
    }
}
