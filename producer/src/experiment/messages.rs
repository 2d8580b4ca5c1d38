//! The messages of an experiment: Avro object container files with one datum each.

use rivulet_formats::avro::container::SYNC;
use rivulet_formats::avro::writer::{header, push_bytes, push_long};

use super::measurement::Measurement;
use super::plan::ExperimentPlan;
use super::range::TemperatureRange;

/// The header that says what a message is. A consumer must not rely on the name of the schema:
/// there are producers that write `experiment_terminated` with the schema of `experiment_started`.
pub const RECORD_NAME: &str = "record_name";

const CONFIGURED: &str = include_str!("../../schemas/experiment_configured.avsc");
const STABILIZATION_STARTED: &str = include_str!("../../schemas/stabilization_started.avsc");
const STARTED: &str = include_str!("../../schemas/experiment_started.avsc");
const MEASURED: &str = include_str!("../../schemas/sensor_temperature_measured.avsc");
const TERMINATED: &str = include_str!("../../schemas/experiment_terminated.avsc");
const DOCUMENT: &str = include_str!("../../schemas/experiment_document.avsc");

/// The most measurements of a document: each takes 12 bytes of a record of 1 MB.
pub const MOST_IN_DOCUMENT: u64 = 80_000;

/// A step in the life of an experiment that is one message with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// The ramp begins.
    StabilizationStarted,
    /// The walk begins.
    Started,
    /// There are no further samples.
    Terminated,
}

/// Writes messages.
#[derive(Debug)]
pub struct Messages {
    configured: Container,
    stabilization_started: Container,
    started: Container,
    measured: Container,
    terminated: Container,
    document: Container,
    datum: Vec<u8>,
}

impl Default for Messages {
    fn default() -> Self {
        Messages {
            configured: Container::new(CONFIGURED),
            stabilization_started: Container::new(STABILIZATION_STARTED),
            started: Container::new(STARTED),
            measured: Container::new(MEASURED),
            terminated: Container::new(TERMINATED),
            document: Container::new(DOCUMENT),
            datum: Vec::new(),
        }
    }
}

impl Messages {
    /// What the experiment is about to do.
    pub fn configured(
        &mut self,
        id: &str,
        plan: &ExperimentPlan,
        sensors: &[String],
        out: &mut Vec<u8>,
    ) {
        let datum = cleared(&mut self.datum);
        push_bytes(datum, id.as_bytes());
        push_bytes(datum, plan.researcher.as_bytes());
        push_array(datum, sensors, |datum, sensor| {
            push_bytes(datum, sensor.as_bytes());
        });
        push_range(datum, plan.range);
        self.configured.write(datum, out);
    }

    /// A milestone at a time in seconds since the epoch.
    pub fn milestone(&mut self, milestone: Milestone, id: &str, timestamp: f64, out: &mut Vec<u8>) {
        let datum = cleared(&mut self.datum);
        push_bytes(datum, id.as_bytes());
        datum.extend_from_slice(&timestamp.to_le_bytes());
        let container = match milestone {
            Milestone::StabilizationStarted => &self.stabilization_started,
            Milestone::Started => &self.started,
            Milestone::Terminated => &self.terminated,
        };
        container.write(datum, out);
    }

    /// What one sensor has measured.
    pub fn measured(
        &mut self,
        id: &str,
        sensor: &str,
        measurement: &Measurement,
        temperature: f32,
        out: &mut Vec<u8>,
    ) {
        let datum = cleared(&mut self.datum);
        push_bytes(datum, id.as_bytes());
        push_bytes(datum, sensor.as_bytes());
        push_bytes(datum, measurement.id.as_bytes());
        datum.extend_from_slice(&measurement.timestamp.to_le_bytes());
        datum.extend_from_slice(&temperature.to_le_bytes());
        push_bytes(datum, measurement.hash.as_bytes());
        self.measured.write(datum, out);
    }

    /// The whole experiment: times in seconds since the epoch and averages.
    pub fn document(
        &mut self,
        id: &str,
        range: TemperatureRange,
        measurements: &[(f64, f32)],
        out: &mut Vec<u8>,
    ) {
        let datum = cleared(&mut self.datum);
        push_bytes(datum, id.as_bytes());
        push_array(datum, measurements, |datum, (timestamp, temperature)| {
            datum.extend_from_slice(&timestamp.to_le_bytes());
            datum.extend_from_slice(&temperature.to_le_bytes());
        });
        push_range(datum, range);
        self.document.write(datum, out);
    }
}

fn cleared(buffer: &mut Vec<u8>) -> &mut Vec<u8> {
    buffer.clear();
    buffer
}

fn push_range(datum: &mut Vec<u8>, range: TemperatureRange) {
    datum.extend_from_slice(&range.upper().to_le_bytes());
    datum.extend_from_slice(&range.lower().to_le_bytes());
}

/// An array is one block of all its elements, and then one of none.
fn push_array<T>(datum: &mut Vec<u8>, elements: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    if !elements.is_empty() {
        push_long(datum, i64::try_from(elements.len()).unwrap_or(i64::MAX));
        for element in elements {
            push(datum, element);
        }
    }
    push_long(datum, 0);
}

/// An object container file of one schema.
#[derive(Debug)]
struct Container {
    header: Vec<u8>,
    sync: [u8; SYNC],
}

impl Container {
    fn new(schema: &str) -> Self {
        // No name in the schemas has a space in it.
        let schema: String = schema.split_whitespace().collect();
        let (header, sync) = header(&schema);
        Container { header, sync }
    }

    /// Replaces what is in `out` by the file with this datum.
    fn write(&self, datum: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.header);
        push_long(out, 1);
        push_bytes(out, datum);
        out.extend_from_slice(&self.sync);
    }
}
