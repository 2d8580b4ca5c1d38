//! The addresses that brokers advertise, and those that no connection reaches.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

use rivulet_core::reminder::lasting;

use super::{ClientMonitor, UNREACHABLE_AFTER};

impl ClientMonitor {
    /// Tries to connect to those of the advertised `addresses` that librdkafka could not connect
    /// to. Each has a thread of its own, because resolving a name can take long.
    pub(crate) fn check_advertised(&self, addresses: &[String]) {
        let mut lock = self.lock();
        lock.unreached
            .retain(|address, _| addresses.contains(address));
        let due: Vec<String> = lock
            .unreached
            .iter()
            .filter(|(address, since)| since.elapsed() >= lock.grace(address))
            .map(|(address, _)| address.clone())
            .collect();
        for address in due {
            lock.unreached.insert(address.clone(), Instant::now());
            let (monitor, span) = (self.clone(), tracing::Span::current());
            let _ = std::thread::Builder::new()
                .name("connect".into())
                .spawn(move || span.in_scope(|| monitor.tried(&address, connect(&address))));
        }
    }

    fn tried(&self, address: &str, outcome: std::io::Result<()>) {
        let mut lock = self.lock();
        let Err(error) = outcome else {
            lock.unreached.remove(address);
            lock.addresses_logged.clear();
            return;
        };
        let lasted = lock
            .addresses_logged
            .due(&address.to_owned(), Instant::now());
        if let Some(lasted) = lasted {
            let help = if lock.reached.contains(address) {
                "check that Kafka runs there and that no firewall is in between"
            } else {
                "set advertised.listeners in that broker's server.properties to a name and port \
                 that clients can reach, and check that the name resolves here"
            };
            tracing::warn!(
                stage = lock.stage,
                "broker unreachable at {address}, from its advertised.listeners{}, waiting: \
                 {error}; Kafka answers at {}\n  help: {help}",
                lasting(lasted),
                lock.brokers
            );
        }
    }

    /// Whether an advertised address was logged as unreachable.
    pub(crate) fn has_unreachable_address(&self) -> bool {
        !self.lock().addresses_logged.is_clear()
    }
}

fn connect(address: &str) -> std::io::Result<()> {
    let mut last_error = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, UNREACHABLE_AFTER) {
            Ok(_) => return Ok(()),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}
