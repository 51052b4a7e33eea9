//! Content-addressed storage: blocks whose addresses another implementation computed (`ipfs/make.mjs`), delivered by a gateway or
//! node that may lie.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pox_store::ipfs::{Car, Cid, IpfsError, add};
use pox_store::{Access, Error, Location, LocationError, PutMode, Range, Result, Store};
use support::*;

/// Blocks by their identifiers, and the identifier of the folder.
struct Set {
    blocks: HashMap<Cid, Vec<u8>>,
    order: Vec<Cid>,
    archive: Vec<u8>,
    root: String,
}

fn set(name: &str) -> Set {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ipfs");
    let archive = fs::read(folder.join(format!("{name}.car"))).unwrap();
    let root = fs::read_to_string(folder.join(format!("{name}.cid"))).unwrap().trim().to_owned();
    let (mut car, mut blocks, mut order) = (Car::default(), HashMap::new(), vec![]);
    car.push(&archive);
    while let Some(section) = car.section().unwrap() {
        assert!(section.cid.names(&section.block), "the archive is what it says");
        order.push(section.cid.clone());
        blocks.insert(section.cid, section.block.to_vec());
    }
    Set { blocks, order, archive, root }
}

const FILES: [(&str, usize); 3] = [("one", 90), ("deep", 5000), ("empty", 0)];

/// A gateway or node that has a set; `spoil` may answer in its place.
fn serve(set: &Set, spoil: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static) -> Server {
    let blocks: HashMap<String, Vec<u8>> =
        set.blocks.iter().map(|(cid, block)| (cid.to_string(), block.clone())).collect();
    Server::start(move |request| {
        if let Some(response) = spoil(request) {
            return response;
        }
        let (path, query) = request.path.split_once('?').unwrap();
        let cid = match (request.method.as_str(), path) {
            ("GET", path) if query.contains("format=raw") => path.strip_prefix("/ipfs/").unwrap(),
            ("POST", "/api/v0/block/get") => query.strip_prefix("arg=").unwrap(),
            _ => return Response::status(406),
        };
        blocks.get(cid).map_or(Response::status(404), |block| Response::status(200).body(block))
    })
}

fn read(access: Access, root: &str, name_of: &str, range: Range) -> Result<Vec<u8>> {
    let location: Location = format!("ipfs://{root}").parse().unwrap();
    let mut bytes = vec![];
    let store = Store::open_existing(&location, &access)?;
    store.get(&name(name_of), range)?.read_to_end(&mut bytes).map_err(Error::from_read)?;
    Ok(bytes)
}

/// Little patience, and no host on a private network allowed.
fn impatient() -> Access {
    let mut access = Access::default();
    access.timeouts.stall = std::time::Duration::from_secs(2);
    access.attempts = 3;
    access
}

fn gateway(server: &Server) -> Access {
    impatient().ask_ipfs(Some(&format!("http://{}", server.address)), None).unwrap()
}

fn node(server: &Server) -> Access {
    impatient().ask_ipfs(None, Some(&format!("http://{}/", server.address))).unwrap()
}

#[test]
fn files_and_ranges_are_read_from_gateways_and_nodes() {
    for version in ["v0", "v1"] {
        let set = set(version);
        let server = serve(&set, |_| None);
        for access in [gateway(&server), node(&server)] {
            for (file, len) in FILES {
                assert_eq!(read(access.clone(), &set.root, file, Range::ALL).unwrap(), object(len));
            }
            for (start, end) in [(0, 1), (99, 101), (100, 200), (1234, 4567), (4999, 5000), (7, 7)] {
                let range = Range { start, end: Some(end) };
                let bytes = read(access.clone(), &set.root, "deep", range).unwrap();
                assert_eq!(bytes, object(5000)[start as usize..end as usize], "{version} {start}..{end}");
            }
            let zeros = read(access.clone(), &set.root, "sub/same", Range::ALL).unwrap();
            assert_eq!(zeros, vec![0; 1000]);
            for missing in ["none", "sub", "one/x"] {
                let found = read(access.clone(), &set.root, missing, Range::ALL);
                assert!(matches!(found, Err(Error::NotFound(_))), "{missing}: {found:?}");
            }
        }
    }
}

/// The blocks below one file, each before those that it links to, as gateways send them.
fn archive_of(set: &Set, cid: &Cid, out: &mut Vec<Cid>) {
    use pox_store::ipfs::Node;
    out.push(cid.clone());
    if let Node::File { children, .. } = Node::decode(cid, &set.blocks[cid]).unwrap() {
        for (child, _) in children {
            archive_of(set, &child, out);
        }
    }
}

fn file_cid(set: &Set, file: &str) -> Cid {
    use pox_store::ipfs::Node;
    let root: Cid = set.root.parse().unwrap();
    let Node::Folder(links) = Node::decode(&root, &set.blocks[&root]).unwrap() else { panic!("no folder") };
    links.into_iter().find(|link| link.name == file).unwrap().cid
}

/// Sections of the set's archive, put together anew.
fn archive(set: &Set, cids: &[Cid]) -> Vec<u8> {
    let mut sections: HashMap<&Cid, &[u8]> = HashMap::new();
    let head = 1 + usize::from(set.archive[0]);
    let mut at = head;
    for cid in &set.order {
        let (mut len, mut shift, mut digits) = (0, 0, 0);
        loop {
            let byte = set.archive[at + digits];
            len |= usize::from(byte & 0x7f) << shift;
            (shift, digits) = (shift + 7, digits + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        sections.insert(cid, &set.archive[at..at + digits + len]);
        at += digits + len;
    }
    let body: Vec<u8> = cids.iter().flat_map(|cid| sections[cid].to_vec()).collect();
    [&set.archive[..head], &body].concat()
}

#[test]
fn one_archive_serves_a_whole_file() {
    let set = set("v1");
    let deep = file_cid(&set, "deep");
    let mut cids = vec![];
    archive_of(&set, &deep, &mut cids);
    let whole = archive(&set, &cids);
    let mut shuffled = cids.clone();
    shuffled.swap(3, 4);
    let (shuffled, short) = (archive(&set, &shuffled), archive(&set, &cids[..10]));
    let mut spoiled = whole.clone();
    let last = spoiled.len() - 1;
    spoiled[last] ^= 1;
    // In order it is all that is asked for; otherwise, single blocks follow.
    for (bytes, requests) in [(whole.clone(), 3..=3), (shuffled, 4..=100), (short, 4..=100), (spoiled, 4..=5)]
    {
        let path = format!("/ipfs/{deep}?format=car");
        let server = serve(&set, move |request| {
            request.path.starts_with(&path).then(|| Response::status(200).body(&bytes))
        });
        assert_eq!(read(gateway(&server), &set.root, "deep", Range::ALL).unwrap(), object(5000));
        let count = server.seen().len();
        assert!(requests.contains(&count), "{count} requests, not {requests:?}");
    }
    // One that breaks off is gone on with.
    let path = format!("/ipfs/{deep}?format=car");
    let server = serve(&set, move |request| {
        let response = Response { cut: Some(3000), ..Response::status(200).body(&whole) };
        request.path.starts_with(&path).then_some(response)
    });
    assert_eq!(read(gateway(&server), &set.root, "deep", Range::ALL).unwrap(), object(5000));
}

#[test]
fn no_block_is_believed() {
    let set = set("v1");
    let deep = file_cid(&set, "deep").to_string();
    let mut cids = vec![];
    archive_of(&set, &file_cid(&set, "deep"), &mut cids);
    // The root, the file's first block, one of its leaves.
    for spoiled in [set.root.clone(), deep, cids.last().unwrap().to_string()] {
        let wanted = spoiled.clone();
        let server = serve(&set, move |request| {
            let is_it = request.path.contains(&wanted) && request.path.contains("format=raw");
            is_it.then(|| Response::status(200).body(b"something else"))
        });
        let result = read(gateway(&server), &set.root, "deep", Range::ALL);
        assert!(
            matches!(&result, Err(Error::Ipfs(IpfsError::Mismatch(cid))) if *cid == spoiled),
            "{spoiled}: {result:?}"
        );
    }
    let endless = serve(&set, |_| Some(Response::status(200).body(&vec![0; 5 << 20])));
    let result = read(gateway(&endless), &set.root, "one", Range::ALL);
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
}

#[test]
fn an_address_that_holds_its_content_needs_nobody() {
    let set = set("v1");
    let server = serve(&set, |_| None);
    // A folder inside its own address, of one file inside its own.
    let file = [&[1, 0x55, 0, 2][..], b"hi"].concat();
    let link = [&[0x0a, file.len() as u8][..], &file, &[0x12, 1, b'x']].concat();
    let folder = [&[0x12, link.len() as u8][..], &link, &[0x0a, 2, 8, 1]].concat();
    let root = format!("f017000{:02x}{}", folder.len(), hex(&folder));
    assert_eq!(read(gateway(&server), &root, "x", Range::ALL).unwrap(), b"hi");
    assert!(server.seen().is_empty());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_address_can_not_be_written_to_and_needs_somebody_to_ask() {
    let set = set("v1");
    let server = serve(&set, |_| None);
    let location: Location = format!("ipfs://{}", set.root).parse().unwrap();
    let store = Store::open(&location, &gateway(&server)).unwrap();
    let put = store.put(&name("x"), &mut std::io::Cursor::new(b"x"), 1, PutMode::Replace);
    assert!(matches!(put, Err(Error::Unsupported(_))), "{put:?}");
    let nobody = Store::open(&location, &server.access());
    assert!(matches!(nobody, Err(Error::Ipfs(IpfsError::NoNode))));
    // Naming a node lets nothing else lead there.
    let url: Location = format!("http://{}/api/v0", server.address).parse().unwrap();
    assert!(matches!(Store::open(&url, &node(&server)).map(|_| ()), Err(Error::Refused(_))));
    let private = Access::default().ask_ipfs(Some("http://user:password@h"), None);
    assert!(private.is_err());
    for bad in ["ipfs://", "ipfs://x", "ipfs://bafkqaaa?x", &format!("ipfs://{}/../x", set.root)] {
        let parsed = bad.parse::<Location>();
        assert!(matches!(parsed, Err(LocationError::Cid(_) | LocationError::Path)), "{bad}: {parsed:?}");
    }
}

/// A node that says that it added a set, whatever it was sent.
fn adding(set: &Set, lie: Option<(&'static str, &'static [u8])>) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let (form, root) = (Arc::new(Mutex::new(vec![])), set.root.clone());
    let kept = form.clone();
    let server = serve(set, move |request| {
        if let Some((path, body)) = lie
            && request.path.starts_with(path)
        {
            return Some(Response::status(200).body(body));
        }
        if !request.path.starts_with("/api/v0/add?") {
            return None;
        }
        *kept.lock().unwrap() = request.body.clone();
        let lines = format!(
            "{{\"Name\":\"one\",\"Hash\":\"x\",\"Size\":\"1\"}}\n{{\"Name\":\"\",\"Hash\":\"{root}\"}}\n"
        );
        Some(Response::status(200).body(lines.as_bytes()))
    });
    (server, form)
}

fn objects(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Vec<(pox_store::Name, fs::File)>) {
    let folder = tempfile::tempdir().unwrap();
    let open = |(file, content): &(&str, Vec<u8>)| {
        let path = folder.path().join(file);
        fs::write(&path, content).unwrap();
        (name(file), fs::File::open(path).unwrap())
    };
    let objects = files.iter().map(open).collect();
    (folder, objects)
}

#[test]
fn what_a_node_adds_is_read_back_and_compared() {
    let set = set("v1");
    let files: Vec<_> = FILES.iter().map(|(file, len)| (*file, object(*len))).collect();
    let (_folder, mine) = objects(&files);
    let (server, form) = adding(&set, None);
    assert_eq!(add(&mine, &node(&server)).unwrap().to_string(), format!("ipfs://{}", set.root));
    let form = form.lock().unwrap().clone();
    for (_, content) in &files {
        assert!(content.is_empty() || form.windows(content.len()).any(|part| part == content));
    }
    // It has the blocks of other files under that address.
    let (_folder, other) = objects(&[("one", object(91)), ("deep", object(5000))]);
    assert!(matches!(add(&other, &node(&server)), Err(Error::Corrupt(_))));
    let (server, _) = adding(&set, Some(("/api/v0/add", b"{\"Name\":\"one\",\"Hash\":\"x\"}")));
    assert!(matches!(add(&mine, &node(&server)), Err(Error::Protocol(_))));
    assert!(matches!(add(&mine, &gateway(&server)), Err(Error::Ipfs(IpfsError::NoApi))));
}

/// A node of a file, with the lengths of its parts.
fn file_node(parts: &[(&Cid, u8)]) -> (Cid, Vec<u8>) {
    let total = parts.iter().map(|(_, size)| size).sum();
    let mut content = vec![8, 2, 0x18, total];
    content.extend(parts.iter().flat_map(|(_, size)| [0x20, *size]));
    node_of(parts.iter().map(|(cid, _)| field(1, &cid_bytes(cid))), &content)
}

fn node_of(links: impl Iterator<Item = Vec<u8>>, content: &[u8]) -> (Cid, Vec<u8>) {
    let block = [links.flat_map(|link| field(2, &link)).collect(), field(1, content)].concat();
    (Cid::read(&[&[1, 0x70, 0x1e, 32][..], blake3::hash(&block).as_bytes()].concat()).unwrap().0, block)
}

fn raw(content: &[u8]) -> (Cid, Vec<u8>) {
    let cid = Cid::read(&[&[1, 0x55, 0x1e, 32][..], blake3::hash(content).as_bytes()].concat()).unwrap().0;
    (cid, content.to_vec())
}

fn cid_bytes(cid: &Cid) -> Vec<u8> {
    let text = cid.to_string();
    let (mut bytes, mut buffer, mut bits) = (vec![], 0u32, 0);
    for digit in text.bytes().skip(1) {
        let value = if digit >= b'a' { digit - b'a' } else { digit - b'2' + 26 };
        (buffer, bits) = (buffer << 5 | u32::from(value), bits + 5);
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    bytes
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
}

#[test]
fn parts_that_add_no_bytes_are_not_gone_through() {
    let (ab, c) = (raw(b"ab"), raw(b"c"));
    // A thousand million million ways, in ten blocks.
    let mut blocks = vec![ab.clone(), c.clone(), raw(b"")];
    for _ in 0..9 {
        let below = blocks.last().unwrap().0.clone();
        blocks.push(file_node(&[(&below, 0); 50]));
    }
    let nothing = blocks.last().unwrap().0.clone();
    let file = file_node(&[(&ab.0, 2), (&nothing, 0), (&c.0, 1)]);
    let entry = [field(1, &cid_bytes(&file.0)), field(2, b"file")].concat();
    let folder = node_of(std::iter::once(entry), &[8, 1]);
    let root = folder.0.to_string();
    blocks.extend([file, folder]);
    let set =
        Set { blocks: blocks.into_iter().collect(), order: vec![], archive: vec![], root: root.clone() };
    let server = serve(&set, |_| None);
    let access = gateway(&server);
    let (done, waited) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(read(access, &root, "file", Range::ALL)));
    let bytes = waited.recv_timeout(std::time::Duration::from_secs(20)).expect("it is gone through");
    assert_eq!(bytes.unwrap(), b"abc");
    assert!(server.seen().len() < 10, "{}", server.seen().len());
}
