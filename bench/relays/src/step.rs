//! What a relay does with a record: [`RelayTask`].

use std::collections::HashMap;

use rivulet_core::format::Format;
use rivulet_core::key_state::KeyState;
use rivulet_core::log::ConsumerRecord;
use rivulet_core::operator::{Emitter, Operator};
use rivulet_formats::catalog::json::JsonFormat;
use rivulet_pipeline::ComponentConfig;

use crate::RelayStep;

/// The states of a sensor, and whether they have changed since the last commit.
struct Kept {
    states: Vec<Box<dyn KeyState>>,
    is_changed: bool,
}

/// Reads, computes and writes a reading with rivulet's own format and operators, and nothing else:
/// without a stage loop, metrics, dead letters, or a state that can be restored.
pub struct RelayTask {
    /// `None` for a copy.
    operator: Option<Box<dyn Operator>>,
    format: JsonFormat,
    kept: HashMap<Box<str>, Kept>,
    /// The sensors whose states have changed, in the order in which they did.
    changed: Vec<Box<str>>,
    value: Vec<u8>,
}

impl RelayTask {
    /// The task of a step.
    ///
    /// # Errors
    /// What is wrong with the step's settings.
    pub fn new(step: RelayStep) -> Result<Self, String> {
        let settings = match step {
            RelayStep::Copy => None,
            RelayStep::Convert => Some("convert = { from = \"celsius\", to = \"fahrenheit\" }"),
            RelayStep::Ewma => Some("ewma = { alpha = 0.5 }"),
        };
        let build = |settings: &str| {
            let step = ComponentConfig::parse(settings).map_err(|error| error.to_string())?;
            rivulet_operators::catalog::build(&step).map_err(|error| error.to_string())
        };
        Ok(RelayTask {
            operator: settings.map(build).transpose()?,
            format: JsonFormat::default(),
            kept: HashMap::new(),
            changed: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Passes each record that comes of this one to `send`: a key and a value.
    ///
    /// # Errors
    /// Why the record cannot be processed.
    pub fn process(
        &mut self,
        record: &ConsumerRecord<'_>,
        mut send: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let RelayTask {
            operator,
            format,
            kept,
            changed,
            value,
        } = self;
        let Some(operator) = operator else {
            let (key, value) = (record.key, record.value);
            return send(key.unwrap_or_default(), value.unwrap_or_default());
        };
        let readings = format.decode(record).map_err(|error| error.to_string())?;
        let mut failed = Ok(());
        readings
            .try_for_each(|reading| {
                let states = if operator.states() == 0 {
                    &mut []
                } else {
                    if !kept.contains_key(&*reading.sensor) {
                        let states = operator.new_states();
                        let is_changed = false;
                        kept.insert((&*reading.sensor).into(), Kept { states, is_changed });
                    }
                    let Some(of_sensor) = kept.get_mut(&*reading.sensor) else {
                        return Ok(());
                    };
                    if !of_sensor.is_changed {
                        of_sensor.is_changed = true;
                        changed.push((&*reading.sensor).into());
                    }
                    of_sensor.states.as_mut_slice()
                };
                let mut emit = |reading: rivulet_core::reading::Reading<'_>| {
                    value.clear();
                    format.encode(&reading, value)?;
                    failed = send(reading.sensor.as_bytes(), value);
                    Ok(())
                };
                operator.process(reading, states, &mut Emitter::new(&mut emit))
            })
            .map_err(|invalid| invalid.to_string())?;
        failed
    }

    /// Passes the states that have changed since the last call to `send`: a key and a value.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn changed(
        &mut self,
        mut send: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        for sensor in self.changed.drain(..) {
            let Some(kept) = self.kept.get_mut(&sensor) else {
                continue;
            };
            kept.is_changed = false;
            self.value.clear();
            for state in &kept.states {
                for number in state.numbers().iter() {
                    self.value.extend_from_slice(&number.to_be_bytes());
                }
            }
            send(sensor.as_bytes(), &self.value)?;
        }
        Ok(())
    }
}
