//! The names that a pipeline has in Kafka, and those that its file has.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::check::legal;
use crate::diagnostic::Diagnostic;
use crate::pipeline::Pipeline;
use crate::prefix::{LONGEST_TOPIC, Prefix};
use crate::stage::Stage;

/// Adds which names the prefix makes too long, or equal to another. `place` is where the file says
/// it, if the file does.
pub(super) fn check(
    pipeline: &Pipeline,
    place: Option<&Range<usize>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let prefix = &pipeline.prefix;
    if prefix.is_empty() {
        return;
    }
    for stage in &pipeline.stages {
        let own = Some(stage.dead_letters()).filter(|_| legal(&stage.name, LONGEST_TOPIC));
        let topics = stage.from.iter().chain(&stage.to);
        let topics = topics.filter(|name| legal(name, LONGEST_TOPIC));
        let topics = topics.filter(|name| !pipeline.topics[*name].external);
        for name in topics.chain(&own) {
            too_long(prefix, stage, name, diagnostics);
        }
    }
    for (name, topic) in &pipeline.topics {
        let prefixed = prefix.with(name);
        if !topic.external && pipeline.topics.contains_key(&prefixed) {
            let message = format!(
                "with the prefix `{prefix}` the topic `{name}` is `{prefixed}`, and the file has a \
                 topic of that name, too"
            );
            let diagnostic = match place {
                Some(place) => Diagnostic::at(place.clone(), message),
                None => Diagnostic::nowhere(message),
            };
            diagnostics.push(diagnostic.help("choose another prefix, or rename one of the two"));
        }
    }
}

fn too_long(prefix: &Prefix, stage: &Stage, name: &str, diagnostics: &mut Vec<Diagnostic>) {
    let length = prefix.as_str().len() + name.len();
    if length > LONGEST_TOPIC {
        let message = format!(
            "the prefix `{prefix}` makes the topic `{name}` {length} characters long, and Kafka \
             takes {LONGEST_TOPIC}"
        );
        diagnostics.push(
            Diagnostic::at(stage.place.clone(), message).help("shorten the prefix or the name"),
        );
    }
}

impl Pipeline {
    /// Gives all that the file names the names that they have in Kafka.
    pub(super) fn add_prefix(&mut self) {
        let names = self.topics.iter().map(|(name, topic)| {
            let name = if topic.external {
                name.clone()
            } else {
                self.prefix.with(name)
            };
            (topic.name.clone(), name)
        });
        let names: BTreeMap<String, String> = names.collect();
        for stage in &mut self.stages {
            stage.prefix = self.prefix.clone();
            for name in stage.from.iter_mut().chain(&mut stage.to) {
                if let Some(in_kafka) = names.get(name) {
                    name.clone_from(in_kafka);
                }
            }
        }
        let topics = std::mem::take(&mut self.topics).into_iter();
        self.topics = topics
            .map(|(name, topic)| (names[&name].clone(), topic))
            .collect();
    }

    /// The name in Kafka of a topic that the file calls so. Any other name is Kafka's already.
    #[must_use]
    pub fn in_kafka(&self, name: &str) -> String {
        let prefixed = self.prefix.with(name);
        match self.topics.get(&prefixed) {
            Some(topic) if topic.name == name => prefixed,
            _ => name.to_owned(),
        }
    }

    /// The name in the file of a topic that Kafka calls so.
    #[must_use]
    pub fn in_file<'n>(&'n self, name: &'n str) -> &'n str {
        self.topics.get(name).map_or(name, |topic| &topic.name)
    }
}

#[cfg(test)]
mod tests;
