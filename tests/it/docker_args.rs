//! What the words of `docker run` mean: the real client of docker and ours, side by side.
//!
//! Two engines judge. The real one of this machine creates each container twice, and both have to look alike. A stand-in
//! for a newer engine takes down what the client would send to it, for what the real one is too old for.

// What was compared, with what, and what was not, belongs to the result.
#![allow(clippy::print_stdout)]

mod engines;
mod lines;

use std::collections::BTreeMap;
use std::process::{Command, Output};

use bollard::Docker;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use clearml_agent::container::args::{ApiVersion, ArgsError, parse};
use engines::{Bench, NewerEngine, RealEngine};
use lines::{LINES, NEWER_LINES, REFUSED};
use serde_json::{Map, Value, json};

/// What is not compared, and why.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("/Id", "each container has its own"),
    ("/Created", "the time"),
    ("/Name", "the engine draws it"),
    ("/HostnamePath", "has the id in it"),
    ("/HostsPath", "has the id in it"),
    ("/LogPath", "has the id in it"),
    ("/ResolvConfPath", "has the id in it"),
    ("/GraphDriver", "folders of the container itself"),
];

/// What an inspected container says, without what differs between any two containers.
fn alike(mut container: Value, id: &str) -> Value {
    let name = container["Name"].as_str().unwrap().to_owned();
    for (place, _) in NOT_COMPARED {
        container.as_object_mut().unwrap().remove(&place[1..]);
    }
    // A link names both of its ends.
    for link in container["HostConfig"]["Links"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        *link = json!(link.as_str().unwrap().replace(&name, "/NAME"));
    }
    if container["Config"]["Hostname"] == json!(id[..12]) {
        container["Config"]["Hostname"] = json!("ID");
    }
    // Volumes without a name have one by chance.
    for mount in container["Mounts"].as_array_mut().unwrap() {
        if mount["Name"].as_str().is_some_and(|name| name.len() == 64) {
            mount["Name"] = json!("CHANCE");
            mount["Source"] = json!("CHANCE");
        }
    }
    // Docker's client keeps these in a map, so that their order is one of chance.
    for place in [
        "/Config/Env",
        "/HostConfig/Binds",
        "/HostConfig/Ulimits",
        "/Mounts",
    ] {
        if let Some(Value::Array(list)) = container.pointer_mut(place) {
            list.sort_by_key(Value::to_string);
        }
    }
    container
}

/// The places where two values differ.
fn differences(at: &str, left: &Value, right: &Value, into: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&format!("{at}/{key}"), &of(left), &of(right), into);
            }
        }
        _ if left == right => {}
        _ => into.push(format!("{at}: docker {left}, ours {right}")),
    }
}

fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().next().unwrap_or_default().to_owned()
}

/// C-037, C-041
#[tokio::test]
async fn the_same_container_as_that_of_the_real_client() {
    let engine = RealEngine::new();
    let bench = &engine.bench;
    let versions = bench.docker(&[
        "version",
        "-f",
        "client {{.Client.Version}}, engine {{.Server.Version}}, API {{.Client.APIVersion}}",
    ]);
    let docker = Docker::connect_with_local_defaults().unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let spoken = docker.client_version();
    let api = ApiVersion::new(spoken.major_version, spoken.minor_version);
    println!("docker: {versions}; we speak {api}");

    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in LINES {
        let theirs = bench.create(None, line);
        if !theirs.status.success() {
            wrong.push(format!("{line}\n  docker refuses it: {}", refusal(&theirs)));
            continue;
        }
        let theirs = String::from_utf8(theirs.stdout).unwrap().trim().to_owned();
        let left = alike(engine.inspect(&theirs), &theirs);
        bench.docker(&["rm", "-fv", &theirs]);

        let request = match parse(&bench.words(line))
            .and_then(|line| line.create_request(api, &bench.host))
        {
            Ok(request) => request,
            Err(error) => {
                wrong.push(format!("{line}\n  we refuse it: {error}"));
                continue;
            }
        };
        let mut options = CreateContainerOptionsBuilder::default();
        if let Some(platform) = &request.platform {
            options = options.platform(platform);
        }
        let ours = match docker
            .create_container(Some(options.build()), request.body)
            .await
        {
            Ok(created) => created.id,
            Err(error) => {
                wrong.push(format!("{line}\n  the engine refuses ours: {error}"));
                continue;
            }
        };
        let right = alike(engine.inspect(&ours), &ours);
        let remove = RemoveContainerOptionsBuilder::default().v(true).build();
        docker.remove_container(&ours, Some(remove)).await.unwrap();
        let mut found = Vec::new();
        differences("", &left, &right, &mut found);
        if !found.is_empty() {
            wrong.push(format!("{line}\n  {}", found.join("\n  ")));
        }
        compared += 1;
    }
    for (place, reason) in NOT_COMPARED {
        println!("not compared: {place}: {reason}");
    }
    let _ = Command::new("docker")
        .args(["volume", "rm", "named", "vol"])
        .output();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        LINES.len(),
        wrong.join("\n")
    );
    assert!(compared >= 80, "{compared}");
}

/// A request without what says nothing.
fn telling(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: Map<String, Value> = map
                .into_iter()
                .filter(|(key, value)| match key.as_str() {
                    // What the client says where nothing is asked for.
                    "ConsoleSize" => false,
                    "MemorySwappiness" => *value != json!(-1),
                    "RestartPolicy" => value["Name"] != json!("no"),
                    "NetworkMode" => *value != json!("default"),
                    _ => true,
                })
                .map(|(key, value)| {
                    let is_set = matches!(key.as_str(), "MaskedPaths" | "ReadonlyPaths");
                    let value = if is_set && value.is_array() {
                        json!("none")
                    } else {
                        telling(value)
                    };
                    let is_order_by_chance = matches!(key.as_str(), "Env" | "Binds" | "Ulimits");
                    match value {
                        Value::Array(mut list) if is_order_by_chance => {
                            list.sort_by_key(Value::to_string);
                            (key, Value::Array(list))
                        }
                        value => (key, value),
                    }
                })
                .filter(|(key, value)| {
                    let is_empty = match value {
                        Value::Null => true,
                        Value::Bool(is_on) => !is_on,
                        Value::Number(number) => number.as_f64() == Some(0.0),
                        Value::String(text) => text.is_empty(),
                        Value::Array(list) => list.is_empty(),
                        Value::Object(map) => map.is_empty() && !is_named(key),
                    };
                    !is_empty
                })
                .collect();
            Value::Object(map)
        }
        Value::Array(list) => Value::Array(list.into_iter().map(telling).collect()),
        value => value,
    }
}

/// Whether an empty object of this name says something: a port, a place of a volume, a network.
fn is_named(key: &str) -> bool {
    key.contains('/') || matches!(key, "one" | "two" | "mine")
}

/// C-037
#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_as_that_of_the_real_client_to_a_newer_engine() {
    let bench = Bench::new("newer");
    let api = ApiVersion::new(1, 50);
    let engine = NewerEngine::start(api).await;
    let mut wrong = Vec::new();
    for line in LINES.iter().chain(NEWER_LINES) {
        let theirs = bench.create(Some(&engine.address), line);
        let Some((uri, theirs)) = engine.asked.lock().unwrap().take() else {
            wrong.push(format!("{line}\n  docker refuses it: {}", refusal(&theirs)));
            continue;
        };
        let _ = std::fs::remove_file(bench.folder.path().join("new-id"));
        let request = match parse(&bench.words(line))
            .and_then(|line| line.create_request(api, &bench.host))
        {
            Ok(request) => request,
            Err(error) => {
                wrong.push(format!("{line}\n  we refuse it: {error}"));
                continue;
            }
        };
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let ours = [("name", &request.name), ("platform", &request.platform)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
            .collect::<BTreeMap<_, _>>();
        let mut found = Vec::new();
        if query != ours {
            found.push(format!("docker {query:?}, ours {ours:?}"));
        }
        let ours = telling(serde_json::to_value(&request.body).unwrap());
        differences("", &telling(theirs), &ours, &mut found);
        if !found.is_empty() {
            wrong.push(format!("{line}\n  {}", found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Each of them is refused by the real client or an engine too, so that no test keeps a line that became right.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_real_client_refuses_is_refused() {
    let bench = Bench::new("refused");
    let api = ApiVersion::new(1, 50);
    let engine = NewerEngine::start(api).await;
    let mut wrong = Vec::new();
    for line in REFUSED {
        let theirs = bench.create(Some(&engine.address), line);
        if theirs.status.success() && !is_refused_by_engines(line) {
            wrong.push(format!("docker takes: {line}"));
        }
        let ours = parse(&bench.words(line)).and_then(|line| line.create_request(api, &bench.host));
        match ours {
            Ok(_) => wrong.push(format!("we take: {line} ({})", refusal(&theirs))),
            Err(error) => {
                println!("{line}: {error} [{}]", refusal(&theirs));
                let text = error.to_string();
                assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
                if let ArgsError::UnknownFlag { flag, .. } = &error {
                    assert!(line.starts_with(flag), "{line}: {error}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Lines that the client hands on, and that no engine takes.
fn is_refused_by_engines(line: &str) -> bool {
    ["--restart sometimes", "type=strange", "-v a::b", "--ip x"]
        .iter()
        .any(|part| line.contains(part))
}
