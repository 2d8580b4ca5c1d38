//! Where a server listens: [`ListenAddress`].

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// The address and the port where a server listens. As text: `ADDRESS:PORT`, or only the port, then
/// it is the loopback interface. Port 0 is any that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// This port of the loopback interface.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        ListenAddress((Ipv4Addr::LOCALHOST, port).into())
    }

    /// The address for a socket.
    #[must_use]
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        if let Ok(port) = port.parse() {
            return Ok(ListenAddress::loopback(port));
        }
        text.parse().map(ListenAddress).map_err(|_| {
            format!(
                "`{text}` is no address to listen on; write a port such as 8080, or an IP address \
                 and a port such as 0.0.0.0:8080"
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_the_loopback_interface() {
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), expected);
        }
    }

    #[test]
    fn a_name_is_no_address() {
        for text in [
            "",
            ":80",
            "example.org:80",
            "127.0.0.1",
            "65536",
            "::1:80000",
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains("0.0.0.0:8080"), "{error}");
        }
    }
}
