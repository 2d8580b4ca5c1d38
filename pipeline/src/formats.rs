//! The formats of the pipeline's topics.

use std::collections::BTreeSet;

use rivulet_core::format::Format;

use crate::catalog::Formats;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::pipeline::Pipeline;
use crate::settings::Unread;

impl Pipeline {
    /// The format of a topic, which must be one that a stage names.
    ///
    /// # Errors
    /// An unknown name, or every error in the settings, with the place in the file.
    ///
    /// # Panics
    /// If no stage names the topic.
    pub fn format(&self, topic: &str, formats: &Formats) -> Result<Box<dyn Format>, Diagnostics> {
        let topic = self.topic(topic);
        let settings = formats.read(&topic.format)?;
        Ok(settings.build(topic.unit))
    }
}

/// Checks the formats of all topics. One in `[defaults]` is that of many.
pub(crate) fn check(
    pipeline: &Pipeline,
    formats: &Formats,
    unread: &mut Unread,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut reported = BTreeSet::new();
    for (name, topic) in &pipeline.topics {
        let table = format!("topic.{name}");
        if unread.has(&table, "format") {
            continue;
        }
        let place = topic.format.place();
        match formats.read(&topic.format) {
            Ok(settings) => {
                let writer = pipeline.writers(name).next();
                if let (Some(writer), Err(why)) = (writer, settings.check_write())
                    && reported.insert(place.start)
                {
                    let message = format!(
                        "`{}` writes {name}, and the format can only be read: {why}",
                        writer.name
                    );
                    diagnostics.push(Diagnostic::at(place, message));
                }
            }
            Err(errors) => {
                unread.add(table, "format");
                if reported.insert(place.start) {
                    diagnostics.extend(errors);
                }
            }
        }
    }
}
