//! What a full run must show: [`Goals`].

use std::fmt;

use crate::chain::Chain;
use crate::recovery::Recovery;
use crate::results::Results;
use crate::subject::{CONTENDERS, Interval};

/// A goal: what it is about, what was measured, and the most that it may be.
struct Goal {
    about: String,
    /// `None` if it was not measured.
    measured: Option<f64>,
    most: f64,
}

/// The goals, and which of them hold.
pub(crate) struct Goals(Vec<Goal>);

const EXACTLY: &str = "exactly-once";
const AT_LEAST: &str = "at-least-once";
const FAST: &str = "1000/s";

/// What the goals are about.
struct Measured<'r> {
    results: &'r Results,
    goals: Vec<Goal>,
}

impl Measured<'_> {
    fn add(&mut self, about: impl Into<String>, measured: Option<f64>, most: f64) {
        let about = about.into();
        self.goals.push(Goal {
            about,
            measured,
            most,
        });
    }

    /// A value of the part `flow` beside that of another subject.
    fn flow(&self, step: &str, other: &str) -> Option<f64> {
        let cpu = |subject| self.results.median("flow", step, EXACTLY, subject, "cpu");
        Some(cpu("rivulet")? / cpu(other)?)
    }

    /// A value of four hops, exactly-once.
    fn hops(&self, rate: &str, interval: Interval, value: &str) -> Option<f64> {
        let subject = Chain::name("rivulet", interval);
        self.results.median("chain", rate, EXACTLY, &subject, value)
    }

    /// The same beside that of franz-go at 100 ms.
    fn beside_franz(&self, interval: Interval, value: &str) -> Option<f64> {
        let franz = Chain::name("franz-go", Interval::Ms(100));
        let franz = self.results.median("chain", FAST, EXACTLY, &franz, value)?;
        Some(self.hops(FAST, interval, value)? / franz)
    }

    /// A value at-least-once beside the least of all other engines.
    fn beside_best(&self, part: &str, value: &str) -> Option<f64> {
        let of = |subject: &str, interval| {
            let subject = Chain::name(subject, interval);
            self.results.median(part, FAST, AT_LEAST, &subject, value)
        };
        let peers = CONTENDERS
            .iter()
            .filter_map(|name| of(name, Interval::Ms(100)));
        Some(of("rivulet", Interval::Own)? / peers.reduce(f64::min)?)
    }

    /// The largest ratio to a version over the rates on three brokers.
    fn beside_version(&self, version: &str, value: &str) -> Option<f64> {
        let at = |rate: u64| {
            let of = |name: &str| {
                let (case, name) = (Chain::case(rate), Chain::name(name, Interval::Own));
                self.results.median("cluster", &case, EXACTLY, &name, value)
            };
            Some(of("rivulet")? / of(version)?)
        };
        [10, 100, 1000].into_iter().filter_map(at).reduce(f64::max)
    }
}

impl Goals {
    /// Of these results. `versions` are the names of other builds.
    pub(crate) fn new(results: &Results, versions: &[String]) -> Self {
        let mut of = Measured {
            results,
            goals: Vec::new(),
        };
        let [own, beside, lowest] = [Interval::Own, Interval::Ms(100), Interval::Lowest];
        for (step, most) in [("convert", 1.25), ("ewma", 1.4)] {
            let about = format!("{step}: CPU a record, × relay-batch");
            of.add(about, of.flow(step, "relay-batch"), most);
        }
        for (peer, most) in [("franz-go", 0.4), ("kafka-streams", 0.2)] {
            for step in ["convert", "ewma"] {
                let about = format!("{step}: CPU a record, × {peer}");
                of.add(about, of.flow(step, peer), most);
            }
        }
        let ratio = |value: &str| format!("four hops, own rule: {value}, × franz-go at 100 ms");
        of.add(ratio("p50"), of.beside_franz(own, "p50"), 1.0 / 3.0);
        let spread = of.hops(FAST, own, "p99").zip(of.hops(FAST, own, "p50"));
        let spread = spread.map(|(p99, p50)| p99 / p50);
        of.add("four hops, own rule: p99, × its own p50", spread, 3.0);
        of.add(
            ratio("CPU of the broker"),
            of.beside_franz(own, "brokers"),
            1.15,
        );
        of.add(
            ratio("CPU of the stages"),
            of.beside_franz(own, "stages"),
            0.5,
        );
        let ratio = |value: &str| format!("four hops at 100 ms: {value}, × franz-go at 100 ms");
        of.add(ratio("p50"), of.beside_franz(beside, "p50"), 1.0);
        of.add(ratio("p99"), of.beside_franz(beside, "p99"), 1.0);
        of.add(
            ratio("CPU of the broker"),
            of.beside_franz(beside, "brokers"),
            0.9,
        );
        let ratio = |value: &str| format!("four hops, lowest: {value}, × franz-go at 100 ms");
        of.add(ratio("p50"), of.beside_franz(lowest, "p50"), 0.2);
        of.add(ratio("p99"), of.beside_franz(lowest, "p99"), 0.2);
        let broker = of.hops(FAST, lowest, "brokers");
        of.add(
            "four hops, lowest: CPU of the broker, % of a core",
            broker,
            85.0,
        );
        let slow = of.hops("10/s", own, "p50");
        of.add("four hops, own rule, 10/s: p50, ms", slow, 25.0);
        for (part, hops, most) in [("chain", "four hops", 0.5), ("hop", "one hop", 1.0)] {
            let ratio = |value: &str| format!("{hops}, at-least-once: {value}, × the best other");
            of.add(ratio("p99"), of.beside_best(part, "p99"), most);
            of.add(
                ratio("CPU of the broker"),
                of.beside_best(part, "brokers"),
                1.0,
            );
        }
        for version in versions {
            for value in ["fsyncs", "bytes"] {
                let about = format!("three brokers: {value} a reading, × {version}");
                of.add(about, of.beside_version(version, value), 0.5);
            }
        }
        let back = |sensors, subject| {
            results.median(
                "recovery",
                &Recovery::case(sensors),
                EXACTLY,
                subject,
                "first",
            )
        };
        let ratio = back(10_000, "rivulet").zip(back(10_000, "franz-go"));
        let ratio = ratio.map(|(rivulet, franz)| rivulet / franz);
        of.add("back after kill -9, 10,000 sensors, × franz-go", ratio, 1.0);
        of.add(
            "back after kill -9, 10,000 sensors, s",
            back(10_000, "rivulet"),
            0.3,
        );
        of.add(
            "back after kill -9, 100,000 sensors, s",
            back(100_000, "rivulet"),
            1.0,
        );
        let idle = results.median("idle", "convert", EXACTLY, "rivulet", "cpu");
        of.add("idle: CPU, % of a core", idle, 0.3);
        for step in ["convert", "ewma"] {
            let peak = results.median("flow", step, EXACTLY, "rivulet", "memory");
            of.add(format!("{step} at full speed: peak MB"), peak, 16.0);
        }
        Goals(of.goals)
    }
}

impl fmt::Display for Goals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n### Goals\n\n| | measured | at most | |\n| --- | ---: | ---: | --- |"
        )?;
        for Goal {
            about,
            measured,
            most,
        } in &self.0
        {
            let (measured, verdict) = match measured {
                Some(measured) if measured <= most => (format!("{measured:.2}"), "holds"),
                Some(measured) => (format!("{measured:.2}"), "**missed**"),
                None => (String::new(), "not measured"),
            };
            writeln!(f, "| {about} | {measured} | {most:.2} | {verdict} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Measurement;

    #[test]
    fn a_goal_is_a_ratio_of_medians_and_says_how_it_went() {
        let run = |subject: &str, cpu: f64| Measurement {
            part: "flow",
            case: "convert".to_owned(),
            guarantee: EXACTLY,
            subject: subject.to_owned(),
            values: vec![("cpu", cpu)],
            verified: None,
        };
        let results = Results::of(vec![
            run("rivulet", 1.3),
            run("rivulet", 1.2),
            run("rivulet", 9.0),
            run("relay-batch", 1.3),
            run("franz-go", 1.3),
        ]);
        let text = Goals::new(&results, &[]).to_string();
        let row = |about: &str| text.lines().find(|line| line.contains(about)).unwrap();
        assert!(row("convert: CPU a record, × relay-batch").contains("| 1.00 | 1.25 | holds |"));
        assert!(row("convert: CPU a record, × franz-go").contains("**missed**"));
        assert!(row("ewma: CPU a record, × relay-batch").contains("not measured"));
    }
}
