//! What the room promises, on folders of its own.

mod golden;
mod settings;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::*;

fn files(text: &str) -> Files {
    let all = [("gatepost.conf", "main"), ("includes/a", "a"), ("includes/b", "b")];
    let all = all.map(|(name, part)| (name.to_owned(), format!("{part} {text}\n")));
    Files { all: all.into(), main: "gatepost.conf".to_owned(), ..Files::default() }
}

/// What a reader of `current` finds; nothing where there is no such link.
fn in_force(root: &Path) -> Option<BTreeMap<String, String>> {
    let store = Store::at(root);
    let current = store.current().unwrap()?;
    let link = root.join("current").canonicalize().unwrap();
    assert_eq!(link, current.path.canonicalize().unwrap());
    Some(store.read(&current).unwrap())
}

fn put(root: &Path, text: &str, keep: usize) -> Result<Generation, Trouble> {
    let go_on = &mut |_| ControlFlow::Continue(());
    Store::at(root).put(&files(text), "T", keep, &mut |_| Ok(()), go_on)
}

/// What a crash may have left, and a next run takes away.
fn is_clean(root: &Path) -> bool {
    let all = fs::read_dir(root.join("generations")).unwrap().flatten();
    all.map(|entry| entry.file_name().into_string().unwrap())
        .all(|name| name == ".lock" || name.starts_with("0000"))
        && fs::symlink_metadata(root.join(".current.new")).is_err()
}

#[test]
fn a_crash_behind_any_step_leaves_the_old_or_the_new() {
    for had_one in [false, true] {
        let mut seen = Vec::new();
        for crash in 0.. {
            let root = tempfile::tempdir().unwrap();
            let old =
                had_one.then(|| put(root.path(), "old", 1).map(|_| files("old").all).unwrap());
            let mut steps = Vec::new();
            let mut watch = |step| {
                steps.push(step);
                if steps.len() > crash { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let done =
                Store::at(root.path()).put(&files("new"), "T", 1, &mut |_| Ok(()), &mut watch);
            let found = in_force(root.path());
            let is_switched = steps.contains(&Step::Switched);
            let want = if is_switched { Some(files("new").all) } else { old };
            assert_eq!(found, want, "behind {:?}", steps.last());
            // The next run is not hindered, and clears up.
            put(root.path(), "next", 1).unwrap();
            assert_eq!(in_force(root.path()), Some(files("next").all), "{:?}", steps.last());
            assert!(is_clean(root.path()), "behind {:?}", steps.last());
            assert_eq!(Store::at(root.path()).list().unwrap().len(), 1);
            seen = steps;
            if done.is_ok() {
                break;
            }
        }
        for step in [Step::Locked, Step::Checked, Step::Named, Step::LinkMade, Step::Pruned] {
            assert!(seen.contains(&step), "{step:?} of {seen:?}");
        }
        assert_eq!(seen.iter().filter(|step| **step == Step::FileWritten).count(), 3);
    }
}

#[test]
fn what_the_check_refuses_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "old", 5).unwrap();
    let mut refuse = |folder: &Path| {
        assert_eq!(fs::read_to_string(folder.join("includes/a")).unwrap(), "a new\n");
        Err(vec![format!("bad in {}/includes/a:1", folder.display())])
    };
    let go_on = &mut |_| ControlFlow::Continue(());
    let trouble =
        Store::at(root.path()).put(&files("new"), "T", 5, &mut refuse, go_on).unwrap_err();
    let Trouble::Refused(faults) = trouble else { panic!("{trouble}") };
    // The place that is named can be looked at.
    let place = root.path().join("generations/failed/includes/a");
    assert_eq!(faults, [format!("bad in {}:1", place.display())]);
    assert_eq!(fs::read_to_string(place).unwrap(), "a new\n");
    assert_eq!(in_force(root.path()), Some(files("old").all));
    put(root.path(), "newer", 5).unwrap();
    assert!(is_clean(root.path()));
}

#[test]
fn history_is_kept_so_long_and_never_loses_what_is_in_force() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let numbers = || store.list().unwrap().iter().map(|one| one.number).collect::<Vec<_>>();
    for number in 1..=5_u64 {
        assert_eq!(put(root.path(), &number.to_string(), 3).unwrap().number, number);
    }
    assert_eq!(numbers(), [3, 4, 5]);
    let go_on = &mut |_| ControlFlow::Continue(());
    store.back(3, &mut |_| Ok(()), go_on).unwrap();
    assert_eq!(in_force(root.path()), Some(files("3").all));
    let refused = store.back(4, &mut |_| Err(vec!["no".to_owned()]), go_on);
    assert!(matches!(refused, Err(Trouble::Refused(_))));
    assert!(matches!(store.back(1, &mut |_| Ok(()), go_on), Err(Trouble::Unknown(1))));
    assert_eq!(in_force(root.path()), Some(files("3").all));
    // A number is never given twice.
    assert_eq!(put(root.path(), "6", 3).unwrap().number, 6);
    assert_eq!(numbers(), [4, 5, 6]);
}

#[test]
fn an_overlay_goes_before_the_shipped_template_and_is_told_when_that_has_changed() {
    let root = tempfile::tempdir().unwrap();
    let name = "gatepost.conf.web";
    assert!(Templates::copy(root.path(), "no.such", false).is_err());
    let path = Templates::copy(root.path(), name, false).unwrap();
    assert!(Templates::copy(root.path(), name, false).unwrap_err().contains("there already"));
    fs::write(&path, "# mine\n").unwrap();
    let templates = Templates::load(root.path(), None).unwrap();
    assert_eq!(templates.all[name], ("# mine\n".to_owned(), Origin::File(path)));
    assert_eq!(templates.notes, Vec::<String>::new());
    // As if an upgrade had brought another one.
    fs::write(root.path().join(format!("templates.d/.{name}.sha256")), "0123").unwrap();
    let notes = Templates::load(root.path(), None).unwrap().notes;
    assert!(notes.len() == 1 && notes[0].contains("has changed"), "{notes:?}");
    Templates::copy(root.path(), name, true).unwrap();
    let templates = Templates::load(root.path(), None).unwrap();
    assert!(templates.notes.is_empty() && templates.all[name].0 == "# mine\n");
    let alone = Templates::load(Path::new("/"), Some(&root.path().join("templates.d"))).unwrap();
    assert_eq!(alone.all.len(), 1);
}

#[test]
fn included_files_stand_in_their_places() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
    let main = root.path().join("g.conf");
    write("g.conf", "# top\n\n  include a;\ninclude gone;\ninclude b*;\ninclude g.conf2;\n");
    write("a", "one;\n# two\n");
    write("b1", "b1;\n");
    write("b2", "b2;\n");
    write("g.conf2", "include g.conf2;\n");
    let dir = root.path().display();
    let text = flat(&main, Shape::default());
    assert!(text.starts_with("# top\n\none;\n# two\n# cannot open "), "{text}");
    assert!(text.contains("b1;\nb2;\n") && text.ends_with("too deep or too long\n"), "{text}");
    write("g.conf", "# top\n\n  include \"a\"; # it\nincluded a;\n");
    let shape = Shape { markers: true, indent: true, no_comments: true, no_empty: true };
    let want = format!(
        "# begin:{dir}/g.conf\n  # begin:{dir}/a\n  one;\n  # end:{dir}/a\nincluded a;\n\
         # end:{dir}/g.conf\n"
    );
    assert_eq!(flat(&main, shape), want);
}

#[test]
fn a_difference_has_no_password_in_it() {
    let one = |text: &str| BTreeMap::from([("a".to_owned(), text.to_owned())]);
    let (old, new) = ("x 1;\n  zm_lookup_master_auth_password \"old one\";\n", "x 2;\n");
    let text = difference(&one(old), &one(new));
    assert!(text.contains("-  zm_lookup_master_auth_password ********;\n"), "{text}");
    assert!(text.contains("-x 1;\n") && text.contains("+x 2;\n") && !text.contains("old one"));
    assert_eq!(difference(&one(old), &one(old)), "");
    let gone = difference(&one(new), &BTreeMap::new());
    assert!(gone.contains("--- a/a\n+++ /dev/null\n"), "{gone}");
}
