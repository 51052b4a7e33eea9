//! A folder behind HTTP that takes PUT: what any object store does, in a page.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was put, by path, and in which order.
#[derive(Default)]
pub struct Objects {
    pub by_path: BTreeMap<String, Vec<u8>>,
    pub order: Vec<String>,
    /// Bytes of content that were sent, by path.
    pub sent: BTreeMap<String, usize>,
}

/// Serves until the test ends; gives the address and what is stored.
pub fn serve() -> (String, Arc<Mutex<Objects>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let objects = Arc::new(Mutex::new(Objects::default()));
    let shared = Arc::clone(&objects);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || answer(&stream.unwrap(), &shared));
        }
    });
    (format!("http://{address}"), objects)
}

/// Answers one request, and closes.
fn answer(stream: &TcpStream, objects: &Mutex<Objects>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let mut objects = objects.lock().unwrap();
    let stored = objects.by_path.get(&path).cloned();
    let range = headers.get("range").and_then(|range| bytes_of(range));
    let (mut status, mut content) = match (method.as_str(), stored) {
        ("PUT", Some(_)) if headers.contains_key("if-none-match") => ("412 Precondition Failed", vec![]),
        ("PUT", _) => {
            objects.order.push(path.clone());
            objects.by_path.insert(path.clone(), body);
            ("201 Created", vec![])
        }
        (_, None) => ("404 Not Found", vec![]),
        (_, Some(content)) => ("200 OK", content),
    };
    let mut more = String::new();
    if let (Some((start, end)), "200 OK", "GET") = (range, status, method.as_str()) {
        let (whole, end) = (content.len(), end.min(content.len() - 1));
        content = content[start..=end].to_vec();
        (status, more) = ("206 Partial Content", format!("content-range: bytes {start}-{end}/{whole}\r\n"));
    }
    if method == "GET" {
        *objects.sent.entry(path).or_default() += content.len();
    }
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n", content.len());
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(&content).ok()?;
    }
    stream.flush().ok()
}

/// First and last byte of a range.
fn bytes_of(range: &str) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().ok()?, end.parse().unwrap_or(usize::MAX)))
}
