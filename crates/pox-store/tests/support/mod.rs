//! A small HTTP server on loopback that can be made to fail in every way.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod bucket;
pub mod images;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pox_store::{Access, Location, Name, Timeouts};

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// First and last byte asked for, if a range is.
    pub fn range(&self) -> Option<(usize, Option<usize>)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    }
}

#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Sends so many bytes of the body, then closes.
    pub cut: Option<usize>,
    /// Waits before the byte given by `cut`, instead of closing.
    pub stall: Option<Duration>,
    /// Announces another length.
    pub length: Option<Option<usize>>,
    /// Sends the body in small pieces, so far apart.
    pub pace: Option<Duration>,
}

impl Response {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.into();
        self
    }

    /// Answers as a good server does, ranges included.
    pub fn of(object: &[u8], request: &Request) -> Self {
        match request.range() {
            None => Self::status(200).body(object),
            Some((first, last)) => {
                let end = last.map_or(object.len(), |last| (last + 1).min(object.len()));
                let range = format!("bytes {first}-{}/{}", end - 1, object.len());
                Self::status(206).header("content-range", range).body(&object[first..end])
            }
        }
    }
}

type Handler = dyn Fn(&Request) -> Response + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(vec![]));
        let (handler, log): (Arc<Handler>, _) = (Arc::new(handler), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, log) = (handler.clone(), log.clone());
                std::thread::spawn(move || {
                    // A client that goes away is part of the tests.
                    let _ = serve(stream.unwrap(), &*handler, &log);
                });
            }
        });
        Self { address, seen }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn location(&self) -> Location {
        format!("http://{}/base", self.address).parse().unwrap()
    }

    /// A policy that allows this server, and has little patience.
    pub fn access(&self) -> Access {
        let mut access = Access::default().allow_host(self.address.to_string().parse().unwrap());
        access.timeouts = Timeouts {
            connect: Duration::from_secs(5),
            stall: Duration::from_millis(500),
            total: Duration::from_secs(60),
            slowest: 64 << 10,
        };
        access.attempts = 3;
        access
    }
}

fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some(first) = lines.first() else { return Ok(()) };
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let split = |line: &String| line.split_once(": ").map(|(k, v)| (k.to_owned(), v.to_owned()));
    let headers: Vec<_> = lines[1..].iter().filter_map(split).collect();
    let mut request = Request { method, path, headers, body: vec![] };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    log.lock().unwrap().push(request.clone());
    let response = handler(&request);
    respond(stream, &request, &response)
}

fn respond(mut stream: TcpStream, request: &Request, response: &Response) -> std::io::Result<()> {
    if response.status == 0 {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", response.status);
    if let Some(length) = response.length.unwrap_or(Some(response.body.len())) {
        head += &format!("content-length: {length}\r\n");
    }
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    if let Some(pause) = response.pace {
        for piece in response.body.chunks(response.body.len() / 16 + 1) {
            stream.write_all(piece)?;
            stream.flush()?;
            std::thread::sleep(pause);
        }
        return Ok(());
    }
    let cut = response.cut.unwrap_or(response.body.len()).min(response.body.len());
    stream.write_all(&response.body[..cut])?;
    stream.flush()?;
    if let Some(pause) = response.stall {
        std::thread::sleep(pause);
        stream.write_all(&response.body[cut..])?;
    }
    Ok(())
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Bytes that differ everywhere.
pub fn object(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}
