//! `rivulet experiment`.

use std::sync::Arc;

use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_producer::experiment::ExperimentSource;

use crate::args::ExperimentArgs;
use crate::experiment::{EventCounts, ExperimentPage, producer, send};
use crate::{Target, print};

pub(super) fn run(
    args: &ExperimentArgs,
    target: &Target<'_>,
    end: EndProcess,
) -> Result<(), BoxError> {
    let mut options = args.options()?;
    for topic in [&mut options.topic, &mut options.document_topic] {
        *topic = topic.as_deref().map(|name| target.topic(name));
    }
    let topics: Vec<&str> = [&options.topic, &options.document_topic]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let producer = producer(&target.connection, &topics)?;
    let mut source = ExperimentSource::new(options)?;
    if args.seed.is_none() {
        print::aside(format_args!("seed {}", source.seed()));
    }
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    let counts = Arc::new(EventCounts::default());
    let page = args
        .serve
        .map(|address| ExperimentPage::start(address, "--serve=PORT", counts.clone()));
    let page = page.transpose()?;
    if let Some(page) = &page {
        print::aside(format_args!("{} shows events a second", page.url()));
    }
    let sent = send(&mut source, &producer, &counts, &shutdown);
    let messages = source.messages();
    print::aside(format_args!(
        "{} of {} messages sent; late: {}",
        messages.done,
        messages.total,
        source.lateness()
    ));
    Ok(sent?)
}
