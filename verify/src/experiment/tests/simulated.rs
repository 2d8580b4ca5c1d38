//! A tiny producer of experiments: the lines of its log and the records of its topic.

use proptest::prelude::*;
use rivulet_core::error::Result;
use rivulet_core::log::Header;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};
use rivulet_formats::avro::container::MAGIC;
use rivulet_formats::avro::writer::{push_bytes, push_long};

/// What one experiment is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) id: &'static str,
    pub(crate) sensors: usize,
    pub(crate) lower: f32,
    pub(crate) width: f32,
    /// How many samples the stabilization has.
    pub(crate) ramp: usize,
    /// The steps of the random walk, as parts of the width.
    pub(crate) walk: Vec<f32>,
}

/// A record of the topic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) name: &'static str,
    pub(crate) value: Vec<u8>,
    pub(crate) partition: i32,
    /// The number of the measurement and that of the sensor.
    pub(crate) of: Option<(usize, usize)>,
}

/// The lines of a log and the records of a topic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulated {
    pub(crate) lines: Vec<String>,
    pub(crate) sent: Vec<Sent>,
}

pub(crate) fn plan(id: &'static str) -> impl Strategy<Value = Plan> {
    let walk = proptest::collection::vec(-1_f32..1.0, 0..9);
    (1..5_usize, -20_f32..100.0, 0.5_f32..50.0, 1..6_usize, walk).prop_map(
        move |(sensors, lower, width, ramp, walk)| Plan {
            id,
            sensors,
            lower,
            width,
            ramp,
            walk,
        },
    )
}

const ID: &str = r#"{"name":"experiment","type":"string"}"#;
const TIME: &str = r#"{"name":"timestamp","type":"double"}"#;

/// A file with one datum.
fn file(schema: &str, datum: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    push_long(&mut file, 1);
    push_bytes(&mut file, b"avro.schema");
    push_bytes(&mut file, schema.as_bytes());
    push_long(&mut file, 0);
    file.extend_from_slice(&[7; 16]);
    push_long(&mut file, 1);
    push_bytes(&mut file, datum);
    file.extend_from_slice(&[7; 16]);
    file
}

pub(crate) fn configured(id: &str, sensors: &[String], lower: f32, upper: f32) -> Vec<u8> {
    let schema = format!(
        r#"{{"type":"record","name":"ExperimentConfig","fields":[{ID},
        {{"name":"researcher","type":"string"}},
        {{"name":"sensors","type":{{"type":"array","items":"string"}}}},
        {{"name":"temperature_range","type":{{"type":"record","name":"temperature_range",
        "fields":[{{"name":"upper_threshold","type":"float"}},
        {{"name":"lower_threshold","type":"float"}}]}}}}]}}"#
    );
    let mut datum = Vec::new();
    push_bytes(&mut datum, id.as_bytes());
    push_bytes(&mut datum, b"researcher");
    push_long(&mut datum, i64::try_from(sensors.len()).unwrap());
    for sensor in sensors {
        push_bytes(&mut datum, sensor.as_bytes());
    }
    push_long(&mut datum, 0);
    datum.extend_from_slice(&upper.to_le_bytes());
    datum.extend_from_slice(&lower.to_le_bytes());
    file(&schema, &datum)
}

pub(crate) fn started(id: &str, name: &str, timestamp: f64) -> Vec<u8> {
    let schema = format!(r#"{{"type":"record","name":"{name}","fields":[{ID},{TIME}]}}"#);
    let mut datum = Vec::new();
    push_bytes(&mut datum, id.as_bytes());
    datum.extend_from_slice(&timestamp.to_le_bytes());
    file(&schema, &datum)
}

pub(crate) fn measured(id: &str, [sensor, measurement]: [&str; 2], value: f32) -> Vec<u8> {
    let text = |name: &str| format!(r#"{{"name":"{name}","type":"string"}}"#);
    let fields = [
        ID.to_owned(),
        text("sensor"),
        text("measurement_id"),
        TIME.to_owned(),
        r#"{"name":"temperature","type":"float"}"#.to_owned(),
        text("measurement_hash"),
    ];
    let schema = format!(
        r#"{{"type":"record","name":"sensor_temperature_measured","fields":[{}]}}"#,
        fields.join(",")
    );
    let mut datum = Vec::new();
    for text in [id, sensor, measurement] {
        push_bytes(&mut datum, text.as_bytes());
    }
    datum.extend_from_slice(&1.5_f64.to_le_bytes());
    datum.extend_from_slice(&value.to_le_bytes());
    push_bytes(&mut datum, format!("hash of {measurement}").as_bytes());
    file(&schema, &datum)
}

/// A line of the log, with the spans of an experiment and perhaps of a measurement.
pub(crate) fn line(id: &str, measurement: Option<&str>, fields: &str) -> String {
    let experiment = format!(r#"{{"experiment_id":"{id}","name":"experiment"}}"#);
    let inner =
        measurement.map(|id| format!(r#"{{"measurement_id":"{id}","name":"measurement"}}"#));
    let last = inner.as_ref().unwrap_or(&experiment);
    let comma = inner.as_ref().map_or("", |_| ",");
    let spans = format!(
        "{experiment}{comma}{}",
        inner.as_deref().unwrap_or_default()
    );
    let time = "2023-10-07T15:53:18.160161+02:00";
    let spans = format!(r#""span":{last},"spans":[{spans}]"#);
    format!(r#"{{"timestamp":"{time}","level":"DEBUG","fields":{fields},"target":"t",{spans}}}"#)
}

/// What must happen, written another way than the code under test: from all averages at once.
fn event(is_ramp: bool, is_out: &[bool], at: usize) -> Option<&'static str> {
    let before = at.checked_sub(1).map(|before| is_out[before]);
    match (is_ramp, is_out[at], before) {
        (true, false, None | Some(true)) => Some("Stabilized"),
        (false, true, None | Some(false)) => Some("OutOfRange"),
        _ => None,
    }
}

/// The id of a measurement.
pub(crate) fn measurement(plan: &Plan, number: usize) -> String {
    format!("{}-m{number}", plan.id)
}

impl Simulated {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut simulated = Simulated::default();
        let (lower, upper) = (plan.lower, plan.lower + plan.width);
        let mid = lower + plan.width / 2.0;
        let names: Vec<String> = (0..plan.sensors).map(|n| format!("s{n}")).collect();
        let config = configured(plan.id, &names, lower, upper);
        simulated.stage(plan, "configuration", "experiment_configured", config);
        let stage = |name| started(plan.id, name, 1.0);
        let begun = stage("stabilization_started");
        simulated.stage(plan, "stabilization", "stabilization_started", begun);
        let step = mid / plan.ramp as f32;
        let ramp: Vec<f32> = (1..=plan.ramp).map(|n| step * n as f32).collect();
        simulated.samples(plan, true, &ramp);
        simulated.stage(
            plan,
            "carry out",
            "experiment_started",
            stage("experiment_started"),
        );
        let mut at = mid;
        let walk = plan.walk.iter().map(|step| {
            at += step * plan.width;
            at
        });
        let walk: Vec<f32> = walk.collect();
        simulated.samples(plan, false, &walk);
        // As in the wild: with the schema of the beginning.
        let end = stage("experiment_started");
        simulated.stage(plan, "terminated", "experiment_terminated", end);
        simulated
    }

    fn stage(&mut self, plan: &Plan, stage: &str, name: &'static str, value: Vec<u8>) {
        self.lines
            .push(line(plan.id, None, &format!(r#"{{"stage":"{stage}"}}"#)));
        self.send(plan, name, value, None);
    }

    fn send(
        &mut self,
        plan: &Plan,
        name: &'static str,
        value: Vec<u8>,
        of: Option<(usize, usize)>,
    ) {
        self.sent.push(Sent {
            key: plan.id.to_owned(),
            name,
            value,
            partition: 0,
            of,
        });
    }

    fn samples(&mut self, plan: &Plan, is_ramp: bool, averages: &[f32]) {
        let (lower, upper) = (plan.lower, plan.lower + plan.width);
        let guarded = averages.iter().map(|average| match average {
            average if (average - upper).abs() <= 0.01 => upper - 0.011,
            average if (average - lower).abs() <= 0.01 => lower + 0.011,
            average => *average,
        });
        let averages: Vec<f32> = guarded.collect();
        let is_out = averages
            .iter()
            .map(|average| *average > upper || *average < lower);
        let is_out: Vec<bool> = is_out.collect();
        for (at, average) in averages.iter().enumerate() {
            let number = if is_ramp { at } else { plan.ramp + at };
            let id = measurement(plan, number);
            let mut log = |fields: String| self.lines.push(line(plan.id, Some(&id), &fields));
            log(format!(r#"{{"avg_temperature":{average:?}}}"#));
            if let Some(event) = event(is_ramp, &is_out, at) {
                log(format!(r#"{{"range_event":"{event}"}}"#));
            }
            let mut sum = 0.0;
            for sensor in 0..plan.sensors {
                let value = if sensor + 1 == plan.sensors {
                    average * plan.sensors as f32 - sum
                } else {
                    average + (sensor as f32 - 1.0) / 3.0
                };
                sum += value;
                let name = format!("s{sensor}");
                let fields = format!(r#"{{"sensor":"{name}","temperature":{value:?}}}"#);
                self.lines.push(line(plan.id, Some(&id), &fields));
                let value = measured(plan.id, [&name, &id], value);
                let of = Some((number, sensor));
                self.send(plan, "sensor_temperature_measured", value, of);
            }
        }
    }
}

impl TopicSource for Simulated {
    fn partitions(&self, _: &str) -> Option<usize> {
        Some(1)
    }

    fn is_trimmed(&self, _: &str) -> bool {
        false
    }

    fn read(&mut self, _: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()> {
        for (sent, offset) in self.sent.iter().zip(0..) {
            let headers: Vec<Header> = vec![("record_name".to_owned(), Some(sent.name.into()))];
            each(&FetchedRecord {
                partition: sent.partition,
                offset,
                timestamp: 0,
                key: Some(sent.key.as_bytes()),
                value: Some(&sent.value),
                headers: &headers,
            });
        }
        Ok(())
    }
}
