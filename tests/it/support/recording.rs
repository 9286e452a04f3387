//! What an agent has sent and printed, recorded or now, in a form in which two runs of one scenario can be compared.
//!
//! Requests are put into streams, since only within a stream is the order a promise. Ids, times, figures, folders and
//! versions become placeholders; what depends on the clock alone, such as the number of looks at an empty queue, is
//! told once.

use std::collections::BTreeMap;
use std::path::Path;

use local_server::RecordedRequest;
use regex::Regex;
use serde_json::Value;

/// What belongs together in one order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stream {
    /// Looks at what waits while a task runs, which the official agent does not take: how many depends on the clock.
    Ahead,
    /// What the agent prints.
    Console,
    /// The machine's figures: the first report.
    Figures,
    /// What is added to the task's log.
    Log,
    /// Tokens.
    Login,
    /// Queues and the worker's registration.
    Polling,
    /// Reports of a change: a task taken, a task ended.
    Reports,
    /// What is said about and asked of the task.
    Task,
    /// Looks at the running task, and pings: each kind once.
    Watch,
}

/// One request with its answer.
#[derive(Clone, Debug)]
struct Request {
    endpoint: String,
    method: String,
    path: String,
    status: u64,
    headers: BTreeMap<String, String>,
    body: Value,
    data: Value,
}

/// A scenario as one agent has done it.
#[derive(Debug)]
pub(crate) struct Recording {
    requests: Vec<Request>,
    console: String,
    /// Texts of this run with the placeholders for them.
    words: Vec<(String, String)>,
}

impl Recording {
    /// A recorded one: `<name>.jsonl` and `<name>.console.txt`.
    pub(crate) fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
        let read = |file: String| std::fs::read_to_string(folder.join(file)).unwrap();
        let lines = read(format!("{name}.jsonl"));
        let requests = lines
            .lines()
            .map(|line| recorded(&serde_json::from_str(line).unwrap()));
        let console = read(format!("{name}.console.txt"));
        let (_, console) = console.split_once("## --- stdout ---\n").unwrap();
        let (console, _) = console.split_once("\n## --- stderr ---").unwrap();
        let addresses = [
            ("http://127.0.0.1:18008", "<api server>"),
            ("http://127.0.0.1:8080", "<web server>"),
            ("http://127.0.0.1:8081", "<files server>"),
            ("BENCHACCESSKEY00000000000000", "<access key>"),
            ("agent.worker_name = vm", "agent.worker_name = <name>"),
        ];
        Self::new(requests.collect(), console, &addresses)
    }

    /// One of the agent under test.
    pub(crate) fn new_run(
        requests: &[RecordedRequest],
        console: &str,
        words: &[(&str, &str)],
    ) -> Self {
        Self::new(requests.iter().map(observed).collect(), console, words)
    }

    fn new(requests: Vec<Request>, console: &str, words: &[(&str, &str)]) -> Self {
        let mut words: Vec<(String, String)> = words
            .iter()
            .map(|(text, placeholder)| ((*text).to_owned(), (*placeholder).to_owned()))
            .collect();
        let mut name = |value: &Value, placeholder: String| {
            let text = value.as_str().expect("a text").to_owned();
            if !words.iter().any(|(known, _)| *known == text) {
                words.push((text, placeholder));
            }
        };
        let mut tasks = 0;
        for request in &requests {
            match request.endpoint.as_str() {
                "workers.register" => {
                    name(&request.body["queues"][0], "<queue>".to_owned());
                    name(&request.body["worker"], "<worker>".to_owned());
                }
                "tasks.get_by_id" => {
                    tasks += 1;
                    name(&request.body["task"], format!("<task {tasks}>"));
                    let commit = &request.data["task"]["script"]["version_num"];
                    if commit.as_str().is_some_and(|commit| !commit.is_empty()) {
                        name(commit, "<commit>".to_owned());
                    }
                }
                _ => {}
            }
        }
        Self {
            requests,
            console: console.to_owned(),
            words,
        }
    }

    /// All that was sent and printed. A request outside every stream is a failure.
    pub(crate) fn streams(&self) -> BTreeMap<Stream, Vec<String>> {
        let mut streams: BTreeMap<Stream, Vec<String>> = BTreeMap::new();
        for request in &self.requests {
            let Some(stream) = request.stream() else {
                panic!(
                    "a request outside every stream: {} {}",
                    request.path, request.body
                );
            };
            if ![Stream::Ahead, Stream::Log].contains(&stream) {
                let line = self.named(&request.line());
                streams.entry(stream).or_default().push(line);
            }
        }
        if let Some(polling) = streams.get_mut(&Stream::Polling) {
            without_idle_rounds(polling);
        }
        if let Some(watch) = streams.get_mut(&Stream::Watch) {
            let mut seen = Vec::new();
            watch.retain(|line| {
                !seen.contains(line) && {
                    seen.push(line.clone());
                    true
                }
            });
        }
        if let Some(figures) = streams.get_mut(&Stream::Figures) {
            figures.truncate(1);
        }
        streams.insert(Stream::Log, self.log());
        let mut console = self.text_lines(self.console.trim_end());
        once(&mut console, 2);
        streams.insert(Stream::Console, console);
        streams
    }

    /// The headers of each call that say who speaks and what is sent.
    pub(crate) fn headers(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut calls = BTreeMap::new();
        for request in &self.requests {
            calls.insert(request.endpoint.clone(), request.headers.clone());
        }
        calls
    }

    /// Times of all log events, in the order in which they were sent.
    pub(crate) fn log_times(&self) -> Vec<u64> {
        let events = self.events();
        events
            .iter()
            .map(|event| event["timestamp"].as_u64().expect("a time"))
            .collect()
    }

    fn events(&self) -> Vec<Value> {
        let batches = self
            .requests
            .iter()
            .filter(|request| request.stream() == Some(Stream::Log));
        let events = batches.filter_map(|request| request.body["__json_lines__"].as_array());
        events.flatten().cloned().collect()
    }

    /// The events with their text. Where a text is cut into events is left to the clock, so long as lines stay whole.
    fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut open: Option<(String, String)> = None;
        for mut event in self.events() {
            let text = event["msg"].as_str().expect("a text").to_owned();
            event["msg"] = "<text>".into();
            event["timestamp"] = kind_of_number(&event["timestamp"]).into();
            let head = self.named(&event.to_string());
            match &mut open {
                Some((before, joined))
                    if *before == head && joined.ends_with('\n') && text.ends_with('\n') =>
                {
                    joined.push_str(&text);
                }
                _ => {
                    lines.extend(open.replace((head, text)));
                }
            }
        }
        lines.extend(open);
        lines
            .into_iter()
            .flat_map(|(head, text)| self.event_lines(head, &text))
            .collect()
    }

    fn event_lines(&self, head: String, text: &str) -> Vec<String> {
        let mut lines = vec![head];
        lines.extend(self.text_lines(text.strip_suffix('\n').unwrap_or(text)));
        if !text.ends_with('\n') {
            lines.push("<no line feed>".to_owned());
        }
        lines
    }

    /// Lines with placeholders; what other programs print is named after them.
    fn text_lines(&self, text: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut in_advice = false;
        for line in self.named(text).lines() {
            in_advice |= line.starts_with("Note: switching to ");
            let program = if in_advice {
                Some("<git>")
            } else {
                printed_by(line)
            };
            in_advice &= !line.starts_with("Turn off this advice ");
            let line = program.unwrap_or(line);
            let repeated = lines.last().is_some_and(|last| last == line);
            if !repeated || program.is_none() && !line.contains("<n>") {
                lines.push(line.to_owned());
            }
        }
        lines
    }

    fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, placeholder) in &self.words {
            text = text.replace(word, placeholder);
        }
        for (pattern, placeholder) in PATTERNS {
            let pattern = Regex::new(pattern).expect("a pattern");
            text = pattern.replace_all(&text, *placeholder).into_owned();
        }
        text
    }
}

/// What differs from run to run.
const PATTERNS: &[(&str, &str)] = &[
    (
        r"\.clearml_agent\.[A-Za-z0-9_]{8}\.cfg",
        ".clearml_agent.<random>.cfg",
    ),
    (
        r"\.clearml_agent_out\.[A-Za-z0-9_]{8}\.txt",
        ".clearml_agent_out.<random>.txt",
    ),
    (r"==\d[\w.]*", "==<version>"),
    (r"(?m)^six \d[\d.]*$", "six <version>"),
    (r"sleeping for \d+\.\d seconds", "sleeping for <n> seconds"),
    (r"tick \d+", "tick <n>"),
    (r"Prepared in \d+\.\d\d s.*", "Prepared in <time>"),
    (r"process id \d+", "process id <pid>"),
    (r"venvs-builds/3\.\d+", "venvs-builds/<python>"),
    (r"default_python = 3\.\d+", "default_python = <python>"),
    (r"HEAD is now at [0-9a-f]+ ", "HEAD is now at <commit> "),
];

/// The program that prints such a line while an environment is made.
fn printed_by(line: &str) -> Option<&'static str> {
    const PIP: [&str; 14] = [
        "    Found existing installation: ",
        "    Uninstalling ",
        "      Successfully uninstalled ",
        "  Attempting uninstall: ",
        "  Downloading ",
        "  Using cached ",
        "     ━",
        "Collecting ",
        "Ignoring pip: markers ",
        "Installing collected packages: ",
        "Looking in ",
        "Processing ",
        "Requirement already satisfied: ",
        "Successfully installed ",
    ];
    const VIRTUALENV: [&str; 5] = [
        "    added seed packages: ",
        "  activators ",
        "  creator ",
        "  seeder ",
        "created virtual environment ",
    ];
    let starts = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
    if starts(&PIP) {
        Some("<pip>")
    } else if starts(&VIRTUALENV) {
        Some("<virtualenv>")
    } else {
        None
    }
}

/// Takes out the rounds in which nothing was found, but for the first, which asks for more than the others.
fn without_idle_rounds(polling: &mut Vec<String>) {
    let is_idle = |round: &[String]| {
        round[0].contains(r#""only_fields":["id","tags"]"#) && round[1].ends_with(": nothing")
    };
    while let Some(at) = polling.windows(2).position(is_idle) {
        polling.drain(at..at + 2);
    }
}

/// Leaves one of several equal groups of `length` lines that follow each other.
fn once(lines: &mut Vec<String>, length: usize) {
    let mut kept: Vec<String> = Vec::new();
    let mut rest = lines.as_slice();
    while let Some(line) = rest.first() {
        // Two empty lines are a matter of form, not of the clock.
        let is_repetition = rest.len() >= length
            && kept.ends_with(&rest[..length])
            && rest[..length].iter().all(|line| !line.is_empty());
        if is_repetition {
            rest = &rest[length..];
        } else {
            kept.push(line.clone());
            rest = &rest[1..];
        }
    }
    *lines = kept;
}

impl Request {
    fn stream(&self) -> Option<Stream> {
        let fields = self.body["only_fields"].as_array();
        let asks_for_status =
            fields.is_some_and(|fields| fields.iter().any(|field| field == "status"));
        Some(match self.endpoint.as_str() {
            "auth.login" => Stream::Login,
            "events.add_batch" => Stream::Log,
            "queues.get_by_id" => Stream::Ahead,
            "queues.get_all"
            | "queues.get_next_task"
            | "workers.get_runtime_properties"
            | "workers.register"
            | "workers.unregister" => Stream::Polling,
            "tasks.get_all" if asks_for_status => Stream::Watch,
            "tasks.ping" => Stream::Watch,
            "tasks.completed"
            | "tasks.dequeue"
            | "tasks.edit"
            | "tasks.failed"
            | "tasks.get_all"
            | "tasks.get_by_id"
            | "tasks.set_requirements"
            | "tasks.started"
            | "tasks.stopped" => Stream::Task,
            "workers.status_report" if self.body["machine_stats"].is_null() => Stream::Reports,
            "workers.status_report" => Stream::Figures,
            _ => return None,
        })
    }

    /// Method, path and body, names and order of the fields as they were sent, and what came back.
    fn line(&self) -> String {
        let mut body = self.body.clone();
        if self.endpoint == "workers.status_report" {
            let whole = body["timestamp"]
                .as_u64()
                .is_some_and(|time| time % 1000 == 0);
            let kind = if whole {
                "<whole seconds>"
            } else {
                "<milliseconds>"
            };
            body["timestamp"] = kind.into();
            if let Some(figures) = body["machine_stats"].as_object_mut() {
                // Not every machine has a sensor.
                figures.remove("cpu_temperature");
                for figure in figures.values_mut() {
                    *figure = match &*figure {
                        Value::Array(figures) => figures.iter().map(kind_of_number).collect(),
                        figure => kind_of_number(figure).into(),
                    };
                }
            }
        }
        if let Some(host) = body.pointer_mut("/runtime/_exec_agent_hostname") {
            *host = "<host>".into();
        }
        let answer = match self.endpoint.as_str() {
            "queues.get_next_task" if self.data["entry"].is_object() => ": a task",
            "queues.get_next_task" => ": nothing",
            _ => "",
        };
        let Self {
            method,
            path,
            status,
            ..
        } = self;
        format!("{method} {path} {body} {status}{answer}")
    }
}

fn kind_of_number(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_u64() => "<integer>",
        Value::Number(_) => "<fraction>",
        _ => "<not a number>",
    }
}

fn recorded(line: &Value) -> Request {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let path = text(&line["path"]);
    let headers = line["headers"].as_object().expect("headers");
    Request {
        endpoint: path.rsplit('/').next().expect("a call").to_owned(),
        method: text(&line["method"]),
        path,
        status: line["status"].as_u64().expect("a status"),
        headers: compared(
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), text(value))),
        ),
        body: line["request"].clone(),
        data: line["response"]["data"].clone(),
    }
}

fn observed(request: &RecordedRequest) -> Request {
    let headers = request.headers.iter();
    Request {
        endpoint: request.endpoint.clone(),
        method: request.method.clone(),
        path: request.path.clone(),
        status: request.status.unwrap_or_default().into(),
        headers: compared(headers.map(|(name, value)| (name.as_str(), value.clone()))),
        body: request.body.clone(),
        data: request.response["data"].clone(),
    }
}

/// Headers that the server reads. `User-Agent`, `Accept-Encoding`, `Accept` and `Connection` are the client library's.
fn compared<'a>(headers: impl Iterator<Item = (&'a str, String)>) -> BTreeMap<String, String> {
    let named = headers.map(|(name, value)| (name.to_lowercase(), value));
    let read = named.filter(|(name, _)| {
        name.starts_with("x-") || name == "authorization" || name == "content-type"
    });
    read.map(|(name, value)| {
        let value = match name.as_str() {
            "authorization" => value.split(' ').next().unwrap_or_default().to_owned(),
            "x-clearml-worker" | "x-trains-worker" => "<host>".to_owned(),
            _ => value,
        };
        (name, value)
    })
    .collect()
}
