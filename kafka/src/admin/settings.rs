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
        let doing = "asking for the settings of the topics";
        let topics: Vec<ResourceSpecifier<'_>> = topics
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let mut found = BTreeMap::new();
        for resource in self.settings(doing, &topics, denied)? {
            if let OwnedResourceSpecifier::Topic(name) = resource.specifier {
                found.insert(name, values(resource.entries));
            }
        }
        Ok(found)
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
        let doing = "asking for the settings of the topics";
        let topics: Vec<ResourceSpecifier<'_>> = topics
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let mut found = BTreeMap::new();
        for resource in self.settings(doing, &topics, denied)? {
            if let OwnedResourceSpecifier::Topic(name) = resource.specifier {
                let entries = resource.entries.into_iter();
                let mut own: Vec<TopicSetting> = entries.filter_map(TopicSetting::own).collect();
                own.sort_by(|one, other| one.name.cmp(&other.name));
                found.insert(name, own);
            }
        }
        Ok(found)
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
