//! A Prometheus that watches processes: [`Prometheus`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::kafka::free_port;
use crate::{Endpoint, Process, guard, wait};

/// A Prometheus with the rules and the intervals of a deployment. It is stopped on drop.
#[derive(Debug)]
pub struct Prometheus {
    folder: PathBuf,
    url: String,
    targets: Vec<Value>,
    _process: Process,
}

impl Prometheus {
    /// Starts one that watches nothing yet.
    #[must_use]
    pub fn start() -> Self {
        let (folder, port) = (guard::folder("prometheus"), free_port());
        let list = folder.join("targets.json");
        fs::write(&list, "[]").expect("the folder is new");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/prometheus");
        let mut command = Command::new(script);
        command
            .arg("run")
            .arg(&list)
            .env("PROMETHEUS_PORT", port.to_string())
            .env("PROMETHEUS_DATA", folder.join("data"));
        let process = Process::start("Prometheus", &mut command);
        let prometheus = Prometheus {
            folder,
            url: format!("http://127.0.0.1:{port}"),
            targets: Vec::new(),
            _process: process,
        };
        wait::until_true("Prometheus answers", || {
            prometheus.ask("status/buildinfo").is_some()
        });
        prometheus
    }

    /// Watches a process, as the only one on a node of this name.
    pub fn watch(&mut self, node: &str, endpoint: &Endpoint) {
        self.targets
            .retain(|target| target["labels"]["node"] != node);
        self.targets.push(json!({
            "targets": [endpoint.address()],
            "labels": { "stage": node, "node": node },
        }));
        let list = Value::from(self.targets.clone()).to_string();
        // Prometheus must not see half of it.
        let new = self.folder.join("targets.new");
        fs::write(&new, list).expect("the folder is there");
        fs::rename(new, self.folder.join("targets.json")).expect("the folder is there");
    }

    /// Waits until the process that is watched now was scraped.
    pub fn has_scraped(&self, node: &str) {
        let target = self
            .targets
            .iter()
            .find(|target| target["labels"]["node"] == node);
        let address = target.map(|target| target["targets"][0].clone());
        wait::until_true(&format!("{node} was scraped"), || {
            let found = self.ask("targets?state=active");
            let active = found
                .as_ref()
                .and_then(|found| found["activeTargets"].as_array());
            active.into_iter().flatten().any(|target| {
                target["labels"]["node"] == node
                    && Some(&target["labels"]["instance"]) == address.as_ref()
                    && target["health"] == "up"
            })
        });
    }

    /// Waits until the process that is watched now was scraped once more.
    pub fn has_scraped_anew(&self, node: &str) {
        let query = format!("timestamp(process_start_time_seconds{{node=\"{node}\"}})");
        let before = self
            .query(&query)
            .first()
            .map(|series| series["value"][1].clone());
        wait::until_true(&format!("{node} was scraped again"), || {
            let now = self.query(&query);
            now.first()
                .is_some_and(|series| Some(&series["value"][1]) != before.as_ref())
        });
    }

    /// The names of the alerts that are raised.
    #[must_use]
    pub fn firing(&self) -> Vec<String> {
        let found = self.ask("alerts").unwrap_or_default();
        let alerts = found["alerts"].as_array().into_iter().flatten();
        alerts
            .filter(|alert| alert["state"] == "firing")
            .filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned()))
            .collect()
    }

    /// The names of all alerts that there are rules for, in order.
    #[must_use]
    pub fn alerts(&self) -> Vec<String> {
        let found = self.ask("rules?type=alert").unwrap_or_default();
        let groups = found["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let mut names: Vec<String> = rules
            .filter_map(|rule| Some(rule["name"].as_str()?.to_owned()))
            .collect();
        names.sort_unstable();
        names
    }

    /// What a query answers: a value for each series.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let found = self.ask_for("query", &[("query", query)]);
        let found = found.unwrap_or_else(|| panic!("Prometheus does not answer: {query}"));
        found["result"].as_array().cloned().unwrap_or_default()
    }

    fn ask(&self, path: &str) -> Option<Value> {
        self.ask_for(path, &[])
    }

    fn ask_for(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let request = ureq::get(format!("{}/api/v1/{path}", self.url));
        let request = request.query_pairs(parameters.iter().copied());
        let text = request.call().ok()?.body_mut().read_to_string().ok()?;
        Some(serde_json::from_str::<Value>(&text).ok()?["data"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        guard::remove(&self.folder);
    }
}
