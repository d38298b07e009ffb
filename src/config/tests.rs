//! The room from outside: files in, faults out.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const fn directive(name: &'static str, within: &'static [Context], takes: Takes) -> Directive {
    Directive {
        name,
        within,
        takes,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "What it does.",
    }
}

const ROOM: &[Directive] = &[
    directive("events", &[MAIN], Takes::Block(0, 0, EVENTS)),
    directive("worker_processes", &[MAIN], Takes::Args(1, 1)),
    directive("worker_connections", &[EVENTS], Takes::Args(1, 1)),
    directive("mail", &[MAIN], Takes::Block(0, 0, MAIL)),
    Directive { repeats: true, ..directive("server", &[MAIL], Takes::Block(0, 0, SERVER)) },
    Directive { repeats: true, ..directive("upstream", &[MAIL], Takes::Block(1, 1, UPSTREAM)) },
    directive("route", &[MAIL], Takes::Table(0, 1)),
    directive("proxy_timeout", &[MAIL, SERVER], Takes::Args(1, 1)),
    directive("starttls", &[MAIL, SERVER], Takes::Flag),
    Directive { repeats: true, ..directive("listen", &[SERVER], Takes::AtLeast(1)) },
    directive("protocol", &[SERVER], Takes::Args(1, 1)),
    directive("hash", &[UPSTREAM], Takes::Args(1, 2)),
];

/// The same name, something else.
const OTHER_ROOM: &[Directive] =
    &[Directive { repeats: true, ..directive("server", &[UPSTREAM], Takes::AtLeast(1)) }];

const REGISTRY: &[&[Directive]] = &[ROOM, OTHER_ROOM, DIRECTIVES];

/// A directory with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn read(folder: &TempDir, overrides: Option<&str>) -> Result<Tree, Faults> {
    load(Path::new("main.conf"), folder.path(), overrides, REGISTRY)
}

/// Reads all of a block, as rooms do together.
fn read_all(block: &Block) {
    for directive in REGISTRY.iter().flat_map(|room| room.iter()) {
        for inner in block.blocks(directive.name) {
            read_all(inner);
        }
    }
    if block.name() == "route" {
        block.rows();
    }
}

/// What is wrong with these files, each line without the folder's path.
fn faults(files: &[(&str, &str)], overrides: Option<&str>) -> Vec<String> {
    let folder = folder(files);
    let outcome = read(&folder, overrides).and_then(|tree| {
        read_all(tree.root());
        tree.finish()
    });
    let base = format!("{}/", folder.path().display());
    match outcome {
        Ok(()) => Vec::new(),
        Err(faults) => faults.to_string().lines().map(|line| line.replace(&base, "")).collect(),
    }
}

#[test]
fn a_configuration_is_read_as_it_is_written() {
    let folder = folder(&[(
        "main.conf",
        "worker_processes 2;\nevents { }\nmail {\n  proxy_timeout 1h;\n  upstream u {\n    server a:1 \
         weight=2;\n    server b:1;\n    hash user;\n  }\n  server {\n    listen 143;\n    listen 993 \
         ssl;\n    protocol imap;\n    starttls ON;\n  }\n  route {\n    anna u;\n    \"\" w;\n  }\n}\n",
    )]);
    let tree = read(&folder, None).unwrap();
    let root = tree.root();
    assert_eq!(root.number::<u32>("worker_processes", 1..), Some(2));
    assert!(root.has("events"));
    let mail = root.blocks("mail")[0];
    assert_eq!(mail.time("proxy_timeout"), Some(std::time::Duration::from_secs(3600)));
    let upstream = mail.blocks("upstream")[0];
    assert_eq!((upstream.name(), upstream.args()), ("upstream", &["u".to_owned()][..]));
    let servers: Vec<_> = upstream.all("server").into_iter().map(Statement::args).collect();
    assert_eq!(servers, [&["a:1".to_owned(), "weight=2".to_owned()][..], &["b:1".to_owned()]]);
    assert_eq!(upstream.words("hash"), Some(vec!["user"]));
    let server = mail.blocks("server")[0];
    assert_eq!(server.all("listen").len(), 2);
    let listen = server.all("listen")[1].place().to_string();
    assert_eq!(listen, format!("{}/main.conf:12", folder.path().display()));
    assert_eq!(server.choice("protocol", &[("imap", 1), ("pop3", 2)]), Some(1));
    assert_eq!(server.flag("starttls"), Some(true));
    let rows: Vec<_> = mail.blocks("route")[0].rows().iter().map(Statement::name).collect();
    assert_eq!(rows, ["anna", ""]);
    assert_eq!(tree.finish(), Ok(()));
}

/// Configuration, and every fault it has.
const BAD: &[(&str, &[&str])] = &[
    // The grammar.
    ("events {\n", &["unexpected end of file, expecting \"}\" in main.conf:2"]),
    ("events {}\n}\n", &["unexpected \"}\" in main.conf:2"]),
    ("worker_processes 1\n", &["unexpected end of file, expecting \";\" or \"}\" in main.conf:2"]),
    ("worker_processes 1 }\n", &["unexpected \"}\" in main.conf:1"]),
    ("events {}\n;\n", &["unexpected \";\" in main.conf:2"]),
    ("{\n}\n", &["unexpected \"{\" in main.conf:1"]),
    ("worker_processes \"1\"2;", &["unexpected \"2\" in main.conf:1"]),
    ("worker_processes '1'é;", &["unexpected \"é\" in main.conf:1"]),
    (
        "worker_processes\n\"1;\n\n",
        &["unexpected end of file, expecting \";\" or \"}\", a \" of line 2 is not closed in \
           main.conf:4"],
    ),
    // Shape.
    (
        "worker_processes 1 {\n}\n",
        &["directive \"worker_processes\" is not terminated by \";\" in main.conf:1"],
    ),
    ("events;\n", &["directive \"events\" has no opening \"{\" in main.conf:1"]),
    (
        "worker_processes;",
        &["invalid number of arguments in \"worker_processes\" directive in main.conf:1"],
    ),
    (
        "\nworker_processes 1 2;",
        &["invalid number of arguments in \"worker_processes\" directive in main.conf:2"],
    ),
    (
        "worker_processes 1\nevents { }",
        &[
            "directive \"worker_processes\" is not terminated by \";\", probably missing \";\" before \
         \"events\" in main.conf:1",
        ],
    ),
    (
        "worker_processes 1;\nworker_processes 1;\n",
        &["\"worker_processes\" directive is duplicate in main.conf:2"],
    ),
    (
        "mail { starttls maybe; }",
        &["invalid value \"maybe\" in \"starttls\" directive, it must be \"on\" or \"off\" in \
         main.conf:1"],
    ),
    ("mail {\nroute { a {\n} } }", &["directive \"a\" is not terminated by \";\" in main.conf:2"]),
    // Place.
    ("listen 80;", &["\"listen\" directive is not allowed here in main.conf:1"]),
    (
        "mail {\n upstream u {\n  starttls on;\n}}",
        &["\"starttls\" directive is not allowed here in main.conf:3"],
    ),
    // Names.
    ("events {}\nfoo bar;\n", &["unknown directive \"foo\" in main.conf:2"]),
    (
        "mail { proxy_timout 1s; }",
        &["unknown directive \"proxy_timout\", did you mean \"proxy_timeout\"? in main.conf:1"],
    ),
    (
        "mail { server { Listen 1; } }",
        &["unknown directive \"Listen\", did you mean \"listen\"? in main.conf:1"],
    ),
    ("inlcude x;", &["unknown directive \"inlcude\", did you mean \"include\"? in main.conf:1"]),
    (
        "http {\n server {\n  location / { root x; }\n }\n}\n",
        &["unknown directive \"http\": gatepost serves mail; leave this block to nginx, and give \
           gatepost the \"mail\" block in main.conf:1"],
    ),
    (
        "foo a\\nb 'c\n';\n\"x\\ny\" 1;",
        &["unknown directive \"foo\" in main.conf:1", "unknown directive \"x\\ny\" in main.conf:3"],
    ),
    // Includes.
    (
        "include nofile.conf;",
        &["open() \"nofile.conf\" failed (2: No such file or directory) in main.conf:1"],
    ),
    ("include a b;", &["invalid number of arguments in \"include\" directive in main.conf:1"]),
    ("include a { }", &["directive \"include\" is not terminated by \";\" in main.conf:1"]),
    ("\ninclude main.conf;", &["\"main.conf\" includes itself in main.conf:2"]),
    ("include [;", &["invalid pattern \"[\": invalid range pattern in main.conf:1"]),
    ("include .;", &["read() \".\" failed (21: Is a directory) in main.conf:1"]),
    // All at once.
    (
        "foo 1;\nmail {\n listen 1;\n bar { baz; }\n starttls;\n server { hash x; }\n}\nserver {\n hash 1;\n}\n;",
        &[
            "unknown directive \"foo\" in main.conf:1",
            "\"listen\" directive is not allowed here in main.conf:3",
            "unknown directive \"bar\" in main.conf:4",
            "invalid number of arguments in \"starttls\" directive in main.conf:5",
            "\"hash\" directive is not allowed here in main.conf:6",
            "\"server\" directive is not allowed here in main.conf:8",
            "\"hash\" directive is not allowed here in main.conf:9",
            "unexpected \";\" in main.conf:11",
        ],
    ),
];

#[test]
fn each_fault_is_told_with_its_line() {
    for (text, want) in BAD {
        assert_eq!(faults(&[("main.conf", text)], None), *want, "{text}");
    }
}

#[test]
fn what_is_missing_is_guessed_from_the_next_line() {
    for (text, want) in [
        ("mail {\n proxy_timeout 1s\n starttls on;\n}", "\";\" before \"starttls\" in main.conf:2"),
        ("mail\n server {\n listen 1;\n }\n", "\"{\" before \"server\" in main.conf:1"),
        // On the same line it may as well be an argument.
        ("mail { proxy_timeout 1s starttls; }", "\"proxy_timeout\" directive in main.conf:1"),
    ] {
        assert!(faults(&[("main.conf", text)], None)[0].ends_with(want), "{text}");
    }
}

#[test]
fn a_missing_main_file_has_no_place() {
    let want = ["open() \"main.conf\" failed (2: No such file or directory)"];
    assert_eq!(faults(&[], None), want);
}

#[test]
fn includes_stand_in_any_block_and_are_sorted() {
    let folder = folder(&[
        ("main.conf", "include conf.d/*.conf;\nmail { include in/mail; route { include rows; } }"),
        ("conf.d/b.conf", "events { include in/events; }"),
        ("conf.d/a.conf", "\u{feff}worker_processes 3;\r\ninclude none*;\r\n"),
        ("conf.d/.hidden.conf", "foo;"),
        ("in/events", "# nothing yet"),
        // Relative to the main file, not to this one.
        ("in/mail", "include in/more;"),
        ("in/more", "starttls on;"),
        ("rows", "anna u;"),
    ]);
    let tree = read(&folder, None).unwrap();
    let mail = tree.root().blocks("mail")[0];
    assert_eq!(mail.flag("starttls"), Some(true));
    let place = mail.statement("starttls").unwrap().place();
    assert_eq!(place.to_string(), format!("{}:1", folder.path().join("in/more").display()));
    assert_eq!(mail.blocks("route")[0].rows()[0].name(), "anna");
    read_all(tree.root());
    assert_eq!(tree.finish(), Ok(()));
    let order = ["main.conf", "conf.d/a.conf", "conf.d/b.conf", "in/events", "in/mail", "in/more"];
    assert_eq!(tree.files()[..6], order.map(|name| folder.path().join(name)));
}

#[test]
fn the_directory_of_the_main_file_is_no_pattern() {
    let folder = folder(&[("a[b]*/main.conf", "include x*;"), ("a[b]*/x1", "foo;")]);
    let refused = load(Path::new("a[b]*/main.conf"), folder.path(), None, REGISTRY)
        .and_then(|tree| tree.finish());
    assert!(refused.unwrap_err().to_string().ends_with("a[b]*/x1:1"));
}

#[test]
fn faults_of_all_files_come_in_the_order_of_the_files() {
    let files = [
        ("main.conf", "include a;\nfoo;\ninclude b;\ninclude nofile;\nmail { include a; }\n"),
        ("a", "bar;\nevents {\n"),
        ("b", "baz;\n"),
    ];
    let want = [
        "unknown directive \"foo\" in main.conf:2",
        "open() \"nofile\" failed (2: No such file or directory) in main.conf:4",
        "unknown directive \"bar\" in a:1",
        "\"events\" directive is not allowed here in a:2",
        "unexpected end of file, expecting \"}\" in a:3",
        "unknown directive \"baz\" in b:1",
    ];
    assert_eq!(faults(&files, None), want);
}

#[test]
fn an_include_in_a_circle_is_refused() {
    let files = [("main.conf", "mail { include a; }"), ("a", "include b;"), ("b", "\ninclude a;")];
    assert_eq!(faults(&files, None), ["\"a\" includes itself in b:2"]);
}

#[test]
fn includes_have_an_end() {
    let names: Vec<_> = (0..=40).map(|index| format!("f{index}")).collect();
    let texts: Vec<_> = (1..=41).map(|index| format!("include f{index};")).collect();
    let mut files = vec![("main.conf", "include f0;")];
    files.extend(names.iter().zip(&texts).map(|(name, text)| (&**name, &**text)));
    let want = "includes are nested too deep, at most 32 are allowed in f30:1";
    assert_eq!(faults(&files, None), [want]);
}

#[test]
fn includes_that_double_have_an_end() {
    let names: Vec<_> = (0..=20).map(|index| format!("f{index}")).collect();
    let texts: Vec<_> = (1..=21).map(|index| format!("include f{index};\n").repeat(2)).collect();
    let mut files = vec![("main.conf", "include f0;")];
    files.extend(names.iter().zip(&texts).map(|(name, text)| (&**name, &**text)));
    let told = faults(&files, None);
    let want = "too many files, at most 10000 can be included in f0:2".to_owned();
    assert!(told.contains(&want), "{told:?}");
}

#[test]
fn blocks_within_blocks_have_an_end() {
    for (files, place) in [
        (vec![("main.conf", "mail {".repeat(100_000))], "main.conf:1"),
        (
            vec![
                ("main.conf", "mail {".repeat(60) + "include x;" + &"}".repeat(60)),
                ("x", "a{".repeat(5)),
            ],
            "x:1",
        ),
    ] {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, &**text)).collect();
        let told = faults(&files, None);
        let want = format!("blocks are nested too deep, at most 64 are allowed in {place}");
        assert!(told.contains(&want), "{told:?}");
    }
}

#[test]
fn a_flood_of_faults_is_cut_short() {
    let told = faults(&[("main.conf", &"foo;\n".repeat(100_000))], None);
    assert_eq!(told.len(), 1001);
    assert_eq!(told.last().unwrap(), "more than 1000 faults, no more are shown");
}

#[test]
fn a_file_has_an_end() {
    let told = faults(&[("main.conf", &"#".repeat((16 << 20) + 1))], None);
    assert_eq!(told, ["\"main.conf\" is larger than 16777216 bytes"]);
}

#[test]
fn the_command_line_goes_before_the_main_file() {
    let folder = folder(&[("main.conf", "events { }")]);
    let tree = read(&folder, Some("worker_processes 4;")).unwrap();
    assert_eq!(tree.root().number::<u8>("worker_processes", ..), Some(4));
    assert_eq!(
        tree.root().statement("worker_processes").unwrap().place().to_string(),
        "command line"
    );
}

#[test]
fn faults_of_the_command_line_name_it() {
    for (text, want) in [
        ("foo bar;", "unknown directive \"foo\" in command line"),
        ("worker_processes 1", "unexpected end of parameter, expecting \";\" in command line"),
        ("worker_processes '1;", "unexpected end of parameter, expecting \";\" in command line"),
        ("events { }", "block directives are not supported in -g option in command line"),
        ("worker_processes 2;", "\"worker_processes\" directive is duplicate in main.conf:1"),
    ] {
        assert_eq!(faults(&[("main.conf", "worker_processes 1;")], Some(text)), [want], "{text}");
    }
}

#[test]
fn what_nobody_reads_is_a_fault() {
    let text = "worker_processes 1;\nevents {\n worker_connections 5;\n}\nmail {\n starttls on;\n \
                server { listen 1; }\n route { a b; }\n}";
    let folder = folder(&[("main.conf", text)]);
    let tree = read(&folder, None).unwrap();
    let mail = tree.root().blocks("mail")[0];
    tree.root().number::<u8>("worker_processes", 2..);
    mail.blocks("route");
    let unread = tree.finish().unwrap_err();
    let told: Vec<_> =
        unread.iter().map(|fault| (fault.text(), fault.place().unwrap().line())).collect();
    let want = [
        (
            "invalid value \"1\" in \"worker_processes\" directive, it must be a number from 2 upwards",
            1,
        ),
        // Not what stands in it as well.
        ("\"events\" directive is not used here", 2),
        ("\"starttls\" directive is not used here", 6),
        ("\"server\" directive is not used here", 7),
        ("\"a\" directive is not used here", 8),
    ];
    assert_eq!(told, want);
}

#[test]
fn the_dump_shows_every_file_once() {
    let files = [("main.conf", "mail { include a; upstream u { include a; } }\n"), ("a", "# a")];
    let folder = folder(&files);
    let tree = read(&folder, Some("worker_processes 1;")).unwrap();
    let [main, a] = ["main.conf", "a"].map(|name| folder.path().join(name).display().to_string());
    let want =
        format!("# configuration file {main}:\n{}\n# configuration file {a}:\n# a\n", files[0].1);
    assert_eq!(tree.dump(), want);
}

#[test]
fn blocks_may_be_read_by_many_threads() {
    fn is_shared<T: Clone + Send + Sync>() {}
    is_shared::<Block>();
    is_shared::<Statement>();
}

#[test]
fn the_documentation_names_every_directive_once() {
    let text = docs::markdown(&[("boot", ROOM), ("route", OTHER_ROOM), ("config", DIRECTIVES)]);
    for wanted in [
        "\n## In `main`\n\n### main: boot\n\n#### `events`\n\nSyntax: `events { … }`  \nDefault: –  \nContext: \
         `main`\n\nWhat it does.\n",
        "Syntax: `hash ARG [ARG];`",
        "Syntax: `listen ARG [ARG …];`  \nDefault: –  \nContext: `mail.server`  \nMay be repeated.\n",
        "Syntax: `starttls on | off;`  \nDefault: –  \nContext: `mail`, `mail.server`\n",
        "\n### mail.upstream: route\n\n#### `server`\n",
        "Syntax: `route [ARG] { KEY …; … }`",
    ] {
        assert_eq!(text.matches(wanted).count(), 1, "{wanted}\n{text}");
    }
    assert_eq!(text.matches("\n#### ").count(), ROOM.len() + 2);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(input: Vec<u8>) {
        hold_for_any(&input);
    }

    /// Closer to the grammar than bytes at random.
    #[test]
    fn any_pieces_are_read_or_refused(
        pieces in proptest::collection::vec(
            proptest::sample::select(&[
                "a", "include", " ", "\n", ";", "{", "}", "\"", "'", "\\", "$", "${", "#", ")", "é",
                "\u{1b}", "\r\n", "a b;", "b {", "''",
            ][..]),
            0..40,
        )
    ) {
        hold_for_any(pieces.concat().as_bytes());
    }
}
