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

/// What there is to tell.
#[derive(Debug)]
pub(super) struct News {
    is_ready: bool,
    sign_of_life: Option<NotifyState<'static>>,
    sentence: Option<String>,
}

impl News {
    /// Tells it. Waits until systemd has room for it.
    pub(super) fn tell(self) {
        let ready = self.is_ready.then_some(NotifyState::Ready);
        let status = self.sentence.as_deref().map(NotifyState::Status);
        let news = ready.into_iter().chain(self.sign_of_life).chain(status);
        notify(&news.collect::<Vec<_>>());
    }
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

    /// What there is to tell of the stages.
    pub(super) fn news(&mut self, stages: &[ObservedStage], stalled_after: Duration) -> News {
        let now = Instant::now();
        let are_restored = |stage: &ObservedStage| stage.metrics.health.is_restored();
        let is_ready = !self.is_ready && stages.iter().all(are_restored);
        self.is_ready |= is_ready;
        let moves: Vec<u64> = stages.iter().map(ObservedStage::moves).collect();
        let mut pairs = moves.iter().zip(&self.moves);
        let have_moved = self.moves.is_empty() || pairs.all(|(now, before)| now != before);
        if have_moved {
            self.moves = moves;
        }
        News {
            is_ready,
            sign_of_life: have_moved.then(|| {
                // The watchdog runs only once the process is ready. Until then the start may take
                // as long as it takes, if every thread moves.
                if self.is_ready {
                    NotifyState::Watchdog
                } else {
                    let start = u32::try_from(START.as_micros()).unwrap_or(u32::MAX);
                    NotifyState::ExtendTimeoutUsec(start)
                }
            }),
            sentence: self.sentence(stages, stalled_after, now),
        }
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
