//! More listeners of a broker: with another address, with TLS, with passwords.

use std::process::Stdio;

use super::{Kafka, free_port};
use crate::java;

/// A listener besides the one without TLS and passwords, which the broker itself uses.
#[derive(Debug, Clone, Copy)]
struct Listener<'l> {
    name: &'l str,
    protocol: &'l str,
    /// The address that it advertises, if that is another than its own.
    announced: Option<&'l str>,
}

impl Kafka {
    /// Starts a broker whose second listener advertises another address.
    #[must_use]
    pub fn advertised_as(address: &str) -> Self {
        let second = Listener {
            name: "second",
            protocol: "PLAINTEXT",
            announced: Some(address),
        };
        Kafka::listening(&[second], &[])
    }

    /// Starts a broker whose second listener requires SASL PLAIN, with this JAAS configuration.
    #[must_use]
    pub fn with_sasl(jaas: &str) -> Self {
        let settings = [
            ("sasl.enabled.mechanisms", "PLAIN"),
            ("listener.name.second.plain.sasl.jaas.config", jaas),
        ];
        Kafka::with_listeners(&[("second", "SASL_PLAINTEXT")], &settings)
    }

    /// Starts a broker with more listeners, each with its name and its protocol. The settings of
    /// one begin with `listener.name.NAME.`.
    #[must_use]
    pub fn with_listeners(listeners: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let listeners: Vec<_> = listeners
            .iter()
            .map(|&(name, protocol)| Listener {
                name,
                protocol,
                announced: None,
            })
            .collect();
        Kafka::listening(&listeners, settings)
    }

    fn listening(more: &[Listener<'_>], settings: &[(&str, &str)]) -> Self {
        let [port, controller] = [free_port(), free_port()];
        let mut protocols = vec!["PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()];
        let mut advertised = vec![format!("PLAINTEXT://127.0.0.1:{port}")];
        let mut listeners = advertised.clone();
        listeners.push(format!("CONTROLLER://127.0.0.1:{controller}"));
        let mut known = Vec::new();
        for listener in more {
            let (name, port) = (listener.name.to_uppercase(), free_port());
            let own = format!("127.0.0.1:{port}");
            let announced = listener.announced.unwrap_or(&own);
            protocols.push(format!("{name}:{}", listener.protocol));
            advertised.push(format!("{name}://{announced}"));
            listeners.push(format!("{name}://{own}"));
            known.push((listener.name.to_owned(), port));
        }
        let [protocols, listeners, advertised] =
            [protocols, listeners, advertised].map(|all| all.join(","));
        let own = [
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("listener.security.protocol.map", protocols.as_str()),
            ("listeners", listeners.as_str()),
            ("advertised.listeners", advertised.as_str()),
        ];
        let settings: Vec<_> = own.into_iter().chain(settings.iter().copied()).collect();
        let mut kafka = Kafka::node(1, &[[port, controller]], &settings);
        kafka.listeners = known;
        kafka.run();
        kafka
    }

    /// The address of the second listener.
    #[must_use]
    pub fn second(&self) -> String {
        self.listener("second")
    }

    /// The address of one of its listeners.
    #[must_use]
    pub fn listener(&self, name: &str) -> String {
        let found = self.listeners.iter().find(|(known, _)| known == name);
        let (_, port) = found.unwrap_or_else(|| panic!("the broker has no listener `{name}`"));
        format!("127.0.0.1:{port}")
    }

    /// Adds a user with a password for a mechanism: `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub fn add_user(&self, mechanism: &str, name: &str, password: &str) {
        // Kafka alters only one password of a user in a request.
        let added = self
            .java("kafka.admin.ConfigCommand")
            .args(["--bootstrap-server", &self.brokers(), "--alter"])
            .args(["--entity-type", "users", "--entity-name", name])
            .arg("--add-config")
            .arg(format!("{mechanism}=[password={password}]"))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| java::missing(&error));
        assert!(
            added.status.success(),
            "adding the user {name}: {}{}",
            String::from_utf8_lossy(&added.stdout),
            String::from_utf8_lossy(&added.stderr)
        );
    }
}
