//! Brokers that go while somebody asks: what they led finds another, and whoever asks waits for
//! that.

use tests::chain::{OPERATORS, chained, source};
use tests::{Cluster, Observer, PipelineBuilder, Scenario, wait};

#[test]
fn verify_goes_on_while_what_a_broker_led_finds_another() {
    let mut cluster = Cluster::start();
    let pipeline = PipelineBuilder::new()
        .settings(&format!(
            "[defaults]\npartitions = 4\nreplication = {}",
            Cluster::NODES
        ))
        .producer("thermometer", &source(), "temperatures_celsius");
    let scenario = Scenario::on(cluster.brokers(), chained(pipeline));
    scenario.create_topics();
    scenario.start("thermometer").succeeds();
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    let observer = Observer::new(&cluster.behind());
    // Each of them leads a part, and none is missed until its session with the others is over.
    for node in 0..Cluster::NODES {
        wait::until_so("all brokers are in sync", || observer.is_whole());
        cluster.kill(node);
        scenario.verify();
        cluster.launch(node);
    }
}
