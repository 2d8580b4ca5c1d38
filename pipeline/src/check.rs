//! What must hold between the stages and topics of a pipeline file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Component;

use crate::diagnostic::{Diagnostic, suggest, typing_error};
use crate::pipeline::Pipeline;
use crate::prefix::LONGEST_TOPIC;
use crate::settings::Unread;
use crate::stage::{Stage, StageKind};

/// Adds what is wrong with the pipeline as a whole. A topic whose name is nearly that of another is
/// replaced by that one, so that nothing else is wrong because of it.
pub(super) fn check(pipeline: &mut Pipeline, unread: &Unread, diagnostics: &mut Vec<Diagnostic>) {
    if pipeline.stages.is_empty() && !unread.any("from") && !unread.any("to") {
        diagnostics.push(
            Diagnostic::nowhere("has no stages")
                .help("add a [producer.NAME], [operator.NAME] or [sink.NAME] table"),
        );
    }
    let mut seen = BTreeMap::new();
    for stage in &pipeline.stages {
        name(stage, diagnostics);
        if let Some(other) = seen.insert(&stage.name, stage) {
            let message = format!(
                "two stages are named `{}`: there is also a {}",
                stage.name,
                other.kind.table()
            );
            diagnostics.push(
                Diagnostic::at(stage.place.clone(), message).help(
                    "rename one: a stage's name is its consumer group, so no two can share it",
                ),
            );
        }
        topics(pipeline, unread, stage, diagnostics);
    }
    cycles(pipeline, diagnostics);
    spools(pipeline, diagnostics);
    sources_of_topics(pipeline, unread, diagnostics);
}

fn spools(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    // By components, because `./spool` is `spool`.
    let mut seen: BTreeMap<Vec<Component<'_>>, &Stage> = BTreeMap::new();
    for stage in &pipeline.stages {
        let StageKind::Producer {
            spool: Some(spool), ..
        } = &stage.kind
        else {
            continue;
        };
        let path = spool
            .path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        if let Some(other) = seen.insert(path, stage) {
            let message = format!(
                "`{}` and `{}` share one spool, {}",
                stage.name,
                other.name,
                spool.path.display()
            );
            diagnostics.push(
                Diagnostic::at(stage.place.clone(), message)
                    .help("give each stage a folder of its own"),
            );
        }
    }
}

pub(super) fn legal(name: &str, length: usize) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty()
        && name.len() <= length
        && name.chars().all(letter)
        && name != "."
        && name != ".."
}

fn name(stage: &Stage, diagnostics: &mut Vec<Diagnostic>) {
    // Its changelog's name must fit Kafka's limit of 249 too.
    if !legal(&stage.name, 200) {
        diagnostics.push(
            Diagnostic::at(
                stage.place.clone(),
                format!("`{}` cannot name a stage", stage.name),
            )
            .help("use up to 200 letters, digits, dots, underscores and hyphens"),
        );
    }
}

fn topics(pipeline: &Pipeline, unread: &Unread, stage: &Stage, diagnostics: &mut Vec<Diagnostic>) {
    let table = stage.table();
    let at = |message: String| Diagnostic::at(stage.place.clone(), message);
    if reads_nothing(stage) && !unread.has(&table, "from") {
        diagnostics
            .push(at(format!("`{}` reads nothing", stage.name)).help("name a topic in `from`"));
    }
    if writes_nothing(stage) && !unread.has(&table, "to") {
        diagnostics
            .push(at(format!("`{}` writes nothing", stage.name)).help("name a topic in `to`"));
    }
    let mut seen = BTreeSet::new();
    for topic in stage.from.iter().chain(&stage.to) {
        if !legal(topic, LONGEST_TOPIC) {
            diagnostics.push(
                at(format!("`{topic}` cannot name a topic"))
                    .help("use up to 249 letters, digits, dots, underscores and hyphens"),
            );
        } else if !seen.insert(topic) {
            let diagnostic = if stage.from.contains(topic) && stage.to.contains(topic) {
                at(format!(
                    "`{}` reads and writes the same topic `{topic}`",
                    stage.name
                ))
                .help("its results would be its input again, for ever; write to another topic")
            } else {
                at(format!("`{}` names the topic `{topic}` twice", stage.name)).help("name it once")
            };
            diagnostics.push(diagnostic);
        } else if is_own(pipeline, topic) {
            diagnostics.push(
                at(format!(
                    "`{topic}` is a stage's own changelog or dead-letter topic"
                ))
                .help("choose another name for the topic"),
            );
        }
    }
}

/// Whether a stage names no topic to read, but needs one.
pub(super) fn reads_nothing(stage: &Stage) -> bool {
    stage.from.is_empty() && !matches!(stage.kind, StageKind::Producer { .. })
}

/// Whether a stage names no topic to write, but needs one.
pub(super) fn writes_nothing(stage: &Stage) -> bool {
    stage.to.is_empty() && !matches!(stage.kind, StageKind::Sink { .. })
}

/// Whether a topic is the changelog or the dead-letter topic of a stage.
fn is_own(pipeline: &Pipeline, topic: &str) -> bool {
    pipeline.stages.iter().any(|stage| {
        topic == stage.dead_letters() || (stage.has_changelog() && topic == stage.changelog())
    })
}

/// Reports topics that are read and that nobody writes.
fn sources_of_topics(pipeline: &mut Pipeline, unread: &Unread, diagnostics: &mut Vec<Diagnostic>) {
    let mut meant = Vec::new();
    let written: Vec<&str> = pipeline
        .stages
        .iter()
        .flat_map(|stage| &stage.to)
        .map(String::as_str)
        .collect();
    let is_open = unread.any("to") || pipeline.stages.iter().any(writes_nothing);
    for (index, stage) in pipeline.stages.iter().enumerate() {
        for (input, topic) in stage.from.iter().enumerate() {
            let is_written = written.contains(&topic.as_str())
                || pipeline.topics[topic].external
                || unread.has(&format!("topic.{topic}"), "external");
            if is_written || !legal(topic, LONGEST_TOPIC) || is_own(pipeline, topic) {
                continue;
            }
            let typing_error = typing_error(topic, &written);
            // It may be an output of a stage whose outputs are not known.
            if typing_error.is_none() && is_open {
                continue;
            }
            meant.extend(typing_error.map(|written| (index, input, written.to_owned())));
            let message = format!(
                "`{}` reads the topic `{topic}`, which no stage writes",
                stage.name
            );
            diagnostics.push(Diagnostic::at(stage.place.clone(), message).help(format!(
                "{}; if somebody outside writes it, say [topic.{topic}] external = true",
                suggest(topic, &written)
            )));
        }
    }
    for (stage, input, topic) in meant {
        pipeline.stages[stage].from[input] = topic;
    }
}

/// Reports each cycle of stages.
fn cycles(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for start in &pipeline.stages {
        let mut path: Vec<&Stage> = vec![start];
        let mut visited = BTreeSet::new();
        if let Some(cycle) = back_to(pipeline, start, &mut path, &mut visited)
            && cycle.len() > 1
            && cycle.iter().all(|name| !reported.contains(name))
        {
            let message = format!(
                "the stages form a cycle: {} → {}",
                cycle.join(" → "),
                start.name
            );
            reported.extend(cycle);
            diagnostics.push(
                Diagnostic::at(start.place.clone(), message)
                    .help("let one of them write to a topic outside the cycle"),
            );
        }
    }
}

fn back_to<'p>(
    pipeline: &'p Pipeline,
    start: &'p Stage,
    path: &mut Vec<&'p Stage>,
    visited: &mut BTreeSet<usize>,
) -> Option<Vec<&'p str>> {
    let here = *path.last()?;
    for next in here.to.iter().flat_map(|topic| pipeline.readers(topic)) {
        if std::ptr::eq(next, start) {
            return Some(path.iter().map(|stage| stage.name.as_str()).collect());
        }
        if visited.insert(next.place.start) {
            path.push(next);
            if let Some(cycle) = back_to(pipeline, start, path, visited) {
                return Some(cycle);
            }
            path.pop();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::diagnostic::Text;
    use crate::pipeline::Pipeline;

    fn diagnostics(text: &str) -> String {
        Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: text.into(),
        }))
        .unwrap_err()
        .to_string()
    }

    const SOURCE: &str = "[producer.a]\nsource = \"lines\"\nto = \"t\"\n";

    #[test]
    fn the_same_topic_in_and_out() {
        let text = format!("{SOURCE}[operator.b]\nfrom = \"t\"\nsteps = [\"noise\"]\nto = \"t\"");
        assert!(
            diagnostics(&text).starts_with("p.toml:4:11: `b` reads and writes the same topic `t`")
        );
    }

    #[test]
    fn two_stages_of_one_name() {
        let text = format!("{SOURCE}[sink.a]\nfrom = \"t\"\nsink = \"console\"");
        assert!(
            diagnostics(&text)
                .contains("p.toml:4:7: two stages are named `a`: there is also a producer")
        );
    }

    #[test]
    fn a_topic_that_nobody_writes() {
        let text = format!("{SOURCE}[sink.b]\nfrom = \"T\"\nsink = \"console\"");
        let shown = diagnostics(&text);
        assert!(
            shown.contains("`b` reads the topic `T`, which no stage writes"),
            "{shown}"
        );
        assert!(shown.contains("did you mean `t`?"), "{shown}");
    }

    #[test]
    fn a_stages_own_topics_are_not_for_others() {
        for topic in ["a-changelog", "a-dead-letters"] {
            let text = format!("{SOURCE}[sink.b]\nfrom = \"{topic}\"\nsink = \"console\"");
            let shown = diagnostics(&text);
            let expected =
                format!("p.toml:4:7: `{topic}` is a stage's own changelog or dead-letter");
            assert!(shown.starts_with(&expected), "{shown}");
            assert!(!shown.contains("no stage writes"), "{shown}");
        }
    }

    #[test]
    fn a_cycle_is_reported_once() {
        let stage = |name: &str, from: &str, to: &str| {
            format!("[operator.{name}]\nfrom = \"{from}\"\nsteps = [\"noise\"]\nto = \"{to}\"\n")
        };
        let shown =
            diagnostics(&(stage("a", "x", "y") + &stage("b", "y", "z") + &stage("c", "z", "x")));
        assert_eq!(shown.matches("form a cycle").count(), 1, "{shown}");
        assert!(shown.contains("a → b → c → a"), "{shown}");
    }

    #[test]
    fn every_error_is_reported_not_only_the_first() {
        let shown = diagnostics(
            "[sink.a]\nform = \"t\"\nsink = \"console\"\n[producer.b]\nsource = 3\nto = \
             7\n[opreator.x]\n",
        );
        assert!(
            shown.contains("p.toml:2:1: unknown field `form`"),
            "{shown}"
        );
        assert!(shown.contains("p.toml:6:6:"), "{shown}");
        assert!(shown.contains("did you mean `operator`?"), "{shown}");
    }

    #[test]
    fn a_wrong_type_and_a_wrong_name_say_what_was_wanted() {
        let shown =
            diagnostics("[commit]\nrecords = \"many\"\n[sink.a]\nform = \"t\"\nsink = \"console\"");
        assert!(
            shown.contains("p.toml:2:11: invalid type: string \"many\", expected a whole number"),
            "{shown}"
        );
        assert!(shown.contains("did you mean `from`?"), "{shown}");
    }

    #[test]
    fn what_the_guarantee_rests_on_cannot_be_set() {
        let shown = diagnostics(&format!(
            "[kafka]\n\"isolation.level\" = \"read_uncommitted\"\n{SOURCE}"
        ));
        assert!(
            shown.contains("p.toml:2:21: `isolation.level` is not yours to set"),
            "{shown}"
        );
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        assert!(
            diagnostics("[sink.a\n").starts_with("p.toml:1:8: "),
            "{}",
            diagnostics("[sink.a\n")
        );
    }
}
