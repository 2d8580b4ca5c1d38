//! `rivulet consume`.

use std::path::Path;
use std::process;

use rivulet_core::error::{Error, Kind};
use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_kafka::ConsumerSettings;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;

use crate::args::{CommitOption, ConsumeArgs, Isolation};
use crate::consume::{self, Consumption, Shown, StartAt, StoreSettings};
use crate::schemas::registered;
use crate::{Target, print};

pub(super) fn run(
    command: &ConsumeArgs,
    target: &Target<'_>,
    end: EndProcess,
) -> Result<(), BoxError> {
    // Several members need a group. One of its own gets everything.
    let own_group = || (command.members > 1).then(|| format!("rivulet-consume-{}", process::id()));
    let group = command.group.clone().or_else(own_group);
    let commits = command.group.is_some() && command.commit == CommitOption::Auto;
    let what = Consumption {
        settings: ConsumerSettings {
            topics: command.topics.clone(),
            partition: command.partition,
            group,
            client_id: "rivulet-consume".to_owned(),
            latest: command.from == StartAt::Latest,
            read_uncommitted: command.isolation == Isolation::ReadUncommitted,
            auto_commit: commits && command.store.is_none(),
        },
        start: command.from,
        members: command.members,
        until_end: command.until_end,
        limit: command.limit,
        key: command.key.clone().map(String::into_bytes),
        shown: match (command.json, command.quiet) {
            (true, _) => Shown::Json,
            (_, true) => Shown::Nothing,
            _ => Shown::Text,
        },
        store: command.store.clone().map(|path| StoreSettings {
            path,
            with_offsets: !command.commit_after_store,
            delay: command.store_delay.map(|delay| delay.0).unwrap_or_default(),
            commits,
        }),
    };
    let registry = registry(command, target)?;
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    let consumed = consume::run(&target.connection, &what, registry, &shutdown)?;
    print::aside(consumed);
    Ok(())
}

/// The registry that has the schemas.
fn registry(
    command: &ConsumeArgs,
    target: &Target<'_>,
) -> Result<Option<Box<dyn SchemaRegistry>>, BoxError> {
    let failed = |why| Error::new("setting up the client of the schema registry", why);
    if let Some(settings) = &command.registry {
        let client = settings.client(Path::new(""));
        return Ok(Some(
            client.map_err(|why| failed(why).of_kind(Kind::Usage))?,
        ));
    }
    let Some(pipeline) = &target.pipeline else {
        return Ok(None);
    };
    let is_avro = |name: &&String| {
        let topic = pipeline.topics.get(*name);
        topic.is_some_and(|topic| topic.format.name() == "avro")
    };
    let Some(topic) = command.topics.iter().find(is_avro) else {
        return Ok(None);
    };
    let registered = registered(pipeline, topic).map_err(failed)?;
    Ok(Some(registered.registry))
}
