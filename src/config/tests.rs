//! The room from outside: files in, faults out.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const fn directive(name: &'static str, within: &'static [Context], takes: Takes) -> Directive {
    Directive { name, within, takes, repeats: false, default: "", doc: "What it does." }
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
        &["unknown directive \"http\" in main.conf:1"],
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
