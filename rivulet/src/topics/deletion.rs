//! The deletion of topics: what is lost, and whether it may be deleted.

use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::text::plain;
use rivulet_kafka::{Admin, Connection};
use rivulet_pipeline::Pipeline;

use super::details::with_offsets;
use super::named::{chosen, is_internal};
use crate::table::aligned;
use crate::text::plural;

/// A plan to delete topics. Displayed, it says what each of them has.
pub struct TopicDeletion {
    admin: Admin,
    topics: Vec<Doomed>,
}

struct Doomed {
    name: String,
    partitions: usize,
    /// How many offsets it has; `None` if a partition has no leader.
    records: Option<i64>,
    /// What it is to the pipeline.
    remark: String,
}

impl TopicDeletion {
    /// Looks up these topics, or without names those of the pipeline that exist.
    ///
    /// # Errors
    /// If a named topic does not exist or is internal, or the brokers are unreachable.
    pub fn plan(
        connection: &Connection,
        pipeline: Option<&Pipeline>,
        names: &[String],
    ) -> Result<Self> {
        if let Some(name) = names.iter().find(|name| is_internal(name)) {
            let doing = format!("deleting the topic {name}");
            return Err(Error::new(doing, "it is one of Kafka's own")
                .of_kind(Kind::Usage)
                .help("the cluster does not work without it; name topics without `__`"));
        }
        let admin = Admin::new(connection)?;
        let is_ours = |name: &str| pipeline.is_some_and(|file| file.topics.contains_key(name));
        let found = chosen(admin.cluster.partitions()?, names, is_ours)?;
        let mut topics = Vec::new();
        for (name, partitions) in found {
            let partitions = with_offsets(&admin.cluster, &name, partitions)?;
            let offsets = partitions
                .iter()
                .map(|(_, range)| Some(range.as_ref()?.len()));
            topics.push(Doomed {
                partitions: partitions.len(),
                records: offsets.sum(),
                remark: match pipeline {
                    Some(file) if !names.is_empty() && is_ours(&name) => remark(file, &name),
                    _ => String::new(),
                },
                name,
            });
        }
        Ok(TopicDeletion { admin, topics })
    }

    /// Whether there is nothing to delete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Deletes the topics and waits until they are gone. Calls `say` with a line for each. The
    /// caller must ask for confirmation.
    ///
    /// # Errors
    /// If the brokers are unreachable, or reject the deletion.
    pub fn execute(&self, say: &mut dyn FnMut(&str)) -> Result<()> {
        let names: Vec<&str> = self
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .collect();
        super::delete_existing(&self.admin, &names)?;
        for name in names {
            say(&format!("deleted  {}", plain(name)));
        }
        Ok(())
    }
}

fn remark(file: &Pipeline, name: &str) -> String {
    let mut stages = file.stages.iter();
    let owner = stages.find(|stage| stage.has_changelog() && name == stage.changelog());
    match owner {
        Some(stage) => {
            format!(
                "the changelog of {}, which does not start without it",
                stage.name
            )
        }
        None => "of the pipeline file".to_owned(),
    }
}

impl fmt::Display for TopicDeletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.topics.iter().map(|topic| {
            vec![
                topic.name.clone(),
                plural(topic.partitions, "partition"),
                match topic.records {
                    Some(records) => plural(records, "record"),
                    None => "unknown records".to_owned(),
                },
                topic.remark.clone(),
            ]
        });
        f.write_str(&aligned(&rows.collect::<Vec<_>>()))
    }
}
