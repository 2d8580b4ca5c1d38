//! One experiment, from its configuration to its end: [`LifeCycle`].

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rivulet_core::error::Result;
use serde::{Deserialize, Serialize};
use uuid::Builder;

use super::course::{Course, spread};
use super::hash::{MeasurementHash, NONCE_LENGTH, SecretKey};
use super::measurement::Measurement;
use super::messages::Milestone;
use super::plan::ExperimentPlan;

/// What happens next in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeCycleEvent {
    /// Its configuration is told.
    Configured,
    /// A stage begins, or it ends.
    Milestone(Milestone),
    /// All sensors measure. The number of the sample, from 0.
    Sample(u64),
    /// A document of the whole experiment is sent.
    Document,
}

impl LifeCycleEvent {
    /// The header of its messages that says what they are. A document has none.
    #[must_use]
    pub fn record_name(self) -> Option<&'static str> {
        match self {
            LifeCycleEvent::Configured => Some("experiment_configured"),
            LifeCycleEvent::Milestone(Milestone::StabilizationStarted) => {
                Some("stabilization_started")
            }
            LifeCycleEvent::Milestone(Milestone::Started) => Some("experiment_started"),
            LifeCycleEvent::Milestone(Milestone::Terminated) => Some("experiment_terminated"),
            LifeCycleEvent::Sample(_) => Some("sensor_temperature_measured"),
            LifeCycleEvent::Document => None,
        }
    }
}

/// One experiment.
///
/// Everything random follows from its seed: its id, those of its sensors and measurements, and all
/// temperatures. Only the nonces do not, because a nonce must not be used for two texts.
#[derive(Debug)]
pub struct LifeCycle {
    plan: ExperimentPlan,
    has_document: bool,
    id: String,
    sensors: Vec<String>,
    seed: u64,
    /// The number of the next event, or of the sample that is being sent.
    next: u64,
    course: Course,
    /// The measurement that is being sent, and what each sensor measures.
    measurement: Option<Measurement>,
    temperatures: Vec<f32>,
    /// How many of these are sent.
    sent: usize,
}

/// How far an experiment is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifeCyclePosition {
    /// The number of the next event.
    event: u64,
    /// A sample of which some messages are sent: how many, and the nonce of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<(usize, [u8; NONCE_LENGTH])>,
}

impl LifeCycle {
    /// An experiment before its first event.
    #[must_use]
    pub fn new(plan: ExperimentPlan, has_document: bool, seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        LifeCycle {
            id: uuid(&mut random),
            sensors: (0..plan.sensors).map(|_| uuid(&mut random)).collect(),
            course: Course::new(&plan),
            plan,
            has_document,
            seed,
            next: 0,
            measurement: None,
            temperatures: Vec::new(),
            sent: 0,
        }
    }

    /// What it is to do.
    #[must_use]
    pub fn plan(&self) -> &ExperimentPlan {
        &self.plan
    }

    /// Its UUID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The UUIDs of its sensors.
    #[must_use]
    pub fn sensors(&self) -> &[String] {
        &self.sensors
    }

    /// What happens next. `None` if it is over.
    #[must_use]
    pub fn event(&self) -> Option<LifeCycleEvent> {
        let (ramp, all) = (self.plan.stabilization_samples, self.plan.samples());
        Some(match self.next {
            0 => LifeCycleEvent::Configured,
            1 => LifeCycleEvent::Milestone(Milestone::StabilizationStarted),
            next if next - 2 < ramp => LifeCycleEvent::Sample(next - 2),
            next if next - 2 == ramp => LifeCycleEvent::Milestone(Milestone::Started),
            next if next - 3 < all => LifeCycleEvent::Sample(next - 3),
            next if next - 3 == all => LifeCycleEvent::Milestone(Milestone::Terminated),
            next if next - 4 == all && self.has_document => LifeCycleEvent::Document,
            _ => return None,
        })
    }

    /// How many milliseconds after the launch an event is due.
    #[must_use]
    pub fn offset(&self, event: LifeCycleEvent) -> u64 {
        let samples = match event {
            LifeCycleEvent::Configured
            | LifeCycleEvent::Milestone(Milestone::StabilizationStarted) => 0,
            LifeCycleEvent::Sample(number) => number,
            LifeCycleEvent::Milestone(Milestone::Started) => self.plan.stabilization_samples,
            LifeCycleEvent::Milestone(Milestone::Terminated) | LifeCycleEvent::Document => {
                self.plan.samples()
            }
        };
        self.plan.start * 1000 + samples * self.plan.sample_rate
    }

    /// Whether it has begun and is not over.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.next > 0 && self.event().is_some()
    }

    /// How many messages it has sent, and how many it will have sent at its end.
    #[must_use]
    pub fn messages(&self) -> (u64, u64) {
        let sensors = self.plan.sensors as u64;
        let others = 4 + u64::from(self.has_document);
        let (ramp, all) = (self.plan.stabilization_samples, self.plan.samples());
        let sent = match self.event() {
            None => all * sensors + others,
            Some(LifeCycleEvent::Configured) => 0,
            Some(LifeCycleEvent::Milestone(Milestone::StabilizationStarted)) => 1,
            Some(LifeCycleEvent::Sample(number)) => {
                number * sensors + 2 + u64::from(number >= ramp) + self.sent as u64
            }
            Some(LifeCycleEvent::Milestone(Milestone::Started)) => ramp * sensors + 2,
            Some(LifeCycleEvent::Milestone(Milestone::Terminated)) => all * sensors + 3,
            Some(LifeCycleEvent::Document) => all * sensors + 4,
        };
        (sent, all * sensors + others)
    }

    /// Begins the sample that is the next event.
    ///
    /// # Errors
    /// If its hash cannot be made.
    pub fn measure(
        &mut self,
        sample: u64,
        timestamp: f64,
        nonce: [u8; NONCE_LENGTH],
        key: &SecretKey,
    ) -> Result<()> {
        let mut random = self.generator(sample);
        let average = self.course.next(&self.plan, &mut random);
        let id = uuid(&mut random);
        let hash = MeasurementHash {
            notification_type: average.event,
            researcher: &self.plan.researcher,
            experiment_id: &self.id,
            measurement_id: &id,
            timestamp,
        };
        let hash = key.hash(&hash, nonce)?;
        spread(
            average.temperature,
            self.sensors.len(),
            &mut random,
            &mut self.temperatures,
        );
        self.measurement = Some(Measurement {
            id,
            timestamp,
            temperature: average.temperature,
            event: average.event,
            hash,
            nonce,
        });
        Ok(())
    }

    /// The measurement that is being sent.
    #[must_use]
    pub fn measurement(&self) -> Option<&Measurement> {
        self.measurement.as_ref()
    }

    /// The measurement that is being sent, the next sensor and what it measures.
    #[must_use]
    pub fn unsent(&self) -> Option<(&Measurement, &str, f32)> {
        let sensor = self.sensors.get(self.sent)?;
        let temperature = self.temperatures.get(self.sent)?;
        Some((self.measurement.as_ref()?, sensor, *temperature))
    }

    /// What each sensor measures, in the order in which it is sent.
    pub fn temperatures(&self) -> impl Iterator<Item = (&str, f32)> {
        let sensors = self.sensors.iter().map(String::as_str);
        sensors.zip(self.temperatures.iter().copied())
    }

    /// One message is sent. Returns whether the event is over.
    pub fn sent(&mut self) -> bool {
        if self.measurement.is_some() {
            self.sent += 1;
            if self.sent < self.sensors.len() {
                return false;
            }
        }
        self.measurement = None;
        self.sent = 0;
        self.next += 1;
        true
    }

    /// The averages of all samples while it was carried out, with their numbers.
    #[must_use]
    pub fn carried_out(&self) -> Vec<(u64, f32)> {
        let mut course = Course::new(&self.plan);
        let samples = (0..self.plan.samples()).map(|sample| {
            let average = course.next(&self.plan, &mut self.generator(sample));
            (sample, average.temperature)
        });
        let ramp = usize::try_from(self.plan.stabilization_samples).unwrap_or(usize::MAX);
        samples.skip(ramp).collect()
    }

    /// How far it is.
    #[must_use]
    pub fn position(&self) -> LifeCyclePosition {
        let measurement = self.measurement.as_ref().filter(|_| self.sent > 0);
        LifeCyclePosition {
            event: self.next,
            sample: measurement.map(|measurement| (self.sent, measurement.nonce)),
        }
    }

    /// Continues there. Returns the nonce of the sample of which some messages are sent.
    ///
    /// # Errors
    /// Why an experiment like this was never there.
    pub fn resume(
        &mut self,
        position: LifeCyclePosition,
    ) -> Result<Option<[u8; NONCE_LENGTH]>, String> {
        self.next = position.event;
        let end = 4 + self.plan.samples() + u64::from(self.has_document);
        if self.next > end {
            return Err(format!("event {} of {end} comes next", self.next));
        }
        let samples = match self.event() {
            Some(LifeCycleEvent::Sample(number)) => number,
            Some(
                LifeCycleEvent::Configured
                | LifeCycleEvent::Milestone(Milestone::StabilizationStarted),
            ) => 0,
            Some(LifeCycleEvent::Milestone(Milestone::Started)) => self.plan.stabilization_samples,
            _ => self.plan.samples(),
        };
        self.course = Course::new(&self.plan);
        for sample in 0..samples {
            self.course.next(&self.plan, &mut self.generator(sample));
        }
        let Some((sent, nonce)) = position.sample else {
            return Ok(None);
        };
        if !matches!(self.event(), Some(LifeCycleEvent::Sample(_))) || sent >= self.sensors.len() {
            let sensors = self.sensors.len();
            return Err(format!("{sent} of {sensors} sensors are sent"));
        }
        self.sent = sent;
        Ok(Some(nonce))
    }

    /// The generator of a sample. The experiment's own has the seed itself.
    fn generator(&self, sample: u64) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.seed.wrapping_add(1).wrapping_add(sample))
    }
}

/// A UUID of version 4.
fn uuid(random: &mut Xoshiro256PlusPlus) -> String {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}
