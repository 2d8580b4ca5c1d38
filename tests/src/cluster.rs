//! A cluster: three brokers, any of which can fail while the other two go on.

use std::sync::Arc;

use crate::kafka::{Kafka, free_port};
use crate::process::Signal;
use crate::proxy::Proxy;
use crate::zookeeper::ZooKeeper;

/// What three nodes need besides, or other than, one.
const SETTINGS: &[(&str, &str)] = &[
    // What was acknowledged is on two disks at least, so one broker can be missing.
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    // A broker that was away leads again after seconds, so that the next to fail always leads
    // something.
    ("leader.imbalance.check.interval.seconds", "5"),
];

/// Three brokers, each behind a proxy, through which programs come; brokers among themselves and
/// the tests' own clients do not. Stopped and removed when it goes out of scope.
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
    /// How many brokers there are.
    pub const NODES: usize = 3;

    /// Starts the brokers and waits until each knows all.
    #[must_use]
    pub fn start() -> Self {
        let ports: Vec<[u16; 2]> = (0..Self::NODES)
            .map(|_| [free_port(), free_port()])
            .collect();
        let zookeeper = Kafka::zookeeper();
        let nodes = (1..=Self::NODES)
            .map(|id| Node::new(id, &ports, zookeeper.clone()))
            .collect();
        let mut cluster = Cluster { nodes };
        for node in &mut cluster.nodes {
            node.kafka.launch();
        }
        for node in &mut cluster.nodes {
            node.kafka.wait();
        }
        cluster
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

    /// The addresses of the brokers themselves, for who is not to be cut off.
    #[must_use]
    pub fn behind(&self) -> String {
        self.nodes
            .iter()
            .map(|node| node.kafka.brokers())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Ends a broker as a power cut does; its data stays.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kafka.kill();
    }

    /// Starts a broker that was killed, and does not wait for it.
    pub fn launch(&mut self, node: usize) {
        self.nodes[node].kafka.launch();
    }

    /// Freezes a broker: its connections stay open and nothing answers.
    pub fn freeze(&self, node: usize) {
        self.nodes[node].kafka.signal(Signal::Stop);
    }

    /// Thaws a broker.
    pub fn thaw(&self, node: usize) {
        self.nodes[node].kafka.signal(Signal::Continue);
    }

    /// Cuts all connections of a broker with programs.
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
    fn new(id: usize, ports: &[[u16; 2]], zookeeper: Option<Arc<ZooKeeper>>) -> Self {
        let behind = free_port();
        let proxy = Proxy::start(behind);
        Node {
            kafka: Kafka::member(
                id,
                ports,
                Some((behind, proxy.address())),
                zookeeper,
                SETTINGS,
            ),
            proxy,
        }
    }
}
