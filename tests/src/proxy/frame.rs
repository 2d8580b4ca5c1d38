//! Requests and responses of Kafka's protocol, as bytes.

use std::io::{self, Read};
use std::net::TcpStream;

/// A request or response, with its length prefix.
pub(super) fn frame(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    let read = from.take(length.into()).read_to_end(&mut frame)?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}

/// The API key of a request.
pub(super) fn api(request: &[u8]) -> Option<i16> {
    let api = request.get(4..6)?;
    Some(i16::from_be_bytes([api[0], api[1]]))
}

/// The correlation id and the client id of a request.
pub(super) fn ids(request: &[u8]) -> Option<([u8; 4], String)> {
    let (correlation, rest) = request.get(8..)?.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let client = rest.get(..u16::from_be_bytes(*length).into())?;
    Some((*correlation, String::from_utf8_lossy(client).into_owned()))
}

/// A response to a request for metadata, as if the cluster had no brokers. Its version is 9 or
/// later, and its texts are short.
pub(super) fn without_brokers(response: &[u8]) -> Vec<u8> {
    // Length, correlation id, tagged fields of the header (none), throttle time.
    let (head, brokers) = response.split_at(4 + 4 + 1 + 4);
    // A compact array or text begins with its length plus one, or with 0 if there is none.
    let (count, mut rest) = (brokers[0], &brokers[1..]);
    for _ in 1..count {
        let host = &rest[4..];
        let port = &host[host[0].into()..];
        let rack = &port[4..];
        let tagged = &rack[usize::from(rack[0]).max(1)..];
        rest = &tagged[1..];
    }
    let length = u32::try_from(head.len() + 1 + rest.len() - 4).expect("it was longer before");
    [&length.to_be_bytes(), &head[4..], &[1], rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_brokers_are_left_out_of_metadata() {
        let head = [0, 0, 0, 7, 0, 0, 0, 0, 0];
        let brokers = [
            &[3][..],
            &[0, 0, 0, 1, 5],
            b"rpi0",
            &[0, 0, 0x23, 0x84, 0, 0],
            &[0, 0, 0, 2, 5],
            b"rpi1",
            &[0, 0, 0x23, 0x84, 3],
            b"r1",
            &[0],
        ]
        .concat();
        let topics = b"the rest";
        let framed =
            |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
        assert_eq!(
            without_brokers(&framed(&[&head, &brokers[..], topics].concat())),
            framed(&[&head, &[1][..], topics].concat())
        );
    }
}
