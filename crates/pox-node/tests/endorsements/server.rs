//! An HTTP server that answers as a test tells it, and remembers what it was asked for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A whole answer: status, further headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Says that more bytes follow than do.
    CutShort,
    /// Says nothing until the client has gone.
    Silence,
}

/// What answers a path with its query; the number says how often that was asked for already.
type Answer = dyn Fn(&str, usize) -> Reply + Send + Sync;

pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Reply {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self::Whole(200, Vec::new(), body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (memory, stop, answer): (_, _, Arc<Answer>) = (asked.clone(), ended.clone(), Arc::new(answer));
        spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (memory, stop, answer) = (memory.clone(), stop.clone(), answer.clone());
                spawn(move || serve(stream, &memory, &*answer, &stop));
            }
        });
        Self { url, asked, ended }
    }

    /// Paths with their queries, in the order in which they were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn serve(
    mut stream: TcpStream,
    memory: &Mutex<Vec<String>>,
    answer: &Answer,
    stop: &AtomicBool,
) -> Option<()> {
    let path = path(&mut stream)?;
    let before = {
        let mut asked = memory.lock().ok()?;
        asked.push(path.clone());
        asked.iter().filter(|other| **other == path).count() - 1
    };
    match answer(&path, before) {
        Reply::Whole(status, headers, body) => {
            let headers: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body).ok()
        }
        Reply::CutShort => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0").ok(),
        Reply::Silence => {
            while !stop.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5));
            }
            None
        }
    }
}

fn path(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    }
    String::from_utf8(bytes).ok()?.strip_prefix("GET ")?.split(' ').next().map(str::to_owned)
}
