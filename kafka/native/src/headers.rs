//! Reads record headers with any names.
//!
//! rdkafka panics if a header's name is not UTF-8, which Kafka allows. One such record would stop a
//! stage for ever. So this module asks librdkafka directly.

use std::ffi::{CStr, CString};
use std::ptr;

use rdkafka::message::BorrowedHeaders;
use rdkafka_sys as sys;

/// The names and values of all headers. Invalid UTF-8 in a name is replaced by U+FFFD.
#[must_use]
pub fn read(headers: &BorrowedHeaders) -> Vec<(String, Option<Vec<u8>>)> {
    all(native(headers))
}

/// rdkafka creates a `BorrowedHeaders` only from a pointer to librdkafka's headers.
fn native(headers: &BorrowedHeaders) -> *const sys::rd_kafka_headers_t {
    ptr::from_ref(headers).cast()
}

/// The names and values of all headers, which live as long as this runs.
pub(crate) fn all(headers: *const sys::rd_kafka_headers_t) -> Vec<(String, Option<Vec<u8>>)> {
    // SAFETY: see above.
    let count = unsafe { sys::rd_kafka_header_cnt(headers) };
    (0..count).filter_map(|index| one(headers, index)).collect()
}

/// The value of the last header of this name. `None` if there is none, or it has no value.
#[must_use]
pub fn last<'h>(headers: &'h BorrowedHeaders, name: &str) -> Option<&'h [u8]> {
    value_of(native(headers), name)
}

/// The same for headers that live as long as the result.
pub(crate) fn value_of<'h>(
    headers: *const sys::rd_kafka_headers_t,
    name: &str,
) -> Option<&'h [u8]> {
    // A name with a zero byte in it is none that librdkafka has.
    let name = CString::new(name).ok()?;
    let (mut value, mut size) = (ptr::null(), 0);
    // SAFETY: `headers` is a valid pointer of librdkafka, borrowed for as long as the result, and
    // the name ends with a zero. The two out-pointers point to local variables.
    let error = unsafe {
        sys::rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut size)
    };
    let is_found = error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    (is_found && !value.is_null()).then(|| {
        // SAFETY: librdkafka returns the value's length, and keeps it as long as the headers.
        unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) }
    })
}

fn one(headers: *const sys::rd_kafka_headers_t, index: usize) -> Option<(String, Option<Vec<u8>>)> {
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: `headers` is a valid pointer of librdkafka, borrowed for as long as `read` runs. The
    // three out-pointers point to local variables.
    let error = unsafe {
        sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size)
    };
    if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
        return None;
    }
    // SAFETY: librdkafka terminates each name with a zero, and keeps it as long as the headers.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    let value = (!value.is_null()).then(|| {
        // SAFETY: librdkafka returns the value's length, and keeps it as long as the headers.
        unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) }.to_vec()
    });
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    #[test]
    fn headers_are_read_in_order_with_empty_and_missing_values() {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "a",
                value: Some("1"),
            })
            .insert(Header {
                key: "b",
                value: Some(""),
            })
            .insert(Header::<&str> {
                key: "c",
                value: None,
            })
            .insert(Header {
                key: "a",
                value: Some(&b"\xff\x00\xff"[..]),
            });
        let read = read(headers.as_borrowed());
        let expected = [
            ("a", Some(&b"1"[..])),
            ("b", Some(b"")),
            ("c", None),
            ("a", Some(b"\xff\x00\xff")),
        ];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
        );
    }

    #[test]
    fn the_last_header_of_a_name_is_found() {
        let header = |key, value| Header { key, value };
        let headers = OwnedHeaders::new()
            .insert(header("a", Some(&b"1"[..])))
            .insert(header("b", Some(b"")))
            .insert(header("c", None))
            .insert(header("a", Some(b"\xff\x00")));
        let found =
            ["a", "b", "c", "d", "A", "", "a\0"].map(|name| last(headers.as_borrowed(), name));
        let empty = Some(&b""[..]);
        assert_eq!(
            found,
            [Some(&b"\xff\x00"[..]), empty, None, None, None, None, None]
        );
    }
}
