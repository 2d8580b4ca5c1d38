//! The comparison of one sensor.

use std::collections::VecDeque;
use std::mem::size_of;

use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;

use super::join::{Arrivals, Join, Point, Side};
use super::statistics::{LagEstimate, Level, MeanDifference, Roughness};
use super::table::{Block, Cells, TableRow, figure};
use crate::text::push_sensor;

/// The settings for all sensors.
#[derive(Debug)]
pub struct CompareRules {
    /// The sides of a complete point.
    pub sides: Vec<Side>,
    /// The longest lag to try, in steps.
    pub lag_max: usize,
    /// How many times may wait for their partners.
    pub waiting_max: usize,
}

impl CompareRules {
    pub(super) fn with_input(&self) -> bool {
        self.sides.contains(&Side::Input)
    }

    /// The memory for a sensor of which no reading waits, in bytes: its figures, its name and its
    /// block of the table.
    #[must_use]
    pub fn size(&self, name: &str) -> usize {
        size_of::<SensorComparison>() + 2 * LagEstimate::size(self.lag_max) + 4 * name.len() + BLOCK
    }
}

/// A sensor's block of the table while it is made, in bytes, at most.
const BLOCK: usize = 2048;

/// A waiting point in its map, in bytes.
const WAITING_POINT: usize = 2 * (size_of::<Point>() + size_of::<(i64, u32)>());

/// The last reading of a sensor in a partition, in bytes.
const ARRIVAL: usize = 2 * size_of::<(i32, u64, i64)>();

/// The figures of one sensor, and what they do not include.
#[derive(Debug)]
pub struct SensorComparison {
    /// The unit of the first reading that has one.
    unit: Option<Unit>,
    seen: [Arrivals; 3],
    pub(super) join: Join,
    /// The latest readings of the input, as far back as the longest lag needs.
    inputs: VecDeque<f64>,
    pub(super) joined: u64,
    pub(super) ewma: Level,
    pub(super) average: Level,
    pub(super) input: Level,
    pub(super) ewma_to_average: MeanDifference,
    pub(super) ewma_to_input: MeanDifference,
    pub(super) average_to_input: MeanDifference,
    pub(super) ewma_lag: LagEstimate,
    pub(super) average_lag: LagEstimate,
    pub(super) ewma_roughness: Roughness,
    pub(super) average_roughness: Roughness,
    pub(super) input_roughness: Roughness,
    /// Readings that came again.
    pub duplicates: u64,
    /// Readings in another unit than the sensor's first.
    pub other_unit: u64,
}

impl SensorComparison {
    /// A sensor without readings.
    #[must_use]
    pub fn new(rules: &CompareRules) -> Self {
        SensorComparison {
            unit: None,
            seen: Default::default(),
            join: Join::default(),
            inputs: VecDeque::new(),
            joined: 0,
            ewma: Level::default(),
            average: Level::default(),
            input: Level::default(),
            ewma_to_average: MeanDifference::default(),
            ewma_to_input: MeanDifference::default(),
            average_to_input: MeanDifference::default(),
            ewma_lag: LagEstimate::new(rules.lag_max),
            average_lag: LagEstimate::new(rules.lag_max),
            ewma_roughness: Roughness::default(),
            average_roughness: Roughness::default(),
            input_roughness: Roughness::default(),
            duplicates: 0,
            other_unit: 0,
        }
    }

    /// The unit of the values.
    pub(super) fn unit(&self) -> Option<Unit> {
        self.unit
    }

    /// The memory for the readings that wait, in bytes.
    #[must_use]
    pub fn waiting_size(&self) -> usize {
        let arrivals: usize = self.seen.iter().map(Arrivals::len).sum();
        let inputs = self.inputs.len() * 2 * size_of::<f64>();
        self.join.len() * WAITING_POINT + inputs + arrivals * ARRIVAL
    }

    /// Adds a reading of one side. If there is no `room`, it waits only in the place of another.
    pub fn add(
        &mut self,
        side: Side,
        partition: i32,
        reading: &Reading<'_>,
        rules: &CompareRules,
        room: bool,
    ) {
        if self.seen[side as usize].is_duplicate(partition, reading.seq, reading.time) {
            self.duplicates += 1;
            return;
        }
        if self.unit.is_some() && reading.unit.is_some() && self.unit != reading.unit {
            self.other_unit += 1;
            return;
        }
        self.unit = self.unit.or(reading.unit);
        let (mut waiting_max, mut inputs_max) =
            (rules.waiting_max, rules.waiting_max + rules.lag_max + 1);
        if !room {
            waiting_max = waiting_max.min(self.join.len());
            inputs_max = inputs_max.min(self.inputs.len());
        }
        if side == Side::Input {
            self.inputs.push_back(reading.value);
            if self.inputs.len() > inputs_max {
                self.inputs.pop_front();
            }
        }
        if let Some(point) =
            self.join
                .add(side, reading.time, reading.value, &rules.sides, waiting_max)
        {
            self.compare(point, rules);
        }
    }

    fn compare(&mut self, point: Point, rules: &CompareRules) {
        let (Some(ewma), Some(average)) = (point.get(Side::Ewma), point.get(Side::Average)) else {
            return;
        };
        self.joined += 1;
        self.ewma.add(ewma);
        self.average.add(average);
        self.ewma_roughness.add(ewma);
        self.average_roughness.add(average);
        self.ewma_to_average.add(ewma, average);
        let Some(input) = point.get(Side::Input) else {
            return;
        };
        self.input.add(input);
        self.input_roughness.add(input);
        self.ewma_to_input.add(ewma, input);
        self.average_to_input.add(average, input);
        // The input is missing only if the topics are out of order.
        let first = self.join.inputs() - self.inputs.len() as u64;
        let Some(back) = point
            .input_index
            .checked_sub(first)
            .and_then(|back| usize::try_from(back).ok())
        else {
            return;
        };
        self.ewma_lag
            .add(ewma, self.inputs.range(..=back).rev().copied());
        self.average_lag
            .add(average, self.inputs.range(..=back).rev().copied());
        // The next complete point has a later input.
        self.inputs
            .drain(..(back + 1).saturating_sub(rules.lag_max));
    }

    /// The sensor's block of the table.
    #[must_use]
    pub fn block(&self, name: &str, rules: &CompareRules) -> Block {
        let mut shown = Vec::new();
        push_sensor(&mut shown, name);
        let mut heading = vec![format!(
            "{}: {} joined",
            String::from_utf8_lossy(&shown),
            self.joined
        )];
        heading.extend(self.unit.map(|unit| format!("in {}", unit.symbol())));
        let rows = self.rows(rules);
        if !rows.is_empty() && rules.with_input() {
            heading.push("lag in steps".to_owned());
        }
        Block {
            heading: heading.join(", "),
            rows,
        }
    }

    fn rows(&self, rules: &CompareRules) -> Vec<TableRow> {
        if self.joined == 0 {
            return Vec::new();
        }
        if !rules.with_input() {
            return vec![
                ("ewma", level(&self.ewma, None)),
                ("average", level(&self.average, None)),
                ("ewma - average", difference(&self.ewma_to_average)),
            ];
        }
        vec![
            ("ewma", level(&self.ewma, Some(&self.ewma_lag))),
            ("average", level(&self.average, Some(&self.average_lag))),
            ("input", level(&self.input, None)),
            ("ewma - average", difference(&self.ewma_to_average)),
            ("ewma - input", difference(&self.ewma_to_input)),
            ("average - input", difference(&self.average_to_input)),
        ]
    }
}

fn level(level: &Level, lag: Option<&LagEstimate>) -> Cells {
    let lag = lag.map_or(String::new(), |lag| {
        lag.steps()
            .map_or("-".to_owned(), |steps| steps.to_string())
    });
    [
        figure(level.mean.get()),
        figure(level.last),
        String::new(),
        String::new(),
        lag,
    ]
}

fn difference(difference: &MeanDifference) -> Cells {
    let MeanDifference {
        level, absolute, ..
    } = difference;
    let figures = [
        level.mean.get(),
        level.last,
        absolute.get(),
        difference.root_mean_square(),
    ]
    .map(figure);
    let [mean, last, absolute, square] = figures;
    [mean, last, absolute, square, String::new()]
}
