//! Calls of librdkafka that rdkafka lacks, or gets wrong. They need unsafe code, which no other
//! crate around Kafka may have.

use std::ffi::CString;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;

pub mod headers;

/// Adds brokers, `HOST:PORT,…`, to those that a client knows.
///
/// librdkafka forgets all its brokers when one of them answers that the cluster has none, as a
/// broker may that has just started. It then never connects again
/// ([its issue 5301](https://github.com/confluentinc/librdkafka/issues/5301)).
pub fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &str) {
    // No client can have been created with a zero byte in its list.
    let Ok(brokers) = CString::new(brokers) else {
        return;
    };
    // SAFETY: the client is not destroyed while it is borrowed, and any thread may call this
    // function of it. librdkafka copies the text, which ends with a zero.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    use super::*;

    #[test]
    fn a_client_connects_to_brokers_that_are_added() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("it can be asked");
        let address = listener.local_addr().expect("it is bound").to_string();
        let client: BaseConsumer = ClientConfig::new().create().expect("there are defaults");
        add_brokers(client.client(), "a\0b");
        add_brokers(client.client(), &address);
        let deadline = Instant::now() + Duration::from_secs(10);
        while listener.accept().is_err() {
            assert!(Instant::now() < deadline, "the client does not connect");
            let _ = client.fetch_metadata(None, Duration::from_millis(100));
        }
    }
}
