//! What must hold between the stages and topics of a pipeline file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Component;

use super::diagnostic::{Diagnostic, suggest};
use super::{Pipeline, Role, Stage, StageKind};

/// Adds what is wrong with the pipeline as a whole.
pub(super) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    if pipeline.stages.is_empty() {
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
        topics(pipeline, stage, diagnostics);
    }
    cycles(pipeline, diagnostics);
    spools(pipeline, diagnostics);
}

fn spools(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    // Components, not text: `./spool` is `spool`.
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

fn legal(name: &str, length: usize) -> bool {
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

fn topics(pipeline: &Pipeline, stage: &Stage, diagnostics: &mut Vec<Diagnostic>) {
    let at = |message: String| Diagnostic::at(stage.place.clone(), message);
    let reads = !matches!(stage.kind, StageKind::Producer { .. });
    let writes = !matches!(stage.kind, StageKind::Sink { .. });
    if reads && stage.from.is_empty() {
        diagnostics
            .push(at(format!("`{}` reads nothing", stage.name)).help("name a topic in `from`"));
    }
    if writes && stage.to.is_empty() {
        diagnostics
            .push(at(format!("`{}` writes nothing", stage.name)).help("name a topic in `to`"));
    }
    let mut seen = BTreeSet::new();
    for topic in stage.from.iter().chain(&stage.to) {
        if !legal(topic, 249) {
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
                .help("its results would come back as its input for ever; write to another topic")
            } else {
                at(format!("`{}` names the topic `{topic}` twice", stage.name)).help("name it once")
            };
            diagnostics.push(diagnostic);
        } else if pipeline.topics[topic].role != Role::Readings {
            diagnostics.push(
                at(format!(
                    "`{topic}` is the name of a stage's own changelog or dead letters"
                ))
                .help("choose another name for the topic"),
            );
        }
    }
    for topic in &stage.from {
        if pipeline.writers(topic).next().is_none() && !pipeline.topics[topic].external {
            let written: Vec<&str> = pipeline
                .stages
                .iter()
                .flat_map(|stage| &stage.to)
                .map(String::as_str)
                .collect();
            diagnostics.push(
                at(format!(
                    "`{}` reads the topic `{topic}`, which no stage writes",
                    stage.name
                ))
                .help(format!(
                    "{}; if somebody outside writes it, say [topic.{topic}] external = true",
                    suggest(topic, &written)
                )),
            );
        }
    }
}

/// Reports each stage that can reach itself over other stages.
fn cycles(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for start in &pipeline.stages {
        let mut way: Vec<&Stage> = vec![start];
        let mut visited = BTreeSet::new();
        if let Some(cycle) = back_to(pipeline, start, &mut way, &mut visited)
            && cycle.len() > 1
            && cycle.iter().all(|name| !reported.contains(name))
        {
            let message = format!(
                "the stages go round in a circle: {} → {}",
                cycle.join(" → "),
                start.name
            );
            reported.extend(cycle);
            diagnostics.push(
                Diagnostic::at(start.place.clone(), message)
                    .help("let one of them write to a topic outside the circle"),
            );
        }
    }
}

fn back_to<'p>(
    pipeline: &'p Pipeline,
    start: &'p Stage,
    way: &mut Vec<&'p Stage>,
    visited: &mut BTreeSet<&'p str>,
) -> Option<Vec<&'p str>> {
    let here = *way.last()?;
    for next in here.to.iter().flat_map(|topic| pipeline.readers(topic)) {
        if next.name == start.name {
            return Some(way.iter().map(|stage| stage.name.as_str()).collect());
        }
        if visited.insert(&next.name) {
            way.push(next);
            if let Some(cycle) = back_to(pipeline, start, way, visited) {
                return Some(cycle);
            }
            way.pop();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::pipeline::{Pipeline, Text};

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
    fn a_circle_is_reported_once() {
        let stage = |name: &str, from: &str, to: &str| {
            format!("[operator.{name}]\nfrom = \"{from}\"\nsteps = [\"noise\"]\nto = \"{to}\"\n")
        };
        let shown =
            diagnostics(&(stage("a", "x", "y") + &stage("b", "y", "z") + &stage("c", "z", "x")));
        assert_eq!(shown.matches("go round in a circle").count(), 1, "{shown}");
        assert!(shown.contains("a → b → c → a"), "{shown}");
    }

    #[test]
    fn every_mistake_is_reported_not_only_the_first() {
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
