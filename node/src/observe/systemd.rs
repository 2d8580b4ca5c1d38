//! What systemd is told: [`Systemd`]. See `sd_notify(3)`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::{ObservedStage, Readiness};

/// By how much each sign of life extends the time that the start may take.
const START: Duration = Duration::from_mins(1);
/// How often the sentence in `systemctl status` changes while nothing else does.
const SENTENCE: Duration = Duration::from_secs(10);

/// A service manager that waits to hear of this process.
#[derive(Debug)]
pub(super) struct Systemd {
    is_ready: bool,
    /// How often each thread had moved when systemd was last told so.
    moves: Vec<u64>,
    told: Option<Told>,
}

/// What systemd was told of the stages.
#[derive(Debug)]
struct Told {
    at: Instant,
    are_ready: Vec<bool>,
    sentence: String,
}

impl Systemd {
    /// `None` if nobody waits to hear anything.
    pub(super) fn new() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        Some(Systemd {
            is_ready: false,
            moves: Vec::new(),
            told: None,
        })
    }

    /// Tells how the stages are.
    pub(super) fn tell(&mut self, stages: &[ObservedStage], stalled_after: Duration) {
        let now = Instant::now();
        let mut news = Vec::new();
        if !self.is_ready
            && stages
                .iter()
                .all(|stage| stage.metrics.health.is_restored())
        {
            self.is_ready = true;
            news.push(NotifyState::Ready);
        }
        // The watchdog runs only once the process is ready. Until then the start may take as long
        // as it takes, if every thread moves.
        let moves: Vec<u64> = stages.iter().map(ObservedStage::moves).collect();
        let have_moved = moves
            .iter()
            .zip(&self.moves)
            .all(|(now, before)| now != before);
        if self.moves.is_empty() || have_moved {
            self.moves = moves;
            news.push(if self.is_ready {
                NotifyState::Watchdog
            } else {
                NotifyState::ExtendTimeoutUsec(u32::try_from(START.as_micros()).unwrap_or(u32::MAX))
            });
        }
        let sentence = self.sentence(stages, stalled_after, now);
        if let Some(sentence) = &sentence {
            news.push(NotifyState::Status(sentence));
        }
        notify(&news);
    }

    /// The sentence for `systemctl status`, if it is time for one.
    fn sentence(
        &mut self,
        stages: &[ObservedStage],
        stalled_after: Duration,
        now: Instant,
    ) -> Option<String> {
        let looks: Vec<Readiness> = stages
            .iter()
            .map(|stage| Readiness::of(stage, stalled_after, now))
            .collect();
        let are_ready: Vec<bool> = looks.iter().map(|look| look.is_ready).collect();
        let is_due = self.told.as_ref().is_none_or(|told| {
            told.are_ready != are_ready || now.duration_since(told.at) >= SENTENCE
        });
        if !is_due {
            return None;
        }
        let mut sentence = String::new();
        for (stage, look) in stages.iter().zip(&looks) {
            let separator = if sentence.is_empty() { "" } else { ". " };
            let name = if stages.len() == 1 {
                String::new()
            } else {
                format!("{}: ", stage.name)
            };
            let not = if look.is_ready { "" } else { "not ready: " };
            let _ = write!(sentence, "{separator}{name}{not}{}", look.sentence);
        }
        let is_new = self
            .told
            .as_ref()
            .is_none_or(|told| told.sentence != sentence);
        self.told = Some(Told {
            at: now,
            are_ready,
            sentence: sentence.clone(),
        });
        is_new.then_some(sentence)
    }
}

/// Tells systemd that the process stops.
pub fn stopping() {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        notify(&[NotifyState::Stopping]);
    }
}

fn notify(news: &[NotifyState<'_>]) {
    if news.is_empty() {
        return;
    }
    // Nothing else can be done about it: systemd restarts what it does not hear of.
    if let Err(error) = sd_notify::notify(news) {
        tracing::debug!("telling systemd: {error}");
    }
}
