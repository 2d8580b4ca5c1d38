//! The settings of a broker, and how its command begins.

use std::process::Command;
use std::time::Duration;

/// Settings for a small node. Those that differ from Kafka's defaults each have a reason.
pub(super) const CONFIG: &str = "\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
# Tests must notice missing topics.
auto.create.topics.enable=false
# One node has one replica.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# Each partition takes time at its first use: files and an election.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
# No test needs the delay.
group.initial.rebalance.delay.ms=0
# Sessions and transactions of dead processes end soon.
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
# The default is 128 MB.
log.cleaner.dedupe.buffer.size=8388608
";

/// More settings for a node that is also a controller.
pub(super) const KRAFT: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A killed broker cannot rejoin before its old session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
";

/// The same command, which first sleeps for `rest`. The caller need not wait.
pub(super) fn delayed(rest: Duration, command: Command) -> Command {
    if rest.is_zero() {
        return command;
    }
    let mut later = Command::new("sh");
    later
        .args(["-c", "sleep \"$0\" && exec \"$@\""])
        .arg(rest.as_secs_f64().to_string());
    later.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        later.current_dir(folder);
    }
    later
}
