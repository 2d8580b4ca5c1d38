//! How long a client waits: for a broker, for a new topic, for the end of a consumer.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer};

use crate::monitor::ClientMonitor;

/// How long one call waits for a broker before the shutdown is checked.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a topic may stay unknown before it counts as missing: a new one needs a moment.
pub(crate) const TOPIC_GRACE: Duration = Duration::from_secs(5);

/// Closes consumers in a thread, and waits for at most `wait`. Closing takes a tenth of a second.
/// librdkafka can hang in it for ever during an assignment, and nothing depends on its end.
pub(crate) fn close(consumers: impl Send + 'static, wait: Duration) {
    let (sender, closed) = std::sync::mpsc::channel();
    let closing = std::thread::Builder::new()
        .name("close".into())
        .spawn(move || {
            drop(consumers);
            let _ = sender.send(());
        });
    if closing.is_ok() {
        let _ = closed.recv_timeout(wait);
    }
}

/// Waits until everything that was sent is acknowledged, for at most `wait`, and runs callbacks.
/// Returns whether it is. A `poll` with a timeout would spin through its last millisecond.
pub(crate) fn flush(producer: &BaseProducer<ClientMonitor>, wait: Duration) -> bool {
    let is_flushed = rivulet_native::flush(producer.client(), wait);
    producer.poll(Duration::ZERO);
    is_flushed
}
