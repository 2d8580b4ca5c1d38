//! The progress bar of a producer at a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::source::Progress;

/// A bar that appears once the source's length is known.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

/// The bar of a stage. It stays invisible if standard error is not a terminal.
///
/// # Panics
/// Never: the template is a constant.
#[must_use]
pub fn bar(stage: &str) -> Bar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}")
        .expect("a valid template");
    let bar = ProgressBar::hidden()
        .with_style(style)
        .with_message(stage.to_owned());
    Bar { bar }
}

impl Bar {
    /// Shows how far the source is.
    pub fn show(&mut self, progress: Option<Progress>) {
        let Some(Progress { done, total }) = progress else {
            return;
        };
        if self.bar.length().is_none() {
            self.bar
                .set_draw_target(indicatif::ProgressDrawTarget::stderr());
            self.bar.set_length(total);
            // Readings of an earlier run do not count for the speed of this one.
            self.bar.set_position(done);
            self.bar.reset_eta();
            self.bar.enable_steady_tick(Duration::from_secs(1));
        }
        self.bar.set_position(done);
        if done >= total {
            self.bar.finish_and_clear();
        }
    }
}
