//! Where a server listens: [`ListenAddress`].

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use crate::error::{Error, Kind, Result};

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

    /// Listens there. Returns the address with the port that it has. `name` is what is there, for
    /// errors, and `option` is the one that sets the address.
    ///
    /// # Errors
    /// If another program listens there, or this machine has no such address.
    pub fn bind(self, name: &str, option: &str) -> Result<(TcpListener, SocketAddr)> {
        let failed = |error| self.cannot_listen(error, name, option);
        let listener = TcpListener::bind(self.0).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((listener, address))
    }

    fn cannot_listen(self, error: io::Error, name: &str, option: &str) -> Error {
        let kind = error.kind();
        let failed = Error::caused_by(format!("opening {name} at {self}"), error);
        match kind {
            io::ErrorKind::AddrInUse => failed.of_kind(Kind::Conflict).help(format!(
                "another program listens there; name another port with {option}, or 0 for any"
            )),
            io::ErrorKind::AddrNotAvailable => failed.of_kind(Kind::Usage).help(format!(
                "this machine has no such address; name another with {option}"
            )),
            io::ErrorKind::PermissionDenied => failed.help(format!(
                "ports below 1024 are for root; name another with {option}"
            )),
            _ => failed,
        }
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

/// The URL at an address. Who listens on all interfaces also listens on the loopback interface.
#[must_use]
pub fn url(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => (),
    }
    format!("http://{address}/")
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
