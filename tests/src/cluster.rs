//! A cluster: three brokers, each of which can fail while the others go on.

use std::sync::Arc;

use crate::kafka::{Kafka, free_port};
use crate::process::Signal;
use crate::proxy::Proxy;
use crate::zookeeper::ZooKeeper;

/// Settings for three nodes.
const SETTINGS: &[(&str, &str)] = &[
    // Acknowledged records are on two disks, so one broker can be down.
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    // A broker that was down leads again after a few seconds, so that the next broker to fail
    // always leads something.
    ("leader.imbalance.check.interval.seconds", "5"),
];

/// Three brokers, each behind a proxy. Only programs use the proxies. The brokers are stopped and
/// removed on drop.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    kafka: Kafka,
    proxy: Proxy,
}

impl Cluster {
    /// The number of brokers.
    pub const NODES: usize = 3;

    /// Starts the brokers, and waits until each knows the others.
    #[must_use]
    pub fn start() -> Self {
        Cluster::start_with(&[], &[])
    }

    /// Starts the brokers with more settings, and with environment variables of their processes.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let settings: Vec<(&str, &str)> = SETTINGS.iter().chain(settings).copied().collect();
        let ports: Vec<[u16; 2]> = (0..Self::NODES)
            .map(|_| [free_port(), free_port()])
            .collect();
        let zookeeper = Kafka::zookeeper();
        let nodes = (1..=Self::NODES)
            .map(|id| Node::new(id, &ports, zookeeper.clone(), &settings))
            .collect();
        let mut cluster = Cluster { nodes };
        for node in &mut cluster.nodes {
            for (name, value) in environment {
                node.kafka.set_environment(name, value);
            }
            node.kafka.launch();
        }
        for node in &mut cluster.nodes {
            node.kafka.wait();
        }
        cluster
    }

    /// The brokers.
    pub fn nodes(&self) -> impl Iterator<Item = &Kafka> {
        self.nodes.iter().map(|node| &node.kafka)
    }

    /// The addresses of the proxies.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.nodes
            .iter()
            .map(|node| node.proxy.address().to_string())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The addresses of the brokers without the proxies.
    #[must_use]
    pub fn direct_brokers(&self) -> String {
        self.nodes
            .iter()
            .map(|node| node.kafka.brokers())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Kills a broker, as a power cut does. Its data stays.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kafka.kill();
    }

    /// Starts a broker that was killed, without waiting.
    pub fn launch(&mut self, node: usize) {
        self.nodes[node].kafka.launch();
    }

    /// Freezes a broker: its connections stay open, but it does not respond.
    pub fn freeze(&self, node: usize) {
        self.nodes[node].kafka.signal(Signal::Stop);
    }

    /// Thaws a broker.
    pub fn thaw(&self, node: usize) {
        self.nodes[node].kafka.signal(Signal::Continue);
    }

    /// Cuts all connections between programs and a broker.
    pub fn cut(&self, node: usize) {
        self.nodes[node].proxy.cut();
    }

    /// Fails if a broker has ended by itself.
    pub fn check(&mut self) {
        for node in &mut self.nodes {
            node.kafka.check();
        }
    }
}

impl Node {
    fn new(
        id: usize,
        ports: &[[u16; 2]],
        zookeeper: Option<Arc<ZooKeeper>>,
        settings: &[(&str, &str)],
    ) -> Self {
        let port = free_port();
        let proxy = Proxy::start(port);
        Node {
            kafka: Kafka::member(
                id,
                ports,
                Some((port, proxy.address())),
                zookeeper,
                settings,
            ),
            proxy,
        }
    }
}
