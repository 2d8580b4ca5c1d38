//! A proxy for TCP connections, which can cut them, hold back requests and hide the brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use self::frame::{api, frame, ids, without_brokers};

mod frame;

/// A kind of request, by its API key in Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Api {
    /// Writes records.
    Produce = 0,
    /// Asks for brokers, topics and leaders.
    Metadata = 3,
    /// Initialises a producer, and fences the previous one of its transactional id.
    InitProducerId = 22,
    /// Ends a transaction.
    EndTxn = 26,
    /// Writes the offsets of a transaction.
    TxnOffsetCommit = 28,
}

/// How long to wait for the response after a request is released.
const ANSWER: Duration = Duration::from_secs(10);

/// A proxy. It stops on drop.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    /// The port that it passes connections on to.
    to: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Vec<Arc<Connection>>>,
    closed: AtomicBool,
    /// Whether metadata names no brokers.
    hides_brokers: AtomicBool,
    /// The ids of the clients that got such metadata.
    misled: Mutex<BTreeSet<String>>,
    requests: Mutex<Requests>,
}

/// The requests that the proxy has seen.
#[derive(Debug, Default)]
struct Requests {
    /// The kind to hold back next.
    wanted: Option<Api>,
    /// What is held back: the last request of each kind as it came, with its length prefix.
    held: BTreeMap<i16, Vec<u8>>,
    /// How many requests of each kind were passed on.
    passed: BTreeMap<i16, usize>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    /// The requests for metadata that are not answered: their correlation ids, and the clients.
    asked: Mutex<BTreeMap<[u8; 4], String>>,
}

impl Proxy {
    /// Starts a proxy for a port of 127.0.0.1. While no process listens there, connections are
    /// closed at once.
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let thread_shared = shared.clone();
        std::thread::spawn(move || {
            for incoming in listener.incoming() {
                if thread_shared.closed.load(Ordering::Acquire) {
                    return;
                }
                // On an error, dropping `incoming` closes the connection, as if the port were
                // closed.
                let _ = incoming.and_then(|incoming| pass_on(&thread_shared, incoming, to));
            }
        });
        Proxy {
            address,
            to,
            shared,
        }
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds back the next request of a kind, and cuts its connection. The client assumes that the
    /// request was lost.
    pub(crate) fn hold(&self, api: Api) {
        lock(&self.shared.requests).wanted = Some(api);
    }

    /// Whether a request of a kind is held back.
    pub(crate) fn holds(&self, api: Api) -> bool {
        lock(&self.shared.requests).held.contains_key(&(api as i16))
    }

    /// How many requests of a kind were passed on.
    pub(crate) fn passed(&self, api: Api) -> usize {
        lock(&self.shared.requests)
            .passed
            .get(&(api as i16))
            .copied()
            .unwrap_or_default()
    }

    /// Releases the request that is held back, on a new connection, and waits for the broker's
    /// response. No client gets it.
    pub(crate) fn release(&self, api: Api) {
        let held = lock(&self.shared.requests)
            .held
            .remove(&(api as i16))
            .expect("a request is held back");
        let mut broker = TcpStream::connect(("127.0.0.1", self.to)).expect("the broker listens");
        broker
            .set_read_timeout(Some(ANSWER))
            .expect("the timeout is not 0");
        broker.write_all(&held).expect("the broker reads");
        let mut length = [0; 4];
        broker.read_exact(&mut length).expect("the broker answers");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        broker
            .read_exact(&mut answer)
            .expect("the broker answers in full");
    }

    /// From now on metadata names no brokers, as that of a broker that has just started, or it does
    /// again. Cuts all connections, so that clients ask for metadata.
    pub(crate) fn hide_brokers(&self, hides: bool) {
        self.shared.hides_brokers.store(hides, Ordering::Release);
        if hides {
            self.cut();
        }
    }

    /// Whether a client with this id has got metadata without brokers.
    pub(crate) fn has_misled(&self, client: &str) -> bool {
        lock(&self.shared.misled).contains(client)
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        for connection in lock(&self.shared.open).drain(..) {
            connection.close();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
        self.cut();
    }
}

impl Requests {
    /// Counts a request. True if it is the one to hold back, which is then stored.
    fn take(&mut self, request: &[u8]) -> bool {
        let Some(api) = api(request) else {
            return false;
        };
        let is_wanted = self.wanted.is_some_and(|wanted| wanted as i16 == api);
        if is_wanted {
            self.wanted = None;
            self.held.insert(api, request.to_vec());
        } else {
            *self.passed.entry(api).or_default() += 1;
        }
        is_wanted
    }
}

impl Connection {
    fn close(&self) {
        for half in [&self.client, &self.broker] {
            // The other side may have closed it already.
            let _ = half.shutdown(Shutdown::Both);
        }
    }

    /// Passes requests on one by one, until one is held back or a side closes.
    fn pass_requests_on(&self, shared: &Shared) -> io::Result<()> {
        loop {
            let request = frame(&self.client)?;
            if lock(&shared.requests).take(&request) {
                return Ok(());
            }
            if api(&request) == Some(Api::Metadata as i16)
                && let Some((correlation, client)) = ids(&request)
            {
                lock(&self.asked).insert(correlation, client);
            }
            (&self.broker).write_all(&request)?;
        }
    }

    /// Passes responses on one by one, until a side closes.
    fn pass_responses_on(&self, shared: &Shared) -> io::Result<()> {
        loop {
            let mut response = frame(&self.broker)?;
            let correlation = response.get(4..8).and_then(|id| id.try_into().ok());
            let client = correlation.and_then(|id: [u8; 4]| lock(&self.asked).remove(&id));
            if let Some(client) = client
                && shared.hides_brokers.load(Ordering::Acquire)
            {
                response = without_brokers(&response);
                lock(&shared.misled).insert(client);
            }
            (&self.client).write_all(&response)?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this")
}

fn pass_on(shared: &Arc<Shared>, client: TcpStream, to: u16) -> io::Result<()> {
    let broker = TcpStream::connect(("127.0.0.1", to))?;
    for half in [&client, &broker] {
        half.set_nodelay(true)?;
    }
    let asked = Mutex::default();
    let connection = Arc::new(Connection {
        client,
        broker,
        asked,
    });
    lock(&shared.open).push(connection.clone());
    for pass_on in [Connection::pass_requests_on, Connection::pass_responses_on] {
        let (shared, connection) = (shared.clone(), connection.clone());
        std::thread::spawn(move || {
            // If one direction ends, the connection is over.
            let _ = pass_on(&connection, &shared);
            connection.close();
            let mut open = lock(&shared.open);
            open.retain(|other| !Arc::ptr_eq(other, &connection));
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_passed_on_until_the_connection_is_cut() {
        let echo = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::start(echo.local_addr().unwrap().port());
        for _ in 0..2 {
            let mut client = TcpStream::connect(proxy.address()).unwrap();
            let mut server = echo.accept().unwrap().0;
            client.write_all(&request(Api::Produce)).unwrap();
            let mut buffer = [0; 8];
            server.read_exact(&mut buffer).unwrap();
            server.write_all(&buffer).unwrap();
            client.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, request(Api::Produce));
            proxy.cut();
            assert!(client.read(&mut buffer).is_ok_and(|length| length == 0));
            assert!(server.read(&mut buffer).is_ok_and(|length| length == 0));
        }
        drop(echo);
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        assert!(
            client.read(&mut [0]).is_ok_and(|length| length == 0),
            "the port is closed"
        );
    }

    /// A request without a body: length, API key and version.
    fn request(api: Api) -> [u8; 8] {
        let [high, low] = (api as i16).to_be_bytes();
        [0, 0, 0, 4, high, low, 0, 1]
    }

    #[test]
    fn a_held_back_request_arrives_after_its_repetition() {
        let broker = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::start(broker.local_addr().unwrap().port());
        proxy.hold(Api::EndTxn);
        let mut buffer = [0; 8];
        let mut first = TcpStream::connect(proxy.address()).unwrap();
        let mut of_first = broker.accept().unwrap().0;
        first.write_all(&request(Api::Produce)).unwrap();
        of_first.read_exact(&mut buffer).unwrap();
        first.write_all(&request(Api::EndTxn)).unwrap();
        assert!(
            first.read(&mut buffer).is_ok_and(|length| length == 0),
            "the connection is cut"
        );
        assert!(
            of_first.read(&mut buffer).is_ok_and(|length| length == 0),
            "nothing is passed on"
        );
        let mut second = TcpStream::connect(proxy.address()).unwrap();
        let mut of_second = broker.accept().unwrap().0;
        second.write_all(&request(Api::EndTxn)).unwrap();
        of_second.read_exact(&mut buffer).unwrap();
        assert_eq!(
            (buffer, proxy.passed(Api::EndTxn), proxy.holds(Api::EndTxn)),
            (request(Api::EndTxn), 1, true)
        );
        std::thread::scope(|scope| {
            scope.spawn(|| proxy.release(Api::EndTxn));
            let mut late = broker.accept().unwrap().0;
            late.read_exact(&mut buffer).unwrap();
            late.write_all(&[0; 4]).unwrap();
        });
        assert_eq!(
            (buffer, proxy.holds(Api::EndTxn)),
            (request(Api::EndTxn), false)
        );
    }
}
