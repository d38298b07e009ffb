//! The client's side of SASL GSSAPI, token by token, so that a test can bend each.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Kdc;

/// Perl's binding: a process of its own has an environment of its own. Each line in and out is a
/// token in base64; behind the last one stands what the server has offered.
const SCRIPT: &str = r#"
use strict; use warnings; use GSSAPI; use MIME::Base64;
$| = 1;
my ($service, $choice) = @ARGV;
my $flags = GSS_C_MUTUAL_FLAG | GSS_C_INTEG_FLAG;
my ($name, $context, $token, $offer, $wrapped);
sub check { my ($what, $status) = @_; die "$what: $status" if GSSAPI::Status::GSS_ERROR($status->major) }
sub step {
    check("init", GSSAPI::Context::init($context, GSS_C_NO_CREDENTIAL, $name,
        GSSAPI::OID::gss_mech_krb5(), $flags, 0, GSS_C_NO_CHANNEL_BINDINGS, $_[0], undef, $token,
        undef, undef));
    print encode_base64($token // "", ""), "\n";
}
check("import", GSSAPI::Name->import($name, $service, GSSAPI::OID::gss_nt_hostbased_service()));
step("");
step(decode_base64(scalar(<STDIN>) // ""));
check("unwrap", $context->unwrap(decode_base64(scalar(<STDIN>) // ""), $offer, undef, undef));
check("wrap", $context->wrap(0, 0, pack("H*", $choice), undef, $wrapped));
print encode_base64($wrapped, ""), " ", unpack("H*", $offer), "\n";
"#;

/// One client in one exchange.
pub struct GssClient {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// The server's offer of security layers (RFC 4752 §3.2), in hexadecimal, once it was made.
    pub offer: String,
}

impl GssClient {
    /// Who holds `tickets` asks `service` (`imap@mail.test`) to be let in as `authzid`.
    pub fn new(kdc: &Kdc, tickets: &Path, service: &str, authzid: &str) -> Self {
        let choice = [b"\x01\0\0\0", authzid.as_bytes()].concat();
        Self::choosing(kdc, tickets, service, &choice)
    }

    /// The same, its last message made by hand.
    pub fn choosing(kdc: &Kdc, tickets: &Path, service: &str, choice: &[u8]) -> Self {
        let choice: String = choice.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut child = Command::new("perl")
            .args(["-e", SCRIPT, service, &choice])
            .envs(kdc.env())
            .env("KRB5CCNAME", tickets)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from: BufReader::new(from), offer: String::new() }
    }

    /// The next message, in base64.
    #[track_caller]
    pub fn token(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the GSSAPI client has ended");
        let (token, offer) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        self.offer = offer.to_owned();
        token.to_owned()
    }

    /// The next message after this challenge.
    #[track_caller]
    pub fn answer(&mut self, challenge: &str) -> String {
        writeln!(self.to, "{challenge}").unwrap();
        self.token()
    }
}

impl Drop for GssClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
