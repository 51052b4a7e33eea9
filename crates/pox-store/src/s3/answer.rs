//! What S3 answers in XML. Servers are not believed: answers are bounded, and only a few texts are taken out of them.

use quick_xml::Reader;
use quick_xml::events::Event;

/// A part, or an unfinished upload, that the storage has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Part number.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Its tag, without quotes: the MD5 of a part that isn't encrypted by a key service.
    pub tag: String,
    /// The object's key, of an upload.
    pub key: String,
    /// The upload's identifier.
    pub upload: String,
}

/// Reads an answer: its root's name, the texts right below the root that this client knows, and the items of a list.
///
/// Nothing, if it isn't XML or has more than any answer.
pub fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let mut reader = Reader::from_reader(bytes);
    let mut answer = Answer::default();
    let mut path: Vec<Vec<u8>> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_vec());
                text.clear();
                if path.len() > MAX_DEPTH {
                    return None;
                }
                if path.len() == 2 && matches!(path[1].as_slice(), b"Part" | b"Upload") {
                    answer.items.push(Listed::default());
                    if answer.items.len() > MAX_ITEMS {
                        return None;
                    }
                }
            }
            Event::Text(piece) => text.push_str(&piece.decode().ok()?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(char)) => text.push(char),
                _ => text.push(entity(&reference)?),
            },
            Event::CData(piece) => text.push_str(&piece.decode().ok()?),
            Event::End(_) => {
                answer.take(&path, &text);
                path.pop()?;
                text.clear();
            }
            Event::Empty(start) if path.is_empty() => {
                answer.root = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
            }
            Event::Eof => break,
            // Nobody's answer has a document type, whose entities could grow.
            Event::DocType(_) => return None,
            _ => {}
        }
        if text.len() > MAX_TEXT {
            return None;
        }
    }
    path.is_empty().then_some(answer)
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Name of its root.
    pub root: String,
    /// Of an error.
    pub code: String,
    /// Of a new upload.
    pub upload: String,
    /// Of a finished upload, without quotes.
    pub tag: String,
    /// Whether a list goes on.
    pub truncated: bool,
    /// Parts or uploads.
    pub items: Vec<Listed>,
}

impl Answer {
    fn take(&mut self, path: &[Vec<u8>], text: &str) {
        let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        let value = || text.trim().to_owned();
        match (names.as_slice(), self.items.last_mut()) {
            ([root], _) => self.root = String::from_utf8_lossy(root).into_owned(),
            ([_, b"Code"], _) => self.code = value(),
            ([_, b"UploadId"], _) => self.upload = value(),
            ([_, b"ETag"], _) => self.tag = unquoted(text),
            ([_, b"IsTruncated"], _) => self.truncated = text.trim() == "true",
            ([_, b"Part" | b"Upload", name], Some(item)) => match *name {
                b"PartNumber" => item.number = text.trim().parse().unwrap_or(0),
                b"Size" => item.size = text.trim().parse().unwrap_or(0),
                b"ETag" => item.tag = unquoted(text),
                b"Key" => item.key = value(),
                b"UploadId" => item.upload = value(),
                _ => {}
            },
            _ => {}
        }
    }
}

/// The name of an error, if it is one that can be shown.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let answer = parse_answer(body)?;
    let fine =
        (1..=64).contains(&answer.code.len()) && answer.code.bytes().all(|b| b.is_ascii_alphanumeric());
    (answer.root == "Error" && fine).then_some(answer.code)
}

pub(super) fn unquoted(tag: &str) -> String {
    tag.trim().trim_matches('"').to_owned()
}

/// The five that XML has without a document type.
fn entity(name: &[u8]) -> Option<char> {
    match name {
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        _ => None,
    }
}

/// Longest answer with an error.
pub(super) const MAX_ERROR: usize = 64 << 10;
/// Longest answer with a list: a thousand items.
pub(super) const MAX_ANSWER: usize = 4 << 20;
const MAX_DEPTH: usize = 16;
const MAX_ITEMS: usize = 10_000;
const MAX_TEXT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let parts = parse_answer(
            br#"<?xml version="1.0"?><ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
                <UploadId>u&amp;1</UploadId><IsTruncated>true</IsTruncated><Owner><ID>x</ID></Owner>
                <Part><PartNumber>1</PartNumber><ETag>&quot;ab&quot;</ETag><Size>5</Size></Part>
                <Part><PartNumber>2</PartNumber><ETag>"cd"</ETag><Size>6</Size></Part></ListPartsResult>"#,
        )
        .unwrap();
        assert_eq!((parts.root.as_str(), parts.upload.as_str()), ("ListPartsResult", "u&1"));
        assert!(parts.truncated);
        assert_eq!(parts.items[0], Listed { number: 1, size: 5, tag: "ab".into(), ..Listed::default() });
        assert_eq!(parts.items[1].tag, "cd");
        let uploads = parse_answer(
            b"<ListMultipartUploadsResult><Upload><Key>a/b</Key><UploadId>7</UploadId></Upload></ListMultipartUploadsResult>",
        );
        assert_eq!(uploads.unwrap().items[0].upload, "7");
    }

    #[test]
    fn only_an_error_has_a_code_that_can_be_shown() {
        assert_eq!(error_code(b"<Error><Code>NoSuchKey</Code></Error>").as_deref(), Some("NoSuchKey"));
        for other in [
            b"<Result><Code>NoSuchKey</Code></Result>".as_slice(),
            b"<Error><Code>\x1b[31m</Code></Error>",
            b"<Error><Code></Code></Error>",
            b"<Error><Code>A</Code>",
            b"<!DOCTYPE x [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>",
            b"not XML",
            b"",
        ] {
            assert_eq!(error_code(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
