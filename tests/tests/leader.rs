//! Brokers go down during a command, which waits for new leaders.

use rivulet_tests::chain::{OPERATORS, chained, source};
use rivulet_tests::{Cluster, Observer, PipelineBuilder, Scenario, wait};

#[test]
fn verify_waits_for_new_leaders() {
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
    let observer = Observer::new(&cluster.direct_brokers());
    // Each broker leads some partitions, and the others notice that it is down only when its
    // session ends.
    for node in 0..Cluster::NODES {
        wait::until_true("all brokers are in sync", || observer.is_in_sync());
        cluster.kill(node);
        scenario.verify();
        cluster.launch(node);
    }
}
