//! The host's end of the channel to an enclave, shared by whoever moves bytes and whoever needs a signature meanwhile.

use pox_core::channel::{
    ChannelError, EnclaveMessage, HostMessage, Incoming, receive, receive_chunk, send, send_chunk,
};
use pox_core::s3::Operation;
use pox_store::{Sign, SignError};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Both directions of a channel.
pub(crate) struct Line {
    input: Box<dyn Write + Send>,
    output: Box<dyn Read + Send>,
    /// The enclave said something that nobody asked for.
    is_broken: bool,
}

impl Line {
    pub(crate) fn new(input: impl Write + Send + 'static, output: impl Read + Send + 'static) -> Self {
        Self { input: Box::new(input), output: Box::new(output), is_broken: false }
    }

    pub(crate) fn of(line: &Mutex<Self>) -> MutexGuard<'_, Self> {
        line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn say(&mut self, message: &HostMessage) -> Result<(), ChannelError> {
        self.check()?;
        send(&mut self.input, message)
    }

    pub(crate) fn say_chunk(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        self.check()?;
        send_chunk::<HostMessage>(&mut self.input, bytes)
    }

    pub(crate) fn hear(&mut self) -> Result<EnclaveMessage, ChannelError> {
        self.check()?;
        receive(&mut self.output)
    }

    pub(crate) fn hear_chunk(
        &mut self,
        chunk: &mut Vec<u8>,
    ) -> Result<Incoming<EnclaveMessage>, ChannelError> {
        self.check()?;
        receive_chunk(&mut self.output, chunk)
    }

    fn check(&self) -> Result<(), ChannelError> {
        match self.is_broken {
            true => Err(ChannelError::Unexpected("another answer than a URL")),
            false => Ok(()),
        }
    }

    fn url(&mut self, operation: &Operation) -> Result<Option<String>, ChannelError> {
        self.say(&HostMessage::Sign { operation: operation.clone() })?;
        match self.hear()? {
            EnclaveMessage::Url { url } => Ok(url),
            _ => {
                self.is_broken = true;
                Err(ChannelError::Unexpected("another answer than a URL"))
            }
        }
    }
}

/// Signatures by the enclave, for the object that it has the host fetch or store now: the host has no keys.
pub(crate) struct Signatures(pub(crate) Arc<Mutex<Line>>);

impl Sign for Signatures {
    fn sign(&self, bucket: &str, _: &str, operation: &Operation) -> Result<String, SignError> {
        match Line::of(&self.0).url(operation) {
            Ok(Some(url)) => Ok(url),
            Ok(None) => Err(SignError::NoKeys(bucket.into())),
            Err(error) => Err(SignError::Refused(error.to_string())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn line(messages: &[EnclaveMessage]) -> Arc<Mutex<Line>> {
        let mut said = Vec::new();
        messages.iter().for_each(|message| send(&mut said, message).unwrap());
        Arc::new(Mutex::new(Line::new(Vec::new(), Cursor::new(said))))
    }

    #[test]
    fn the_enclave_signs_or_does_not() {
        let url = EnclaveMessage::Url { url: Some("https://h/b/k?X-Amz-Signature=1".into()) };
        let line = line(&[url, EnclaveMessage::Url { url: None }, EnclaveMessage::End]);
        let signer = Signatures(line.clone());
        let signed = signer.sign("b", "k", &Operation::Read).unwrap();
        assert_eq!(signed, "https://h/b/k?X-Amz-Signature=1");
        assert_eq!(signer.sign("b", "k", &Operation::Write), Err(SignError::NoKeys("b".into())));
        assert!(signer.dangerous_keys("b").is_err());
        assert_eq!(Line::of(&line).hear().unwrap(), EnclaveMessage::End);
    }

    #[test]
    fn any_other_answer_ends_the_session() {
        let line = line(&[EnclaveMessage::End, EnclaveMessage::End]);
        let signed = Signatures(line.clone()).sign("b", "k", &Operation::Read);
        assert!(matches!(signed, Err(SignError::Refused(_))));
        assert!(Line::of(&line).hear().is_err() && Line::of(&line).say(&HostMessage::Done).is_err());
    }
}
