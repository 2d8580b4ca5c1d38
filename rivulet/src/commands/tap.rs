//! `rivulet tap`.

use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;

use crate::CheckedPipeline;
use crate::args::TapArgs;
use crate::tap::{self, TapSettings};

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    args: &TapArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    let settings = TapSettings {
        last: args.last,
        follow: args.follow,
        sensor: args.sensor.clone(),
        json: args.json,
    };
    signals::end_at_once(end)?;
    tap::run(pipeline, &args.stage, &settings)
}
