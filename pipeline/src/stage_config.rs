//! What the tasks of a stage need to know, from the pipeline file.

use rivulet_core::dead_letter::DeadLetters;
use rivulet_core::processing::{InputTopic, OutputTopic, ProcessingConfig};

use crate::catalog::Formats;
use crate::diagnostic::Diagnostics;
use crate::pipeline::Pipeline;
use crate::stage::Stage;

impl Pipeline {
    /// The dead letters of a stage.
    #[must_use]
    pub fn dead_letters(&self, stage: &Stage) -> DeadLetters {
        let topic = stage.dead_letters();
        let largest_message = self.topic(&topic).largest_message();
        DeadLetters::new(&stage.name, topic, largest_message)
    }

    /// The topics that a stage reads, with their formats.
    ///
    /// # Errors
    /// Errors in a format.
    pub fn inputs(&self, stage: &Stage, formats: &Formats) -> Result<Vec<InputTopic>, Diagnostics> {
        let inputs = stage.from.iter().map(|name| {
            Ok(InputTopic {
                name: name.clone(),
                format: self.format(name, formats)?,
            })
        });
        inputs.collect()
    }

    /// The topics that a stage writes, with their formats.
    ///
    /// # Errors
    /// Errors in a format.
    pub fn outputs(
        &self,
        stage: &Stage,
        formats: &Formats,
    ) -> Result<Vec<OutputTopic>, Diagnostics> {
        let outputs = stage.to.iter().map(|name| {
            Ok(OutputTopic {
                name: name.clone(),
                format: self.format(name, formats)?,
                largest_record: self.topic(name).largest_record(),
            })
        });
        outputs.collect()
    }

    /// What the task of an operator stage needs to know.
    ///
    /// # Errors
    /// Errors in the formats of its topics.
    pub fn processing_config(
        &self,
        stage: &Stage,
        formats: &Formats,
    ) -> Result<ProcessingConfig, Diagnostics> {
        Ok(ProcessingConfig {
            stage: stage.name.clone(),
            inputs: self.inputs(stage, formats)?,
            outputs: self.outputs(stage, formats)?,
            changelog: stage.changelog(),
            dead_letters: self.dead_letters(stage),
            rules: stage.rules,
            guarantee: self.guarantee,
            commit_records: self.commit_policy(stage).records,
            state_bytes: self.limits.state(),
        })
    }
}
