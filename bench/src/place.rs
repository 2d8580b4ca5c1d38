//! Where everything runs: [`Place`], one broker or three, of which the bench knows what they use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rivulet_kafka::{Admin, Connection, NewTopic, TopicCreation};
use rivulet_tests::{Cluster, Kafka};

use crate::fsyncs::FsyncCounter;
use crate::observed::Observed;
use crate::outcome::Outcome;

/// The settings that the playbooks add for brokers of which two must have each record on disk.
const ON_DISK: &[(&str, &str)] = &[
    ("default.replication.factor", "3"),
    ("log.flush.interval.messages", "1"),
    ("log.flush.interval.ms", "1000"),
    ("log.flush.scheduler.interval.ms", "1000"),
    ("metadata.max.idle.interval.ms", "5000"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
];

/// What brokers have used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// CPU time.
    pub(crate) cpu: Duration,
    /// The bytes in all logs, those of Kafka's own topics too.
    pub(crate) bytes: u64,
    /// How often they asked the disk to keep what they wrote.
    pub(crate) fsyncs: u64,
}

/// Kafka.
pub(crate) struct Place {
    /// The addresses of the brokers.
    pub(crate) brokers: String,
    kept: Kept,
    fsyncs: FsyncCounter,
    admin: Admin,
}

enum Kept {
    One(Kafka),
    Three(Cluster),
}

impl Kept {
    fn nodes(&self) -> Vec<&Kafka> {
        match self {
            Kept::One(kafka) => vec![kafka],
            Kept::Three(cluster) => cluster.nodes().collect(),
        }
    }
}

impl Place {
    /// One broker.
    pub(crate) fn one(folder: &Path) -> Outcome<Self> {
        let fsyncs = FsyncCounter::new(folder)?;
        let mut kafka = Kafka::prepare(&[]);
        for (name, value) in fsyncs.environment() {
            kafka.set_environment(name, &value);
        }
        kafka.run();
        Place::new(kafka.brokers(), Kept::One(kafka), fsyncs)
    }

    /// Three brokers with three copies of everything, two of them on disk before a record is
    /// acknowledged: what the playbooks install.
    pub(crate) fn three(folder: &Path) -> Outcome<Self> {
        let fsyncs = FsyncCounter::new(folder)?;
        let environment = fsyncs.environment();
        let environment = environment
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let cluster = Cluster::start_with(ON_DISK, &environment);
        Place::new(cluster.direct_brokers(), Kept::Three(cluster), fsyncs)
    }

    fn new(brokers: String, kept: Kept, fsyncs: FsyncCounter) -> Outcome<Self> {
        let properties = [("bootstrap.servers".to_owned(), brokers.clone())];
        let admin = Admin::new(&Connection::from(BTreeMap::from(properties)))?;
        Ok(Place {
            brokers,
            kept,
            fsyncs,
            admin,
        })
    }

    /// A topic for readings.
    pub(crate) fn readings(name: &str, partitions: i32) -> NewTopic {
        let settings = [("cleanup.policy".to_owned(), "delete".to_owned())];
        NewTopic {
            name: name.to_owned(),
            partitions,
            replication: None,
            settings: settings.into(),
        }
    }

    /// Creates the topics that are missing, and waits until they can be written.
    pub(crate) fn create(&self, topics: &[NewTopic]) -> Outcome<()> {
        let existing = self.admin.cluster.inventory()?;
        let missing: Vec<NewTopic> = topics
            .iter()
            .filter(|topic| !existing.topics.contains_key(&topic.name))
            .cloned()
            .collect();
        for (_, created) in self.admin.create(&missing)? {
            if let TopicCreation::Rejected(error) = created {
                return Err(error.into());
            }
        }
        self.admin.wait_until("creating topics", |inventory| {
            let is_ready = |name: &str| inventory.topics.get(name).is_some_and(|found| found.ready);
            let unready = topics.iter().find(|topic| !is_ready(&topic.name));
            unready.map(|topic| format!("{} has no leader yet", topic.name))
        })?;
        Ok(())
    }

    /// Deletes all topics with names that begin so.
    pub(crate) fn remove(&self, prefix: &str) -> Outcome<()> {
        let inventory = self.admin.cluster.inventory()?;
        let names: Vec<&str> = inventory
            .topics
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(prefix))
            .collect();
        Ok(self.admin.delete(&names)?)
    }

    /// What the brokers have used so far.
    pub(crate) fn used(&self) -> Outcome<Used> {
        let (mut cpu, mut bytes, mut fsyncs) = (Duration::ZERO, 0, 0);
        for node in self.kept.nodes() {
            let id = node.id().ok_or("a broker does not run")?;
            cpu += Observed { id }.cpu()?;
            bytes += log_bytes(&node.folder().join("data"))?;
            fsyncs += self.fsyncs.count(id)?;
        }
        Ok(Used { cpu, bytes, fsyncs })
    }
}

/// The bytes in the logs of all topics that are not deleted.
fn log_bytes(data: &Path) -> Outcome<u64> {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let mut bytes = 0;
    for topic in std::fs::read_dir(data)? {
        let topic = topic?.path();
        let is_deleted = topic.to_string_lossy().ends_with("-delete");
        if is_deleted || !topic.is_dir() {
            continue;
        }
        // The broker may delete the folder at any time.
        let Ok(files) = std::fs::read_dir(topic) else {
            continue;
        };
        for file in files.flatten().map(|file| file.path()).filter(is_log) {
            bytes += std::fs::metadata(file).map_or(0, |file| file.len());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_brokers_have_the_settings_of_the_playbook() {
        let playbook = include_str!("../../ansible/roles/kafka/templates/server.properties.j2");
        for (name, _) in ON_DISK {
            assert!(playbook.contains(&format!("\n{name}=")), "{name}");
        }
    }
}
