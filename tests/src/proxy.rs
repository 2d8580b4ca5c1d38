//! A proxy: passes TCP connections on, and can cut them all in the midst.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Passes on what comes to a port of its own until it goes out of scope.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Vec<Arc<Connection>>>,
    closed: AtomicBool,
}

/// Both halves of a connection: to who came, and to where it is passed on.
#[derive(Debug)]
struct Connection([TcpStream; 2]);

impl Proxy {
    /// A proxy for a port of 127.0.0.1. While nobody listens there, connections are closed at once.
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for incoming in listener.incoming() {
                if of_thread.closed.load(Ordering::Acquire) {
                    return;
                }
                // Who came hears that the connection is closed, as from a port where nobody listens.
                let _ = incoming.and_then(|incoming| pass_on(&of_thread, incoming, to));
            }
        });
        Proxy { address, shared }
    }

    /// The address to come to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        for connection in self.shared.open.lock().expect("nothing panics while it holds this").drain(..) {
            connection.close();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Wakes the thread that waits for the next one to come.
        let _ = TcpStream::connect(self.address);
        self.cut();
    }
}

impl Connection {
    fn close(&self) {
        for half in &self.0 {
            // The other side may have closed it already.
            let _ = half.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(shared: &Arc<Shared>, incoming: TcpStream, to: u16) -> io::Result<()> {
    let outgoing = TcpStream::connect(("127.0.0.1", to))?;
    for half in [&incoming, &outgoing] {
        half.set_nodelay(true)?;
    }
    let connection = Arc::new(Connection([incoming, outgoing]));
    shared.open.lock().expect("nothing panics while it holds this").push(connection.clone());
    for (from, to) in [(0, 1), (1, 0)] {
        let (shared, connection) = (shared.clone(), connection.clone());
        std::thread::spawn(move || {
            // However one direction ends, the connection is over.
            let _ = io::copy(&mut &connection.0[from], &mut &connection.0[to]);
            connection.close();
            let mut open = shared.open.lock().expect("nothing panics while it holds this");
            open.retain(|other| !Arc::ptr_eq(other, &connection));
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_comes_is_passed_on_until_it_is_cut() {
        let echo = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::start(echo.local_addr().unwrap().port());
        for _ in 0..2 {
            let mut client = TcpStream::connect(proxy.address()).unwrap();
            let mut server = echo.accept().unwrap().0;
            client.write_all(b"ping").unwrap();
            let mut buffer = [0; 4];
            server.read_exact(&mut buffer).unwrap();
            server.write_all(&buffer).unwrap();
            client.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"ping");
            proxy.cut();
            assert!(client.read(&mut buffer).is_ok_and(|length| length == 0));
            assert!(server.read(&mut buffer).is_ok_and(|length| length == 0));
        }
        drop(echo);
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        assert!(client.read(&mut [0]).is_ok_and(|length| length == 0), "nobody listens there");
    }
}
