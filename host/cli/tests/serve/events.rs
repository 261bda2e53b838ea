//! What the service writes of its work, for machines.

use super::{Database, Process, signal, vtwasm};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[test]
fn each_event_is_an_object_with_its_job_and_tenant_and_no_secret() {
    let database = Database::sqlite();
    let api = Process::start(&database.address, &["--role=api"]);
    let mut worker = vtwasm()
        .args([
            "serve",
            "--role=worker",
            "--listen=127.0.0.1:0",
            "--log-format=json",
        ])
        .args(["--database", &database.address])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stderr.take().unwrap());
    let mut announced = String::new();
    lines.read_line(&mut announced).unwrap();
    let code = "import os\nprint('shown to its tenant')\nraise ValueError('no \"row\"\\n{}')";
    let id = api.ask(&["job", "submit", "-c", code, "--env=PASSWORD=hunter2"]);
    assert_eq!(api.over(&id)["state"], "FAILURE");
    signal(worker.id(), "TERM");
    let mut text = String::new();
    lines.read_to_string(&mut text).unwrap();
    assert!(worker.wait().unwrap().success(), "{text}");
    let events = text.lines().filter(|line| line.starts_with('{'));
    let events = events.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = events.filter(|event| event["message"] == "a run ended");
    let ended = ended.collect::<Vec<_>>();
    assert_eq!(ended.len(), 1, "{text}");
    let event = &ended[0];
    assert_eq!(
        (
            &event["job"],
            &event["tenant"],
            &event["attempt"],
            &event["state"],
            &event["level"]
        ),
        (
            &id.as_str().into(),
            &"default".into(),
            &1.into(),
            &"FAILURE".into(),
            &"INFO".into()
        )
    );
    assert_eq!(event["error"], "ValueError: no \"row\"\n{}");
    assert!(
        event["wall_time"].as_f64().unwrap() > 0.0 && event["timestamp"].is_string(),
        "{event}"
    );
    for hidden in ["shown to its tenant", "hunter2", &api.token] {
        assert!(!text.contains(hidden), "{text}");
    }
}
