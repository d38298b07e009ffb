use std::fs;
use std::time::SystemTime;

use tempfile::TempDir;

use super::super::super::group::Group;
use super::super::super::table::Destination;
use super::*;
use crate::config::Block;
use crate::observe::Log;

struct Scene {
    dir: TempDir,
    plan: Plan,
    groups: Arc<Groups>,
    home: Home,
    log: Box<dyn Fn() -> Vec<String>>,
}

impl Scene {
    fn new(format: Format) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plan =
            Plan { name: "people".to_owned(), path: dir.path().join("people.routes"), format };
        let block = Block::parse("upstream west { server 192.0.2.1; } upstream east { server b; }");
        let groups = block.blocks("upstream").into_iter().map(|block| {
            let group = Arc::new(Group::read(block, &crate::route::group::Limits::default()));
            (group.name.clone(), group)
        });
        let (log, memory) = Log::memory(Level::Notice);
        let home = Home::default();
        home.log_to(log);
        Self {
            dir,
            plan,
            groups: Arc::new(groups.collect()),
            home,
            log: Box::new(move || memory.lines()),
        }
    }

    fn write(&self, text: &str) {
        fs::write(&self.plan.path, text).unwrap();
    }

    fn open(&self) -> Result<Arc<File>, String> {
        File::open(&self.plan, &self.groups, &self.home)
    }

    /// What was logged, without the folder's name and the time.
    fn told(&self) -> Vec<String> {
        let folder = self.dir.path().display().to_string();
        let lines = (self.log)().into_iter();
        lines
            .map(|line| line.replace(&folder, "D").split_once("route_file").unwrap().1.to_owned())
            .collect()
    }
}

fn find(file: &File, login: &str) -> String {
    match file.rows.load().table.find(login.as_bytes()).unwrap() {
        None => "none".to_owned(),
        Some(Found { to: Destination::Group(group), login }) => {
            let login = login.map(|login| format!(" {}", login.escape_ascii()));
            group.name.clone() + &login.unwrap_or_default()
        }
        Some(Found { to: Destination::Servers(servers), .. }) => servers[0].to_string(),
    }
}

#[test]
fn a_file_holds_what_a_table_holds() {
    let rows = "mrose@a.test west login=m.rose\n@a.test east\n.b.test 192.0.2.9:1143\n\
                ~^x(.*)@c\\.test$ west login=$1\ndefault west\n";
    for (format, text) in
        [(Format::Hash, rows.to_owned()), (Format::Map, rows.replace('\n', ";\n"))]
    {
        let scene = Scene::new(format);
        scene.write(&text);
        let file = scene.open().unwrap();
        for (login, want) in [
            ("MRose@a.test", "west m.rose"),
            ("tlove@a.test", "east"),
            ("a@in.b.test", "192.0.2.9:1143"),
            ("xavier@c.test", "west avier"),
            ("who@d.test", "west"),
        ] {
            assert_eq!(find(&file, login), want, "{format:?} {login}");
        }
    }
}

#[test]
fn each_fault_of_a_file_has_its_line_and_a_remedy() {
    let scene = Scene::new(Format::Hash);
    let faults = |text: &str| {
        scene.write(text);
        let folder = scene.dir.path().display().to_string();
        scene.open().unwrap_err().replace(&folder, "D")
    };
    assert_eq!(
        faults("a west\n\nb nowhere\nc\na east\nd west x\n"),
        "route_file \"people\": no upstream \"nowhere\" in D/people.routes:3; name an \"upstream\" \
         block of the configuration, or write host:port\n\
         route_file \"people\": no upstream for \"c\" in D/people.routes:4; write the upstream \
         behind the pattern\n\
         route_file \"people\": conflicting parameter \"a\" in D/people.routes:5; a pattern stands \
         once: take out one of its lines\n\
         route_file \"people\": invalid parameter \"x\" in D/people.routes:6; mend the line or take \
         it out"
    );
    assert_eq!(faults(&"a\n".repeat(100)).lines().count(), MAX_FAULTS);
    fs::remove_file(&scene.plan.path).unwrap();
    assert!(scene.open().unwrap_err().contains("cannot read"), "it is gone");
    fs::create_dir(&scene.plan.path).unwrap();
    assert!(scene.open().unwrap_err().contains("it is no file"));
}

#[test]
fn a_changed_file_holds_once_it_rests() {
    let scene = Scene::new(Format::Hash);
    scene.write("a west\n");
    let file = scene.open().unwrap();
    file.look(false);
    assert_eq!((find(&file, "a"), scene.told().len()), ("west".to_owned(), 0));
    scene.write("a east\nb west\n");
    file.look(false);
    assert_eq!(find(&file, "a"), "west", "it may still be written to");
    scene.write("a east\nb west\nc west\n");
    file.look(false);
    assert_eq!(find(&file, "a"), "west", "it was written to");
    file.look(false);
    assert_eq!((find(&file, "a"), find(&file, "c")), ("east".to_owned(), "west".to_owned()));
    assert_eq!(scene.told(), [" \"people\": read D/people.routes again"]);
    // Of the same size and time, but another file.
    let (next, time) = (scene.dir.path().join("next"), SystemTime::UNIX_EPOCH);
    for (path, text) in [(&scene.plan.path, "a east\n"), (&next, "a west\n")] {
        fs::write(path, text).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    file.look(true);
    assert_eq!(find(&file, "a"), "east");
    fs::rename(&next, &scene.plan.path).unwrap();
    file.look(true);
    assert_eq!(find(&file, "a"), "west");
}

#[test]
fn a_bad_or_lost_file_leaves_the_old_rows_and_is_told_once() {
    let scene = Scene::new(Format::Hash);
    scene.write("a west\n");
    let file = scene.open().unwrap();
    scene.write("a nowhere\n");
    for _ in 0..5 {
        file.look(false);
    }
    assert_eq!(find(&file, "a"), "west");
    assert_eq!(
        scene.told(),
        [
            " \"people\": no upstream \"nowhere\" in D/people.routes:1; name an \"upstream\" block of \
          the configuration, or write host:port; the rows that were read before stay in force"
        ]
    );
    fs::remove_file(&scene.plan.path).unwrap();
    for _ in 0..5 {
        file.look(false);
    }
    assert_eq!((find(&file, "a"), scene.told().len()), ("west".to_owned(), 2));
    assert!(scene.told()[1].contains("cannot read D/people.routes: No such file"));
    scene.write("a east\n");
    file.look(false);
    file.look(false);
    assert_eq!((find(&file, "a"), scene.told().len()), ("east".to_owned(), 3));
}

#[tokio::test]
async fn whoever_asks_first_sees_the_file_as_it_is_now() {
    let scene = Scene::new(Format::Hash);
    scene.write("a west\n");
    let file = scene.open().unwrap();
    scene.write("a 192.0.2.8:1\n");
    let found = file.find(b"a").await.unwrap().unwrap();
    assert!(matches!(found.to, Destination::Servers(_)));
    // And from then on somebody looks after it.
    scene.write("a 192.0.2.9:1\nb west\n");
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while file.find(b"b").await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < end, "nobody looks");
        sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_million_rows_share_what_they_say() {
    let scene = Scene::new(Format::Hash);
    let mut text = String::new();
    for number in 0..1_000_000 {
        let _ = writeln!(text, "user{number}@a.test {}", ["west", "east"][number % 2]);
    }
    scene.write(&text);
    let began = std::time::Instant::now();
    let file = scene.open().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(find(&file, "user999999@a.test"), "east");
    assert_eq!(find(&file, "user1000000@a.test"), "none");
    let (rows, groups) = (file.rows.load(), &scene.groups);
    assert_eq!(rows.table.len(), 1_000_000);
    // One for the map of groups, one for each kind of row.
    assert!(groups.values().all(|group| Arc::strong_count(group) < 5), "rows are not shared");
}
