//! Topics by name, whatever the pipeline: which there are, and the creation of new ones.

use std::collections::{BTreeMap, BTreeSet};

use rivulet_core::error::{Error, Kind, Result};
use rivulet_kafka::{Admin, Cluster, Connection, NewTopic, TopicCreation};

use super::{Created, TopicListing};
use crate::text::plural;

/// The value of the protocol for the brokers' `num.partitions`.
const DEFAULT_PARTITIONS: i32 = -1;

/// Whether a topic is one of Kafka's own.
#[must_use]
pub fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

/// What a new topic is like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTopicOptions {
    /// How many partitions it has; `None` is the brokers' `num.partitions`.
    pub partitions: Option<i32>,
    /// How many replicas each has; `None` is the brokers' `default.replication.factor`.
    pub replication: Option<i32>,
    /// Its settings, such as `retention.ms`.
    pub settings: BTreeMap<String, String>,
}

impl NewTopicOptions {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Creates those of the topics that are missing, all alike, and waits until they can be written and
/// read. Calls `say` with a line for each topic.
///
/// # Errors
/// If the brokers are unreachable, or reject a topic (then the others are created).
pub fn create_named(
    connection: &Connection,
    names: &[&str],
    options: &NewTopicOptions,
    say: &mut dyn FnMut(&str),
) -> Result<Created> {
    let admin = Admin::new(connection)?;
    let inventory = admin.cluster.inventory()?;
    let mut created = Created::default();
    let mut new = Vec::new();
    for name in names.iter().collect::<BTreeSet<_>>() {
        if let Some(found) = inventory.topics.get(*name) {
            created.existed += 1;
            let partitions = plural(found.partitions, "partition");
            let copies = plural(found.replication, "copy");
            say(&format!(
                "exists   {name} ({partitions}, {copies}; not changed)"
            ));
        } else {
            new.push(NewTopic {
                name: (*name).to_owned(),
                partitions: options.partitions.unwrap_or(DEFAULT_PARTITIONS),
                replication: options.replication,
                settings: options.settings.clone(),
            });
        }
    }
    create_new(&admin, &new, &mut created, say)?;
    Ok(created)
}

/// Creates topics that were missing a moment ago.
pub(super) fn create_new(
    admin: &Admin,
    new: &[NewTopic],
    created: &mut Created,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let results = admin.create(new)?;
    admin.wait_until("waiting for the new topics", |inventory| {
        let ready = |name: &str| inventory.topics.get(name).is_some_and(|found| found.ready);
        let waiting = results
            .iter()
            .find(|(name, result)| *result == TopicCreation::Created && !ready(name));
        waiting.map(|(name, _)| format!("{name} has no leader yet"))
    })?;
    let inventory = admin.cluster.inventory()?;
    let mut rejected = None;
    for (name, result) in results {
        match result {
            TopicCreation::Created => {
                created.created += 1;
                let found = inventory.topics.get(&name).map(|found| {
                    let partitions = plural(found.partitions, "partition");
                    format!(" ({partitions}, {})", plural(found.replication, "copy"))
                });
                say(&format!("created  {name}{}", found.unwrap_or_default()));
            }
            TopicCreation::Existed => {
                created.existed += 1;
                say(&format!(
                    "exists   {name} (another program has just created it)"
                ));
            }
            TopicCreation::Rejected(error) => rejected = rejected.or(Some(error)),
        }
    }
    rejected.map_or(Ok(()), Err)
}

/// All topics of the cluster, with the internal ones if that is asked for.
///
/// # Errors
/// If the brokers are unreachable.
pub fn list_all(connection: &Connection, internal: bool) -> Result<TopicListing> {
    let inventory = Cluster::new(connection)?.inventory()?;
    let topics = inventory.topics.into_iter();
    Ok(TopicListing {
        topics: topics
            .filter(|(name, _)| internal || !is_internal(name))
            .map(|(name, found)| (name, found.partitions, found.replication))
            .collect(),
    })
}

/// The topics of a command, by name: these, which must exist, or those that are `by_default`.
///
/// # Errors
/// If a named topic does not exist.
pub(super) fn chosen<T>(
    found: BTreeMap<String, T>,
    names: &[String],
    by_default: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, T>> {
    let mut missing = names.iter().filter(|name| !found.contains_key(*name));
    if let Some(name) = missing.next() {
        return Err(no_such_topic(name));
    }
    let found = found.into_iter();
    Ok(found
        .filter(|(name, _)| {
            if names.is_empty() {
                by_default(name)
            } else {
                names.contains(name)
            }
        })
        .collect())
}

/// The error for a topic that does not exist.
pub(super) fn no_such_topic(name: &str) -> Error {
    Error::new(format!("looking for {name}"), "there is no such topic")
        .of_kind(Kind::Missing)
        .help("`rivulet topics list --all` lists the topics; name the right brokers with --brokers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_topics_must_exist_and_others_are_chosen() {
        let found = || BTreeMap::from(["__offsets", "a", "b"].map(|name| (name.to_owned(), 1)));
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let chosen = chosen(found(), &names, |name| !is_internal(name));
            chosen.map(|chosen| chosen.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["a", "b"]);
        assert_eq!(names(&["b", "__offsets"]).unwrap(), ["__offsets", "b"]);
        let error = names(&["b", "c"]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("looking for c: there is no such topic")
        );
        assert_eq!(error.kind(), Kind::Missing);
    }
}
