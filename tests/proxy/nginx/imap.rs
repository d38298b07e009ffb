//! IMAP with the client.

use super::{Backend, Play};

const STARTTLS: &str =
    "starttls on; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";

#[test]
fn a_session_up_to_its_login() {
    Play::imap().differs(
        r#"
        ! The greeting is `* OK IMAP4 ready`
        N S: * OK IMAP4 ready
        G S: * OK [CAPABILITY IMAP4rev1 UIDPLUS IDLE SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=LOGIN] gatepost ready
        C: b CAPABILITY
        N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS AUTH=PLAIN
        G S: * CAPABILITY IMAP4rev1 UIDPLUS IDLE SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=LOGIN
        S: b OK completed
        C: c NOOP
        S: c OK completed
        C: d LOGIN {3}
        S: + OK
        C: bob {2}
        S: + OK
        C: pw
        S: d OK in
        ! IMAP: LOGIN with literals
        N B: d LOGIN {3}
        N B: bob {2}
        N B: pw
        G B: g1 ID {any}
        G B: g2 LOGIN "bob" "pw"
        L: [info] client {client}:{client_port} connected to {server}
        L: [info] client logged in, client: {client}, server: {server}, login: "bob", upstream: {up}
        = hang up
        S: <end>
        L: [info] proxied session done, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn capabilities_are_as_configured() {
    Play::imap()
        .mail("imap_capabilities IMAP4 IMAP4rev1 UIDPLUS QUOTA; imap_auth plain login;")
        .differs(
            r#"
            = greeted
            C: b CAPABILITY
            ! The greeting is `* OK IMAP4 ready`
            N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS QUOTA AUTH=PLAIN AUTH=LOGIN
            G S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS QUOTA SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=LOGIN
            S: b OK completed
            "#,
        );
}

#[test]
fn goodbye() {
    Play::imap().differs(
        r#"
        = greeted
        C: c LOGOUT
        ! the same few words for everything
        N S: * BYE
        G S: * BYE logging out
        S: c OK completed
        S: <end>
        "#,
    );
}

#[test]
fn unknown_commands_count_to_max_errors() {
    Play::imap().server("max_errors 3;").same(
        r#"
        = greeted
        C: a ENABLE CONDSTORE
        S: a BAD invalid command
        C: b COMPRESS DEFLATE
        S: b BAD invalid command
        C: c SELECT INBOX
        S: c BAD invalid command
        S: <end>
        L: [info] client sent too many invalid commands while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn a_client_says_who_it_is() {
    Play::imap().differs(
        r#"
        = greeted
        C: a ID ("name" "x")
        ! ID is an invalid command
        N S: a BAD invalid command
        G S: * ID NIL
        G S: a OK completed
        "#,
    );
}

#[test]
fn tags() {
    Play::imap().server("max_errors 50;").differs(
        r#"
        = greeted
        C: aZ09._- NOOP
        S: aZ09._- OK completed
        C: abcdefghijabcdefghijabcdefghijab NOOP
        S: abcdefghijabcdefghijabcdefghijab OK completed
        C: abcdefghijabcdefghijabcdefghijabc NOOP
        ! Tags of `A-Z a-z 0-9 . _ -`, 32 characters at most
        N S: * BAD invalid command
        G S: abcdefghijabcdefghijabcdefghijabc OK completed
        C: a#b NOOP
        N S: * BAD invalid command
        G S: a#b OK completed
        C: a+b NOOP
        ! the same few words for everything
        N S: * BAD invalid command
        G S: * BAD invalid tag
        C: x
        N S: * BAD invalid command
        G S: x BAD invalid command
        C: x BLURDYBLOOP
        S: x BAD invalid command
        "#,
    );
}

#[test]
fn commands_in_any_case_and_ends_of_lines() {
    Play::imap().same(
        r#"
        = greeted
        C: a noop
        S: a OK completed
        C: b NoOp\r\nc nOOP
        S: b OK completed
        S: c OK completed
        "#,
    );
}

#[test]
fn a_bare_lf() {
    Play::imap().differs(
        r#"
        = greeted
        C: b NOOP\nc NOOP
        ! A line may end in LF alone
        N S: b OK completed
        G S: * BAD bare CR, bare LF or NUL
        S: c OK completed
        "#,
    );
}

#[test]
fn login_takes_atoms_strings_and_literals() {
    for login in [
        "LOGIN bob pw",
        "LOGIN \"bob\" \"pw\"",
        "login \"bob\" {2+}\\r\\npw",
        "LOGIN {3+}\\r\\nbob {2+}\\r\\npw",
        "LOGIN {3+}\\r\\nbob pw",
    ] {
        Play::imap().same(&format!(
            r#"
            = greeted
            C: d {login}
            S: d OK in
            A: {{question}}
            A: Host: {{lookup_ip}}
            A: Auth-Method: plain
            A: Auth-User: bob
            A: Auth-Pass: pw
            A: Auth-Protocol: imap
            A: Auth-Login-Attempt: 1
            A: Client-IP: {{client}}
            "#
        ));
    }
}

#[test]
fn a_quoted_password_is_unescaped() {
    Play::imap().same(
        r#"
        = greeted
        C: d LOGIN bob "p\\"s\\\\s"
        S: d OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: p"s\\s
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        "#,
    );
}

#[test]
fn broken_commands() {
    Play::imap().server("max_errors 50;").differs(
        r#"
        = greeted
        C: a LOGIN
        ! the same few words for everything
        N S: a BAD invalid command
        G S: a BAD invalid arguments: {any}
        C: b LOGIN bob
        N S: b BAD invalid command
        G S: b BAD invalid arguments: {any}
        C: c LOGIN bob pw more
        N S: c BAD invalid command
        G S: c BAD invalid arguments: {any}
        C: d LOGIN "bob pw
        N S: d BAD invalid command
        G S: d BAD invalid arguments: {any}
        C: e AUTHENTICATE
        N S: e BAD invalid command
        G S: e BAD invalid arguments: {any}
        C: f AUTHENTICATE NTLM
        ! A mechanism that is not offered is `BAD invalid command`
        N S: f BAD invalid command
        G S: f NO [CANNOT] mechanism not supported
        C: g NOOP more
        ! Arguments of commands that take none are ignored
        N S: g OK completed
        G S: g BAD invalid arguments: {any}
        "#,
    );
}

#[test]
fn authenticate_plain() {
    for (asked, mechanism) in [(true, "PLAIN"), (false, "plain")] {
        let lines = match asked {
            true => format!("C: e AUTHENTICATE {mechanism}\nS: + \nC: {{plain bob pw}}"),
            false => format!("C: e AUTHENTICATE {mechanism} {{plain bob pw}}"),
        };
        Play::imap().same(&format!("= greeted\n{lines}\nS: e OK in"));
    }
}

#[test]
fn authenticate_login() {
    Play::imap().mail("imap_auth login;").same(
        r#"
        = greeted
        C: e AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: {b64 bob}
        S: + UGFzc3dvcmQ6
        C: {b64 pw}
        S: e OK in
        "#,
    );
    Play::imap().mail("imap_auth login;").same(
        r#"
        = greeted
        C: e AUTHENTICATE LOGIN {b64 bob}
        S: + UGFzc3dvcmQ6
        C: {b64 pw}
        S: e OK in
        "#,
    );
}

#[test]
fn plain_and_login_go_together() {
    Play::imap().mail("imap_auth plain;").same(
        r#"
        = greeted
        C: e AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: {b64 bob}
        S: + UGFzc3dvcmQ6
        C: {b64 pw}
        S: e OK in
        "#,
    );
    let neither = "imap_auth cram-md5;";
    Play::imap().mail(neither).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! only advertise `plain` and `login`
        N S: a OK in
        G S: a NO [CANNOT] mechanism not supported
        "#,
    );
}

#[test]
fn authenticate_cram_md5() {
    Play::imap()
        .mail("imap_auth plain cram-md5;")
        .answers(&["Auth-Status: OK\nAuth-Server: {up_ip}\nAuth-Port: {up_port}\nAuth-Pass: pw"])
        .differs(
            r#"
        = greeted
        C: a CAPABILITY
        ! The greeting is `* OK IMAP4 ready`
        N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS AUTH=PLAIN AUTH=CRAM-MD5
        G S: * CAPABILITY IMAP4rev1 UIDPLUS IDLE SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=CRAM-MD5
        S: a OK completed
        C: e AUTHENTICATE CRAM-MD5
        S: + {challenge}
        C: {cram bob pw}
        S: e OK in
        "#,
        );
}

#[test]
fn authenticate_external() {
    Play::imap()
        .mail("imap_auth plain external;")
        .answers(&["Auth-Status: OK\nAuth-Server: {up_ip}\nAuth-Port: {up_port}\nAuth-Pass: pw"])
        .differs(
            r#"
        = greeted
        C: a CAPABILITY
        ! The greeting is `* OK IMAP4 ready`
        N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS AUTH=PLAIN AUTH=EXTERNAL
        G S: * CAPABILITY IMAP4rev1 UIDPLUS IDLE SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=EXTERNAL
        S: a OK completed
        C: e AUTHENTICATE EXTERNAL
        S: + VXNlcm5hbWU6
        C: {b64 bob}
        S: e OK in
        "#,
        );
}

#[test]
fn challenges_only_where_they_are_listed() {
    Play::imap().server("max_errors 2;").differs(
        r#"
        = greeted
        C: e AUTHENTICATE CRAM-MD5
        ! A mechanism that is not offered is `BAD invalid command`
        N S: e BAD invalid command
        G S: e NO [CANNOT] mechanism not supported
        C: f AUTHENTICATE EXTERNAL
        N S: f BAD invalid command
        G S: f NO [CANNOT] mechanism not supported
        ! not counted against `max_errors`
        G S: <end>
        "#,
    );
}

#[test]
fn an_exchange_is_cancelled_or_broken() {
    Play::imap().mail("imap_auth plain login;").server("max_errors 50;").same(
        r#"
        = greeted
        C: e AUTHENTICATE PLAIN
        S: +\s
        C: *
        S: e BAD invalid command
        C: f AUTHENTICATE PLAIN
        S: +\s
        C: !!!
        S: f BAD invalid command
        L: [info] client sent invalid base64 encoding in AUTH PLAIN command while in auth state, client: {client}, server: {server}
        C: g AUTHENTICATE PLAIN {b64 nozeros}
        S: g BAD invalid command
        L: [info] client sent invalid login in AUTH PLAIN command while in auth state, client: {client}, server: {server}
        C: h AUTHENTICATE PLAIN {b64 \0onlyone}
        S: h BAD invalid command
        L: [info] client sent invalid {any} in AUTH PLAIN command while in auth state, client: {client}, server: {server}
        C: i AUTHENTICATE LOGIN !!!
        S: i BAD invalid command
        L: [info] client sent invalid base64 encoding in AUTH LOGIN command while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn an_empty_initial_response() {
    Play::imap().differs(
        r#"
        = greeted
        C: e AUTHENTICATE PLAIN =
        ! `AUTHENTICATE PLAIN =` is refused
        N S: e BAD invalid command
        G S: +\s
        G C: {plain bob pw}
        G S: e OK in
        "#,
    );
}

#[test]
fn the_authorization_identity() {
    let up = Backend::imap()
        .greets("* OK [CAPABILITY IMAP4rev1 ID SASL-IR AUTH=PLAIN] ready")
        .says("AUTHENTICATE", "TAG OK in");
    Play::imap().backend(up).differs(
        r#"
        = greeted
        C: e AUTHENTICATE PLAIN {b64 shared\0bob\0pw}
        S: e OK in
        ! the authorization identity of PLAIN is dropped
        N B: e LOGIN {3}
        N B: bob {2}
        N B: pw
        G B: g1 ID {any}
        G B: g2 AUTHENTICATE PLAIN {b64 shared\0bob\0pw}
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        ! `Auth-Authz-User`
        G A: Auth-Authz-User: shared
        "#,
    );
}

#[test]
fn an_unknown_command_with_a_literal_that_does_not_wait() {
    Play::imap().differs(
        r#"
        = greeted
        C: a APPEND x {5+}
        ! An unknown command whose literal does not wait
        N S: a BAD invalid command
        N S: <end>
        G C: hello
        G S: a BAD invalid command
        G C: b NOOP
        G S: b OK completed
        "#,
    );
}

#[test]
fn starttls() {
    let listed = "imap_capabilities IMAP4 IMAP4rev1 UIDPLUS; imap_auth plain;";
    Play::imap().mail(listed).server(STARTTLS).differs(
        r#"
        = greeted
        C: a CAPABILITY
        ! The greeting is `* OK IMAP4 ready`
        N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS AUTH=PLAIN STARTTLS
        G S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS SASL-IR ID LITERAL+ AUTH=PLAIN STARTTLS
        S: a OK completed
        C: b STARTTLS
        ! the same few words for everything
        N S: b OK completed
        G S: b OK begin TLS negotiation now
        = tls
        C: c CAPABILITY
        N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS AUTH=PLAIN
        G S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS SASL-IR ID LITERAL+ AUTH=PLAIN
        S: c OK completed
        C: d STARTTLS
        N S: d BAD invalid command
        G S: d BAD STARTTLS not available
        C: e LOGIN bob pw
        S: e OK in
        L: [info] client logged in, client: {client} using starttls, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn starttls_where_there_is_none() {
    Play::imap().differs(
        r#"
        = greeted
        C: a STARTTLS
        ! the same few words for everything
        N S: a BAD invalid command
        G S: a BAD STARTTLS not available
        "#,
    );
}

#[test]
fn starttls_only() {
    let only = "starttls only; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";
    Play::imap().server(only).differs(
        r#"
        = greeted
        C: a CAPABILITY
        ! The greeting is `* OK IMAP4 ready`
        N S: * CAPABILITY IMAP4 IMAP4rev1 UIDPLUS STARTTLS LOGINDISABLED
        G S: * CAPABILITY IMAP4rev1 UIDPLUS IDLE SASL-IR ID LITERAL+ STARTTLS LOGINDISABLED
        S: a OK completed
        C: b LOGIN bob pw
        ! A login before TLS under `starttls only` is `BAD invalid command`
        N S: b BAD invalid command
        G S: b NO [PRIVACYREQUIRED] use STARTTLS first
        C: c AUTHENTICATE PLAIN
        N S: c BAD invalid command
        G S: c NO [PRIVACYREQUIRED] use STARTTLS first
        C: d STARTTLS
        ! the same few words for everything
        N S: d OK completed
        G S: d OK begin TLS negotiation now
        = tls
        C: e LOGIN bob pw
        S: e OK in
        "#,
    );
}

#[test]
fn what_is_pipelined_behind_starttls() {
    Play::imap().server(STARTTLS).differs(
        r#"
        = greeted
        C: a STARTTLS\r\nb NOOP
        ! Bytes behind STARTTLS in the clear are thrown away
        N S: a OK completed
        N = tls
        N C: c NOOP
        N S: c OK completed
        G S: * BYE commands before the TLS negotiation was complete
        G S: <end>
        "#,
    );
}

#[test]
fn a_command_too_long() {
    let long = "x".repeat(1100);
    Play::imap().server("imap_client_buffer 1k;").differs(&format!(
        r#"
        = greeted
        C: a LOGIN {long} pw
        ! the same few words for everything
        N S: a BAD invalid command
        G S: * BYE command too long or out of step
        S: <end>
        L: [info] client sent too long command "{{any}}" while in auth state, client: {{client}}, server: {{server}}
        "#
    ));
}

#[test]
fn silence() {
    Play::imap().server("timeout 300ms;").differs(
        r#"
        = greeted
        ! A client that times out hears nothing
        G S: * BYE idle for too long
        S: <end>
        L: [info] client timed out (110: Connection timed out) while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn an_upstream_that_says_more_before_its_ok() {
    // From 1.27.3 on nginx lets one line pass; Debian's takes the first for the answer.
    let up = Backend::imap().says("LOGIN", "* CAPABILITY X\r\n* OK [ALERT] hello\r\nTAG OK in");
    Play::imap().backend(up).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! More than one untagged line before the answer
        N S: * BAD internal server error
        N S: <end>
        G S: * CAPABILITY X
        G S: * OK [ALERT] hello
        G S: a OK in
        G C: b NOOP
        G S: b OK done
        "#,
    );
}
