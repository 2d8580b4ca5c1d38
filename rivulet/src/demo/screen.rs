//! The screen of `rivulet top` while the demo runs.

use std::sync::Arc;

use rivulet_core::listen_address::ListenAddress;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::ReadFrom;
use rivulet_node::cli::BoxError;
use rivulet_node::log::HeldLog;
use rivulet_node::observe::{ObserveArgs, Observer};
use rivulet_pipeline::StageKind;

use super::stages::DemoStages;
use crate::CheckedPipeline;
use crate::groups::{ProcessTarget, ProcessTargets};
use crate::live::{self, Live, LiveSettings, LiveTopics};
use crate::terminal::{self, FullScreen};
use crate::top::{self, TopAbout, TopState};
use crate::web_page::{PageAbout, PipelinePage, random_token};

/// After so many seconds without a commit a stage is said not to be ready.
const STALLED_AFTER: u64 = 30;

/// Shows the stages until all have ended. Returns whether somebody wanted to leave before.
///
/// # Errors
/// If the metrics cannot be served, or the terminal is gone.
pub(super) fn show<'scope, 'p: 'scope>(
    pipeline: &CheckedPipeline<'_>,
    instance: &str,
    asks_groups: bool,
    stages: &mut DemoStages<'scope, 'p>,
    shutdown: &Shutdown,
) -> Result<bool, BoxError> {
    let observe = ObserveArgs {
        metrics: Some(ListenAddress::loopback(0)),
        metrics_from: Vec::new(),
        stalled_after: STALLED_AFTER,
    };
    let log = HeldLog::new();
    let memory = pipeline.limits.memory().0 * stages.all.len() as u64;
    let address = Observer::start(&observe, stages.observed(pipeline, instance), memory)?;
    let target = |address: std::net::SocketAddr| ProcessTarget {
        address: address.to_string(),
        stage: None,
        node: None,
    };
    let settings = LiveSettings {
        from: ReadFrom::All,
        targets: Some(ProcessTargets {
            path: "the demo".into(),
            targets: address.into_iter().map(target).collect(),
        }),
        asks_groups,
    };
    // Of several comparisons the first one is shown.
    let comparing = pipeline
        .stages
        .iter()
        .find(|stage| matches!(&stage.kind, StageKind::Sink { sink } if sink.name() == "compare"));
    let sink = comparing.map(|stage| stage.name.as_str());
    let live = Arc::new(Live::new(LiveTopics::of_pipeline(pipeline, sink)?));
    live::watch(pipeline, &live, &settings, || {
        let about = PageAbout::pipeline(pipeline);
        let listen = ListenAddress::loopback(0);
        let page = PipelinePage::start(&about, live.clone(), listen, random_token()?)?;
        let about = TopAbout {
            title: "rivulet demo".to_owned(),
            pipeline: pipeline.text.path.display().to_string(),
            brokers: pipeline.brokers().to_owned(),
            page: Some(page.url()),
            has_colours: terminal::has_colours(),
        };
        let state = TopState::new(about, None);
        let mut screen = FullScreen::take("the demo")?;
        let shown = top::show(&mut screen, &live, state, &mut || stages.go_on(shutdown));
        drop(screen);
        drop(log);
        Ok(shown?)
    })
}
