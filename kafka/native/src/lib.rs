//! Calls of librdkafka that rdkafka lacks, or gets wrong. They need unsafe code, which no other
//! crate around Kafka may have.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;

mod records;
mod sender;
#[cfg(test)]
mod tests;

pub mod headers;

pub use self::records::{BatchRecord, RecordQueue};
pub use self::sender::RecordSender;

/// Waits until no record of a producer is on its way, for at most `wait`, and sends what lingers.
/// Returns whether it came to that. A delivery that is reported counts until the report is polled,
/// so let only failures be: `delivery.report.only.error`.
///
/// librdkafka waits without waking up. rdkafka's own `flush` polls, and takes 100 ms at least if
/// records are left at first.
#[must_use]
pub fn flush<C: ClientContext>(client: &Client<C>, wait: Duration) -> bool {
    // SAFETY: the client is not destroyed while it is borrowed, and any thread may call this.
    let error = unsafe { sys::rd_kafka_flush(client.native_ptr(), milliseconds(wait)) };
    error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// A time as librdkafka takes it, rounded up: a wait that is cut to nothing would spin.
fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

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
