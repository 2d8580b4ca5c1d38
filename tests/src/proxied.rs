//! One broker behind a proxy that can hold a request back.

use crate::kafka::{Kafka, free_port};
use crate::proxy::{Api, Proxy};

/// A broker that programs reach through a proxy. Both are gone when it goes out of scope.
#[derive(Debug)]
pub struct Proxied {
    kafka: Kafka,
    proxy: Proxy,
}

impl Proxied {
    /// Starts the broker and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        let ([port, controller], proxied) = ([free_port(), free_port()], free_port());
        let proxy = Proxy::start(proxied);
        let listeners = format!(
            "PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}"
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

    /// The address of the broker itself.
    #[must_use]
    pub fn behind(&self) -> String {
        self.kafka.brokers()
    }

    /// Holds the next request of a kind back, and cuts the connection that it came on: its sender
    /// must take it for lost and repeats it.
    pub fn hold(&self, api: Api) {
        self.proxy.hold(api);
    }

    /// Whether a request of a kind is held back.
    #[must_use]
    pub fn holds(&self, api: Api) -> bool {
        self.proxy.holds(api)
    }

    /// How many requests of a kind the broker got.
    #[must_use]
    pub fn passed(&self, api: Api) -> usize {
        self.proxy.passed(api)
    }

    /// Passes on what was held back, and waits for the broker's answer, which nobody hears.
    pub fn let_go(&self, api: Api) {
        self.proxy.let_go(api);
    }
}
