//! An S3 server in memory, which can be made to fail: it does what the protocol says, and checks what real ones check.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use md5::{Digest as _, Md5};
use pox_core::s3::{BucketAccess, Style};
use pox_store::s3::Keys;
use pox_store::{Access, Location};

use super::{Request, Response, Server};

#[derive(Debug, Default)]
pub struct Kept {
    pub objects: BTreeMap<String, (Vec<u8>, String)>,
    pub uploads: BTreeMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    next: u32,
}

pub struct Bucket {
    pub server: Server,
    pub kept: Arc<Mutex<Kept>>,
}

impl Bucket {
    /// `before` may answer in its place, `after` may replace its answer once it acted.
    pub fn start(
        before: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
        after: impl Fn(&Request, Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let inner = kept.clone();
        let server = Server::start(move |request| match before(request) {
            Some(response) => response,
            None => after(request, inner.lock().unwrap().answer(request)),
        });
        Self { server, kept }
    }

    /// Does what it is asked for only when `spoil` has it do so.
    pub fn spoiled(
        spoil: impl Fn(&Request, &mut dyn FnMut() -> Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let inner = kept.clone();
        let server =
            Server::start(move |request| spoil(request, &mut || inner.lock().unwrap().answer(request)));
        Self { server, kept }
    }

    pub fn good() -> Self {
        Self::start(|_| None, |_, response| response)
    }

    pub fn location(&self) -> Location {
        "s3://bucket/set".parse().unwrap()
    }

    pub fn keys(&self) -> BucketAccess {
        BucketAccess {
            bucket: "bucket".into(),
            endpoint: format!("http://{}", self.server.address),
            region: "us-east-1".into(),
            style: Style::Path,
            key_id: "id".into(),
            secret_key: "TOPSECRET".into(),
            session_token: None,
        }
    }

    pub fn access(&self) -> Access {
        let mut access = self.server.access().sign_with(Arc::new(Keys::of([self.keys()])));
        // Megabytes are sent and hashed here, on machines that have other things to do.
        access.timeouts.stall = std::time::Duration::from_secs(20);
        access
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().objects.get(key).map(|(bytes, _)| bytes.clone())
    }

    pub fn uploads(&self) -> usize {
        self.kept.lock().unwrap().uploads.len()
    }

    /// How many requests had such a method and part of a query.
    pub fn asked(&self, method: &str, query: &str) -> usize {
        let seen = self.server.seen();
        seen.iter().filter(|request| request.method == method && request.path.contains(query)).count()
    }
}

pub fn error(status: u16, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>no</Message></Error>");
    Response::status(status).body(body.as_bytes())
}

pub fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Kept {
    fn answer(&mut self, request: &Request) -> Response {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        if !query.contains_key("X-Amz-Signature") {
            return error(403, "AccessDenied");
        }
        let Some(key) = path.strip_prefix("/bucket/") else { return error(404, "NoSuchBucket") };
        if let Some(sent) = request.header("content-md5") {
            let digest = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&request.body));
            if sent != digest {
                return error(400, "BadDigest");
            }
        }
        let upload = query.get("uploadId").copied();
        match (request.method.as_str(), upload) {
            ("GET", None) if query.contains_key("uploads") => self.unfinished(query["prefix"]),
            ("GET" | "HEAD", None) => match self.objects.get(key) {
                Some((bytes, tag)) => Response::of(bytes, request).header("etag", format!("\"{tag}\"")),
                None => error(404, "NoSuchKey"),
            },
            ("PUT", None) => self.store(key, request.body.clone(), md5(&request.body), request),
            ("POST", None) => {
                self.next += 1;
                let upload = format!("upload+{}", self.next);
                self.uploads.insert(upload.clone(), (key.into(), BTreeMap::new()));
                document(&format!("<R><UploadId>{upload}</UploadId></R>"))
            }
            (method, Some(upload)) => {
                let upload = upload.replace("%2B", "+");
                let Some((_, parts)) = self.uploads.get_mut(&upload) else {
                    return error(404, "NoSuchUpload");
                };
                match method {
                    "PUT" => {
                        parts.insert(query["partNumber"].parse().unwrap(), request.body.clone());
                        Response::status(200).header("etag", format!("\"{}\"", md5(&request.body)))
                    }
                    "GET" => {
                        let after: u32 = query["part-number-marker"].parse().unwrap();
                        let mut list = String::from("<R><IsTruncated>");
                        list += if parts.keys().filter(|number| **number > after).count() > 2 {
                            "true"
                        } else {
                            "false"
                        };
                        list += "</IsTruncated>";
                        for (number, part) in parts.iter().filter(|(number, _)| **number > after).take(2) {
                            list += &format!(
                                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Part>",
                                md5(part),
                                part.len()
                            );
                        }
                        document(&(list + "</R>"))
                    }
                    "DELETE" => {
                        self.uploads.remove(&upload);
                        Response::status(204)
                    }
                    _ => self.finish(key, &upload, request),
                }
            }
            _ => error(405, "MethodNotAllowed"),
        }
    }

    fn finish(&mut self, key: &str, upload: &str, request: &Request) -> Response {
        let parts = self.uploads[upload].1.clone();
        let body = String::from_utf8(request.body.clone()).unwrap();
        for (number, part) in &parts {
            let tag = format!("<PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag>", md5(part));
            if !body.contains(&tag) {
                return error(400, "InvalidPart");
            }
        }
        let digests: Vec<u8> = parts.values().flat_map(|part| Md5::digest(part).to_vec()).collect();
        let tag = format!("{}-{}", md5(&digests), parts.len());
        let answer = self.store(key, parts.into_values().flatten().collect(), tag, request);
        if answer.status != 200 {
            return answer;
        }
        self.uploads.remove(upload);
        document("<R><ETag>&quot;x&quot;</ETag></R>")
    }

    fn store(&mut self, key: &str, bytes: Vec<u8>, tag: String, request: &Request) -> Response {
        if self.objects.contains_key(key) && request.header("if-none-match") == Some("*") {
            return error(412, "PreconditionFailed");
        }
        self.objects.insert(key.into(), (bytes, tag.clone()));
        Response::status(200).header("etag", format!("\"{tag}\""))
    }

    fn unfinished(&self, prefix: &str) -> Response {
        let prefix = prefix.replace("%2F", "/");
        let mut list = String::from("<R>");
        for (upload, (key, _)) in self.uploads.iter().filter(|(_, (key, _))| key.starts_with(&prefix)) {
            list += &format!("<Upload><Key>{key}</Key><UploadId>{upload}</UploadId></Upload>");
        }
        document(&(list + "</R>"))
    }
}

fn document(text: &str) -> Response {
    Response::status(200).body(text.as_bytes())
}
