//! What must be in the topics: streams of readings, and what stages make of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use stream::reading::Unit;

use super::course::Course;

/// A reading without its sensor. There can be millions: it is kept small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) time: i64,
    pub(super) value: f64,
    pub(super) unit: Option<Unit>,
}

/// The names of sensors, each kept once.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    names: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
}

impl Sensors {
    pub(super) fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let name: Rc<str> = name.into();
        let id =
            u32::try_from(self.names.len()).expect("four billion names do not fit into memory");
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }

    pub(super) fn name(&self, id: u32) -> &str {
        &self.names[id as usize]
    }
}

/// The readings of one sensor in one topic.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Lane {
    pub(super) entries: Vec<Entry>,
    /// Whether Kafka keeps them in this order; otherwise only what there is, is known.
    pub(super) order: Order,
    /// Whether readings of the sensor that came before these are gone.
    pub(super) lost: bool,
    /// How many of the first of these are not in the topic any more.
    pub(super) deleted: usize,
    /// How many of these are what was found, because nobody can say what must be there.
    pub(super) unverified: usize,
    /// Among the first so many of these some may be lacking, if the topic has lost its beginning:
    /// nobody can say whether they came out.
    pub(super) unsure: usize,
}

/// Whether the order of a lane's readings is defined.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Defined,
    Undefined,
}

/// The readings of one topic.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stream {
    pub(super) lanes: BTreeMap<u32, Lane>,
    /// Whether sequence numbers and times are known. They are not behind a topic of format
    /// `number`: there a reading takes its offset for its number, and offsets depend on when stages
    /// committed.
    pub(super) numbered: bool,
    /// Whether readings are gone, perhaps all of some sensors.
    pub(super) lost: bool,
    /// For each sensor with readings whose record has another key, or none: their places, and the
    /// order of the others.
    pub(super) wrong_keys: BTreeMap<u32, (Vec<usize>, Order)>,
    /// For each sensor of which readings are gone, those of which these were made: sequence number
    /// and time, which no operator changes.
    pub(super) origins: BTreeMap<u32, HashSet<(u64, i64)>>,
}

/// What a stage makes of its inputs.
#[derive(Debug, PartialEq)]
pub(super) struct Output {
    pub(super) stream: Stream,
    pub(super) tally: Tally,
}

/// What a stage does with readings besides passing them on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Readings that its steps refuse.
    pub(super) refused: u64,
    /// Readings of which nobody can say what becomes of them.
    pub(super) unknown: u64,
}

impl Stream {
    pub(super) fn new() -> Self {
        Stream {
            lanes: BTreeMap::new(),
            numbered: true,
            lost: false,
            wrong_keys: BTreeMap::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Leaves out the readings whose record has another key than their sensor, and says how many
    /// they were.
    pub(super) fn drop_wrong_keys(&mut self) -> u64 {
        let mut dropped = 0;
        for (sensor, (places, order)) in std::mem::take(&mut self.wrong_keys) {
            let lane = self.lanes.entry(sensor).or_default();
            for place in places.iter().rev() {
                lane.entries.remove(*place);
            }
            lane.order = order;
            dropped += places.len() as u64;
        }
        dropped
    }

    /// Takes a reading away, the one at this place among those of its sensor. Returns its place
    /// among those whose key is right; `None` if its own is not.
    pub(super) fn remove(&mut self, sensor: u32, place: usize) -> Option<usize> {
        let lane = self.lanes.get_mut(&sensor)?;
        lane.entries.remove(place);
        lane.deleted -= usize::from(place < lane.deleted);
        let Some((wrong, _)) = self.wrong_keys.get_mut(&sensor) else {
            return Some(place);
        };
        let is_right = !wrong.contains(&place);
        let before = wrong.iter().filter(|other| **other < place).count();
        wrong.retain(|other| *other != place);
        wrong
            .iter_mut()
            .filter(|other| **other > place)
            .for_each(|other| *other -= 1);
        is_right.then(|| place - before)
    }

    /// Whether readings are gone.
    pub(super) fn has_lost(&self) -> bool {
        self.lost || self.lanes.values().any(|lane| lane.lost)
    }

    /// Takes what came of readings that are gone as it was found in the topic: nobody can say what
    /// it must be, and what further stages make of it can be told again.
    pub(super) fn accept(&mut self, found: &Stream) {
        for (sensor, found) in &found.lanes {
            if !self.lanes.contains_key(sensor) && self.lost {
                self.lanes.insert(
                    *sensor,
                    Lane {
                        lost: true,
                        ..Lane::default()
                    },
                );
            }
            let Some(lane) = self.lanes.get_mut(sensor).filter(|lane| lane.lost) else {
                continue;
            };
            let origins = self.origins.get(sensor);
            let is_gone = |entry: &&Entry| {
                origins.is_none_or(|origins| !origins.contains(&(entry.seq, entry.time)))
            };
            let gone: Vec<Entry> = match lane.order {
                // Nothing comes of them behind what came of a reading that is there.
                Order::Defined => found.entries.iter().take_while(is_gone).copied().collect(),
                Order::Undefined => found.entries.iter().filter(is_gone).copied().collect(),
            };
            lane.unverified += gone.len();
            lane.unsure += if lane.unsure > 0 { gone.len() } else { 0 };
            lane.entries.splice(0..0, gone);
        }
    }

    /// How many readings there are.
    pub(super) fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.entries.len()).sum()
    }

    /// Takes what was compared for what further stages have read. `deleted` tells of the sensors
    /// whose partition has lost its beginning how many of their first readings that took.
    pub(super) fn settle(&mut self, deleted: &BTreeMap<u32, usize>, is_trimmed: bool) {
        for (sensor, lane) in &mut self.lanes {
            let first = deleted.get(sensor).copied();
            lane.deleted = first.unwrap_or_default();
            lane.lost &= first.is_some();
            if lane.lost && lane.deleted >= lane.unsure {
                // Only behind what may be lacking it is known what there was.
                lane.entries.drain(..lane.unsure);
                lane.deleted -= lane.unsure;
            }
            (lane.unverified, lane.unsure) = (0, 0);
        }
        self.lost &= is_trimmed;
        self.origins.clear();
    }

    /// Takes in the readings of another stream that come into the same topic.
    pub(super) fn join(&mut self, other: Stream) {
        self.numbered &= other.numbered;
        self.lost |= other.lost;
        self.origins.extend(other.origins);
        for (sensor, lane) in other.lanes {
            let mine = self.lanes.entry(sensor).or_default();
            if mine.entries.is_empty() {
                *mine = lane;
            } else if !lane.entries.is_empty() {
                // Nothing says which of the two comes first.
                mine.order = Order::Undefined;
                mine.lost |= lane.lost;
                mine.entries.extend(lane.entries);
            }
        }
    }

    /// Leaves out the readings without a unit and says how many they were.
    pub(super) fn drop_unitless(&mut self) -> u64 {
        let before = self.len();
        for lane in self.lanes.values_mut() {
            lane.entries.retain(|entry| entry.unit.is_some());
        }
        (before - self.len()) as u64
    }

    /// The stream as it is behind a topic of format `number`: bare values in `partitions`
    /// partitions, without sensors to keep them apart.
    pub(super) fn into_numbers(
        self,
        partitions: usize,
        unit: Option<Unit>,
        sensors: &mut Sensors,
    ) -> Stream {
        let mut whole = Stream {
            numbered: false,
            lost: self.has_lost(),
            ..Stream::new()
        };
        for lane in self.lanes.into_values() {
            whole.join(Stream {
                lanes: [(sensors.id(""), lane)].into(),
                numbered: false,
                ..Stream::new()
            });
        }
        for lane in whole.lanes.values_mut() {
            if partitions > 1 {
                lane.order = Order::Undefined;
            }
            lane.entries.iter_mut().for_each(|entry| entry.unit = unit);
        }
        whole
    }
}

/// Runs a stage over the readings of its inputs, given with the topics' names. Where readings are
/// gone, `found` holds what is in its outputs.
///
/// # Errors
/// Why nobody can say what must come out.
pub(super) fn process(
    course: &Course,
    inputs: &[(&str, &Stream)],
    found: &Stream,
    sensors: &Sensors,
) -> Result<Output, String> {
    course.is_known()?;
    let mut output = Output {
        stream: Stream::new(),
        tally: Tally::default(),
    };
    let stateful = course.is_ordered();
    for (topic, input) in inputs {
        if course.is_noisy() && !input.numbered {
            return Err(format!(
                "its noise goes by sequence numbers, which in `{topic}` are offsets and depend on \
                 when stages committed"
            ));
        }
        if !input.numbered && input.has_lost() {
            return Err(format!(
                "the first records of `{topic}` are gone, and bare numbers do not tell which \
                 results are theirs"
            ));
        }
        // Of a sensor in one input, readings may be gone from another.
        let is_lost_elsewhere = inputs
            .iter()
            .any(|(other, stream)| other != topic && stream.lost);
        let mut stream = Stream {
            numbered: input.numbered,
            lost: input.lost,
            ..Stream::new()
        };
        for (&sensor, lane) in &input.lanes {
            let name = sensors.name(sensor);
            if stateful && lane.order == Order::Undefined && lane.entries.len() > 1 {
                return Err(format!(
                    "it keeps state, and the order of the readings of sensor \"{name}\" in \
                     `{topic}` is not defined"
                ));
            }
            if stateful && output.stream.lanes.contains_key(&sensor) {
                return Err(format!(
                    "it keeps state, and the order of readings of sensor \"{name}\" between its \
                     inputs is not defined"
                ));
            }
            let mut lane = Cow::Borrowed(lane);
            if is_lost_elsewhere && !lane.lost {
                lane.to_mut().lost = true;
            }
            if lane.lost {
                stream.origins.insert(
                    sensor,
                    lane.entries
                        .iter()
                        .map(|entry| (entry.seq, entry.time))
                        .collect(),
                );
            }
            let found = found.lanes.get(&sensor);
            stream.lanes.insert(
                sensor,
                course.run(topic, (sensor, name), &lane, found, &mut output.tally)?,
            );
        }
        output.stream.join(stream);
    }
    Ok(output)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::steps::Step;
    use super::*;

    pub(in crate::verify) const CELSIUS: [f64; 14] = [
        7.0, 6.0, 9.0, 14.0, 12.0, 17.0, 9.0, 13.0, 11.0, 12.0, 13.0, 16.0, 16.0, 19.0,
    ];

    const CONVERT: Step = Step::Convert {
        from: Unit::Celsius,
        to: Unit::Fahrenheit,
    };
    const EWMA: Step = Step::Ewma {
        alpha: 0.5,
        emit_seed: false,
    };
    const AVERAGE: Step = Step::Average { window: 3 };

    /// A stream of one sensor in degrees Celsius, numbered from 0.
    pub(in crate::verify) fn stream(sensors: &mut Sensors, sensor: &str, values: &[f64]) -> Stream {
        let entry = |(seq, &value): (usize, &f64)| Entry {
            seq: seq as u64,
            time: 0,
            value,
            unit: Some(Unit::Celsius),
        };
        let lane = Lane {
            entries: values.iter().enumerate().map(entry).collect(),
            ..Lane::default()
        };
        Stream {
            lanes: [(sensors.id(sensor), lane)].into(),
            ..Stream::new()
        }
    }

    fn process(
        steps: &[Step],
        inputs: &[(&str, &Stream)],
        sensors: &Sensors,
    ) -> Result<Output, String> {
        super::process(
            &Course::new(steps.to_vec(), Vec::new()),
            inputs,
            &Stream::new(),
            sensors,
        )
    }

    fn values(output: &Result<Output, String>) -> Vec<f64> {
        let stream = &output.as_ref().unwrap().stream;
        stream
            .lanes
            .values()
            .flat_map(|lane| lane.entries.iter().map(|entry| entry.value))
            .collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-9 * expected.abs(),
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn the_classwork_comes_out_as_on_paper() {
        let mut sensors = Sensors::default();
        let input = stream(&mut sensors, "", &CELSIUS);
        let kept = process(&[CONVERT, Step::Above(50.0)], &[("c", &input)], &sensors);
        assert_close(
            &values(&kept),
            &[57.2, 53.6, 62.6, 55.4, 51.8, 53.6, 55.4, 60.8, 60.8, 66.2],
        );
        let kept = kept.unwrap().stream;
        let ewma = process(&[EWMA], &[("kept", &kept)], &sensors);
        assert_close(
            &values(&ewma),
            &[
                55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.28125, 62.740_625,
            ],
        );
        let average = process(&[AVERAGE], &[("kept", &kept)], &sensors);
        assert_close(
            &values(&average),
            &[57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6],
        );
        let fused = process(
            &[CONVERT, Step::Above(50.0), EWMA],
            &[("c", &input)],
            &sensors,
        );
        assert_eq!(fused, ewma, "fused or in stages, it is the same");
    }

    #[test]
    fn sensors_do_not_mix() {
        let mut sensors = Sensors::default();
        let mut input = stream(&mut sensors, "a", &[1.0, 3.0]);
        input.join(stream(&mut sensors, "b", &[10.0, 30.0]));
        let output = process(&[EWMA], &[("c", &input)], &sensors);
        assert_close(&values(&output), &[2.0, 20.0]);
        let (a, b) = (
            stream(&mut sensors, "a", &[1.0, 3.0]),
            stream(&mut sensors, "b", &[10.0, 30.0]),
        );
        assert_eq!(
            process(&[EWMA], &[("c", &a), ("d", &b)], &sensors),
            output,
            "from two topics neither"
        );
    }

    #[test]
    fn state_over_an_undefined_order_is_not_verifiable() {
        let mut sensors = Sensors::default();
        let input = stream(&mut sensors, "a", &[1.0, 3.0]);
        let two = [("c", &input), ("d", &input)];
        let reason = process(&[EWMA], &two, &sensors).unwrap_err();
        assert!(
            reason.contains("sensor \"a\" between its inputs"),
            "{reason}"
        );
        let joined = process(&[CONVERT], &two, &sensors).unwrap().stream;
        assert_eq!(
            (joined.len(), joined.lanes[&0].order),
            (4, Order::Undefined)
        );
        let reason = process(&[AVERAGE], &[("joined", &joined)], &sensors).unwrap_err();
        assert!(reason.contains("in `joined` is not defined"), "{reason}");
    }

    #[test]
    fn numbers_lose_sensors_and_over_partitions_their_order() {
        let mut sensors = Sensors::default();
        let input = stream(&mut sensors, "a", &[1.0, 3.0]);
        let one = input.clone().into_numbers(1, None, &mut sensors);
        let several = input.clone().into_numbers(2, None, &mut sensors);
        let empty = sensors.id("");
        assert_eq!(
            (one.lanes[&empty].order, several.lanes[&empty].order),
            (Order::Defined, Order::Undefined)
        );
        let reason = process(
            &[Step::Noise {
                amplitude: 1.0,
                seed: 1,
            }],
            &[("n", &one)],
            &sensors,
        )
        .unwrap_err();
        assert!(reason.contains("offsets"), "{reason}");
    }

    #[test]
    fn a_reading_in_another_unit_is_refused() {
        let mut sensors = Sensors::default();
        let input = stream(&mut sensors, "a", &[1.0, 3.0]);
        let output = process(
            &[Step::Convert {
                from: Unit::Kelvin,
                to: Unit::Celsius,
            }],
            &[("c", &input)],
            &sensors,
        );
        let output = output.unwrap();
        assert_eq!((output.stream.len(), output.tally.refused), (0, 2));
    }
}
