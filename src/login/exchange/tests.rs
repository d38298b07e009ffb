use proptest::prelude::*;

use super::*;
use crate::wire::sasl::encode;
use crate::wire::sasl::scram::Verifier;

/// RFC 7677 §3: what a server keeps of user's password, "pencil".
const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                      WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                      wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn guest() -> Guest {
    Guest { salt: "1.2".into(), ..Guest::default() }
}

/// Shows a step in one word or several, and says whether the exchange goes on.
fn shown(step: &Step) -> (String, bool) {
    match step {
        Step::Challenge(text) => (format!("+{}", text.escape_ascii()), true),
        Step::Broken(breach) => (breach.to_string(), false),
        Step::Consult(question) => (format!("asks {question:?}"), false),
        Step::Done(Attempt { user, authzid, secret, salt, disproved, .. }) => {
            let authzid = authzid.as_deref().unwrap_or_default();
            let parts = [&**user, authzid, secret.reveal()];
            let mut told = parts.map(|part| part.escape_ascii().to_string()).join("|");
            told.extend(salt.as_ref().map(|salt| format!("|{salt}")));
            told.push_str(if *disproved { " disproved" } else { "" });
            (told, false)
        }
    }
}

/// The whole exchange in one line: what is asked, then what it came to.
fn run_as(
    (guest, offer): (&Guest, &Offer),
    mechanism: Mechanism,
    initial: Option<&str>,
    answers: &[&str],
) -> String {
    let initial = initial.map(str::as_bytes);
    let (mut exchange, mut step) = Exchange::begin(mechanism, initial, guest, offer);
    let (mut told, mut answers) = (Vec::new(), answers.iter());
    loop {
        let (text, goes_on) = shown(&step);
        told.push(text);
        if !goes_on {
            assert_eq!(answers.next(), None, "an answer too many");
            return told.join(" ");
        }
        step = exchange.answer(answers.next().expect("another answer").as_bytes());
    }
}

fn run(mechanism: Mechanism, initial: Option<&str>, answers: &[&str]) -> String {
    run_as((&guest(), &Offer::default()), mechanism, initial, answers)
}

#[test]
fn plain_takes_its_message_at_once_or_when_asked() {
    let message = encode(b"\0tim\0tanstaaf");
    assert_eq!(run(Mechanism::Plain, Some(&message), &[]), "tim||tanstaaf");
    assert_eq!(run(Mechanism::Plain, None, &[&message]), "+ tim||tanstaaf");
}

#[test]
fn an_authzid_is_kept_only_where_it_differs() {
    let run = |message: &[u8]| run(Mechanism::Plain, Some(&encode(message)), &[]);
    assert_eq!(run(b"tim\0tim\0p"), "tim||p");
    assert_eq!(run(b"ursel\0kurt\0p"), "kurt|ursel|p");
}

#[test]
fn login_asks_for_what_it_was_not_told() {
    let (user, word) = (encode(b"tim"), encode(b"tans taaf"));
    assert_eq!(
        run(Mechanism::AuthLogin, None, &[&user, &word]),
        "+VXNlcm5hbWU6 +UGFzc3dvcmQ6 tim||tans taaf"
    );
    assert_eq!(run(Mechanism::AuthLogin, Some(&user), &[&word]), "+UGFzc3dvcmQ6 tim||tans taaf");
}

#[test]
fn cram_md5_answers_our_challenge() {
    // RFC 2195 §3
    let answer = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
    assert_eq!(
        run(Mechanism::CramMd5, None, &[answer]),
        "+PDEuMkBsb2NhbGhvc3Q+ tim||b913a602c7eda7a495b4e6e7334d3890|<1.2@localhost>"
    );
    assert_eq!(encode(b"<1.2@localhost>"), "PDEuMkBsb2NhbGhvc3Q+");
}

#[test]
fn external_goes_by_the_certificate_or_by_a_name() {
    let with = Guest { certificate: Some(b"tim"[..].into()), ..guest() };
    let asks = Offer { asks_certificates: true, ..Offer::default() };
    let kurt = encode(b"kurt");
    for (guest, offer, initial, answers, want) in [
        (&with, &asks, None, &[""][..], "+ tim||"),
        (&with, &asks, Some("="), &[], "tim||"),
        (&with, &asks, None, &[&kurt], "+ kurt||"),
        (&with, &asks, Some(&*kurt), &[], "kurt||"),
        // Where nobody is asked for a certificate, it is as with nginx.
        (&guest(), &Offer::default(), None, &[&kurt], "+VXNlcm5hbWU6 kurt||"),
        (&guest(), &Offer::default(), None, &[""], "+VXNlcm5hbWU6 empty user in SASL credentials"),
        (&guest(), &Offer::default(), Some("="), &[], "empty user in SASL credentials"),
        // The front does not offer this.
        (&guest(), &asks, Some("="), &[], "empty user in SASL credentials"),
    ] {
        assert_eq!(run_as((guest, offer), Mechanism::External, initial, answers), want);
    }
    let odd = Guest { certificate: Some(b"tim\nDELE 1"[..].into()), ..guest() };
    let told = run_as((&odd, &asks), Mechanism::External, Some("="), &[]);
    assert_eq!(told, "CR, LF or NUL in SASL credentials");
}

#[test]
fn a_bearer_brings_its_token() {
    let google = encode(b"user=tim\x01auth=Bearer ya29.x\x01\x01");
    assert_eq!(run(Mechanism::XOauth2, Some(&google), &[]), "tim||ya29.x");
    assert_eq!(run(Mechanism::XOauth2, None, &[&google]), "+ tim||ya29.x");
    let rfc = encode(b"n,a=t=2Cim,\x01host=h\x01port=1\x01auth=Bearer ya29.x\x01\x01");
    assert_eq!(run(Mechanism::OauthBearer, Some(&rfc), &[]), "t,im||ya29.x");
    assert_eq!(run(Mechanism::OauthBearer, None, &[&rfc]), "+ t,im||ya29.x");
    assert_eq!(run(Mechanism::OauthBearer, Some(&google), &[]), "malformed SASL message");
}

/// A SCRAM exchange up to our challenge: the nonce of both, and what was asked.
fn scram(first: &str, verifier: Verifier) -> (Exchange, String, Attempt) {
    let initial = encode(first.as_bytes());
    let (mut exchange, step) = Exchange::begin(
        Mechanism::ScramSha256,
        Some(initial.as_bytes()),
        &guest(),
        &Offer::default(),
    );
    let Step::Consult(Question::Verifier(attempt)) = step else { panic!("{step:?}") };
    let Step::Challenge(text) = exchange.advised(Advice::Verifier(verifier)) else { panic!() };
    let mut message = Vec::new();
    assert!(sasl::decode(&text, &mut message));
    let message = String::from_utf8(message).unwrap();
    let (nonce, rest) = message.strip_prefix("r=").unwrap().split_once(',').unwrap();
    assert_eq!(rest, "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    (exchange, nonce.to_owned(), *attempt)
}

/// The client's last message, as RFC 5802 §3 has it made, and the answer it waits for.
fn proven(first_bare: &str, nonce: &str, password: &str) -> (String, String) {
    use aws_lc_rs::{digest, hmac, pbkdf2};

    let mut salt = Vec::new();
    assert!(sasl::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==", &mut salt));
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    let (mut salted, count) = ([0; 32], 4096.try_into().unwrap());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, password.as_bytes(), &mut salted);
    let client_key = hmac::sign(&key(&salted), b"Client Key");
    let server_key = hmac::sign(&key(&salted), b"Server Key");
    let stored = digest::digest(&digest::SHA256, client_key.as_ref());
    let last = format!("c=biws,r={nonce}");
    let signed = format!("{first_bare},r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,{last}");
    let mask = hmac::sign(&key(stored.as_ref()), signed.as_bytes());
    let proof: Vec<_> =
        client_key.as_ref().iter().zip(mask.as_ref()).map(|(one, two)| one ^ two).collect();
    let signature = hmac::sign(&key(server_key.as_ref()), signed.as_bytes());
    (
        encode(format!("{last},p={}", encode(&proof)).as_bytes()),
        encode(format!("v={}", encode(signature.as_ref())).as_bytes()),
    )
}

#[test]
fn scram_is_proved_by_both_sides() {
    let pencil = || Verifier::parse(PENCIL.as_bytes()).unwrap();
    let (mut exchange, nonce, asked) = scram("n,a=boss,n=user,r=rOprNGfw", pencil());
    assert!(nonce.starts_with("rOprNGfw") && nonce.len() == "rOprNGfw".len() + 24);
    assert_eq!((&*asked.user, asked.mailbox()), (&b"user"[..], &b"boss"[..]));
    assert!(asked.secret.reveal().is_empty());
    // With the header that the client really sent: n,a=boss,
    let (last, _) = proven("n=user,r=rOprNGfw", &nonce, "pencil");
    assert_eq!(
        shown(&exchange.answer(last.as_bytes())).0,
        "SASL channel binding that is not offered"
    );

    let (mut exchange, nonce, _) = scram("n,,n=user,r=rOprNGfw", pencil());
    let (last, signature) = proven("n=user,r=rOprNGfw", &nonce, "pencil");
    assert_eq!(shown(&exchange.answer(last.as_bytes())).0, format!("+{signature}"));
    assert_eq!(shown(&exchange.answer(b"")).0, "user||");
    assert!(matches!(exchange.answer(b""), Step::Broken(Breach::NotGoingOn)));
}

#[test]
fn a_wrong_proof_goes_to_the_desk_as_disproved() {
    for (verifier, password) in [
        (Verifier::parse(PENCIL.as_bytes()).unwrap(), "pen"),
        (
            Verifier {
                salt: Verifier::parse(PENCIL.as_bytes()).unwrap().salt,
                ..Verifier::fake(b"user", b"k")
            },
            "pencil",
        ),
    ] {
        let (mut exchange, nonce, _) = scram("n,,n=user,r=x", verifier);
        let (last, _) = proven("n=user,r=x", &nonce, password);
        assert_eq!(shown(&exchange.answer(last.as_bytes())).0, "user|| disproved");
    }
}

#[test]
fn scram_waits_for_its_first_message_and_can_be_cancelled() {
    let first = encode(b"n,,n=user,r=x");
    let told = run(Mechanism::ScramSha256, None, &[&first]);
    assert!(told.starts_with("+ asks Verifier(Attempt { mechanism: ScramSha256"), "{told}");
    let (mut exchange, _, _) = scram("n,,n=user,r=x", Verifier::parse(PENCIL.as_bytes()).unwrap());
    assert!(matches!(exchange.answer(b"*"), Step::Broken(Breach::Cancelled)));
}

/// A GSSAPI exchange in one line, with a desk that says this.
fn gssapi(initial: Option<&str>, rounds: Vec<(&str, Advice)>) -> String {
    let initial = initial.map(str::as_bytes);
    let (mut exchange, mut step) =
        Exchange::begin(Mechanism::Gssapi, initial, &guest(), &Offer::default());
    let mut told = Vec::new();
    for (answer, advice) in rounds {
        if let Step::Challenge(text) = &step {
            told.push(format!("+{}", text.escape_ascii()));
            step = exchange.answer(answer.as_bytes());
        }
        match step {
            Step::Consult(Question::Token { token, .. }) => {
                told.push(token.escape_ascii().to_string())
            }
            other => return told.join(" ") + " " + &shown(&other).0,
        }
        step = exchange.advised(advice);
    }
    told.push(shown(&step).0);
    told.join(" ")
}

#[test]
fn gssapi_hands_tokens_to_and_fro_until_the_desk_knows() {
    let known = |user: &str, authzid: Option<&str>| Advice::Known {
        user: user.as_bytes().into(),
        authzid: authzid.map(|name| name.as_bytes().into()),
    };
    let token = |text: &str| Advice::Token(text.as_bytes().to_vec());
    assert_eq!(
        gssapi(
            None,
            vec![("QUE=", token("b")), ("", token("c")), ("REQ=", known("tim", Some("kurt")))]
        ),
        "+ AA +Yg==  +Yw== DD tim|kurt|"
    );
    assert_eq!(gssapi(Some("QUE="), vec![("", known("tim", Some("tim")))]), "AA tim||");
    assert_eq!(gssapi(Some("QUE="), vec![("", known("tim", Some("")))]), "AA tim||");
    for (user, authzid, want) in [
        ("", None, "empty user in SASL credentials"),
        ("tim\r\nDELE 1", None, "CR, LF or NUL in SASL credentials"),
        ("tim", Some("k\0"), "CR, LF or NUL in SASL credentials"),
    ] {
        assert_eq!(gssapi(Some("QUE="), vec![("", known(user, authzid))]), format!("AA {want}"));
    }
    let endless: Vec<_> = (0..20).map(|_| ("QUE=", token("b"))).collect();
    assert!(gssapi(None, endless).ends_with("+Yg== SASL message too long"));
}

#[test]
fn advice_that_was_not_asked_for_breaks_the_exchange() {
    let (mut exchange, _) = Exchange::begin(Mechanism::Plain, None, &guest(), &Offer::default());
    let step = exchange.advised(Advice::Token(Vec::new()));
    assert!(matches!(step, Step::Broken(Breach::NotGoingOn)));
    assert!(matches!(exchange.answer(b"AHUAcA=="), Step::Broken(Breach::NotGoingOn)));
}

#[test]
fn names_each_breach() {
    let injected = encode(b"u\r\nDELE 1");
    let long = "A".repeat(MAX_ENCODED + 4);
    let digest = "b913a602c7eda7a495b4e6e7334d3890";
    let cram = |name: &str| encode(format!("{name} {digest}").as_bytes());
    let control = "CR, LF or NUL in SASL credentials";
    for (mechanism, initial, answers, want) in [
        (Mechanism::Plain, None, &["*"][..], "+ authentication cancelled"),
        (Mechanism::Plain, None, &["&"], "+ invalid base64 encoding in AUTH"),
        (Mechanism::Plain, Some("*"), &[], "invalid base64 encoding in AUTH"),
        (Mechanism::Plain, Some("="), &[], "malformed SASL message"),
        (Mechanism::Plain, None, &["="], "+ invalid base64 encoding in AUTH"),
        (Mechanism::Plain, None, &[""], "+ malformed SASL message"),
        (Mechanism::Plain, None, &[&long], "+ SASL message too long"),
        (Mechanism::AuthLogin, Some("="), &[], "empty user in SASL credentials"),
        (Mechanism::AuthLogin, Some(&injected), &[], control),
        (Mechanism::AuthLogin, Some("dQ=="), &["*"], "+UGFzc3dvcmQ6 authentication cancelled"),
        (Mechanism::AuthLogin, Some("dQ=="), &[&injected], &format!("+UGFzc3dvcmQ6 {control}")),
        (Mechanism::CramMd5, Some("="), &[], "malformed SASL message"),
        (Mechanism::CramMd5, Some(&cram("u\nDELE 1")), &[], control),
        (Mechanism::CramMd5, Some(&cram("u\0")), &[], control),
        (Mechanism::External, Some(&injected), &[], control),
        (Mechanism::XOauth2, Some("="), &[], "malformed SASL message"),
        (Mechanism::XOauth2, Some(&encode(b"user=u\r\n\x01auth=Bearer t\x01\x01")), &[], control),
        (
            Mechanism::XOauth2,
            Some(&encode(b"user=u\x01auth=Bearer t\r\n\x01\x01")),
            &[],
            "no bearer token in SASL credentials",
        ),
        (Mechanism::OauthBearer, Some(&encode(b"n,a=u\n,\x01auth=Bearer t\x01\x01")), &[], control),
        (Mechanism::ScramSha256, Some(&encode(b"n,,n=u\r\n,r=x")), &[], control),
        (
            Mechanism::ScramSha256,
            Some(&encode(b"p=tls-exporter,,n=u,r=x")),
            &[],
            "SASL channel binding that is not offered",
        ),
        (Mechanism::Gssapi, None, &["&"], "+ invalid base64 encoding in AUTH"),
        (Mechanism::Login, None, &[], "no exchange is going on"),
        (Mechanism::Apop, Some("dQ=="), &[], "no exchange is going on"),
        (Mechanism::Unasked, None, &[], "no exchange is going on"),
    ] {
        assert_eq!(run(mechanism, initial, answers), want);
    }
}

proptest! {
    #[test]
    fn holds_for_any_lines(messages in prop::collection::vec(
        prop::collection::vec(prop::sample::select(b"\0\0up\r\n*\x01,n=\xff".to_vec()), 0..9), 0..4)) {
        let lines: Vec<_> = messages.iter().map(|message| encode(message)).collect();
        hold_for_any(lines.join("\n").as_bytes());
        hold_for_any(&messages.join(&b'\n'));
    }

    #[test]
    fn holds_for_messages_of_every_mechanism(
        name in "[a,=\r\n\0\u{fc}]{0,3}",
        token in "[a.=\n]{1,3}",
        rest in prop::collection::vec(prop::sample::select(vec!["", "*", "=", "YQ==", "YmM=", "x"]), 0..12),
    ) {
        for message in [
            format!("{name}\0{name}\0{token}"),
            format!("{name} b913a602c7eda7a495b4e6e7334d3890"),
            format!("user={name}\u{1}auth=Bearer {token}\u{1}\u{1}"),
            format!("n,a={name},\u{1}auth=Bearer {token}\u{1}\u{1}"),
            format!("n,,n={name},r={token}"),
            name,
        ] {
            let message = encode(message.as_bytes());
            hold_for_any(format!("{message}\n{}", rest.join("\n")).as_bytes());
            hold_for_any(format!("\n{message}\n{}", rest.join("\n")).as_bytes());
        }
    }
}
