//! The formats of the pipeline's topics.

use std::collections::BTreeSet;

use rivulet_core::format::{Format, FormatContext};

use crate::catalog::Formats;
use crate::catalogs::Check;
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
        let config = &self.topic(topic).format;
        let built = formats.read(config)?.build(&self.format_context(topic));
        built.map_err(|why| config.errors([Diagnostic::at(config.place(), why)]))
    }
}

impl Pipeline {
    /// What the format of a topic is built with.
    ///
    /// # Panics
    /// If no stage names the topic.
    #[must_use]
    pub fn format_context<'p>(&'p self, topic: &'p str) -> FormatContext<'p> {
        FormatContext {
            topic,
            unit: self.topic(topic).unit,
            folder: self.text.folder(),
        }
    }
}

/// Checks the formats of all topics. One in `[defaults]` is that of many.
pub(crate) fn check(
    pipeline: &Pipeline,
    catalogs: &dyn Check,
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
        match catalogs.formats().read(&topic.format) {
            Ok(settings) => {
                let context = pipeline.format_context(name);
                let checked = settings.build(&context).and_then(|_| {
                    let mut writers = pipeline.writers(name);
                    let Some(writer) = writers.find(|writer| catalogs.encodes(writer)) else {
                        return Ok(());
                    };
                    let writer = &writer.name;
                    settings.check_write(&context).map_err(|why| {
                        format!("`{writer}` writes {name}, and the format can only be read: {why}")
                    })
                });
                if let Err(why) = checked
                    && reported.insert(place.start)
                {
                    diagnostics.push(Diagnostic::at(place, why));
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
