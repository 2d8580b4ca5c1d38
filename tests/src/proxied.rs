//! A broker behind a proxy that can hold back requests and hide the broker.

use crate::kafka::{Kafka, free_port};
use crate::proxy::{Api, Proxy};

/// A broker that programs reach through a proxy. Both are stopped on drop.
#[derive(Debug)]
pub struct Proxied {
    kafka: Kafka,
    proxy: Proxy,
}

impl Proxied {
    /// Starts the broker, and waits until it responds.
    #[must_use]
    pub fn start() -> Self {
        let ([port, controller], proxied) = ([free_port(), free_port()], free_port());
        let proxy = Proxy::start(proxied);
        let listeners = format!(
            "PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied},\
             CONTROLLER://127.0.0.1:{controller}"
        );
        let settings = [
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            ),
            ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
            ("listeners", listeners),
            (
                "advertised.listeners",
                format!("PLAINTEXT://127.0.0.1:{port},PROXIED://{}", proxy.address()),
            ),
        ];
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut kafka = Kafka::node(1, &[[port, controller]], &settings);
        kafka.run();
        Proxied { kafka, proxy }
    }

    /// The address of the proxy.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.proxy.address().to_string()
    }

    /// The address of the broker without the proxy.
    #[must_use]
    pub fn direct_brokers(&self) -> String {
        self.kafka.brokers()
    }

    /// Holds back the next request of a kind, and cuts its connection. The client assumes that the
    /// request was lost, and repeats it.
    pub fn hold(&self, api: Api) {
        self.proxy.hold(api);
    }

    /// Whether a request of a kind is held back.
    #[must_use]
    pub fn holds(&self, api: Api) -> bool {
        self.proxy.holds(api)
    }

    /// How many requests of a kind have reached the broker.
    #[must_use]
    pub fn passed(&self, api: Api) -> usize {
        self.proxy.passed(api)
    }

    /// Releases the request that is held back, and waits for the broker's response, which no client
    /// gets.
    pub fn release(&self, api: Api) {
        self.proxy.release(api);
    }

    /// From now on metadata names no brokers, or does again. Cuts all connections, so that clients
    /// ask for metadata.
    pub fn hide_brokers(&self, hides: bool) {
        self.proxy.hide_brokers(hides);
    }

    /// Whether a client with this id has got metadata without brokers.
    #[must_use]
    pub fn has_misled(&self, client: &str) -> bool {
        self.proxy.has_misled(client)
    }
}
