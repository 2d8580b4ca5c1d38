//! A cluster: three brokers, any of which can fail while the other two go on.

use crate::kafka::{Kafka, free_port};
use crate::process::Signal;
use crate::proxy::Proxy;

/// What three nodes need besides, or other than, one.
const SETTINGS: &[(&str, &str)] = &[
    // What was acknowledged is on two disks at least, so one broker can be missing.
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    // Programs come through the proxies, brokers among themselves and the tests' own clients do not.
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    // A broker that was away leads again after seconds, so that the next to fail always leads something.
    ("leader.imbalance.check.interval.seconds", "5"),
];

/// Three brokers, each behind a proxy; stopped and removed when it goes out of scope.
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
        let ports: Vec<[u16; 2]> = (0..Self::NODES).map(|_| [free_port(), free_port()]).collect();
        let mut cluster = Cluster { nodes: (1..=Self::NODES).map(|id| Node::new(id, &ports)).collect() };
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
        self.nodes.iter().map(|node| node.proxy.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// The addresses of the brokers themselves, for who is not to be cut off.
    #[must_use]
    pub fn behind(&self) -> String {
        self.nodes.iter().map(|node| node.kafka.brokers()).collect::<Vec<_>>().join(",")
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
    fn new(id: usize, ports: &[[u16; 2]]) -> Self {
        let ([port, controller], proxied) = (ports[id - 1], free_port());
        let proxy = Proxy::start(proxied);
        let listeners =
            format!("PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}");
        let advertised = format!("PLAINTEXT://127.0.0.1:{port},PROXIED://{}", proxy.address());
        let own = [("listeners", listeners.as_str()), ("advertised.listeners", advertised.as_str())];
        let settings: Vec<_> = SETTINGS.iter().copied().chain(own).collect();
        Node { kafka: Kafka::node(id, ports, &settings), proxy }
    }
}
