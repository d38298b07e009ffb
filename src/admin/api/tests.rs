use bytes::Bytes;

use super::*;

fn body(text: &str) -> Asked {
    Asked::Body(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_question_is_read_from_a_query_or_a_body() {
    let ask: SessionsAsk =
        Asked::Query("user=m%C3%BCller%40a.example&limit=5&after=7".into()).read().unwrap();
    assert_eq!(ask.user.as_deref(), Some("müller@a.example"));
    assert_eq!((ask.limit, ask.after), (Some(5), Some(7)));
    let ask: SessionsAsk = body(r#"{"limit": 5, "after": "7"}"#).read().unwrap();
    assert_eq!((ask.limit, ask.after), (Some(5), Some(7)));
    let ask: MaintainAsk =
        body(r#"{"until": "2026-11-20T20:22:18+02:00", "text": "back at nine"}"#).read().unwrap();
    assert_eq!(ask.until.unwrap().to_string(), "2026-11-20T18:22:18Z");
    // Nobody need say that there is nothing to say.
    assert_eq!(body("").read::<MaintainAsk>().unwrap(), MaintainAsk::default());
    let to = body(r#"{"user": "bob", "to": "10.0.0.1:143"}"#).read::<MoveAsk>().unwrap();
    assert_eq!(to, MoveAsk { user: "bob".into(), to: Some("10.0.0.1:143".into()) });
    let ask: UserAsk = Asked::Query("user=a+b%2Bc".into()).read().unwrap();
    assert_eq!(ask.user, "a b+c");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    fn refused<T: Ask>(asked: Asked, code: &str, want: &str) {
        match asked.read::<T>() {
            Ok(_) => panic!("{asked:?} was understood"),
            Err(problem) => {
                assert_eq!(problem.code, code, "{asked:?}");
                assert!(problem.text.contains(want), "{asked:?}: {}", problem.text);
            }
        }
    }
    let query = |text: &str| Asked::Query(text.to_owned());
    let bad = "bad_request";
    refused::<Nothing>(query("x=1"), "unknown_field", "unknown field `x`");
    refused::<UserAsk>(
        body(r#"{"user": "bob", "usr": "x"}"#),
        "unknown_field",
        "unknown field `usr`, expected `user`",
    );
    refused::<UserAsk>(body("{}"), bad, "missing field `user`");
    refused::<UserAsk>(body(r#"{"user": ""}"#), bad, "\"user\" is empty");
    refused::<UserAsk>(body(r#"{"user": 5}"#), bad, "expected a string");
    refused::<UserAsk>(body(r#"{"user": "a\nb"}"#), bad, "a control character");
    refused::<UserAsk>(query("user=a%0Ab"), bad, "a control character");
    refused::<UserAsk>(body(&format!(r#"{{"user": "{}"}}"#, "x".repeat(1025))), bad, "longer");
    refused::<UserAsk>(body("[]"), bad, "must be a JSON object");
    refused::<UserAsk>(body("{"), bad, "no JSON");
    refused::<UserAsk>(body(&"[".repeat(60_000)), bad, "no JSON: recursion limit");
    refused::<UserAsk>(query("user=a&user=b"), bad, "given twice");
    for wrong in ["user=%", "user=%4", "user=%zz", "user=%+1", "user=%ff"] {
        refused::<UserAsk>(query(wrong), bad, "percent-encoded UTF-8");
    }
    refused::<SessionsAsk>(query("limit=0"), bad, "from 1 to 1000");
    refused::<SessionsAsk>(query("limit=1001"), bad, "from 1 to 1000");
    refused::<SessionsAsk>(query("limit=many"), bad, "\"many\" is no number");
    refused::<SessionsAsk>(query("limit=-1"), bad, "\"-1\" is no number");
    refused::<PurgeAsk>(body("{}"), bad, "give one of");
    refused::<PurgeAsk>(body(r#"{"all": true, "domain": "x"}"#), bad, "give one of");
    refused::<PurgeAsk>(body(r#"{"users": ["a", ""]}"#), bad, "\"users\" is empty");
    let many = format!(r#"{{"users": [{}]}}"#, vec![r#""a""#; 101].join(","));
    refused::<PurgeAsk>(body(&many), bad, "more than 100 users");
    refused::<ForgiveAsk>(body("{}"), bad, "give one of");
    refused::<ListAsk>(query("user=a&domain=b"), bad, "not both");
    refused::<MaintainAsk>(body(r#"{"until": "soon"}"#), bad, "\"soon\" is no time");
    refused::<MaintainAsk>(body(r#"{"text": "zurück"}"#), bad, "printable ASCII");
    refused::<DoctorAsk>(body(r#"{"name": "x", "password": "y"}"#), bad, "without \"login\"");
}

#[test]
fn a_password_is_not_shown() {
    let ask: DoctorAsk =
        body(r#"{"name": "imap", "login": "bob", "password": "tanstaaf"}"#).read().unwrap();
    assert!(!format!("{ask:?}").contains("tanstaaf"));
    let wrong = body(r#"{"name": "imap", "password": ["tanstaaf"]}"#).read::<DoctorAsk>();
    assert!(!wrong.unwrap_err().text.contains("tanstaaf"));
}

#[test]
fn a_status_is_as_its_worst_part() {
    for (usable, servers, want) in
        [(2, 2, Health::Ok), (1, 2, Health::Degraded), (0, 2, Health::Down), (0, 0, Health::Ok)]
    {
        assert_eq!(Part::of("x", usable, servers).state, want);
    }
}

#[test]
fn zimbras_lists_are_of_what_is_configured() {
    use crate::admin::fake::Fake;
    use crate::admin::ops::Ops;
    let fake = Fake::default();
    let lists = Lists::of(
        &answer_of(fake.lookups()),
        &answer_of(fake.upstreams()),
        &answer_of(fake.caches()),
    );
    let path = "/service/extension/nginx-lookup";
    assert_eq!(
        lists.lookups,
        [format!("store1.example:7072{path}"), format!("store2.example:7072{path}")]
    );
    assert_eq!(lists.auth_urls, [format!("http://store1.example:7072{path}")]);
    assert_eq!(lists.backends, ["10.0.0.1:143", "10.0.0.2:143"]);
    assert_eq!(lists.caches, ["10.0.0.8:11211", "10.0.0.9:11211"]);
}

/// What is ready at once.
fn answer_of<T>(mut reply: crate::admin::ops::Reply<'_, T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match reply.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => answer.unwrap(),
        std::task::Poll::Pending => panic!("the fake keeps nobody waiting"),
    }
}

proptest::proptest! {
    #[test]
    fn holds_for_any_question(
        input in "[{}\\[\\]\":,%&=a-z0-9 ]{0,64}|\\PC{0,48}",
    ) {
        hold_for_any(input.as_bytes());
    }

    #[test]
    fn holds_for_what_is_nearly_one(
        field in "user|domain|limit|after|all|users|text|until|name|password|key",
        value in "\"\\PC{0,16}\"|[0-9]{1,22}|true|null|\\[\"a\"\\]|\\{\\}",
    ) {
        hold_for_any(format!("{{\"{field}\":{value}}}").as_bytes());
        hold_for_any(format!("{field}={value}").as_bytes());
    }
}
