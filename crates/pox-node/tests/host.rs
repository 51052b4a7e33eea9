//! What an owner's storage can do to a processor's host.
#![allow(missing_docs, clippy::unwrap_used)]

use pox_core::channel::{EnclaveMessage, HostMessage, send};
use pox_core::{Resources, TaskId};
use pox_node::host::{Enclave, Storage};
use pox_node::{NoEndorsements, Program, Runtime};
use pox_store::Access;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// A server that promises a large object and sends a byte at a time; it says when it begins.
fn dripping(begins: Sender<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
        let _ = begins.send(());
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    address
}

#[test]
fn a_server_that_drips_does_not_hold_the_node_once_its_enclave_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (begins, begun) = channel();
    let server = dripping(begins);
    // The enclave asks for what the server has, and waits.
    let location = format!("http://{server}/data");
    let mut asks = Vec::new();
    send(&mut asks, &EnclaveMessage::Get { location, name: "object".into(), offset: 0, most: 1 << 20 })
        .unwrap();
    let words = folder.path().join("words");
    std::fs::write(&words, asks).unwrap();
    let script = format!("#!/bin/sh\ncat '{}'\nexec sleep 600\n", words.display());
    let runtime = Runtime::Process(Program::install(script.as_bytes(), folder.path()).unwrap());

    let access = Access::default().allow_host(server.to_string().parse().unwrap());
    let storage = Storage { access, spool: folder.path().into(), max_upload: 0 };
    let resources = Resources { cpu_millis: 1000, memory_mib: 1, disk_mib: 1, time_limit: 1 };
    let (reports, reported) = channel();
    let (task, none) = (TaskId::from([7; 32]), Arc::new(NoEndorsements));
    let nothing = HostMessage::Done;
    let enclave = Enclave::launch(&runtime, task, &resources, nothing, storage, none, reports).unwrap();
    begun.recv_timeout(Duration::from_secs(60)).unwrap();

    let (dropped, gone) = channel();
    std::thread::spawn(move || {
        drop(enclave);
        dropped.send(()).unwrap();
    });
    gone.recv_timeout(Duration::from_secs(20)).expect("the node waits for the owner's server");
    assert!(reported.recv().is_err(), "nothing is reported of an enclave that was dropped");
}
