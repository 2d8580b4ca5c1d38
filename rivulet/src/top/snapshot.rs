//! What is drawn in one frame: [`TopSnapshot`].

use std::sync::Arc;

use rivulet_sinks::catalog::compare::SensorFigures;

use crate::live::{
    Live, LiveReadings, LiveTopic, PipelineFigures, StageDeadLetters, StageFigures, TimeSeries,
    event_times,
};

/// What is drawn in one frame: of all that was seen what the chosen stage and sensor need.
#[derive(Debug, Clone, Default)]
pub(super) struct TopSnapshot {
    /// The stages.
    pub(super) figures: Arc<PipelineFigures>,
    /// Why no readings can be read.
    pub(super) reading_error: Option<String>,
    /// The topics that are read.
    pub(super) topics: Vec<LiveTopic>,
    /// The names of all sensors.
    pub(super) sensors: Vec<String>,
    /// Which of them is shown.
    pub(super) sensor: Option<usize>,
    /// The readings of this sensor, topic by topic.
    pub(super) series: Vec<TimeSeries>,
    /// The comparison of this sensor.
    pub(super) comparison: Option<SensorFigures>,
    /// What is not shown, as a sentence.
    pub(super) left_out: Option<String>,
    /// The stage that is chosen, and its dead letters.
    pub(super) stage: Option<String>,
    pub(super) dead_letters: StageDeadLetters,
}

impl TopSnapshot {
    /// Looks again. While the screen is paused only what is chosen changes: a sensor, and the stage
    /// that `stage` names among those that there are.
    pub(super) fn look(
        &mut self,
        live: &Live,
        is_paused: bool,
        sensor: Option<&String>,
        stage: &dyn Fn(&PipelineFigures) -> Option<String>,
    ) {
        let goes_on = !is_paused;
        if goes_on {
            self.figures = live.figures();
            self.reading_error = live.reading_error();
        }
        let before = self.sensor_name().map(str::to_owned);
        {
            let readings = live.readings();
            if goes_on {
                self.topics = readings.topics().to_vec();
                self.sensors = readings.sensors().map(str::to_owned).collect();
                self.left_out = left_out(&readings);
            }
            let wanted = sensor.and_then(|name| self.sensors.binary_search(name).ok());
            self.sensor = wanted.or((!self.sensors.is_empty()).then_some(0));
            if goes_on || before.as_deref() != self.sensor_name() {
                self.copy(&readings);
            }
        }
        let stage = stage(&self.figures);
        if goes_on || stage != self.stage {
            let log = live.dead_letters();
            let found = stage.as_ref().and_then(|stage| log.stages.get(stage));
            self.dead_letters = found.cloned().unwrap_or_default();
        }
        self.stage = stage;
    }

    fn copy(&mut self, readings: &LiveReadings) {
        let name = self.sensor_name().unwrap_or_default();
        let series = readings.series(name);
        self.comparison = readings.figures(name);
        self.series = series.to_vec();
    }

    /// The name of the sensor that is shown.
    pub(super) fn sensor_name(&self) -> Option<&str> {
        self.sensors.get(self.sensor?).map(String::as_str)
    }

    /// The stage that is chosen.
    pub(super) fn chosen(&self) -> Option<&StageFigures> {
        let mut stages = self.figures.stages.iter();
        stages.find(|stage| Some(&stage.stage) == self.stage.as_ref())
    }

    /// The event times of the readings that are shown.
    pub(super) fn times(&self) -> Option<(i64, i64)> {
        event_times(&self.series)
    }
}

fn left_out(readings: &LiveReadings) -> Option<String> {
    let (invalid, left_out) = (readings.invalid(), readings.left_out());
    let invalid = (invalid > 0).then(|| format!("records that are no readings: {invalid}"));
    let left_out = (left_out > 0)
        .then(|| format!("readings of further sensors, for which there is no memory: {left_out}"));
    let all: Vec<String> = invalid.into_iter().chain(left_out).collect();
    (!all.is_empty()).then(|| format!("not shown: {}", all.join("; ")))
}
