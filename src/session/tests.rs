//! What the driver promises whatever the protocol, tried on one that has lines and little else. The
//! clock is paused: it moves only when everybody waits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::driver::{Done, Ended, Patience, Watcher, admit};
use super::upgrade::{Upgrade, Upgraded};
use crate::login::{
    Action, Advice, Attempt, Bar, Desk, Dialogue, Event, Granted, Kind, Mechanism, Question,
    Refusal, Secret, Secured, Words, words,
};
use crate::net::halt::{Trigger, halt};
use crate::net::{Plain, Stream};
use crate::wire::Parsed;

/// `login`, `ask`, `tls`, `quit`; `?…` is no command; all else is answered with `ok`.
struct Lines;

#[derive(Debug, thiserror::Error)]
#[error("no command")]
struct NoCommand;

impl Dialogue for Lines {
    type Command<'a> = &'a str;
    type Breach = NoCommand;
    const WORDS: &'static Words = &words::IMAP;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<&'a str, NoCommand> {
        match unread.iter().position(|byte| *byte == b'\n') {
            None => Parsed::More,
            Some(end) if unread[0] == b'?' => Parsed::Broken(NoCommand, end + 1),
            Some(end) => Parsed::Whole(std::str::from_utf8(&unread[..end]).unwrap(), end + 1),
        }
    }

    fn on(&mut self, event: Event<&str, NoCommand>, act: &mut Vec<Action>) {
        let attempt = || Attempt::new(Mechanism::Login, *b"mrose", Secret::new(b"pw"));
        let (said, then) = match event {
            Event::Opened => ("hello\n", None),
            Event::Command("login") => ("", Some(Action::Rule(attempt()))),
            Event::Command("ask") => {
                ("", Some(Action::Consult(Question::Token { token: Vec::new(), is_first: true })))
            }
            Event::Command("tls") => ("begin\n", Some(Action::StartTls)),
            Event::Command("quit") => ("bye\n", Some(Action::Close)),
            Event::Command("much") => return act.push(Action::Say(vec![b'x'; 8 << 20])),
            Event::Command(_) => ("ok\n", None),
            Event::Breach(_) => ("bad\n", Some(Action::Breach("nonsense".to_owned()))),
            Event::Secured(_) => ("safe\n", None),
            Event::Advised(_) => ("advised\n", None),
            Event::Ruled(Ok(_)) => ("in\n", Some(Action::Admit)),
            Event::Ruled(Err(_)) => ("no\n", None),
        };
        act.push(Action::Say(said.into()));
        act.extend(then);
    }
}

/// Everything around the driver, and what it was told.
#[derive(Clone)]
struct Around {
    takes: Duration,
    ruling: Result<(), Refusal>,
    bar: Option<Bar>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Desk for Around {
    type Pass = u32;

    async fn rule(&self, _: Attempt) -> Result<(u32, Granted), Refusal> {
        sleep(self.takes).await;
        self.tell("ruled");
        self.ruling.clone().map(|()| (7, Granted::default()))
    }

    async fn advise(&self, _: Question) -> Result<Advice, Refusal> {
        sleep(self.takes).await;
        Ok(Advice::Token(Vec::new()))
    }
}

impl Upgrade for Around {
    async fn start_tls(&self, plain: Plain) -> Result<Upgraded, String> {
        sleep(self.takes).await;
        let (stream, secured) = (Stream::Plain(plain), Secured::default());
        Ok(Upgraded { stream, secured, barred: self.bar.clone() })
    }
}

impl Watcher for Around {
    fn heard(&self) {
        self.tell("heard");
    }

    fn breach(&self, words: &str) {
        self.tell(words);
    }

    fn out_of_step(&self, words: &str) {
        self.tell(words);
    }

    fn ruling(&self, is_going_on: bool) {
        self.tell(if is_going_on { "busy" } else { "idle" });
    }
}

impl Around {
    fn tell(&self, words: &str) {
        self.told.lock().unwrap().push(words.to_owned());
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

/// Rules at once, and lets in.
fn around() -> Around {
    Around { takes: Duration::ZERO, ruling: Ok(()), bar: None, told: Arc::default() }
}

fn refusal(wait: u64) -> Refusal {
    Refusal { wait: secs(wait), ..Refusal::new(Kind::BadCredentials) }
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const PATIENCE: Patience = Patience {
    opening: Duration::from_secs(20),
    step: Duration::from_secs(10),
    whole: false,
    overall: None,
    pipelines: false,
    in_turn: false,
    hush: Duration::ZERO,
    most: u32::MAX,
};

/// The other end, and what is said from outside.
struct Client {
    line: UnixStream,
    began: Instant,
    stop: Trigger,
    summons: Trigger,
}

impl Client {
    /// Sends `text`, and lets the driver have it before any time passes.
    async fn says(&mut self, text: &str) {
        self.line.write_all(text.as_bytes()).await.unwrap();
        settle().await;
    }

    /// Takes what has been said to it by now.
    async fn heard(&self) -> String {
        settle().await;
        let mut bytes = vec![0; 4096];
        match self.line.try_read(&mut bytes) {
            Ok(count) => String::from_utf8(bytes[..count].to_vec()).unwrap(),
            Err(_) => String::new(),
        }
    }

    fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Lets everybody do what can be done now: sockets are looked at, and the clock stands.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Drives one client, and says how it ended and when.
async fn drive(
    patience: Patience,
    around: &Around,
    script: impl AsyncFnOnce(&mut Client),
) -> (Result<u32, Ended>, String, Duration) {
    let (ours, line) = UnixStream::pair().unwrap();
    let ((stop, stopped), (summons, summoned)) = (halt(), halt());
    let stream = Stream::Plain(Plain::Unix(ours));
    let began = Instant::now();
    let driving = async {
        let done = admit(stream, Lines, around, around, around, patience, stopped, summoned).await;
        let done = done.map(|done| match done {
            Done::Admitted { pass, .. } => pass,
            Done::Settled { .. } => panic!("a front settles nothing"),
        });
        (done, began.elapsed())
    };
    let mut client = Client { line, began, stop, summons };
    let playing = async {
        script(&mut client).await;
        client
    };
    let ((done, age), client) = tokio::join!(driving, playing);
    let heard = client.heard().await;
    (done, heard, age)
}

fn words(line: &str) -> String {
    line.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_greeted_answered_and_let_in() {
    let around = around();
    let (done, heard, _) = drive(PATIENCE, &around, async |client| {
        assert_eq!(client.heard().await, "hello\n");
        client.says("noop\n?\nnoop\nlogin\n").await;
    })
    .await;
    assert_eq!((done.unwrap(), heard), (7, words("ok\nbad\nok\nin\n")));
    // Who is let in stays busy: it must not have to give way on its last step.
    assert_eq!(around.told(), ["heard", "nonsense", "busy", "ruled"]);
}

#[tokio::test(start_paused = true)]
async fn a_command_must_be_whole_in_time_however_its_bytes_are_spread() {
    let (done, heard, age) = drive(PATIENCE, &around(), async |client| {
        for _ in 0..30 {
            sleep(secs(1)).await;
            if client.line.write_all(b"x").await.is_err() {
                break;
            }
            settle().await;
        }
    })
    .await;
    assert!(matches!(done, Err(Ended::Idle(time)) if time == secs(20)));
    assert_eq!((age, heard), (secs(20), words("hello\n") + words::IMAP.timed_out));
}

#[tokio::test(start_paused = true)]
async fn each_command_has_its_own_time() {
    let (done, _, age) = drive(PATIENCE, &around(), async |client| {
        for _ in 0..5 {
            sleep(secs(9)).await;
            client.says("noop\n").await;
        }
    })
    .await;
    assert!(matches!(done, Err(Ended::Idle(time)) if time == secs(10)));
    assert_eq!(age, secs(55));
}

#[tokio::test(start_paused = true)]
async fn all_commands_together_have_an_end() {
    let patience = Patience { overall: Some(secs(30)), ..PATIENCE };
    let (done, heard, age) = drive(patience, &around(), async |client| {
        for _ in 0..3 {
            sleep(secs(9)).await;
            client.says("noop\n").await;
        }
        assert_eq!(client.age(), secs(27));
        client.heard().await;
    })
    .await;
    assert!(matches!(done, Err(Ended::Idle(_))));
    assert_eq!((age, heard), (secs(30), words(words::IMAP.timed_out)));
}

#[tokio::test(start_paused = true)]
async fn a_ruling_is_waited_for_whatever_the_time() {
    let patience = Patience { overall: Some(secs(30)), ..PATIENCE };
    let slow = Around { takes: secs(100), ..around() };
    let (done, heard, age) = drive(patience, &slow, async |c| c.says("login\n").await).await;
    assert_eq!((done.unwrap(), heard, age), (7, words("hello\nin\n"), secs(100)));
    // One that is refused hears it, before its time is up.
    let slow = Around { ruling: Err(refusal(0)), ..slow };
    let (done, heard, age) = drive(patience, &slow, async |c| c.says("login\n").await).await;
    assert!(matches!(done, Err(Ended::Idle(_))));
    assert_eq!((age, heard), (secs(100), words("hello\nno\n") + words::IMAP.timed_out));
}

#[tokio::test(start_paused = true)]
async fn a_client_counts_as_busy_while_it_is_ruled_on_and_no_longer() {
    let around = Around { ruling: Err(refusal(60)), takes: secs(5), ..around() };
    let (done, ..) = drive(PATIENCE, &around, async |client| {
        client.says("ask\n").await;
        sleep(secs(6)).await;
        client.says("login\n").await;
        sleep(secs(6)).await;
        // It waits for its refusal, and could give way.
        assert_eq!(client.heard().await, "hello\nadvised\n");
        assert_eq!(around.told(), ["heard", "busy", "idle", "busy", "ruled", "idle"]);
        client.summons.fire(());
    })
    .await;
    assert!(matches!(done, Err(Ended::GaveWay)));
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_is_told_why() {
    let bar = Some(Bar::NoCertificate);
    let most = Patience { most: 3, ..PATIENCE };
    let hush = Patience { hush: secs(5), ..PATIENCE };
    let barred = Around { bar, ..around() };
    let imap = &words::IMAP;
    let ended = async |patience, around: &Around, does: fn(&Client), says: &str| {
        let (done, heard, age) = drive(patience, around, async |client| {
            settle().await;
            does(client);
            client.says(says).await;
        })
        .await;
        assert!(age < secs(1));
        (done.unwrap_err().to_string(), heard)
    };
    let nothing: fn(&Client) = |_| ();
    for (got, end, want) in [
        (
            ended(PATIENCE, &around(), |client| client.summons.fire(()), "").await,
            "gave way to another connection",
            words("hello\n") + imap.too_busy,
        ),
        (
            ended(PATIENCE, &around(), |client| client.stop.fire(()), "").await,
            "gatepost is stopping",
            words("hello\n") + imap.shutting_down,
        ),
        (
            ended(most, &around(), nothing, "1\n?2\n3\n4\n5\n").await,
            "sent too many commands",
            words("hello\n") + imap.too_many_commands,
        ),
        (
            ended(hush, &around(), nothing, "EHLO\n").await,
            "spoke before it was greeted",
            words(imap.spoke_too_early),
        ),
        (
            ended(PATIENCE, &barred, nothing, "tls\n").await,
            "client sent no required SSL certificate",
            words("hello\nbegin\n") + imap.no_certificate,
        ),
        (
            ended(PATIENCE, &around(), nothing, "tls\nnoop\n").await,
            "sent 5 bytes in the clear after STARTTLS",
            words("hello\n") + imap.spoke_before_tls,
        ),
        (
            ended(PATIENCE, &around(), nothing, "quit\n").await,
            "closed by the dialogue",
            words("hello\nbye\n"),
        ),
    ] {
        assert_eq!(got, (end.to_owned(), want));
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_commands_as_may_be_are_answered() {
    let patience = Patience { most: 3, ..PATIENCE };
    let (done, heard, _) = drive(patience, &around(), async |client| {
        client.says("1\n").await;
        client.says("?2\n").await;
        client.says("login\n").await;
    })
    .await;
    assert_eq!((done.unwrap(), heard), (7, words("hello\nok\nbad\nin\n")));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_its_greeting_gets_it_late_and_all_its_time() {
    let patience = Patience { hush: secs(5), ..PATIENCE };
    let (done, _, age) = drive(patience, &around(), async |client| {
        sleep(Duration::from_millis(4900)).await;
        assert_eq!(client.heard().await, "");
        sleep(Duration::from_millis(200)).await;
        assert_eq!(client.heard().await, "hello\n");
    })
    .await;
    assert!(matches!(done, Err(Ended::Idle(_))));
    assert_eq!(age, secs(25));
    let (done, ..) =
        drive(patience, &around(), async |client| client.line.shutdown().await.unwrap()).await;
    assert!(matches!(done, Err(Ended::Left)));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_no_more_time_than_a_command() {
    let stalled = Around { takes: secs(1000), ..around() };
    let (done, _, age) = drive(PATIENCE, &stalled, async |client| {
        sleep(secs(3)).await;
        client.says("tls\n").await;
    })
    .await;
    assert!(matches!(done, Err(Ended::Idle(_))));
    assert_eq!(age, secs(13));
    let (done, heard, _) = drive(PATIENCE, &around(), async |client| {
        client.says("tls\n").await;
        client.says("login\n").await;
    })
    .await;
    assert_eq!((done.unwrap(), heard), (7, words("hello\nbegin\nsafe\nin\n")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let (done, _, age) =
        drive(PATIENCE, &around(), async |client| client.says("much\n").await).await;
    assert!(matches!(done, Err(Ended::Idle(_))));
    // Its time for a command, and the one try to tell it.
    assert_eq!(age, secs(10) + Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_its_ruling() {
    let slow = Around { takes: secs(100), ..around() };
    let (done, _, age) = drive(PATIENCE, &slow, async |client| {
        client.says("login\n").await;
        sleep(secs(1)).await;
        client.line.shutdown().await.unwrap();
        settle().await;
    })
    .await;
    assert!(matches!(done, Err(Ended::Left)));
    assert_eq!((age, slow.told()), (secs(1), vec![words("heard"), words("busy")]));
    // One that has more to say has only closed its side.
    let (done, ..) = drive(PATIENCE, &slow, async |client| {
        client.says("login\nnoop\n").await;
        client.line.shutdown().await.unwrap();
    })
    .await;
    assert_eq!(done.unwrap(), 7);
}
