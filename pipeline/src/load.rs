//! Reads pipeline files.

use std::path::Path;
use std::sync::Arc;

use crate::catalogs::Check;
use crate::diagnostic::{Diagnostic, Diagnostics, Text};
use crate::pipeline::Pipeline;
use crate::prefix::Prefix;
use crate::tables::{self, Tables};
use crate::{check, formats, names};

impl Pipeline {
    /// Reads a pipeline file and checks it; its components with `catalogs`.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn load(path: &Path, catalogs: &dyn Check) -> Result<Self, Diagnostics> {
        Self::load_with(path, catalogs, None)
    }

    /// Reads a pipeline file as [`load`](Self::load) does, with this prefix instead of its own.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn load_with(
        path: &Path,
        catalogs: &dyn Check,
        prefix: Option<&Prefix>,
    ) -> Result<Self, Diagnostics> {
        let read = std::fs::read_to_string(path);
        let text = Arc::new(Text {
            path: path.to_owned(),
            text: read.as_deref().unwrap_or_default().to_owned(),
        });
        match read {
            Ok(_) => Self::checked(text, Some(catalogs), prefix),
            Err(error) => Err(Diagnostics::new(
                text,
                vec![
                    Diagnostic::nowhere(format!("cannot be read: {error}"))
                        .help("give another file with --pipeline FILE or RIVULET_PIPELINE"),
                ],
            )),
        }
    }

    /// Checks the text of a pipeline file, but not its components.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn parse(text: Arc<Text>) -> Result<Self, Diagnostics> {
        Self::checked(text, None, None)
    }

    /// Checks the text of a pipeline file; its components with `catalogs`.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn parse_with(text: Arc<Text>, catalogs: &dyn Check) -> Result<Self, Diagnostics> {
        Self::checked(text, Some(catalogs), None)
    }

    fn checked(
        text: Arc<Text>,
        catalogs: Option<&dyn Check>,
        other_prefix: Option<&Prefix>,
    ) -> Result<Self, Diagnostics> {
        let Tables {
            mut pipeline,
            mut prefix_place,
            mut unread,
            mut diagnostics,
        } = match tables::read(&text) {
            Ok(tables) => tables,
            Err(syntax) => return Err(Diagnostics::new(text, syntax)),
        };
        if let Some(other) = other_prefix {
            pipeline.prefix = other.clone();
            prefix_place = None;
        }
        check::check(&mut pipeline, &unread, &mut diagnostics);
        names::check(&pipeline, prefix_place.as_ref(), &mut diagnostics);
        if let Some(catalogs) = catalogs {
            formats::check(&pipeline, catalogs, &mut unread, &mut diagnostics);
            for stage in &pipeline.stages {
                diagnostics.extend(catalogs.check_stage(&pipeline, &unread, stage));
            }
        }
        if diagnostics.is_empty() {
            // Only now: errors name what the file names.
            pipeline.add_prefix();
            Ok(pipeline)
        } else {
            Err(Diagnostics::new(text, diagnostics))
        }
    }
}
