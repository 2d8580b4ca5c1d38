//! `rivulet top`.

use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_node::cli::BoxError;
use rivulet_node::log::HeldLog;
use rivulet_node::signals;

use crate::CheckedPipeline;
use crate::args::TopArgs;
use crate::live::{self, Live, LiveTopics};
use crate::terminal::{self, FullScreen};
use crate::top::{self, TopAbout, TopState};

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    args: &TopArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    let topics = LiveTopics::of_pipeline(pipeline, args.live.sink.as_deref())?;
    let settings = args.live.settings()?;
    let live = Live::new(topics);
    let about = TopAbout {
        title: "rivulet top".to_owned(),
        pipeline: pipeline.text.path.display().to_string(),
        brokers: pipeline.brokers().to_owned(),
        page: None,
        has_colours: terminal::has_colours(),
    };
    let state = TopState::new(about, args.sensor.clone());
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    shutdown.on_exit(terminal::restore);
    live::watch(pipeline, &live, &settings, || {
        // Log lines would be written into what is drawn.
        let log = HeldLog::new();
        let mut screen = FullScreen::take("top")?;
        let shown = top::show(&mut screen, &live, state, &mut || !shutdown.is_stopping());
        drop(screen);
        drop(log);
        shown?;
        // It leaves nothing undone, and those who watch may wait for brokers.
        end(0);
        Ok(())
    })
}
