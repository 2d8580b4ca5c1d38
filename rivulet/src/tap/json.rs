//! An input with what was made of it, for programs: [`JsonMatch`].

use rivulet_core::unit::Unit;
use serde::Serialize;

use super::records::{Matched, Outcome, TapDeadLetter, TapReading};
use super::topics::TapTopics;

/// An input with what was made of it, as it is printed.
#[derive(Serialize)]
pub(super) struct JsonMatch<'j> {
    input: JsonInput<'j>,
    outputs: Vec<JsonOutput<'j>>,
    outcome: &'static str,
    dead_letter: Option<JsonDeadLetter<'j>>,
    #[serde(rename = "ambiguous", skip_serializing_if = "std::ops::Not::not")]
    is_ambiguous: bool,
}

#[derive(Serialize)]
struct JsonInput<'j> {
    topic: &'j str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    readings: Vec<JsonReading<'j>>,
    /// If it is not a reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'j str>,
}

#[derive(Serialize)]
struct JsonOutput<'j> {
    topic: &'j str,
    partition: i32,
    offset: i64,
    #[serde(flatten)]
    reading: JsonReading<'j>,
}

#[derive(Serialize)]
struct JsonReading<'j> {
    sensor: &'j str,
    seq: u64,
    time: i64,
    value: f64,
    unit: Option<Unit>,
}

impl<'j> JsonReading<'j> {
    fn new(reading: &'j TapReading) -> Self {
        JsonReading {
            sensor: &reading.sensor,
            seq: reading.seq,
            time: reading.time,
            value: reading.value,
            unit: reading.unit,
        }
    }
}

#[derive(Serialize)]
struct JsonDeadLetter<'j> {
    topic: String,
    partition: i32,
    offset: i64,
    reason: &'j str,
    error: &'j str,
}

impl<'j> JsonDeadLetter<'j> {
    fn new(topics: &TapTopics<'_>, letter: &'j TapDeadLetter) -> Self {
        JsonDeadLetter {
            topic: topics.stage.dead_letters(),
            partition: letter.partition,
            offset: letter.offset,
            reason: &letter.reason,
            error: &letter.error,
        }
    }
}

impl<'j> JsonMatch<'j> {
    pub(super) fn new(topics: &'j TapTopics<'j>, one: &'j Matched) -> Self {
        let name =
            |topics: &'j [String], index: usize| topics.get(index).map_or("", String::as_str);
        let (inputs, outputs) = (&topics.stage.from, &topics.stage.to);
        let input = &one.input;
        JsonMatch {
            input: JsonInput {
                topic: name(inputs, input.place.topic),
                partition: input.place.partition,
                offset: input.place.offset,
                timestamp: (input.timestamp >= 0).then_some(input.timestamp),
                readings: input.readings.iter().map(JsonReading::new).collect(),
                value: input.raw.as_deref(),
            },
            outputs: one
                .outputs
                .iter()
                .map(|(_, output)| JsonOutput {
                    topic: name(outputs, output.place.topic),
                    partition: output.place.partition,
                    offset: output.place.offset,
                    reading: JsonReading::new(&output.reading),
                })
                .collect(),
            outcome: one.outcome.name(),
            dead_letter: match &one.outcome {
                Outcome::DeadLetter(letter) => Some(JsonDeadLetter::new(topics, letter)),
                _ => None,
            },
            is_ambiguous: one.is_ambiguous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::{FILE, letter, matched};
    use super::*;
    use crate::checked::tests::parse;

    #[test]
    fn json_has_every_digit_and_both_places() {
        let pipeline = parse(FILE).unwrap();
        let topics = TapTopics::of_stage(&pipeline, "both").unwrap();
        let json = |one| serde_json::to_value(JsonMatch::new(&topics, &one)).unwrap();
        let found = json(matched(&[(1, 0.1 + 0.2)], Outcome::Written));
        assert_eq!(found["outputs"][0]["value"], 0.1 + 0.2);
        assert_eq!(found["outputs"][0]["topic"], "copy");
        assert_eq!(found["input"]["readings"][0]["unit"], "celsius");
        assert_eq!(
            (&found["outcome"], &found["dead_letter"]),
            (&"written".into(), &().into())
        );
        let found = json(matched(&[], letter()));
        assert_eq!(found["dead_letter"]["topic"], "both-dead-letters");
        assert_eq!(found["outcome"], "dead-letter");
    }
}
