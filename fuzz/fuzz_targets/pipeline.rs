//! The pipeline file. The input is also read as a component config by the catalogs.
//!
//! - A diagnostic points into the text, at a character boundary, and is shown with the file's name
//!   and the line. There are two exceptions: a file without stages, and a key of more than 80
//!   parts, for which the TOML parser gives no place.
//! - A pipeline without diagnostics is consistent: every topic exists, and each stage comes after
//!   those that write its inputs.
//! - A chain that can be built never makes a value that is not finite.
#![no_main]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rivulet_core::key_state::numbers;
use rivulet_core::operator::{Operator, emitted};
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_operators::Chain;
use rivulet_pipeline::catalog::Formats;
use rivulet_pipeline::{
    Check, ComponentConfig, Diagnostic, Pipeline, Stage, StageKind, Text, Unread,
};

fuzz_target!(|text: &str| {
    component(text);
    if !includes_elsewhere(text) {
        file(text);
    }
});

/// Whether the text includes a client file of another folder. That could be any file of this
/// machine, and some never end.
fn includes_elsewhere(text: &str) -> bool {
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
    let whole_text = Arc::new(Text {
        path: path.clone(),
        text: text.to_owned(),
    });
    match Pipeline::parse_with(whole_text.clone(), &Catalogs::default()) {
        Ok(pipeline) => check_pipeline(text, &pipeline),
        Err(diagnostics) => diagnostics
            .iter()
            .for_each(|diagnostic| check_diagnostic(text, diagnostic)),
    }
    match Pipeline::parse(whole_text) {
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
                    None => assert!(is_without_place(diagnostic), "{shown}"),
                }
            }
        }
        Ok(pipeline) => check_pipeline(text, &pipeline),
    }
}

/// The catalogs of all programs.
#[derive(Default)]
struct Catalogs {
    producer: rivulet_producer::ProducerRegistry,
    operators: rivulet_operators::OperatorRegistry,
    sinks: rivulet_sinks::SinkRegistry,
}

impl Check for Catalogs {
    fn formats(&self) -> &Formats {
        &self.operators.formats
    }

    fn encodes(&self, stage: &Stage) -> bool {
        match &stage.kind {
            StageKind::Producer { .. } => self.producer.encodes(stage),
            StageKind::Operator { .. } => self.operators.encodes(stage),
            StageKind::Sink { .. } => self.sinks.encodes(stage),
        }
    }

    fn check_stage(&self, pipeline: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
        match &stage.kind {
            StageKind::Producer { .. } => self.producer.check_stage(pipeline, unread, stage),
            StageKind::Operator { .. } => self.operators.check_stage(pipeline, unread, stage),
            StageKind::Sink { .. } => self.sinks.check_stage(pipeline, unread, stage),
        }
    }
}

fn is_without_place(diagnostic: &Diagnostic) -> bool {
    ["has no stages", "recursion limit"]
        .iter()
        .any(|known| diagnostic.to_string().starts_with(known))
}

fn points_into(text: &str, place: &Range<usize>) {
    assert!(
        text.get(place.clone()).is_some(),
        "{place:?} is not a place in a text of {} bytes",
        text.len()
    );
}

/// Checks that a pipeline without diagnostics is consistent.
fn check_pipeline(text: &str, pipeline: &Pipeline) {
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

/// Reads the text as a component config with each catalog.
fn component(text: &str) {
    match ComponentConfig::parse(text) {
        Ok(config) => {
            source_of(text, &config);
            sink_of(
                text,
                &config,
                &[
                    "temperatures_ewma".to_owned(),
                    "temperatures_moving_average".to_owned(),
                ],
            );
            steps_of(text, &[config]);
        }
        Err(diagnostic) => check_diagnostic(text, &diagnostic),
    }
}

fn check_diagnostic(text: &str, diagnostic: &Diagnostic) {
    match diagnostic.place() {
        Some(place) => points_into(text, &place),
        None => assert!(is_without_place(diagnostic), "{diagnostic}"),
    }
}

fn source_of(text: &str, source: &ComponentConfig) {
    if let Err(diagnostics) = rivulet_producer::catalog::read(source) {
        diagnostics
            .iter()
            .for_each(|diagnostic| check_diagnostic(text, diagnostic));
    }
}

fn sink_of(text: &str, sink: &ComponentConfig, topics: &[String]) {
    if let Err(diagnostics) = rivulet_sinks::catalog::read(sink, topics) {
        diagnostics
            .iter()
            .for_each(|diagnostic| check_diagnostic(text, diagnostic));
    }
}

fn steps_of(text: &str, steps: &[ComponentConfig]) {
    match Chain::build(steps) {
        Ok(chain) => {
            assert!(!chain.describe().is_empty());
            let mut states = chain.new_states();
            for (seq, value) in [
                (0, 21.5),
                (1, -1e300),
                (2, f64::MAX),
                (u64::MAX, f64::MAX),
                (4, 5e-324),
            ] {
                let unit = Some(Unit::Celsius);
                let reading = Reading {
                    sensor: "hall".into(),
                    seq,
                    time: i64::MIN,
                    value,
                    unit,
                };
                for reading in emitted(&chain, reading, &mut states).unwrap_or_default() {
                    assert!(
                        reading.value.is_finite(),
                        "{} made {}",
                        chain.describe(),
                        reading.value
                    );
                }
            }
            assert!(
                numbers(&states)
                    .iter()
                    .all(|numbers| numbers.iter().all(|number| number.is_finite())),
                "{states:?}"
            );
        }
        Err(diagnostics) => diagnostics
            .iter()
            .for_each(|diagnostic| check_diagnostic(text, diagnostic)),
    }
}
