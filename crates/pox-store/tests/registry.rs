//! Image registries: one in the test that checks what it is asked, and the real one with its usual client.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pox_store::image::{Architecture, Digest, Image, LayerCompression, Pack, copy};
use pox_store::{Access, Error, HostPort, Login, Refused};
use support::images::{content, read, source};
use support::*;

const PLATFORM: Architecture = Architecture::Amd64;

fn sample() -> Image {
    let mut pack = Pack::new(PLATFORM);
    pack.add_bytes(&object(200_000), "/bin/task", true).unwrap();
    pack.compression = LayerCompression::None;
    pack.build().unwrap()
}

#[derive(Default)]
struct Kept {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, Vec<u8>>,
}

/// A registry in memory. `guard` may answer in its place.
fn registry(
    guard: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let inner = kept.clone();
    let server = Server::start(move |request| {
        if let Some(response) = guard(request) {
            return response;
        }
        let mut kept = inner.lock().unwrap();
        let rest = request.path.strip_prefix("/v2/pox/task/").unwrap();
        match (request.method.as_str(), rest.split_once('/').unwrap()) {
            ("POST", ("blobs", "uploads/")) => {
                Response::status(202).header("location", "/v2/pox/task/blobs/uploads/1?state=a%2Fb")
            }
            ("PUT", ("blobs", upload)) => {
                let digest = upload.strip_prefix("uploads/1?state=a%2Fb&digest=sha256%3A").unwrap();
                let digest = format!("sha256:{digest}");
                if Digest::of(&request.body).to_string() != digest {
                    return Response::status(400);
                }
                kept.blobs.insert(digest, request.body.clone());
                Response::status(201)
            }
            ("PUT", ("manifests", name)) => {
                kept.manifests.insert(Digest::of(&request.body).to_string(), request.body.clone());
                kept.manifests.insert(name.into(), request.body.clone());
                Response::status(201)
            }
            (_, ("manifests", name)) => match kept.manifests.get(name) {
                Some(bytes) => Response::status(200).body(bytes),
                None => Response::status(404),
            },
            (_, (_, digest)) => match kept.blobs.get(digest) {
                Some(bytes) => Response::of(bytes, request),
                None => Response::status(404),
            },
        }
    });
    (server, kept)
}

#[test]
fn pushes_once_and_pulls_by_tag_and_digest() {
    let (server, kept) = registry(|_| None);
    let image = sample();
    let tagged = source(&format!("docker://{}/pox/task:v1", server.address));
    assert_eq!(copy(&image, &tagged, &server.access()).unwrap(), image.manifest_digest());
    let uploads = || server.seen().iter().filter(|request| request.method == "POST").count();
    assert_eq!(uploads(), 2);
    copy(&image, &tagged, &server.access()).unwrap();
    assert_eq!(uploads(), 2, "what is there isn't sent again");
    let by_digest = source(&format!("docker://{}/pox/task@{}", server.address, image.manifest_digest()));
    for from in [&tagged, &by_digest] {
        assert_eq!(content(&from.open(PLATFORM, &server.access()).unwrap()), content(&image));
    }
    let exact = tagged.open_exact(&image.manifest_digest(), &server.access()).unwrap();
    assert_eq!(exact.manifest(), image.manifest());
    // A registry that serves another manifest or blob is found out.
    let digest = image.manifest_digest().to_string();
    kept.lock().unwrap().manifests.get_mut(&digest).unwrap().push(b' ');
    assert!(matches!(by_digest.open(PLATFORM, &server.access()), Err(Error::Corrupt(_))));
    kept.lock().unwrap().manifests.get_mut(&digest).unwrap().pop();
    let layer = image.blobs().nth(1).unwrap().digest;
    kept.lock().unwrap().blobs.get_mut(&layer.to_string()).unwrap()[7] ^= 1;
    let opened = by_digest.open(PLATFORM, &server.access()).unwrap();
    assert!(matches!(read(&opened, &layer), Err(Error::Corrupt(_))));
    let none = source(&format!("docker://{}/pox/task:none", server.address));
    assert!(matches!(none.open(PLATFORM, &server.access()), Err(Error::NotFound(_))));
}

#[test]
fn a_broken_pull_is_resumed() {
    let (server, _) = registry(|_| None);
    let image = sample();
    let target = source(&format!("docker://{}/pox/task:v1", server.address));
    copy(&image, &target, &server.access()).unwrap();
    let layer = image.blobs().nth(1).unwrap().digest;
    let bytes = read(&image, &layer).unwrap();
    let manifests = server.address;
    let broken = Server::start(move |request| {
        if request.path.contains("/manifests/") || !request.path.ends_with(&layer.to_string()) {
            return Response::status(302).header("location", format!("http://{manifests}{}", request.path));
        }
        Response { cut: Some(90_000), ..Response::of(&bytes, request) }
    });
    let access = broken.access().allow_host(server.address.to_string().parse().unwrap());
    let from = source(&format!("docker://{}/pox/task:v1", broken.address));
    assert_eq!(read(&from.open(PLATFORM, &access).unwrap(), &layer).unwrap(), read(&image, &layer).unwrap());
    let ranges: Vec<_> = broken.seen().iter().filter_map(Request::range).collect();
    assert_eq!(ranges, [(90_000, None), (180_000, None)]);
    // The same redirect, where the policy doesn't allow its target.
    assert!(matches!(from.open(PLATFORM, &broken.access()), Err(Error::Refused(_))));
}

#[test]
fn logs_in_with_tokens_and_passwords() {
    let address = Arc::new(Mutex::new(String::new()));
    let own = address.clone();
    let bearer = move |request: &Request| {
        let authorization = request.header("authorization");
        if request.path.starts_with("/token?service=reg&scope=repository") {
            let ok = authorization == Some("Basic bWU6cGFzcw==");
            return Some(if ok {
                Response::status(200).body(br#"{"token":"abc"}"#)
            } else {
                Response::status(401)
            });
        }
        if authorization == Some("Bearer abc") {
            return None;
        }
        let realm = own.lock().unwrap();
        let challenge = format!(
            "Bearer realm=\"http://{realm}/token\",service=\"reg\",scope=\"repository:pox/task:pull\""
        );
        Some(Response::status(401).header("www-authenticate", challenge))
    };
    let basic = |request: &Request| match request.header("authorization") {
        Some("Basic bWU6cGFzcw==") => None,
        _ => Some(Response::status(401).header("www-authenticate", "Basic realm=\"x\"")),
    };
    let (tokens, _) = registry(bearer);
    *address.lock().unwrap() = tokens.address.to_string();
    let (passwords, _) = registry(basic);
    for server in [tokens, passwords] {
        let host: HostPort = server.address.to_string().parse().unwrap();
        let login = |password: &str| Login {
            registry: host.clone(),
            user: "me".into(),
            password: zeroize::Zeroizing::new(password.into()),
        };
        let target = source(&format!("docker://{}/pox/task:v1", server.address));
        let image = sample();
        let access = server.access().login(login("pass"));
        copy(&image, &target, &access).unwrap();
        assert_eq!(content(&target.open(PLATFORM, &access).unwrap()), content(&image));
        for access in [server.access(), server.access().login(login("wrong"))] {
            let result = target.open(PLATFORM, &access);
            assert!(matches!(result, Err(Error::Denied(401))));
        }
    }
}

#[test]
fn credentials_do_not_follow_a_redirect() {
    let thief = Server::start(|_| Response::status(200).body(b"{}"));
    let to = thief.address;
    let server = Server::start(move |request| match request.header("authorization") {
        None => Response::status(401).header("www-authenticate", "Basic realm=\"x\""),
        Some(_) => Response::status(307).header("location", format!("http://{to}/x")),
    });
    let login = Login {
        registry: server.address.to_string().parse().unwrap(),
        user: "me".into(),
        password: zeroize::Zeroizing::new("pass".into()),
    };
    let access = server.access().allow_host(to.to_string().parse().unwrap()).login(login);
    let _ = source(&format!("docker://{}/pox/task:v1", server.address)).open(PLATFORM, &access);
    assert!(!thief.seen().is_empty());
    assert!(thief.seen().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn whoever_a_registry_leads_to_is_not_logged_in_to() {
    let own = Arc::new(Mutex::new(String::new()));
    let address = own.clone();
    let thief = Server::start(move |_| {
        let realm = format!("Bearer realm=\"http://{}/token\"", address.lock().unwrap());
        Response::status(401).header("www-authenticate", realm)
    });
    let to = thief.address;
    *own.lock().unwrap() = to.to_string();
    let server = Server::start(move |_| Response::status(307).header("location", format!("http://{to}/x")));
    let login = Login {
        registry: server.address.to_string().parse().unwrap(),
        user: "me".into(),
        password: zeroize::Zeroizing::new("pass".into()),
    };
    let access = server.access().allow_host(to.to_string().parse().unwrap()).login(login);
    let result = source(&format!("docker://{}/pox/task:v1", server.address)).open(PLATFORM, &access);
    assert!(matches!(result, Err(Error::Denied(401))));
    assert!(!thief.seen().is_empty());
    assert!(thief.seen().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_document_that_drips_ends_at_the_deadline() {
    let server = Server::start(|_| Response {
        pace: Some(Duration::from_millis(50)),
        ..Response::status(200).body(&[b' '; 1 << 20])
    });
    let mut access = server.access();
    access.timeouts.total = Duration::from_millis(300);
    access.attempts = 1;
    let start = Instant::now();
    let result = source(&format!("docker://{}/pox/task:v1", server.address)).open(PLATFORM, &access);
    assert!(matches!(result, Err(Error::TimedOut(_))));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn registries_in_private_networks_are_refused_by_default() {
    let (server, _) = registry(|_| None);
    let from = source(&format!("docker://{}/pox/task:v1", server.address));
    let result = from.open(PLATFORM, &Access::default());
    assert!(matches!(result, Err(Error::Refused(Refused::Address { .. }))));
    assert!(server.seen().is_empty());
}

/// Stops the registry, also if the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_registry(dir: &Path) -> (Running, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let data = dir.join("data");
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
        data.display()
    );
    let path = dir.join("config.yml");
    std::fs::write(&path, config).unwrap();
    let child = Command::new("docker-registry").arg("serve").arg(&path).spawn().unwrap();
    let running = Running(child);
    let start = Instant::now();
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "the registry doesn't start");
        std::thread::sleep(Duration::from_millis(50));
    }
    (running, address)
}

fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs docker-registry and skopeo: run by .ci/run"]
fn agrees_with_the_usual_registry_and_client() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, address) = start_registry(dir.path());
    let access = Access::default().allow_root(dir.path()).allow_host(address.parse().unwrap());
    let mut pack = Pack::new(PLATFORM);
    pack.add_bytes(&object(5 << 20), "/bin/task", true).unwrap();
    pack.entrypoint = vec!["/bin/task".into()];
    let image = pack.build().unwrap();
    let digest = image.manifest_digest().to_string();
    let at = dir.path().display().to_string();

    // Ours to the registry; the client sees the same image.
    let ours = format!("docker://{address}/pox/ours:v1");
    copy(&image, &source(&ours), &access).unwrap();
    let seen = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &ours]);
    assert_eq!(seen.trim(), digest);
    // The client's formats, read by us.
    let policy = ["--insecure-policy", "copy", "--src-tls-verify=false", "--override-arch=amd64"];
    let export = |to: &str| skopeo(&[&policy[..], &[ours.as_str(), to]].concat());
    for to in [format!("oci:{at}/layout:v1"), format!("oci-archive:{at}/oci.tar:v1")] {
        export(&to);
        let opened = source(&to).open(PLATFORM, &access).unwrap();
        assert_eq!(content(&opened), content(&image), "{to}");
    }
    let saved = format!("docker-archive:{at}/saved.tar:pox/ours:v1");
    export(&saved);
    let opened = source(&saved).open(PLATFORM, &access).unwrap();
    // It recompresses, so only the config and the uncompressed layer stay.
    assert_eq!(opened.blobs().next(), image.blobs().next());
    let config = read(&image, &image.blobs().next().unwrap().digest).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let layer = opened.blobs().nth(1).unwrap().digest.to_string();
    assert_eq!(config["rootfs"]["diff_ids"][0], layer);

    // Ours as files, read by the client, back through the registry.
    for to in [format!("oci:{at}/ours:v1"), format!("oci-archive:{at}/ours.tar:v1")] {
        copy(&image, &source(&to), &access).unwrap();
        let back = format!("docker://{address}/pox/back:v1");
        skopeo(&[
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            "--override-arch=amd64",
            &to,
            &back,
        ]);
        let pulled =
            source(&format!("docker://{address}/pox/back@{digest}")).open(PLATFORM, &access).unwrap();
        assert_eq!(content(&pulled), content(&image), "{to}");
    }
}

/// The ignored test must run where the tools are promised to be.
#[test]
fn the_usual_tools_are_used_where_promised() {
    if std::env::var_os("POX_APT_TOOLS").is_some() {
        agrees_with_the_usual_registry_and_client();
    }
}
