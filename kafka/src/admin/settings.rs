//! The settings of topics and brokers.

use std::collections::BTreeMap;

use rdkafka::admin::{
    ConfigEntry, ConfigResource, ConfigSource, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::error::RDKafkaErrorCode;
use rivulet_core::error::{Error, Result};

use super::{Admin, options};
use crate::error_class;

/// A setting of a topic that differs from Kafka's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSetting {
    /// Its name, such as `retention.ms`.
    pub name: String,
    /// Its value. `None` if the brokers keep it secret.
    pub value: Option<String>,
    /// Where it is set, in a few words.
    pub set: &'static str,
}

impl TopicSetting {
    /// The setting, unless it is Kafka's default.
    fn own(entry: ConfigEntry) -> Option<Self> {
        let set = match entry.source {
            ConfigSource::DynamicTopic => "for this topic",
            ConfigSource::DynamicBroker => "for a broker",
            ConfigSource::DynamicDefaultBroker => "for all brokers",
            ConfigSource::StaticBroker => "in the brokers' file",
            ConfigSource::Unknown if !entry.is_default => "somewhere",
            ConfigSource::Unknown | ConfigSource::Default => return None,
        };
        Some(TopicSetting {
            name: entry.name,
            value: entry.value,
            set,
        })
    }
}

/// The values by name. One that the brokers keep secret is left out.
fn values(entries: Vec<ConfigEntry>) -> BTreeMap<String, String> {
    let entries = entries.into_iter();
    entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect()
}

impl Admin {
    /// The settings of topics, by name. Those that this user may not describe are left out, and
    /// the error code is in `denied`.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn topic_settings(
        &self,
        topics: &[&str],
        denied: &mut Option<String>,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let found = self.of_topics(topics, denied)?.into_iter();
        Ok(found
            .map(|(name, entries)| (name, values(entries)))
            .collect())
    }

    /// The settings of topics that differ from Kafka's defaults, by the topic's name, each list in
    /// the order of names. `denied` is as in [`topic_settings`](Self::topic_settings).
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn own_settings(
        &self,
        topics: &[&str],
        denied: &mut Option<String>,
    ) -> Result<BTreeMap<String, Vec<TopicSetting>>> {
        let found = self.of_topics(topics, denied)?.into_iter();
        Ok(found
            .map(|(name, entries)| {
                let own = entries.into_iter().filter_map(TopicSetting::own);
                let mut own: Vec<TopicSetting> = own.collect();
                own.sort_by(|one, other| one.name.cmp(&other.name));
                (name, own)
            })
            .collect())
    }

    fn of_topics(
        &self,
        topics: &[&str],
        denied: &mut Option<String>,
    ) -> Result<Vec<(String, Vec<ConfigEntry>)>> {
        let doing = "asking for the settings of the topics";
        let topics = topics.iter().map(|name| ResourceSpecifier::Topic(name));
        let topics: Vec<ResourceSpecifier<'_>> = topics.collect();
        let found = self.settings(doing, &topics, denied)?.into_iter();
        Ok(found
            .filter_map(|resource| match resource.specifier {
                OwnedResourceSpecifier::Topic(name) => Some((name, resource.entries)),
                _ => None,
            })
            .collect())
    }

    /// The settings of a broker. None if this user may not describe them: the error code is in
    /// `denied` then.
    ///
    /// # Errors
    /// If the broker is unreachable.
    pub fn broker_settings(
        &self,
        broker: i32,
        denied: &mut Option<String>,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let doing = format!("asking broker {broker} for its settings");
        let found = self.settings(&doing, &[ResourceSpecifier::Broker(broker)], denied)?;
        let settings = found.into_iter().map(|resource| values(resource.entries));
        Ok(settings.into_iter().next())
    }

    /// The settings of topics or of a broker, including defaults. Resources that this user may not
    /// describe are left out, and `denied` becomes the error code.
    fn settings(
        &self,
        doing: &str,
        wanted: &[ResourceSpecifier<'_>],
        denied: &mut Option<String>,
    ) -> Result<Vec<ConfigResource>> {
        let mut found = Vec::new();
        for answer in self.ask(doing, self.client.describe_configs(wanted, &options()))? {
            match answer {
                Ok(resource) => found.push(resource),
                Err(
                    code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed),
                ) => {
                    denied.get_or_insert_with(|| code.to_string());
                }
                Err(code) => {
                    return Err(Error::new(doing, code).of_kind(error_class::kind(code)));
                }
            }
        }
        Ok(found)
    }
}
