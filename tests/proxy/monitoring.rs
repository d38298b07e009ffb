//! `conf/monitoring`: Prometheus takes our alerts, and what we show.

use std::path::Path;
use std::process::Command;

use crate::support::run;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/monitoring");

fn promtool(words: &[&str]) -> String {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(FOLDER);
    run(&mut command, "").worked().out
}

#[test]
fn prometheus_takes_the_alerts_and_its_configuration() {
    let said = promtool(&["check", "config", "prometheus.yml"]);
    assert!(said.contains("rules found"), "{said}");
}

#[test]
fn alerts_fire_when_they_should_and_not_before() {
    let said = promtool(&["test", "rules", "gatepost.rules.test.yml"]);
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn the_dashboard_is_json_that_asks_for_its_source() {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("gatepost-dashboard.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.len() > 15);
    for panel in panels {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
}
