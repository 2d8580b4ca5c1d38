//! Topics: those of a pipeline and any others.
//!
//! [`create`], [`list`] and [`describe`] are about the wanted topics of a pipeline. The others are
//! about topics by name. None changes an existing topic unless its name says so, and every request
//! has a timeout.

mod clean;
mod deletion;
mod description;
mod details;
mod named;
mod size;
mod truncate;
mod watch;

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_kafka::{Admin, Cluster, Connection, Inventory, NewTopic};
use rivulet_pipeline::Topic;

use crate::text::plural;

pub use self::clean::Clean;
pub use self::deletion::TopicDeletion;
pub use self::description::{Description, SettingDifference, TopicRow};
pub use self::details::{OffsetRange, TopicDetails, details};
pub use self::named::{NewTopicOptions, create_named, is_internal, list_all};
pub use self::size::{TopicSizes, sizes};
pub use self::truncate::{TruncateBound, Truncation};
pub use self::watch::{TopicWatch, WatchTable};

/// The result of [`create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Created {
    /// Topics that were created.
    pub created: usize,
    /// Topics that existed as the file wants them.
    pub existed: usize,
    /// Topics that exist but differ from the file; they were not changed.
    pub differing: usize,
}

/// Creates the missing topics and waits until they can be written and read.
///
/// Calls `say` with a line for each topic: created, exists, or how it differs from the file.
///
/// # Errors
/// If the brokers are unreachable, are fewer than the replicas of a missing topic (then no topic is
/// created), or reject a topic (then the others are created).
pub fn create(
    connection: &Connection,
    wanted: &BTreeMap<String, Topic>,
    say: &mut dyn FnMut(&str),
) -> Result<Created> {
    let admin = Admin::new(connection)?;
    let inventory = admin.cluster.inventory()?;
    let description = described(&admin, wanted, &inventory)?;
    let missing: BTreeMap<&str, &Topic> = wanted
        .iter()
        .filter(|(name, _)| !inventory.topics.contains_key(*name))
        .map(|(name, topic)| (name.as_str(), topic))
        .collect();
    for (name, topic) in &missing {
        enough_brokers(name, topic, &inventory)?;
    }
    let mut created = Created::default();
    for name in wanted
        .keys()
        .filter(|name| !missing.contains_key(name.as_str()))
    {
        let differences = description.differences(name);
        if differences.is_empty() {
            created.existed += 1;
            say(&format!("exists   {name}"));
        } else {
            created.differing += 1;
            let how: Vec<String> = differences.iter().map(ToString::to_string).collect();
            say(&format!("differs  {name}: {}; not changed", how.join(", ")));
        }
    }
    let new: Vec<NewTopic> = missing
        .iter()
        .map(|(name, topic)| NewTopic {
            name: (*name).to_owned(),
            partitions: topic.partitions,
            replication: topic.replication,
            settings: topic.settings(),
        })
        .collect();
    named::create_new(&admin, &new, &mut created, say)?;
    Ok(created)
}

/// The topics of the pipeline that exist on the cluster.
///
/// # Errors
/// If the brokers are unreachable.
pub fn list(connection: &Connection, wanted: &BTreeMap<String, Topic>) -> Result<TopicListing> {
    let inventory = Cluster::new(connection)?.inventory()?;
    let topics = inventory
        .topics
        .iter()
        .filter(|(name, _)| wanted.contains_key(*name));
    Ok(TopicListing {
        topics: topics
            .map(|(name, found)| (name.clone(), found.partitions, found.replication))
            .collect(),
    })
}

/// The topics of the pipeline file and of the cluster side by side.
///
/// # Errors
/// If the brokers are unreachable.
pub fn describe(connection: &Connection, wanted: &BTreeMap<String, Topic>) -> Result<Description> {
    let admin = Admin::new(connection)?;
    let inventory = admin.cluster.inventory()?;
    described(&admin, wanted, &inventory)
}

/// The wanted topics and the cluster side by side, with the settings of both.
fn described(
    admin: &Admin,
    wanted: &BTreeMap<String, Topic>,
    inventory: &Inventory,
) -> Result<Description> {
    let existing: Vec<&str> = wanted
        .keys()
        .filter(|name| inventory.topics.contains_key(*name))
        .map(String::as_str)
        .collect();
    let (mut configs, mut brokers) = (BTreeMap::new(), Vec::new());
    let mut denied = None;
    if !existing.is_empty() {
        configs = admin.topic_settings(&existing, &mut denied)?;
        for node in &inventory.nodes {
            // One at a time: a broker only has its own settings.
            brokers.extend(admin.broker_settings(*node, &mut denied)?);
        }
    }
    Ok(Description::new(wanted, &inventory.topics, &configs)
        .with_brokers(&brokers)
        .with_denied(denied))
}

/// Deletes topics and waits until they are gone.
fn delete_existing(admin: &Admin, names: &[&str]) -> Result<()> {
    admin.delete(names)?;
    admin.wait_until("waiting for the deletion of the topics", |inventory| {
        let mut names = names.iter();
        let left = names.find(|name| inventory.topics.contains_key(**name));
        left.map(|name| format!("{name} still exists"))
    })
}

/// The result of [`list`] or [`list_all`]. Displayed, it has a line for each topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicListing {
    /// The name, partitions and replicas of each topic.
    pub topics: Vec<(String, i32, i32)>,
}

impl fmt::Display for TopicListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .topics
            .iter()
            .map(|(name, ..)| name.len())
            .max()
            .unwrap_or_default();
        for (name, partitions, replication) in &self.topics {
            let partitions = plural(*partitions, "partition");
            writeln!(
                f,
                "{name:width$}  {partitions:>12}  {}",
                plural(*replication, "copy")
            )?;
        }
        Ok(())
    }
}

fn enough_brokers(name: &str, topic: &Topic, inventory: &Inventory) -> Result<()> {
    let brokers = i32::try_from(inventory.brokers).unwrap_or(i32::MAX);
    let Some(copies) = topic.replication.filter(|copies| *copies > brokers) else {
        return Ok(());
    };
    let cause = format!(
        "the file wants {} of it, and the cluster has {}",
        plural(copies, "copy"),
        plural(brokers, "broker")
    );
    Err(Error::new(format!("creating the topic {name}"), cause)
        .of_kind(Kind::Usage)
        .help(format!(
            "set replication = {brokers} in [defaults] or [topic.{}], or start the other \
             brokers",
            topic.name
        )))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rivulet_kafka::EmbeddedBroker;
    use rivulet_pipeline::{ComponentConfig, Role};

    use super::*;

    fn topic(role: Role, replication: i32) -> Topic {
        Topic {
            name: "t".to_owned(),
            partitions: 1,
            replication: Some(replication),
            format: ComponentConfig::parse("json = {}").unwrap(),
            unit: None,
            external: false,
            config: BTreeMap::new(),
            role,
        }
    }

    fn connection(brokers: String) -> Connection {
        BTreeMap::from([("bootstrap.servers".to_owned(), brokers)]).into()
    }

    #[test]
    fn a_changelog_is_compacted_in_small_segments_and_the_file_wins() {
        let mut changelog = topic(Role::Changelog, 1);
        changelog.config.insert("segment.ms".into(), "60000".into());
        let settings = changelog.settings();
        assert_eq!(settings["cleanup.policy"], "compact");
        assert_eq!(settings["segment.bytes"], "4194304");
        assert_eq!(settings["segment.ms"], "60000");
    }

    #[test]
    fn more_copies_than_brokers_are_an_error_before_creation() {
        let mock = EmbeddedBroker::start().unwrap();
        let wanted = [
            ("a".to_owned(), topic(Role::Readings, 1)),
            ("b".to_owned(), topic(Role::Readings, 3)),
        ]
        .into();
        let error = create(&connection(mock.brokers()), &wanted, &mut |line| {
            panic!("said: {line}")
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(
                "creating the topic b: the file wants 3 copies of it, and the cluster has 1 broker"
            ),
            "{error}"
        );
        assert!(error.contains("replication = 1"), "{error}");
    }

    #[test]
    fn only_topics_of_the_pipeline_are_listed() {
        let mock = EmbeddedBroker::start().unwrap();
        mock.create_topic("mine", 4).unwrap();
        mock.create_topic("other", 1).unwrap();
        let wanted = ["mine", "missing"]
            .map(|name| (name.to_owned(), topic(Role::Readings, 1)))
            .into();
        let listing = list(&connection(mock.brokers()), &wanted).unwrap();
        assert_eq!(listing.to_string(), "mine  4 partitions  1 copy\n");
    }

    #[test]
    fn an_unreachable_broker_is_an_error_in_time() {
        let begun = Instant::now();
        let error = describe(&connection("127.0.0.1:1".into()), &BTreeMap::new())
            .unwrap_err()
            .to_string();
        assert!(begun.elapsed() < Duration::from_secs(8), "it says so soon");
        assert!(
            error.contains("asking 127.0.0.1:1 for the topics"),
            "{error}"
        );
    }
}
