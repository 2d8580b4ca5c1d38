//! Whether the processes of a pipeline are ready, as they say themselves: [`ProcessAnswers`].

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rivulet_core::text::plain;
use rivulet_pipeline::{Pipeline, Stage};
use serde::Serialize;
use ureq::{Agent, Error};

use super::{ProcessTarget, ProcessTargets};

/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The size of the largest answer, in bytes.
const LARGEST: u64 = 64 * 1024;

/// How many processes are asked at once.
const AT_ONCE: usize = 64;

/// What the processes of a pipeline have answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessAnswers {
    /// By the name of the stage in the pipeline file.
    pub(super) by_stage: BTreeMap<String, Vec<ProcessReport>>,
    /// What of the targets does not fit the pipeline.
    pub(super) notes: Vec<String>,
}

/// What a process says of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// Where it was asked, as HOST:PORT.
    pub target: String,
    /// The node that it runs on, if the file of targets says so.
    pub node: Option<String>,
    /// `ready`, `not ready` or `not reachable`.
    pub readiness: &'static str,
    /// What it does, or why it is not ready or not reachable. What it wrote is [plain].
    pub sentence: String,
}

/// What a process says of its stages, each with its name in Kafka, or why it cannot be known.
pub(crate) type Answer = Result<Vec<(String, bool, String)>, String>;

impl ProcessTargets {
    /// Asks all processes whether they are ready.
    #[must_use]
    pub fn ask(&self, pipeline: &Pipeline) -> ProcessAnswers {
        let answers = self.each(|agent, target| readiness(agent, &target.address));
        let answers = answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err("asking it panicked".to_owned())));
        self.sorted(pipeline, answers.collect())
    }

    /// Asks all processes at once. An answer is `None` if asking panicked.
    pub(crate) fn each<T: Send>(
        &self,
        ask: impl Fn(&Agent, &ProcessTarget) -> T + Sync,
    ) -> Vec<Option<T>> {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("rivulet/", env!("CARGO_PKG_VERSION")));
        let (agent, ask) = (config.build().new_agent(), &ask);
        let mut answers = Vec::new();
        for targets in self.targets.chunks(AT_ONCE) {
            thread::scope(|scope| {
                let asked = targets.iter().map(|target| {
                    let agent = &agent;
                    scope.spawn(move || ask(agent, target))
                });
                // All are asked before the first answer is waited for.
                let asked: Vec<_> = asked.collect();
                answers.extend(asked.into_iter().map(|asked| asked.join().ok()));
            });
        }
        answers
    }

    /// The answers by stage.
    fn sorted(&self, pipeline: &Pipeline, answers: Vec<Answer>) -> ProcessAnswers {
        let mut found = ProcessAnswers::default();
        let known = |name: &str| {
            let mut stages = pipeline.stages.iter();
            stages.find(|stage| stage.group() == name || stage.name == name)
        };
        for (target, answer) in self.targets.iter().zip(answers) {
            let label = target.stage.as_deref();
            let labelled = label.and_then(known);
            if let (Some(name), None) = (label, labelled) {
                found.notes.push(format!(
                    "{} says that {} runs `{}`, which is not in the pipeline",
                    plain(&self.path.display().to_string()),
                    target.address,
                    plain(name)
                ));
            }
            match answer {
                Err(why) => match labelled {
                    Some(stage) => found.add(stage, target, "not reachable", why),
                    None => found
                        .notes
                        .push(format!("{} is not reachable: {why}", target.address)),
                },
                Ok(lines) => {
                    let mut runs = Vec::new();
                    for (name, is_ready, sentence) in lines {
                        let readiness = if is_ready { "ready" } else { "not ready" };
                        match known(&name) {
                            Some(stage) => found.add(stage, target, readiness, sentence),
                            None => found.notes.push(format!(
                                "{} runs `{name}`, which is not in the pipeline",
                                target.address
                            )),
                        }
                        runs.push(name);
                    }
                    if let Some(stage) = labelled
                        && !runs
                            .iter()
                            .any(|name| *name == stage.group() || *name == stage.name)
                    {
                        let why = format!("the process there runs `{}`", runs.join("`, `"));
                        found.add(stage, target, "not reachable", why);
                    }
                }
            }
        }
        found
    }
}

impl ProcessAnswers {
    fn add(
        &mut self,
        stage: &Stage,
        target: &ProcessTarget,
        readiness: &'static str,
        sentence: String,
    ) {
        let of_stage = self.by_stage.entry(stage.name.clone()).or_default();
        of_stage.push(ProcessReport {
            target: target.address.clone(),
            node: target.node.clone(),
            readiness,
            sentence,
        });
    }
}

/// Asks a process whether its stages are ready.
pub(crate) fn readiness(agent: &Agent, address: &str) -> Answer {
    let (status, body) = get(agent, address, "/readyz", LARGEST)?;
    match status {
        // Ready, and not ready.
        200 | 503 => (),
        _ => return Err(refused(status)),
    }
    let lines: Option<Vec<_>> = body.lines().map(line).collect();
    lines
        .filter(|lines| !lines.is_empty())
        .ok_or_else(|| "its answer is not about stages: is it a stage's --metrics?".to_owned())
}

/// The status and the body that a process answers with, of at most `largest` bytes; or why it does
/// not answer.
pub(crate) fn get(
    agent: &Agent,
    address: &str,
    path: &str,
    largest: u64,
) -> Result<(u16, String), String> {
    let failed = |error: Error| match error {
        Error::Timeout(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        Error::BodyExceedsLimit(_) => "its answer is too large".to_owned(),
        Error::Io(error) => plain(&without_number(&error)).into_owned(),
        error => plain(&error.to_string()).into_owned(),
    };
    let asked = agent.get(format!("http://{address}{path}")).call();
    let mut response = asked.map_err(failed)?;
    let body = response.body_mut().with_config().limit(largest);
    let body = body.lossy_utf8(true).read_to_string().map_err(failed)?;
    Ok((response.status().as_u16(), body))
}

/// Why a process does not answer what it is asked.
pub(crate) fn refused(status: u16) -> String {
    match status {
        403 => "its --metrics-from does not contain this machine".to_owned(),
        _ => format!("it answers {status}: is it a stage's --metrics?"),
    }
}

/// An error of the operating system, without its number.
fn without_number(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// A line of an answer: the stage, whether it is ready, and a sentence for people.
fn line(line: &str) -> Option<(String, bool, String)> {
    let (stage, rest) = line.split_once(": ")?;
    let (word, sentence) = rest.split_once(": ").unwrap_or((rest, ""));
    let is_ready = match word.trim_end() {
        "ready" => true,
        "not ready" => false,
        _ => return None,
    };
    let plain = |text: &str| plain(text).into_owned();
    Some((plain(stage), is_ready, plain(sentence)))
}

#[cfg(test)]
mod tests;
