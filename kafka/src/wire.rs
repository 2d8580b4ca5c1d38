//! A plain connection to one broker, for the few requests that librdkafka does not have.
//!
//! Only versions of requests without tagged fields are used: Kafka 4 still answers them. They are
//! so few and small that a crate with every message of the protocol would be out of proportion.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use rivulet_core::error::{Error, Kind, Result};

use self::reply::Reply;
use self::security::Security;

pub(crate) mod creation;
pub(crate) mod reply;
mod security;

/// How long a broker may take for a connection or an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const LARGEST: usize = 64 << 20;

/// What a connection reads and writes.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A connection to one broker.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    doing: String,
    requests: i32,
}

impl Wire {
    /// Connects to a broker with the properties of a client. `doing` is what for.
    ///
    /// # Errors
    /// If the broker does not take the connection, or the properties ask for something that only
    /// librdkafka has.
    pub(crate) fn open(
        properties: &BTreeMap<String, String>,
        (host, port): (&str, u16),
        doing: &str,
    ) -> Result<Self> {
        let doing = format!("{doing} at {host}:{port}");
        let security = Security::new(properties).map_err(|cause| {
            Error::new(doing.clone(), cause)
                .of_kind(Kind::Usage)
                .help("it is only possible over PLAINTEXT or SSL, and with SASL PLAIN")
        })?;
        let connected = connect(host, port).and_then(|stream| security.wrap(host, stream));
        let mut wire = Wire {
            stream: connected.map_err(|error| failed(doing.clone(), error))?,
            doing,
            requests: 0,
        };
        security.log_in(&mut wire)?;
        Ok(wire)
    }

    /// The answer to a request: `key` is the number of its kind in the protocol.
    ///
    /// # Errors
    /// If no answer arrives in time.
    pub(crate) fn ask(&mut self, key: i16, version: i16, body: &[u8]) -> Result<Reply> {
        self.requests += 1;
        let mut request = Vec::new();
        request.extend(key.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(self.requests.to_be_bytes());
        put_text(&mut request, "rivulet");
        request.extend(body);
        let answer = self.exchange(&request);
        answer.map_err(|error| failed(self.doing.clone(), error))
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        let length = i32::try_from(request.len()).map_err(io::Error::other)?;
        self.stream
            .write_all(&[&length.to_be_bytes(), request].concat())?;
        self.stream.flush()?;
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        let length = usize::try_from(i32::from_be_bytes(head)).map_err(io::Error::other)?;
        if length > LARGEST {
            let cause = format!("an answer of {length} bytes: is it a broker of Kafka?");
            return Err(io::Error::new(ErrorKind::InvalidData, cause));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        let mut reply = Reply::new(answer);
        if reply.int32() == Some(self.requests) {
            Ok(reply)
        } else {
            Err(ErrorKind::InvalidData.into())
        }
    }

    /// The error for an answer that cannot be read.
    pub(crate) fn unreadable(&self) -> Error {
        Error::new(self.doing.clone(), "the broker's answer cannot be read").of_kind(Kind::Corrupt)
    }

    /// The error for a request that the broker rejects with a code of the protocol.
    pub(crate) fn rejected(&self, code: i16, reason: Option<&str>) -> Error {
        let reason = reason.map(|reason| format!(": {reason}"));
        let cause = format!("error code {code}{}", reason.unwrap_or_default());
        Error::new(self.doing.clone(), cause).of_kind(match code {
            29 | 31 | 58 => Kind::Unauthorized,
            _ => Kind::Other,
        })
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn failed(doing: String, error: io::Error) -> Error {
    Error::caused_by(doing, error)
        .of_kind(Kind::Unreachable)
        .help("is the broker running, and is its address reachable from here?")
}

/// Adds text with its length. No name of a topic is longer than 249 bytes.
pub(crate) fn put_text(request: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    request.extend(length.to_be_bytes());
    request.extend(&text[..usize::from(length.unsigned_abs())]);
}

/// Adds the number of items in a list.
pub(crate) fn put_count(request: &mut Vec<u8>, count: usize) {
    request.extend(i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes());
}
