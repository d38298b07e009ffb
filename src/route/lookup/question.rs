//! What a handler is asked.

use hyper::Request;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use crate::http::Url;
use crate::login::{Attempt, Mechanism, words};
use crate::net::Endpoint;
use crate::route::asker::{Asker, Certificate};

/// Every header that a question may carry, as it is spelled.
pub const NAMES: &[&str] = &[
    "Host",
    "Auth-Method",
    "Auth-User",
    "Auth-Pass",
    "Auth-Salt",
    "Auth-Protocol",
    "Auth-Login-Attempt",
    "Client-IP",
    "Client-Host",
    "Proxy-Protocol-Addr",
    "Proxy-Protocol-Port",
    "Proxy-Protocol-Server-Addr",
    "Proxy-Protocol-Server-Port",
    "Auth-SMTP-Helo",
    "Auth-SMTP-From",
    "Auth-SMTP-To",
    "Auth-SSL",
    "Auth-SSL-Protocol",
    "Auth-SSL-Cipher",
    "Auth-SSL-Verify",
    "Auth-SSL-Subject",
    "Auth-SSL-Issuer",
    "Auth-SSL-Serial",
    "Auth-SSL-Fingerprint",
    "Auth-SSL-Cert",
    "Auth-Authz-User",
    "Client-Port",
    "Server-Addr",
    "Server-Port",
];

/// Headers in the order they are put.
pub struct Headers(HeaderMap);

impl Headers {
    pub fn with_capacity(count: usize) -> Self {
        Self(HeaderMap::with_capacity(count))
    }

    pub fn put(&mut self, name: &'static str, value: HeaderValue) {
        // Inserted in their order, they are sent in it.
        self.0.insert(HeaderName::from_bytes(name.as_bytes()).expect("one of NAMES"), value);
    }

    /// The question, with what is `added` to it.
    pub fn finish(self, url: &Url, added: &[(HeaderName, HeaderValue)]) -> Request<()> {
        let mut headers = self.0;
        for (name, value) in added {
            if *name == HOST {
                headers.insert(HOST, value.clone());
            } else {
                headers.append(name, value.clone());
            }
        }
        let mut question = Request::new(());
        *question.uri_mut() = url.uri.clone().into();
        *question.headers_mut() = headers;
        question
    }
}

/// How a handler is asked.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The client's certificate goes with the question.
    pub certificate: bool,
    /// So does what the client proves itself by.
    pub password: bool,
    /// What is added to it.
    pub headers: &'a [(HeaderName, HeaderValue)],
}

/// The question about `attempt`.
pub fn question(url: &Url, attempt: &Attempt, asker: &Asker, manner: Manner<'_>) -> Request<()> {
    let mut headers = Headers::with_capacity(NAMES.len() + manner.headers.len());
    headers.put("Host", plain(url.host.as_bytes()));
    login(&mut headers, attempt, manner.password);
    headers.put("Auth-Protocol", HeaderValue::from_static(asker.protocol));
    headers.put("Auth-Login-Attempt", asker.attempt.into());
    headers.put("Client-IP", host(&asker.client));
    if let Some(name) = name(asker) {
        headers.put("Client-Host", plain(name.as_bytes()));
    }
    if let Some(ends) = &asker.proxied {
        headers.put("Proxy-Protocol-Addr", plain(ends.source.ip().to_string().as_bytes()));
        headers.put("Proxy-Protocol-Port", ends.source.port().into());
        let address = ends.destination.ip().to_string();
        headers.put("Proxy-Protocol-Server-Addr", plain(address.as_bytes()));
        headers.put("Proxy-Protocol-Server-Port", ends.destination.port().into());
    }
    if attempt.mechanism == Mechanism::Unasked {
        let helo = attempt.claims.helo.as_ref().map_or("", |helo| &helo.name);
        let (mail, rcpt) = match &attempt.envelope {
            Some(envelope) => (&*envelope.mail, &*envelope.rcpt),
            None => (&b""[..], &b""[..]),
        };
        headers.put("Auth-SMTP-Helo", plain(helo.as_bytes()));
        headers.put("Auth-SMTP-From", plain(mail));
        headers.put("Auth-SMTP-To", plain(rcpt));
    }
    if let Some(tls) = &asker.tls {
        headers.put("Auth-SSL", HeaderValue::from_static("on"));
        headers.put("Auth-SSL-Protocol", plain(tls.protocol.as_bytes()));
        headers.put("Auth-SSL-Cipher", plain(tls.cipher.as_bytes()));
        if let Some(certificate) = &tls.certificate {
            shown(&mut headers, certificate, manner.certificate);
        }
    }
    if let Some(authzid) = &attempt.authzid {
        headers.put("Auth-Authz-User", escaped(authzid));
    }
    if let Some(port) = asker.client.port() {
        headers.put("Client-Port", port.into());
    }
    headers.put("Server-Addr", host(&asker.local));
    if let Some(port) = asker.local.port() {
        headers.put("Server-Port", port.into());
    }
    headers.finish(url, manner.headers)
}

/// Who it is, and by what proof.
fn login(headers: &mut Headers, attempt: &Attempt, with_proof: bool) {
    headers.put("Auth-Method", HeaderValue::from_static(attempt.mechanism.method()));
    headers.put("Auth-User", escaped(&attempt.user));
    // nginx, which knows neither, says of EXTERNAL and of no login that the password is empty.
    if !matches!(attempt.mechanism, Mechanism::ScramSha256 | Mechanism::Gssapi) && with_proof {
        let mut pass = escaped(attempt.secret.reveal());
        pass.set_sensitive(true);
        headers.put("Auth-Pass", pass);
    }
    if let Some(salt) = &attempt.salt {
        headers.put("Auth-Salt", plain(salt.as_bytes()));
    }
}

/// The client's name: of SMTP's clients always, of others where there is one.
fn name(asker: &Asker) -> Option<&str> {
    let is_mail = [words::SMTP.name, words::LMTP.name].contains(&asker.protocol);
    match asker.host.as_deref() {
        None => is_mail.then_some("[UNAVAILABLE]"),
        Some(name) => (is_mail || !name.starts_with('[')).then_some(name),
    }
}

/// An end of a connection, without its port.
fn host(endpoint: &Endpoint) -> HeaderValue {
    match endpoint {
        Endpoint::Tcp(address) => plain(address.ip().to_string().as_bytes()),
        Endpoint::Unix(path) => plain(format!("unix:{}", path.display()).as_bytes()),
    }
}

/// What the client showed to prove itself.
fn shown(headers: &mut Headers, certificate: &Certificate, passes_certificate: bool) {
    for (name, text) in [
        ("Auth-SSL-Verify", &certificate.verify),
        ("Auth-SSL-Subject", &certificate.subject),
        ("Auth-SSL-Issuer", &certificate.issuer),
        ("Auth-SSL-Serial", &certificate.serial),
        ("Auth-SSL-Fingerprint", &certificate.fingerprint),
    ] {
        if !text.is_empty() {
            headers.put(name, plain(text.as_bytes()));
        }
    }
    if passes_certificate && !certificate.pem.is_empty() {
        headers.put("Auth-SSL-Cert", escaped_as_component(certificate.pem.as_bytes()));
    }
}

/// Text that is passed as it is: what cannot stand in a header becomes `?`.
pub fn plain(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or_else(|_| {
        let fit = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
        let text: Vec<u8> = text.iter().map(fit).collect();
        HeaderValue::from_bytes(&text).expect("no control characters are left")
    })
}

pub fn escaped(bytes: &[u8]) -> HeaderValue {
    let mut text = Vec::with_capacity(bytes.len() * 3);
    escape(bytes, &mut text);
    value(text)
}

/// As the component of a URI, which is how nginx passes a certificate.
fn escaped_as_component(bytes: &[u8]) -> HeaderValue {
    let mut text = Vec::with_capacity(bytes.len() * 3);
    percent(bytes, &mut text, |byte| {
        !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
    });
    value(text)
}

fn value(text: Vec<u8>) -> HeaderValue {
    // The buffer is wiped by nobody: it becomes the header, which hyper copies into its own.
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .expect("control characters are escaped")
}

/// Somebody else's bytes, fit for a header: 0x00 to 0x20, `%` and DEL escaped, all others as they
/// are.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    percent(bytes, out, |byte| matches!(byte, 0..=b' ' | b'%' | 0x7f));
}

fn percent(bytes: &[u8], out: &mut Vec<u8>, is_special: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if is_special(byte) {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend([b'%', DIGITS[high], DIGITS[low]]);
        } else {
            out.push(byte);
        }
    }
}
