//! What the processes of one stage tell, together: [`StageProcesses`].

use super::exposition::{ProcessMetrics, StageMetrics, quantile};
use super::figures::{StageCondition, StageFigures};
use super::rate::RateWindow;
use crate::groups::{GroupLag, LagReport, ProcessTarget};

/// The activities of a stage that is not there yet.
const STARTING: [&str; 3] = ["connecting", "joining", "restoring"];

/// That of a stage that has ended and whose process has not.
const ENDED: &str = "stopped";

/// What the processes of one stage tell.
#[derive(Default)]
pub(super) struct StageProcesses {
    /// The worst of all. `None` if none is known.
    state: Option<StageCondition>,
    said: Vec<String>,
    nodes: Vec<String>,
    memory: f64,
    shares_process: bool,
    /// Records in and out, and commits, in a second.
    rates: Option<(f64, f64, f64)>,
    lag: Option<i64>,
    latency: Vec<(f64, f64)>,
}

impl StageProcesses {
    /// Adds a process that has answered.
    pub(super) fn answered(
        &mut self,
        target: &ProcessTarget,
        is_ready: bool,
        sentence: &str,
        process: &ProcessMetrics,
        stage: &StageMetrics,
    ) {
        let activity = stage.activity.as_deref().unwrap_or_default();
        self.add_state(match is_ready {
            true => StageCondition::Running,
            false if STARTING.contains(&activity) => StageCondition::Starting,
            false if activity == ENDED => StageCondition::Ended,
            false => StageCondition::NotReady,
        });
        self.said.push(sentence.to_owned());
        let host = target
            .address
            .rsplit_once(':')
            .map(|(host, _)| host.to_owned());
        self.nodes.extend(target.node.clone().or(host));
        self.memory += process.memory.unwrap_or_default();
        self.shares_process |= process.stages.len() > 1;
    }

    /// Adds a process that has answered before, and does not any more.
    pub(super) fn is_gone(&mut self, target: &ProcessTarget, why: &str) {
        self.add_state(StageCondition::Down);
        self.said
            .push(format!("{} is not reachable: {why}", target.address));
        self.nodes.extend(target.node.clone());
    }

    fn add_state(&mut self, state: StageCondition) {
        self.state = self.state.max(Some(state));
    }

    /// Adds the metrics of the last seconds of a process.
    pub(super) fn add(&mut self, window: &RateWindow<StageMetrics>) {
        let lag = window.last().and_then(|last| last.lag);
        self.lag = self
            .lag
            .map_or(lag, |sum| Some(sum + lag.unwrap_or_default()));
        let Some((then, now, _)) = window.ends() else {
            return;
        };
        let rate = |number: fn(&StageMetrics) -> f64| window.rate(number).unwrap_or_default();
        let (read, written, commits) = self.rates.unwrap_or_default();
        self.rates = Some((
            read + rate(|metrics| metrics.read),
            written + rate(|metrics| metrics.written),
            commits + rate(|metrics| metrics.commits),
        ));
        for (index, (bound, within)) in now.latency.iter().enumerate() {
            let before = then.latency.get(index).map_or(0.0, |(_, before)| *before);
            match self.latency.get_mut(index) {
                Some((_, sum)) => *sum += within - before,
                None => self.latency.push((*bound, within - before)),
            }
        }
    }

    /// Puts everything into the figures of the stage, if a process is known.
    pub(super) fn put(mut self, found: &mut StageFigures) {
        let Some(state) = self.state else {
            return;
        };
        found.state = state;
        found.sentence = self.said.join("; ");
        self.nodes.sort();
        self.nodes.dedup();
        found.nodes = self.nodes;
        found.shares_process = self.shares_process;
        found.memory = (self.memory > 0.0).then_some(self.memory);
        if let Some((read, written, commits)) = self.rates {
            found.rate_in = Some(read);
            found.rate_out = (!found.to.is_empty()).then_some(written);
            found.commits = Some(commits);
            found.is_estimate = false;
        }
        found.p50 = quantile(0.5, &self.latency);
        found.p99 = quantile(0.99, &self.latency);
        if found.lag.is_none() && !found.from.is_empty() {
            found.lag = self.lag.map(|lag| LagReport {
                lag: GroupLag::AtMost(lag),
                direction: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn target(address: &str) -> ProcessTarget {
        ProcessTarget {
            address: address.into(),
            stage: None,
            node: (address == "10.42.0.250:9464").then(|| "rpi0".into()),
        }
    }

    fn metrics(read: f64, activity: &str) -> StageMetrics {
        StageMetrics {
            read,
            written: read / 2.0,
            activity: Some(activity.into()),
            latency: vec![(0.1, read), (f64::INFINITY, read)],
            ..StageMetrics::default()
        }
    }

    #[test]
    fn processes_of_a_stage_are_added_and_the_worst_state_is_shown() {
        let mut processes = StageProcesses::default();
        for (address, rate) in [("10.42.0.250:9464", 10.0), ("10.42.0.251:9464", 30.0)] {
            let process = ProcessMetrics {
                memory: Some(1e7),
                ..ProcessMetrics::default()
            };
            let now = metrics(2.0 * rate, "running");
            processes.answered(&target(address), true, "running", &process, &now);
            let mut window = RateWindow::default();
            window.push(Duration::from_secs(1), metrics(rate, "running"));
            window.push(Duration::from_secs(2), now);
            processes.add(&window);
        }
        let mut found = StageFigures {
            to: vec!["warm".into()],
            ..StageFigures::default()
        };
        processes.put(&mut found);
        assert_eq!(found.nodes, ["10.42.0.251", "rpi0"]);
        assert_eq!((found.rate_in, found.rate_out), (Some(40.0), Some(20.0)));
        assert_eq!((found.memory, found.p50), (Some(2e7), Some(0.05)));
        assert_eq!(found.state, StageCondition::Running);

        let mut processes = StageProcesses::default();
        let running = metrics(0.0, "running");
        let none = ProcessMetrics::default();
        processes.answered(&target("a:1"), true, "running", &none, &running);
        processes.is_gone(&target("b:1"), "Connection refused");
        processes.put(&mut found);
        assert_eq!(found.state, StageCondition::Down);
        let expected = "running; b:1 is not reachable: Connection refused";
        assert_eq!(found.sentence, expected);
    }

    #[test]
    fn what_has_ended_is_not_what_does_not_work() {
        for (activity, expected) in [
            ("stopped", StageCondition::Ended),
            ("restoring", StageCondition::Starting),
            ("running", StageCondition::NotReady),
        ] {
            let mut processes = StageProcesses::default();
            let none = ProcessMetrics::default();
            processes.answered(&target("a:1"), false, "…", &none, &metrics(0.0, activity));
            let mut found = StageFigures::default();
            processes.put(&mut found);
            assert_eq!(found.state, expected);
        }
    }
}
