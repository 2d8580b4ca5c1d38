//! The pipeline file: any text as one, and its steps, sources and sinks as the catalogs read them.
//!
//! - A mistake points into the text, between two characters, and is shown with the file's name and
//!   the line. Only that there are no stages is a mistake of the whole file, and of a key of more
//!   than 80 parts the TOML parser does not tell the place.
//! - A pipeline without mistakes holds together: every topic is there, and each stage comes after
//!   those that write what it reads.
//! - A chain that can be built never makes a value that is not finite.
#![no_main]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use operators::{Chain, Flow, KeyState, Operator};
use stream::pipeline::{ComponentConfig, Diagnostic, Pipeline, StageKind, Text};
use stream::reading::{Reading, Unit};

fuzz_target!(|text: &str| {
    part(text);
    if !reaches_out(text) {
        file(text);
    }
});

/// Whether the text includes a client file of another folder: that could be any file of this
/// machine, and some never end.
fn reaches_out(text: &str) -> bool {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let include = table.get("kafka").and_then(|kafka| kafka.get("include"));
    include.is_some_and(|include| {
        include
            .as_str()
            .is_none_or(|include| include.contains(['/', '\0']))
    })
}

fn file(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml");
    match Pipeline::parse(Arc::new(Text {
        path: path.clone(),
        text: text.to_owned(),
    })) {
        Err(diagnostics) => {
            let shown = diagnostics.to_string();
            assert!(diagnostics.count() > 0 && diagnostics.count() == diagnostics.iter().count());
            for diagnostic in diagnostics.iter() {
                match diagnostic.place() {
                    Some(place) => {
                        points_into(text, &place);
                        let line = text[..place.start].matches('\n').count() + 1;
                        assert!(
                            shown.contains(&format!("{}:{line}:", path.display())),
                            "{shown}"
                        );
                    }
                    None => assert!(is_of_the_whole(diagnostic), "{shown}"),
                }
            }
        }
        Ok(pipeline) => whole(text, &pipeline),
    }
}

fn is_of_the_whole(diagnostic: &Diagnostic) -> bool {
    ["has no stages", "recursion limit"]
        .iter()
        .any(|known| diagnostic.to_string().starts_with(known))
}

fn points_into(text: &str, place: &Range<usize>) {
    assert!(
        text.get(place.clone()).is_some(),
        "{place:?} is no place in a text of {} bytes",
        text.len()
    );
}

/// Looks through a pipeline that was found to be right.
fn whole(text: &str, pipeline: &Pipeline) {
    let ordered = pipeline.in_order();
    assert_eq!(ordered.len(), pipeline.stages.len());
    for (index, stage) in ordered.iter().enumerate() {
        for from in &stage.from {
            assert!(
                !ordered[index..].iter().any(|later| later.to.contains(from)),
                "{} comes too soon",
                stage.name
            );
        }
        points_into(text, &stage.place);
        assert!(std::ptr::eq(pipeline.stage(&stage.name).unwrap(), *stage));
        for topic in stage
            .from
            .iter()
            .chain(&stage.to)
            .chain([&stage.dead_letters()])
        {
            let topic = pipeline.topic(topic);
            assert!(topic.partitions > 0);
            let _ = topic.largest_record();
        }
        match &stage.kind {
            StageKind::Producer { source, .. } => source_of(text, source),
            StageKind::Operator { steps } => steps_of(text, steps),
            StageKind::Sink { sink } => sink_of(text, sink, &stage.from),
        }
    }
}

/// The text as a part that stands alone: what it would be in any catalog.
fn part(text: &str) {
    match ComponentConfig::parse(text) {
        Ok(part) => {
            source_of(text, &part);
            sink_of(
                text,
                &part,
                &[
                    "temperatures_ewma".to_owned(),
                    "temperatures_moving_average".to_owned(),
                ],
            );
            steps_of(text, &[part]);
        }
        Err(diagnostic) => mistaken(text, &diagnostic),
    }
}

fn mistaken(text: &str, diagnostic: &Diagnostic) {
    match diagnostic.place() {
        Some(place) => points_into(text, &place),
        None => assert!(is_of_the_whole(diagnostic), "{diagnostic}"),
    }
}

fn source_of(text: &str, source: &ComponentConfig) {
    if let Err(diagnostic) = producer::catalog::read(source) {
        mistaken(text, &diagnostic);
    }
}

fn sink_of(text: &str, sink: &ComponentConfig, topics: &[String]) {
    if let Err(diagnostic) = sinks::catalog::read(sink, topics) {
        mistaken(text, &diagnostic);
    }
}

fn steps_of(text: &str, steps: &[ComponentConfig]) {
    match Chain::build(steps) {
        Ok(chain) => {
            assert!(!chain.describe().is_empty());
            let mut states = vec![KeyState::new(); chain.states()];
            for (seq, value) in [
                (0, 21.5),
                (1, -1e300),
                (2, f64::MAX),
                (u64::MAX, f64::MAX),
                (4, 5e-324),
            ] {
                let unit = Some(Unit::Celsius);
                let mut reading = Reading {
                    sensor: "hall".into(),
                    seq,
                    time: i64::MIN,
                    value,
                    unit,
                };
                if let Ok(Flow::Pass) = chain.apply(&mut reading, &mut states) {
                    assert!(
                        reading.value.is_finite(),
                        "{} made {}",
                        chain.describe(),
                        reading.value
                    );
                }
            }
            assert!(
                states.iter().flatten().all(|number| number.is_finite()),
                "{states:?}"
            );
        }
        Err(diagnostics) => diagnostics
            .iter()
            .for_each(|diagnostic| mistaken(text, diagnostic)),
    }
}
