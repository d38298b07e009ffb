//! Certificates of clients.

use super::Play;

/// What goes before `ssl_verify_client`.
const CERTIFICATES: &str = "ssl_protocols TLSv1.3; ssl_certificate @dir@/mail.pem; \
     ssl_certificate_key @dir@/mail.key; ssl_client_certificate @dir@/ca.pem;";

fn verifying(play: Play, how: &str) -> Play {
    play.mail(CERTIFICATES).server(format!("starttls on; ssl_verify_client {how};").leak())
}

#[test]
fn a_certificate_that_is_missing() {
    for (play, hello, starttls, sorry) in [
        (
            Play::imap(),
            "C: a NOOP\nS: a OK completed",
            "C: a STARTTLS\nS: a OK {any}",
            "* BYE No required SSL certificate",
        ),
        (Play::pop3(), "", "C: STLS\nS: +OK{any}", "-ERR No required SSL certificate"),
        (Play::smtp(), "", "C: STARTTLS\nS: 220 {any}", "421 4.7.1 No required SSL certificate"),
    ] {
        verifying(play, "on").same(&format!(
            r#"
            = greeted
            {hello}
            {starttls}
            = tls
            S: {sorry}
            S: <end>
            L: [info] client sent no required SSL certificate while in starttls state, client: {{client}} using starttls, server: {{server}}
            "#
        ));
    }
}

#[test]
fn a_certificate_of_a_stranger() {
    for (play, starttls, sorry) in [
        (Play::imap(), "C: a STARTTLS\nS: a OK {any}", "* BYE SSL certificate error"),
        (Play::pop3(), "C: STLS\nS: +OK{any}", "-ERR SSL certificate error"),
        (Play::smtp(), "C: STARTTLS\nS: 220 {any}", "421 4.7.1 SSL certificate error"),
    ] {
        for how in ["on", "optional"] {
            verifying(play.clone(), how).same(&format!(
                r#"
                = greeted
                {starttls}
                = tls as a stranger
                S: {sorry}
                S: <end>
                L: [info] client SSL certificate verify error: (18:self-signed certificate) while in starttls state, client: {{client}} using starttls, server: {{server}}
                "#
            ));
        }
    }
}

#[test]
fn a_certificate_from_the_first_byte_on() {
    Play::imap().mail(CERTIFICATES).listen("ssl").server("ssl_verify_client on;").same(
        r#"
        = tls
        S: * BYE No required SSL certificate
        S: <end>
        L: [info] client sent no required SSL certificate while SSL handshaking, client: {client}, server: {server}
        "#,
    );
    Play::imap().mail(CERTIFICATES).listen("ssl").server("ssl_verify_client on;").same(
        r#"
        = tls as bob
        = greeted
        C: a NOOP
        S: a OK completed
        "#,
    );
}

/// The question that an IMAP login brings, up to what is said of the certificate.
const ASKED: &str = r#"
        A: {any}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Auth-SSL: on
        A: Auth-SSL-Protocol: TLSv1.3
        A: Auth-SSL-Cipher: TLS_AES_256_GCM_SHA384
"#;

#[test]
fn the_auth_server_is_told_of_certificates() {
    let login = "S: a OK {any}";
    for (how, tls, verdict) in [
        ("on", "tls as bob", "SUCCESS"),
        ("optional", "tls as bob", "SUCCESS"),
        ("optional_no_ca", "tls as bob", "SUCCESS"),
        ("optional_no_ca", "tls as a stranger", "FAILED:self-signed certificate"),
    ] {
        let (cn, issuer) = match tls {
            "tls as bob" => ("bob", "gatepost test authority"),
            _ => ("stranger", "stranger"),
        };
        verifying(Play::imap(), how).same(&format!(
            r#"
            = greeted
            C: a STARTTLS
            {login}
            = {tls}
            C: b LOGIN bob pw
            S: b OK in
            {ASKED}
            A: Auth-SSL-Verify: {verdict}
            A: Auth-SSL-Subject: CN={cn}
            A: Auth-SSL-Issuer: CN={issuer}
            A: Auth-SSL-Serial: {{hex}}
            A: Auth-SSL-Fingerprint: {{hex}}
            "#
        ));
    }
    verifying(Play::imap(), "optional").same(&format!(
        r#"
        = greeted
        C: a STARTTLS
        {login}
        = tls
        C: b LOGIN bob pw
        S: b OK in
        {ASKED}
        A: Auth-SSL-Verify: NONE
        "#
    ));
    verifying(Play::imap(), "on; auth_http_pass_client_cert on").same(&format!(
        r#"
        = greeted
        C: a STARTTLS
        {login}
        = tls as bob
        C: b LOGIN bob pw
        S: b OK in
        {ASKED}
        A: Auth-SSL-Verify: SUCCESS
        A: Auth-SSL-Subject: CN=bob
        A: Auth-SSL-Issuer: CN=gatepost test authority
        A: Auth-SSL-Serial: {{hex}}
        A: Auth-SSL-Fingerprint: {{hex}}
        A: Auth-SSL-Cert: -----BEGIN%20CERTIFICATE-----%0A{{any}}%0A-----END%20CERTIFICATE-----%0A
        "#
    ));
}
