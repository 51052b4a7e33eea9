//! Services of others on loopback: a calendar of OpenTimestamps, and whatever else answers POST and GET.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its own part")]

pub mod ipfs;
pub mod relay;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Status and body for a method, a path and a body.
type Answer = dyn Fn(&str, &str, &[u8]) -> (u16, Vec<u8>);

/// Serves until the test ends: method, path and body to status and body. Gives its URL.
pub fn serve(answer: impl Fn(&str, &str, &[u8]) -> (u16, Vec<u8>) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || exchange(&stream.unwrap(), answer.as_ref()));
        }
    });
    url
}

fn exchange(stream: &TcpStream, answer: &Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, content) = answer(&method, &path, &body);
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), &content].concat()).ok()?;
    stream.flush().ok()
}

/// A calendar: takes messages, and once told so says that they are the root of a Bitcoin block.
pub struct Calendar {
    pub url: String,
    state: Arc<Mutex<Told>>,
}

/// The messages, and the height of their block once it is told.
type Told = (Vec<Vec<u8>>, Option<u8>);

impl Calendar {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new((Vec::new(), None)));
        let (shared, own) = (Arc::clone(&state), Arc::new(Mutex::new(String::new())));
        let name = Arc::clone(&own);
        let url = serve(move |method, path, body| {
            let mut state = shared.lock().unwrap();
            match (method, state.1) {
                ("POST", _) if path == "/digest" => {
                    state.0.push(body.to_vec());
                    let uri = name.lock().unwrap().clone();
                    let payload = [&[uri.len() as u8], uri.as_bytes()].concat();
                    let pending = [0x00, 0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e, payload.len() as u8];
                    (200, [&pending[..], &payload].concat())
                }
                ("GET", Some(0)) => (503, Vec::new()),
                ("GET", Some(height)) if path.starts_with("/timestamp/") => {
                    (200, vec![0x00, 0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01, 1, height])
                }
                _ => (404, Vec::new()),
            }
        });
        own.lock().unwrap().clone_from(&url);
        Self { url, state }
    }

    /// The block in which the calendar's messages are; such a one would have one message alone.
    pub fn confirm(&self, height: u8) {
        self.state.lock().unwrap().1 = Some(height);
    }

    /// From now on it answers nobody who asks what has become of a message.
    pub fn break_down(&self) {
        self.state.lock().unwrap().1 = Some(0);
    }

    /// `HEIGHT:ROOT:TIME` of that block, for the last message.
    pub fn block(&self, time: u64) -> String {
        let state = self.state.lock().unwrap();
        let mut root = state.0.last().unwrap().clone();
        root.reverse();
        format!("{}:{}:{time}", state.1.unwrap(), hex::encode(root))
    }
}
