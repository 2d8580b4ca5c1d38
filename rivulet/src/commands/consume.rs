//! `rivulet consume`.

use std::process;

use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_kafka::ConsumerSettings;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;

use crate::args::{CommitOption, ConsumeArgs, Isolation};
use crate::consume::{self, Consumption, Shown, StartAt, StoreSettings};
use crate::schemas::registry;
use crate::{Target, print};

pub(super) fn run(
    command: &ConsumeArgs,
    target: &Target<'_>,
    end: EndProcess,
) -> Result<(), BoxError> {
    // Several members need a group. One of its own gets everything.
    let own_name = || {
        target
            .prefix
            .with(&format!("rivulet-consume-{}", process::id()))
    };
    let own_group = || (command.members > 1).then(own_name);
    let group = command.group.clone().or_else(own_group);
    let commits = command.group.is_some() && command.commit == CommitOption::Auto;
    let what = Consumption {
        settings: ConsumerSettings {
            topics: target.topics(&command.topics),
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
    let registry = registry(command.registry.as_ref(), &what.settings.topics, target)?;
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    let consumed = consume::run(&target.connection, &what, registry, &shutdown)?;
    print::aside(consumed);
    Ok(())
}
