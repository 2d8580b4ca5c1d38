//! What a full run must show: [`Goals`].

use std::fmt;

use crate::chain::Chain;
use crate::recovery::Recovery;
use crate::results::Results;
use crate::subject::{CONTENDERS, Interval};

/// A goal: what it is about, the most that it may be, and what was measured.
struct Goal {
    about: String,
    most: f64,
    /// Of each build. `None` if it was not measured.
    measured: Vec<Option<f64>>,
}

/// The goals, and which of them hold.
pub(crate) struct Goals {
    /// The names of the builds: this one first.
    builds: Vec<String>,
    goals: Vec<Goal>,
}

const EXACTLY: &str = "exactly-once";
const AT_LEAST: &str = "at-least-once";
const FAST: &str = "1000/s";

/// What the goals are about, of one build.
struct Measured<'r> {
    results: &'r Results,
    build: &'r str,
    goals: Vec<Goal>,
}

impl Measured<'_> {
    fn add(&mut self, about: impl Into<String>, measured: Option<f64>, most: f64) {
        let about = about.into();
        self.goals.push(Goal {
            about,
            most,
            measured: vec![measured],
        });
    }

    /// A value of the part `flow` beside that of another subject.
    fn flow(&self, step: &str, other: &str) -> Option<f64> {
        let cpu = |subject| self.results.median("flow", step, EXACTLY, subject, "cpu");
        Some(cpu(self.build)? / cpu(other)?)
    }

    /// A value of four hops, exactly-once.
    fn hops(&self, rate: &str, interval: Interval, value: &str) -> Option<f64> {
        let subject = Chain::name(self.build, interval);
        self.results.median("chain", rate, EXACTLY, &subject, value)
    }

    /// The same beside that of franz-go at 100 ms.
    fn beside_franz(&self, interval: Interval, value: &str) -> Option<f64> {
        let franz = Chain::name("franz-go", Interval::Ms(100));
        let franz = self.results.median("chain", FAST, EXACTLY, &franz, value)?;
        Some(self.hops(FAST, interval, value)? / franz)
    }

    /// A value at-least-once beside that of the other engine with the least p99.
    fn beside_best(&self, part: &str, value: &str) -> Option<f64> {
        let of = |subject: &str, interval, value| {
            let subject = Chain::name(subject, interval);
            self.results.median(part, FAST, AT_LEAST, &subject, value)
        };
        let peers = CONTENDERS.iter().filter_map(|name| {
            let beside = |value| of(name, Interval::Ms(100), value);
            beside("p99").zip(beside(value))
        });
        let (_, best) = peers.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
        Some(of(self.build, Interval::Own, value)? / best)
    }

    /// The largest ratio to a version over the rates on three brokers.
    fn beside_version(&self, version: &str, value: &str) -> Option<f64> {
        let at = |rate: u64| {
            let of = |name: &str| {
                let (case, name) = (Chain::case(rate), Chain::name(name, Interval::Own));
                self.results.median("cluster", &case, EXACTLY, &name, value)
            };
            Some(of(self.build)? / of(version)?)
        };
        [10, 100, 1000].into_iter().filter_map(at).reduce(f64::max)
    }
}

impl Goals {
    /// Of these results. `versions` are the names of other builds.
    pub(crate) fn new(results: &Results, versions: &[String]) -> Self {
        let builds = std::iter::once("rivulet").chain(versions.iter().map(String::as_str));
        let builds: Vec<String> = builds.map(str::to_owned).collect();
        let of_builds = builds
            .iter()
            .map(|build| Self::of_build(results, build, versions));
        let goals = of_builds.reduce(|mut goals, others| {
            for (goal, other) in goals.iter_mut().zip(others) {
                goal.measured.extend(other.measured);
            }
            goals
        });
        Goals {
            builds,
            goals: goals.unwrap_or_default(),
        }
    }

    fn of_build(results: &Results, build: &str, versions: &[String]) -> Vec<Goal> {
        let mut of = Measured {
            results,
            build,
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
            let ratio =
                |value: &str| format!("{hops}, at-least-once: {value}, × the fastest other");
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
        let ratio = back(10_000, build).zip(back(10_000, "franz-go"));
        let ratio = ratio.map(|(rivulet, franz)| rivulet / franz);
        of.add("back after kill -9, 10,000 sensors, × franz-go", ratio, 1.0);
        of.add(
            "back after kill -9, 10,000 sensors, s",
            back(10_000, build),
            0.3,
        );
        of.add(
            "back after kill -9, 100,000 sensors, s",
            back(100_000, build),
            1.0,
        );
        let idle = results.median("idle", "convert", EXACTLY, build, "cpu");
        of.add("idle: CPU, % of a core", idle, 0.3);
        for step in ["convert", "ewma"] {
            let peak = results.median("flow", step, EXACTLY, build, "memory");
            of.add(format!("{step} at full speed: peak MB"), peak, 16.0);
        }
        of.goals
    }
}

impl fmt::Display for Goals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut measured = self.goals.iter().flat_map(|goal| &goal.measured);
        if measured.all(Option::is_none) {
            return Ok(());
        }
        writeln!(f, "\n### Goals\n")?;
        writeln!(f, "| | at most | {} | |", self.builds.join(" | "))?;
        writeln!(
            f,
            "| --- | ---: |{} --- |",
            " ---: |".repeat(self.builds.len())
        )?;
        for goal in &self.goals {
            write!(f, "| {} | {:.2} |", goal.about, goal.most)?;
            for measured in &goal.measured {
                let measured = measured.map(|measured| format!("{measured:.2}"));
                write!(f, " {} |", measured.unwrap_or_default())?;
            }
            let verdict = match goal.measured[0] {
                Some(measured) if measured <= goal.most => "holds",
                Some(_) => "**missed**",
                None => "not measured",
            };
            writeln!(f, " {verdict} |")?;
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
            run("old", 2.6),
        ]);
        let text = Goals::new(&results, &["old".to_owned()]).to_string();
        let row = |about: &str| text.lines().find(|line| line.contains(about)).unwrap();
        assert!(
            row("convert: CPU a record, × relay-batch").contains("| 1.25 | 1.00 | 2.00 | holds |")
        );
        assert!(row("convert: CPU a record, × franz-go").contains("**missed**"));
        assert!(row("ewma: CPU a record, × relay-batch").contains("not measured"));
        assert_eq!(Goals::new(&Results::of(Vec::new()), &[]).to_string(), "");
    }
}
