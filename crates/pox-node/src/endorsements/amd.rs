//! AMD: the certificate of the key that signed a report, its issuer's, and the root's revocation list.

use super::http::Client;
use super::{FetchError, MAX_CRL_BYTES, Sources, first_certificate, holds};
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_verify::evidence::snp::{ProductLine, Report, SigningKey, TcbVersion};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Fetches what is not held of key certificate, issuer and list.
pub(super) fn fetch(
    client: &Client,
    sources: &Sources,
    quote: &[u8],
    held: &[Endorsement],
) -> Result<Vec<Endorsement>, FetchError> {
    let report = Report::parse(quote).map_err(|_| FetchError::Quote("it is no SEV-SNP report"))?;
    let base = sources.amd.trim_end_matches('/');
    let mut fetched = Vec::new();
    let held_key = held.iter().find(|endorsement| endorsement.kind == EndorsementKind::SnpKey.code());
    let line = match held_key {
        Some(key) => line_of(&report, &key.content)?,
        None => {
            let (line, key) = fetch_key(client, base, &report)?;
            fetched.push(Endorsement::new(EndorsementKind::SnpKey, key));
            line
        }
    };
    let service = match report.signing_key {
        SigningKey::Vcek => format!("{base}/vcek/v1/{line}"),
        SigningKey::Vlek => format!("{base}/vlek/v1/{line}"),
    };
    if !holds(held, EndorsementKind::SnpIssuer) {
        let answer = client.get(&format!("{service}/cert_chain"), "certificate chain", MAX_CHAIN_BYTES)?;
        let issuer = first_certificate(&answer.body).ok_or_else(|| answer.malformed("no PEM"))?;
        fetched.push(Endorsement::new(EndorsementKind::SnpIssuer, issuer));
    }
    if !holds(held, EndorsementKind::SnpCrl) {
        let answer = client.get(&format!("{service}/crl"), "revocation list", MAX_CRL_BYTES)?;
        fetched.push(Endorsement::new(EndorsementKind::SnpCrl, answer.der()?));
    }
    Ok(fetched)
}

/// Asks for the chip's certificate; a report that does not name its processor is asked for under each line that it may be of.
fn fetch_key(client: &Client, base: &str, report: &Report) -> Result<(ProductLine, Vec<u8>), FetchError> {
    if report.signing_key == SigningKey::Vlek {
        return Err(FetchError::Quote("an operator's key signed it, whose certificate only its host has"));
    }
    if report.chip_id == [0; 64] {
        return Err(FetchError::Quote("its chip id is masked"));
    }
    let mut refusal = FetchError::Quote("its processor is of no known line");
    for line in lines(report) {
        let Some(tcb) = TcbVersion::parse(line, report.reported_tcb) else { continue };
        match client.get(&key_url(base, line, report, tcb), "key certificate", MAX_CERTIFICATE_BYTES) {
            Ok(answer) => return Ok((line, answer.der()?)),
            Err(error @ FetchError::NotFound { .. }) => refusal = error,
            Err(error) => return Err(error),
        }
    }
    Err(refusal)
}

/// The lines that a report may be of.
fn lines(report: &Report) -> Vec<ProductLine> {
    match report.cpu {
        Some((family, model)) => ProductLine::of_cpu(family, model).into_iter().collect(),
        // Turin's firmware never gave reports without the processor.
        None => vec![ProductLine::Milan, ProductLine::Genoa],
    }
}

/// The line of a report whose key's certificate is held: the processor's, or the one that the issuer's name ends in.
fn line_of(report: &Report, key: &[u8]) -> Result<ProductLine, FetchError> {
    let lines = lines(report);
    if let [line] = lines[..] {
        return Ok(line);
    }
    let issuer = Certificate::from_der(key).ok().map(|key| key.tbs_certificate.issuer.to_string());
    let issuer = issuer.unwrap_or_default();
    lines
        .into_iter()
        .find(|line| issuer.split(',').any(|part| part.starts_with("CN=") && part.ends_with(line.name())))
        .ok_or(FetchError::Quote("its processor is of no known line"))
}

/// AMD 57230, "VCEK Certificate and KDS Interface", chapter 4.
fn key_url(base: &str, line: ProductLine, report: &Report, tcb: TcbVersion) -> String {
    let chip = match line {
        ProductLine::Milan | ProductLine::Genoa => &report.chip_id[..],
        ProductLine::Turin => &report.chip_id[..8],
    };
    let fmc = tcb.fmc.map_or_else(String::new, |fmc| format!("fmcSPL={fmc:02}&"));
    format!(
        "{base}/vcek/v1/{line}/{}?{fmc}blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}",
        hex::encode(chip),
        tcb.bootloader,
        tcb.tee,
        tcb.snp,
        tcb.microcode,
    )
}

/// A VCEK's has 1.4 kB.
const MAX_CERTIFICATE_BYTES: u64 = 8 * 1024;
/// Two certificates with RSA keys of 4,096 bits, as text.
const MAX_CHAIN_BYTES: u64 = 16 * 1024;
