//! What a process says of itself over HTTP: [`Endpoint`].

use std::process::Command;
use std::time::Duration;

use ureq::Agent;

use crate::{Process, wait};

/// The address of a process that was started with `--metrics 0`.
#[derive(Debug)]
pub struct Endpoint {
    url: String,
    agent: Agent,
}

impl Endpoint {
    /// Starts a program with an endpoint. A stage is not ready after so many seconds without a
    /// commit.
    #[must_use]
    pub fn start(title: &str, command: &mut Command, stalled_after: u64) -> (Process, Self) {
        let stalled_after = stalled_after.to_string();
        command.args(["--metrics", "0", "--stalled-after", &stalled_after]);
        let process = Process::start(title, command);
        let endpoint = Endpoint::of(&process);
        (process, endpoint)
    }

    /// Waits until the process says where it is.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        let url = wait::until(wait::LONG, || {
            let said = process.err();
            let (_, rest) = said.split_once("metrics at ")?;
            Some(rest.split_once("metrics\n")?.0.to_owned())
        });
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .proxy(None);
        Endpoint {
            url: url.unwrap_or_else(|| panic!("it has no metrics: {}", process.report())),
            agent: config.build().new_agent(),
        }
    }

    /// Where it is, as HOST:PORT.
    #[must_use]
    pub fn address(&self) -> &str {
        let address = self.url.trim_end_matches('/');
        address.strip_prefix("http://").unwrap_or(address)
    }

    /// The status and the text at a path such as `readyz`. `None` if nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), text))
    }

    /// Waits until it is ready, or until it is not. Returns what it says then.
    #[must_use]
    pub fn until_ready(&self, is_ready: bool) -> String {
        let status = if is_ready { 200 } else { 503 };
        let said = wait::until(wait::LONG, || {
            let (found, text) = self.get("readyz")?;
            (found == status).then_some(text)
        });
        said.unwrap_or_else(|| panic!("/readyz is not {status}: {:?}", self.get("readyz")))
    }

    /// The metrics, in Prometheus' text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let (status, text) = self.get("metrics").expect("the process answers");
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The value of a metric, such as `rivulet_lag_records{stage="a"}`. `None` if it is not there.
    #[must_use]
    pub fn value(&self, metric: &str) -> Option<f64> {
        value(&self.metrics(), metric)
    }
}

fn value(metrics: &str, metric: &str) -> Option<f64> {
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_the_whole_name() {
        let text = "# TYPE a gauge\na_b 1.0\na{x=\"1\"} 2.5\na 3\n";
        assert_eq!(value(text, "a"), Some(3.0));
        assert_eq!(value(text, "a{x=\"1\"}"), Some(2.5));
        assert_eq!(value(text, "b"), None);
    }
}
