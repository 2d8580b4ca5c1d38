//! A stage to observe, without Kafka.

use std::sync::Arc;

use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::{Pipeline, Text};

use super::ObservedStage;

const FILE: &str = r#"
[producer.thermometer]
source = "thermal"
to = "celsius"
[operator.convert]
from = "celsius"
steps = [{ convert = { from = "celsius", to = "fahrenheit" } }]
to = "fahrenheit"
"#;

/// The stage of this name, with its metrics and its shutdown.
pub(super) fn stage(name: &str) -> (ObservedStage, Arc<Metrics>, Shutdown) {
    let text = Arc::new(Text {
        path: "p.toml".into(),
        text: FILE.into(),
    });
    let pipeline = Pipeline::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    let (metrics, shutdown) = (Arc::new(Metrics::default()), Shutdown::new());
    let stage = pipeline.stage(name).unwrap();
    let stage = ObservedStage::new(&pipeline, stage, "rpi0", &metrics, &shutdown);
    (stage, metrics, shutdown)
}
