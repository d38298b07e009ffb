use super::*;
use crate::login::Question;
use crate::login::play::{Player, play, play_among};
use crate::login::{Mechanisms, Secured};
use crate::wire::sasl;

fn offer() -> Offer {
    Offer {
        capabilities: vec!["NOTIFY mailto".to_owned(), "SIEVE fileinto vacation".to_owned()],
        starttls: StartTls::On,
        has_tls: true,
        ..Offer::default()
    }
}

fn front(offer: Offer) -> Front {
    Front::new(Arc::new(offer), Guest::default())
}

fn trusted(offer: Offer) -> Front {
    Front::new(Arc::new(offer), Guest { trusted: true, ..Guest::default() })
}

/// What is said and wanted after `bytes`, without the greeting.
fn hears(front: Front, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut player = Player::open(front, 'S');
    player.told.clear();
    player.hear(bytes.as_ref());
    player.told.into()
}

/// What is listed in the greeting.
fn lists(front: Front) -> Vec<String> {
    let mut told: Vec<_> = Player::open(front, 'S').told.into();
    assert_eq!(told.pop().as_deref(), Some("S: OK \"gatepost ready\""));
    told
}

#[test]
fn transcripts_are_played() {
    // Sorted as they are sent: what is configured stands between what must be there.
    play(front(offer()), include_str!("../../../../tests/transcripts/sieve/front-commands.txt"));
    let patient = Offer { max_errors: 9, ..offer() };
    play(front(patient), include_str!("../../../../tests/transcripts/sieve/front-login.txt"));
    let only = Offer { starttls: StartTls::Only, ..offer() };
    play(
        trusted(only),
        include_str!("../../../../tests/transcripts/sieve/front-starttls-only.txt"),
    );
}

#[test]
fn only_what_works_here_and_now_is_listed() {
    let odd = Offer {
        capabilities: [
            "implementation Some \"thing\"",
            "SASL GSSAPI",
            "starttls",
            "XCLIENT",
            "OWNER mrose",
            "UNAUTHENTICATE",
            "",
            "MAXREDIRECTS 4",
            "maxredirects 5",
            "SIEVE",
            "VERSION 2.0",
            "LANGUAGE",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Offer::default()
    };
    let listed = [
        "S: \"IMPLEMENTATION\" \"Some \\\"thing\\\"\"",
        "S: \"MAXREDIRECTS\" \"4\"",
        "S: \"SIEVE\" \"\"",
        "S: \"VERSION\" \"2.0\"",
        "S: \"LANGUAGE\"",
        "S: \"SASL\" \"PLAIN LOGIN\"",
    ];
    assert_eq!(lists(front(odd)), listed);
    // RFC 5804 §1.7: these three must be there.
    let bare = ["\"IMPLEMENTATION\" \"gatepost\"", "\"SIEVE\" \"\"", "\"VERSION\" \"1.0\""];
    let told = lists(front(Offer::default()));
    assert!(bare.iter().all(|line| told.contains(&format!("S: {line}"))), "{told:?}");
}

#[test]
fn what_is_offered_hangs_on_tls_certificate_and_trust() {
    let all = Mechanisms::of(&[Mechanism::Plain, Mechanism::External, Mechanism::Unasked]);
    let offer = Offer { mechanisms: all, asks_certificates: true, ..offer() };
    let listing = |offer: &Offer, guest: Guest| {
        let told = lists(Front::new(Arc::new(offer.clone()), guest));
        let is_ours = |line: &&String| {
            ["S: \"SASL", "S: \"STARTTLS", "S: \"XCLIENT"].iter().any(|own| line.starts_with(own))
        };
        told.iter().filter(is_ours).map(|line| line[3..].to_owned()).collect::<Vec<_>>()
    };
    let clear = Guest::default();
    let secure = Guest { secure: true, ..Guest::default() };
    let known = Guest { certificate: Some(b"mrose".as_slice().into()), ..secure.clone() };
    let trusted = Guest { trusted: true, ..Guest::default() };
    let only = Offer { starttls: StartTls::Only, ..offer.clone() };
    let without = Offer { has_tls: false, ..offer.clone() };
    for (offer, guest, want) in [
        (&offer, &clear, &["\"SASL\" \"PLAIN\"", "\"STARTTLS\""][..]),
        (&offer, &secure, &["\"SASL\" \"PLAIN\""]),
        (&offer, &known, &["\"SASL\" \"PLAIN EXTERNAL\""]),
        (&offer, &trusted, &["\"SASL\" \"PLAIN\"", "\"STARTTLS\"", "\"XCLIENT\""]),
        (&only, &clear, &["\"SASL\" \"\"", "\"STARTTLS\""]),
        (&only, &secure, &["\"SASL\" \"PLAIN\""]),
        (&without, &clear, &["\"SASL\" \"PLAIN\""]),
    ] {
        assert_eq!(listing(offer, guest.clone()), want);
    }
}

#[test]
fn a_greeting_is_a_string_whatever_it_holds() {
    let greets = |greeting: &str| {
        let offer = Offer { greeting: greeting.to_owned(), ..offer() };
        Player::open(front(offer), 'S').told.pop_back()
    };
    assert_eq!(greets("a \"b\"\r\nNO").as_deref(), Some("S: OK \"a \\\"b\\\"  NO\""));
    assert_eq!(greets("").as_deref(), Some("S: OK"));
}

#[test]
fn the_last_breach_that_is_borne_is_answered_and_closes() {
    let offer = Offer { max_errors: 3, ..offer() };
    let bytes = "X\r\n\r\nNOOP\nNOOP\r\n";
    assert_eq!(
        hears(front(offer), bytes),
        [
            "S: NO \"invalid command\"",
            "S: NO \"invalid command\"",
            "S: NO \"bare LF\"",
            "S: BYE \"too many invalid commands\"",
            "= close",
        ]
    );
}

#[test]
fn what_cannot_be_read_past_closes() {
    let bye = ["S: BYE \"command too long or out of step\"", "= close"];
    let long = format!("NOOP \"{}\"\r\n", "x".repeat(9000));
    for bytes in [&long, "NOOP {9000+}\r\n", "NO\0P {5+}\r\nNOOP\r\n", "NOOP {1+}\n"] {
        assert_eq!(hears(front(offer()), bytes), bye, "{:?}", &bytes[..12.min(bytes.len())]);
    }
    let long = format!("AUTHENTICATE \"PLAIN\"\r\n\"{}\"\r\n", "x".repeat(13_000));
    assert_eq!(hears(front(offer()), long)[1..], bye);
}

#[test]
fn a_token_may_be_longer_than_any_command() {
    let message = sasl::encode(&[b"\0mrose\0", &[b'x'; 4000][..]].concat());
    let offer = Offer { client_buffer: 1024, ..offer() };
    for bytes in [
        format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{message}\r\n", message.len()),
        format!("AUTHENTICATE \"PLAIN\" \"{message}\"\r\n"),
    ] {
        let told = hears(front(offer.clone()), bytes);
        assert!(told.len() == 1 && told[0].starts_with("= rule on mrose with xxxx"), "{told:?}");
    }
}

#[test]
fn a_refused_token_is_told_what_was_wrong_with_it() {
    let offer = Offer { max_errors: 5, ..offer() };
    for (answer, close) in [("\"AQ==\"", false), ("\"*\"", true), ("nonsense", false)] {
        // As after an exchange by OAUTHBEARER.
        let mut front = Front::new(Arc::new(offer.clone()), Guest::default());
        front.state = State::Deciding { bearer: true };
        let mut act = Vec::new();
        let no = Refusal {
            sasl: Some("eyJzdGF0dXMiOiI0MDEifQ==".to_owned()),
            close,
            ..Refusal::new(Kind::BadCredentials)
        };
        front.on(Event::Ruled(Err(no)), &mut act);
        let Some(Action::Say(said)) = act.pop() else { panic!("nothing is said") };
        assert_eq!(said, b"\"eyJzdGF0dXMiOiI0MDEifQ==\"\r\n");
        let line = format!("{answer}\r\n");
        match front.parse(line.as_bytes()) {
            Parsed::Whole(heard, _) => front.on(Event::Command(heard), &mut act),
            Parsed::Broken(breach, _) => front.on(Event::Breach(breach), &mut act),
            Parsed::More => panic!("it is whole"),
        }
        let said = match &act[0] {
            Action::Say(said) => String::from_utf8_lossy(said),
            other => panic!("{other:?}"),
        };
        let verb = if close { "BYE" } else { "NO" };
        assert_eq!(said, format!("{verb} \"invalid user or password\"\r\n"));
        assert_eq!(act.len() == 2, close);
    }
}

#[test]
fn a_refused_password_gets_no_challenge() {
    let mut player = Player::open(front(offer()), 'S');
    player.told.clear();
    player.hear(b"AUTHENTICATE \"PLAIN\" \"AG1yb3NlAHRhbnN0YWFm\"\r\n");
    player.told.clear();
    let sasl = Some("e30=".to_owned());
    player.happens(Event::Ruled(Err(Refusal { sasl, ..Refusal::new(Kind::Unavailable) })));
    assert_eq!(player.told, ["S: NO (TRYLATER) \"service unavailable, try again later\""]);
}

#[test]
fn advice_that_is_refused_ends_the_exchange() {
    let (mut front, mut act) = (front(offer()), Vec::new());
    front.on(Event::Opened, &mut act);
    let (exchange, _) =
        Exchange::begin(Mechanism::Plain, None, &Guest::default(), &Offer::default());
    act.clear();
    front.state = front.stepped(
        exchange,
        Step::Consult(Question::Token { token: Vec::new(), is_first: true }),
        &mut act,
    );
    assert!(matches!(act.pop(), Some(Action::Consult(_))));
    front.on(Event::Advised(Err(Refusal::new(Kind::BadCredentials))), &mut act);
    assert!(matches!(front.state, State::Ready));
    let Some(Action::Say(said)) = act.pop() else { panic!("nothing is said") };
    assert_eq!(said, b"NO \"invalid user or password\"\r\n");
}

#[test]
fn whoever_is_let_in_hears_one_reply() {
    for (text, want) in [
        (None, "OK \"logged in\"\r\n"),
        (Some("\"Logged in.\""), "OK \"Logged in.\"\r\n"),
        (Some("(WARNINGS) \"a\""), "OK (WARNINGS) \"a\"\r\n"),
        (Some("(WARNINGS)"), "OK (WARNINGS)\r\n"),
        (Some("Logged in."), "OK \"Logged in.\"\r\n"),
        (Some("\"a\"\r\nNO \"b\""), "OK \"\\\"a\\\"  NO \\\"b\\\"\"\r\n"),
        (Some("{2}\r\nab"), "OK \"{2}  ab\"\r\n"),
        (Some("(TAG {2}"), "OK \"(TAG {2}\"\r\n"),
    ] {
        let text = text.map(|text| text.as_bytes().to_vec());
        let said = welcome(Granted { text, ..Granted::default() });
        assert_eq!(String::from_utf8(said).unwrap(), want);
    }
    let untagged = b"\"OWNER\" \"mrose\"\r\n".to_vec();
    let said = welcome(Granted { untagged, ..Granted::default() });
    assert_eq!(said, b"\"OWNER\" \"mrose\"\r\nOK \"logged in\"\r\n");
}

#[test]
fn another_host_may_answer_once_tls_is_up() {
    let other = Arc::new(Offer { name: "other".to_owned(), ..Offer::default() });
    play_among(
        front(Offer { capabilities: Vec::new(), ..offer() }),
        "
        S: \"IMPLEMENTATION\" \"gatepost\"
        S: \"SASL\" \"PLAIN LOGIN\"
        S: \"STARTTLS\"
        S: \"SIEVE\" \"\"
        S: \"VERSION\" \"1.0\"
        S: OK \"gatepost ready\"
        C: STARTTLS
        S: OK \"begin TLS negotiation now\"
        = start tls
        > secured as other
        S: \"IMPLEMENTATION\" \"gatepost\"
        S: \"SASL\" \"PLAIN LOGIN\"
        S: \"SIEVE\" \"\"
        S: \"VERSION\" \"1.0\"
        S: OK \"TLS negotiation successful\"
        ",
        &[other],
    );
}

#[test]
fn a_count_of_hops_is_taken_from_anyone_and_no_more() {
    let told = hears(
        front(offer()),
        "XCLIENT ADDR=192.0.2.1 PORT=1 SESSION=x TTL=2\r\n\
         AUTHENTICATE \"PLAIN\" \"AG1yb3NlAHRhbnN0YWFm\"\r\n",
    );
    assert_eq!(told[1], "= rule on mrose with tanstaaf by auth-plain claiming ttl=2");
}

#[test]
fn no_decoded_credential_can_end_a_line() {
    for message in [&b"\0u\r\nNOOP\0p"[..], b"\0u\0p\r\nNOOP", b"a\n\0u\0p", b"\0u\0p\0q"] {
        let line = format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", sasl::encode(message));
        let told = hears(front(offer()), line);
        assert!(told.len() == 1 && told[0].starts_with("S: NO \""), "{told:?}");
    }
}

#[test]
fn our_own_bug_is_not_the_clients() {
    let (mut front, mut act) = (front(offer()), Vec::new());
    front.on(Event::Secured(Secured::default()), &mut act);
    assert!(matches!(act.as_slice(), [Action::Say(said), Action::Close]
        if said == words::SIEVE.internal_error.as_bytes()));
}
