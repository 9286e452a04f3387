//! A stand-in of the Kubernetes API: plain HTTP on loopback, no cluster behind it. It keeps pods, jobs and secrets in memory,
//! takes only what `k8s-openapi` knows, lets its user do what `examples/kubernetes/rights.yaml` says and no more, and answers
//! with faults where a test wants that. A pod is what the test says of it;
//! or its container really runs, as a process of this machine with the folders of its volumes in their places.

mod objects;
mod watch;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::rbac::v1::Role;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::objects::{Key, Objects};
use super::{TestContext, wait_until};

const TOKEN: &str = "kubernetes-token-1";
/// The namespace of most tests.
pub(crate) const NAMESPACE: &str = "clearml";
/// There is another one.
pub(crate) const OTHER: &str = "team";
const RIGHTS: &str = include_str!("../../../examples/kubernetes/rights.yaml");

/// What a request is answered with in place of its result.
#[derive(Clone, Debug)]
pub(crate) struct InjectedFault {
    /// `POST`
    pub(crate) method: &'static str,
    /// `pods`
    pub(crate) collection: &'static str,
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
    /// For so many requests.
    pub(crate) times: usize,
}

#[derive(Default)]
struct State {
    objects: Objects,
    next: usize,
    /// Who watches from before it has grown is cut off.
    cuts: usize,
    faults: Vec<InjectedFault>,
    requests: Vec<String>,
    processes: HashMap<String, Pid>,
    output: HashMap<String, PathBuf>,
    delay: Duration,
    is_away: bool,
    runs_pods: bool,
    /// Resource and verb.
    rights: Vec<(String, String)>,
}

/// The objects of a file of manifests.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n");
    documents
        .map(|one| {
            let options = serde_saphyr::options! { legacy_octal_numbers: true };
            serde_saphyr::from_str_with_options(one, options).unwrap()
        })
        .collect()
}

/// What a role of the examples allows.
pub(crate) fn rights() -> Vec<(String, String)> {
    let mut documents = documents(RIGHTS).into_iter();
    let role = documents.find(|one| one["kind"] == "Role").unwrap();
    let role: Role = serde_json::from_value(role).unwrap();
    let mut rights = Vec::new();
    for rule in role.rules.unwrap() {
        for resource in rule.resources.unwrap() {
            for verb in &rule.verbs {
                rights.push((resource.clone(), verb.clone()));
            }
        }
    }
    rights
}

/// How processes of pods are started.
struct Machine {
    folder: PathBuf,
    variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

/// The API, until it is dropped; then all processes of its pods end.
pub(crate) struct KubernetesStandIn {
    state: Arc<Mutex<State>>,
    kubeconfig: PathBuf,
    address: SocketAddr,
}

/// A kubeconfig for this server.
fn configuration(cluster: &Value) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {"token": TOKEN}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": NAMESPACE}}],
        "current-context": "a",
    });
    config.to_string()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl KubernetesStandIn {
    /// An API whose pods the test moves itself.
    pub(crate) fn still(context: &TestContext) -> Self {
        Self::start(context, false)
    }

    /// An API whose pods run.
    pub(crate) fn running(context: &TestContext) -> Self {
        Self::start(context, true)
    }

    fn start(context: &TestContext, runs_pods: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            runs_pods,
            rights: rights(),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let folder = context.folder().join("kubernetes");
        fs::create_dir_all(&folder).unwrap();
        let command = context.command(&[]);
        let variables = command.get_envs();
        let machine = Arc::new(Machine {
            folder: folder.clone(),
            variables: variables
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
                .collect(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, machine) = (Arc::clone(&shared), Arc::clone(&machine));
                thread::spawn(move || serve(stream, &state, &machine));
            }
        });
        let kubeconfig = folder.join("config");
        let server = json!({"server": format!("http://{address}")});
        fs::write(&kubeconfig, configuration(&server)).unwrap();
        Self {
            state,
            kubeconfig,
            address,
        }
    }

    /// What a program needs to find it.
    pub(crate) fn variable(&self) -> (&'static str, &Path) {
        ("KUBECONFIG", &self.kubeconfig)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on its users go to `front`, and trust this authority.
    pub(crate) fn behind(&self, front: SocketAddr, authority: &str) {
        let authority = STANDARD.encode(authority);
        let server = json!({
            "server": format!("https://{front}"),
            "certificate-authority-data": authority,
        });
        fs::write(&self.kubeconfig, configuration(&server)).unwrap();
    }

    /// The pod of a task.
    pub(crate) fn pod(&self, task: &str) -> Option<Value> {
        self.object("pods", &format!("clearml-id-{task}"))
    }

    /// The same in any namespace.
    pub(crate) fn pod_in(&self, namespace: &str, name: &str) -> Option<Value> {
        let key = key("pods", namespace, name);
        lock(&self.state).objects.get(&key).cloned()
    }

    /// An object in the namespace.
    pub(crate) fn object(&self, collection: &str, name: &str) -> Option<Value> {
        let key = key(collection, NAMESPACE, name);
        lock(&self.state).objects.get(&key).cloned()
    }

    /// Names of all objects of a collection.
    pub(crate) fn names(&self, collection: &str) -> Vec<String> {
        let state = lock(&self.state);
        let keys = state.objects.iter().map(|(key, _)| key);
        keys.filter(|(of, ..)| of == collection)
            .map(|(_, _, name)| name.clone())
            .collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_pod(&self, task: &str) -> Value {
        assert!(wait_until(|| self.pod(task).is_some()), "no pod of {task}");
        self.pod(task).unwrap()
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let key = key(collection, NAMESPACE, name);
        lock(&self.state).objects.put(key, object);
    }

    /// Takes an object away, as if it had never been made.
    pub(crate) fn remove(&self, collection: &str, name: &str) {
        let key = key(collection, NAMESPACE, name);
        lock(&self.state).objects.remove(&key).expect("an object");
    }

    /// Members of the status of a task's pod.
    pub(crate) fn set_status(&self, task: &str, status: &Value) {
        let key = key("pods", NAMESPACE, &format!("clearml-id-{task}"));
        let mut state = lock(&self.state);
        let change = |pod: &mut Value| pod["status"] = status.clone();
        assert!(state.objects.change(&key, change), "no pod of {task}");
    }

    /// The status of a task's container that has ended.
    pub(crate) fn end(&self, task: &str, phase: &str, terminated: &Value) {
        let name = format!("clearml-id-{task}");
        self.set_status(
            task,
            &json!({"phase": phase, "containerStatuses": [
                {"name": name, "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": {"terminated": terminated}}
            ]}),
        );
    }

    /// The pod of a task is gone at once, its process too: its machine has failed.
    pub(crate) fn lose(&self, task: &str) {
        let name = format!("clearml-id-{task}");
        let mut state = lock(&self.state);
        state.objects.remove(&key("pods", NAMESPACE, &name));
        if let Some(process) = state.processes.remove(&name) {
            let _ = killpg(process, Signal::SIGKILL);
        }
    }

    /// A watch says that the pod of a task is gone.
    pub(crate) fn pretend_lost(&self, task: &str) {
        let key = key("pods", NAMESPACE, &format!("clearml-id-{task}"));
        lock(&self.state).objects.pretend_removed(&key);
    }

    /// Kills the process of a pod.
    pub(crate) fn kill(&self, task: &str) {
        let state = lock(&self.state);
        let process = state.processes.get(&format!("clearml-id-{task}"));
        killpg(*process.expect("it runs"), Signal::SIGKILL).unwrap();
    }

    /// Deletes a pod as `kubectl delete pod` does.
    pub(crate) fn delete_pod(&self, task: &str) {
        let name = format!("clearml-id-{task}");
        delete(&mut lock(&self.state), &key("pods", NAMESPACE, &name));
    }

    /// Where lists are to fail, nobody may watch on.
    pub(crate) fn inject(&self, fault: InjectedFault) {
        let mut state = lock(&self.state);
        if fault.method == "GET" {
            state.cuts += 1;
        }
        state.faults.push(fault);
    }

    /// Who watches is told that his version is too old, as after a time without changes.
    pub(crate) fn forget_changes(&self) {
        lock(&self.state).objects.forget();
    }

    /// Connections end without an answer.
    pub(crate) fn go_away(&self, is_away: bool) {
        let mut state = lock(&self.state);
        state.is_away = is_away;
        state.cuts += 1;
    }

    /// Each answer takes so long.
    pub(crate) fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// All requests, as `METHOD PATH`.
    pub(crate) fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }
}

impl Drop for KubernetesStandIn {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.is_away = true;
        state.cuts += 1;
        for (_, process) in state.processes.drain() {
            let _ = killpg(process, Signal::SIGKILL);
        }
    }
}

fn key(collection: &str, namespace: &str, name: &str) -> Key {
    (collection.to_owned(), namespace.to_owned(), name.to_owned())
}

struct Asked {
    method: String,
    path: Vec<String>,
    query: String,
    body: Value,
    is_signed_in: bool,
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut is_signed_in) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => is_signed_in = value == format!("Bearer {TOKEN}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Asked {
        method,
        path: path.split('/').skip(1).map(str::to_owned).collect(),
        query: query.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        is_signed_in,
    })
}

impl Asked {
    fn is_watch(&self) -> bool {
        self.method == "GET" && self.query.contains("watch=true")
    }

    /// `GET`, or `WATCH`, which is one as well.
    fn verb(&self) -> &str {
        if self.is_watch() {
            "WATCH"
        } else {
            &self.method
        }
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let mut parameters = self.query.split('&');
        let value = parameters.find_map(|one| one.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.replace("%3D", "="))
    }

    /// Whether an object is one of those that are listed or watched.
    fn means(&self, (of, place, _): &Key, object: &Value) -> bool {
        let label = self.parameter("labelSelector").unwrap_or_default();
        let (name, value) = label.split_once('=').unwrap_or_default();
        let [.., namespace, collection] = &self.path[..] else {
            return false;
        };
        of == collection && place == namespace && object["metadata"]["labels"][name] == value
    }
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code,
    })
}

fn serve(mut stream: TcpStream, state: &Arc<Mutex<State>>, machine: &Arc<Machine>) {
    let Some(asked) = read(&stream) else { return };
    let delay = lock(state).delay;
    thread::sleep(delay);
    if lock(state).is_away {
        return;
    }
    if asked.is_watch() {
        return watch::watch(&mut stream, &asked, state);
    }
    let (code, text) = match answer(&asked, state, machine) {
        Ok(Answer::Object(object)) => (200, object.to_string()),
        Ok(Answer::Text(text)) => (200, text),
        Err((code, reason, message)) => (code, status(code, reason, &message).to_string()),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
}

enum Answer {
    Object(Value),
    Text(String),
}

type Refusal = (u16, &'static str, String);

/// Namespace, collection, and what is in it.
fn parts<'a>(path: &'a [&'a str]) -> Option<(&'a str, &'a str, &'a [&'a str])> {
    let (["api", "v1", "namespaces", namespace, collection, rest @ ..]
    | [
        "apis",
        "batch",
        "v1",
        "namespaces",
        namespace,
        collection,
        rest @ ..,
    ]) = path
    else {
        return None;
    };
    Some((namespace, collection, rest))
}

/// Why this is not answered with what was asked for.
fn refused(state: &mut State, asked: &Asked) -> Option<Refusal> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let verb = asked.verb();
    state.requests.push(format!("{verb} /{}", path.join("/")));
    if !asked.is_signed_in {
        return Some((401, "Unauthorized", "Unauthorized".to_owned()));
    }
    let Some((namespace, collection, rest)) = parts(&path) else {
        return Some((404, "NotFound", "page not found".to_owned()));
    };
    if let Err(refusal) = may(state, verb, namespace, collection, rest) {
        return Some(refusal);
    }
    let is_meant = |fault: &InjectedFault| {
        // Who may not list may not watch.
        let is_method = fault.method == verb || (fault.method, verb) == ("GET", "WATCH");
        fault.times > 0 && is_method && fault.collection == collection
    };
    let fault = state.faults.iter_mut().find(|fault| is_meant(fault))?;
    if fault.method == verb {
        fault.times -= 1;
    }
    Some((fault.code, fault.reason, fault.message.to_owned()))
}

fn answer(
    asked: &Asked,
    shared: &Arc<Mutex<State>>,
    machine: &Arc<Machine>,
) -> Result<Answer, Refusal> {
    let mut state = lock(shared);
    let state = &mut *state;
    if let Some(refusal) = refused(state, asked) {
        return Err(refusal);
    }
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let (namespace, collection, rest) = parts(&path).expect("a known path");
    let not_found = |name: &str| {
        let message = format!("{collection} \"{name}\" not found");
        (404, "NotFound", message)
    };
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let found = state.objects.iter();
            let found = found.filter(|(key, object)| asked.means(key, object));
            let items: Vec<&Value> = found.map(|(_, object)| object).collect();
            let version = state.objects.version().to_string();
            Ok(Answer::Object(
                json!({"metadata": {"resourceVersion": version}, "items": items}),
            ))
        }
        ("GET", [name]) => {
            let object = state.objects.get(&key(collection, namespace, name));
            let object = object.ok_or_else(|| not_found(name))?;
            Ok(Answer::Object(object.clone()))
        }
        ("GET", [name, "log"]) => {
            let file = state.output.get(*name);
            let text = file.and_then(|file| fs::read_to_string(file).ok());
            Ok(Answer::Text(text.unwrap_or_default()))
        }
        ("POST", []) => {
            let object = made(state, asked, collection, namespace)?;
            if !asked.query.contains("dryRun=All") {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let key = key(collection, namespace, &name);
                state.objects.put(key, object.clone());
                if collection == "pods" && state.runs_pods {
                    let (shared, machine) = (Arc::clone(shared), Arc::clone(machine));
                    let pod = object.clone();
                    thread::spawn(move || run(&pod, &name, &shared, &machine));
                }
            }
            Ok(Answer::Object(object))
        }
        ("DELETE", [name]) => {
            let key = key(collection, namespace, name);
            let object = state.objects.get(&key).ok_or_else(|| not_found(name))?;
            let wanted = &asked.body["preconditions"]["uid"];
            if !wanted.is_null() && object["metadata"]["uid"] != *wanted {
                return Err((409, "Conflict", "the UID in the precondition".to_owned()));
            }
            delete(state, &key);
            Ok(Answer::Object(
                json!({"kind": "Status", "status": "Success"}),
            ))
        }
        _ => Err((405, "MethodNotAllowed", "not here".to_owned())),
    }
}

/// Whether the role allows it.
fn may(
    state: &State,
    method: &str,
    namespace: &str,
    collection: &str,
    rest: &[&str],
) -> Result<(), Refusal> {
    let (resource, verb) = match (method, rest) {
        ("GET", []) => (collection.to_owned(), "list"),
        ("WATCH", _) => (collection.to_owned(), "watch"),
        ("GET", [_]) => (collection.to_owned(), "get"),
        ("GET", [_, below, ..]) => (format!("{collection}/{below}"), "get"),
        ("POST", _) => (collection.to_owned(), "create"),
        (_, _) => (collection.to_owned(), "delete"),
    };
    if !state.rights.contains(&(resource.clone(), verb.to_owned())) {
        let message = format!(
            "{resource} is forbidden: User \"glue\" cannot {verb} resource \"{resource}\" in API group \"\" in the namespace \"{namespace}\""
        );
        return Err((403, "Forbidden", message));
    }
    Ok(())
}

/// An object as it is kept, where it is one.
fn made(
    state: &mut State,
    asked: &Asked,
    collection: &str,
    namespace: &str,
) -> Result<Value, Refusal> {
    let known = match collection {
        "pods" => checked::<Pod>(&asked.body),
        "jobs" => checked::<Job>(&asked.body),
        "secrets" => checked::<Secret>(&asked.body),
        other => Err(format!("{other} are not known here")),
    };
    known.map_err(|why| (400, "BadRequest", why))?;
    let name = asked.body["metadata"]["name"].as_str().unwrap_or_default();
    if ![NAMESPACE, OTHER].contains(&namespace) {
        let message = format!("namespaces \"{namespace}\" not found");
        return Err((404, "NotFound", message));
    }
    if state
        .objects
        .get(&key(collection, namespace, name))
        .is_some()
    {
        let message = format!("{collection} \"{name}\" already exists");
        return Err((409, "AlreadyExists", message));
    }
    let mut object = asked.body.clone();
    state.next += 1;
    object["metadata"]["uid"] = format!("uid-{}", state.next).into();
    object["metadata"]["creationTimestamp"] = chrono::Utc::now().to_rfc3339().into();
    if collection == "pods" {
        object["status"] = json!({"phase": "Pending"});
    }
    Ok(object)
}

/// Typed, and without a member that the type does not have.
fn checked<T: DeserializeOwned + Serialize>(body: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(body.clone()).map_err(|error| error.to_string())?;
    let back = serde_json::to_value(typed).unwrap();
    unknown(body, &back, "").map_or(Ok(()), |field| {
        Err(format!("strict decoding error: unknown field \"{field}\""))
    })
}

fn unknown(body: &Value, typed: &Value, path: &str) -> Option<String> {
    match (body, typed) {
        (Value::Object(body), Value::Object(typed)) => body.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            let path = path.trim_start_matches('.');
            match typed.get(name) {
                Some(typed) => unknown(value, typed, path),
                None if value.is_null() => None,
                None => Some(path.to_owned()),
            }
        }),
        (Value::Array(body), Value::Array(typed)) => {
            let mut pairs = body.iter().zip(typed).enumerate();
            pairs.find_map(|(place, (body, typed))| {
                unknown(body, typed, &format!("{path}[{place}]"))
            })
        }
        _ => None,
    }
}

/// With what it owns. A pod that runs gets a signal first.
fn delete(state: &mut State, key: &Key) {
    if let (Some(process), "pods") = (state.processes.get(&key.2), key.0.as_str()) {
        let _ = kill(*process, Signal::SIGTERM);
        let now = chrono::Utc::now().to_rfc3339();
        let change = |pod: &mut Value| pod["metadata"]["deletionTimestamp"] = now.into();
        state.objects.change(key, change);
        return;
    }
    let Some(gone) = state.objects.remove(key) else {
        return;
    };
    let uid = &gone["metadata"]["uid"];
    let objects = state.objects.iter();
    let owned =
        objects.filter(|(_, object)| object["metadata"]["ownerReferences"][0]["uid"] == *uid);
    let owned: Vec<Key> = owned.map(|(key, _)| key.clone()).collect();
    for key in owned {
        state.objects.remove(&key);
    }
}

/// Runs the container of a pod, as a kubelet would.
fn run(pod: &Value, name: &str, shared: &Arc<Mutex<State>>, machine: &Machine) {
    let folder = machine
        .folder
        .join(name)
        .join(pod["metadata"]["uid"].as_str().unwrap());
    let (agent, files) = (folder.join("agent"), folder.join("pod"));
    fs::create_dir_all(&agent).unwrap();
    fs::create_dir_all(&files).unwrap();
    let placed = |text: &str| {
        text.replace("/.clearml-agent", &agent.display().to_string())
            .replace("/.clearml-pod", &files.display().to_string())
            // The machine of the tests is not to be changed.
            .replace(" boot python", " boot python --standalone")
    };
    let pod_key = key("pods", NAMESPACE, name);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let mut secrets = volumes.iter();
    let secret = secrets.find_map(|volume| volume["secret"]["secretName"].as_str());
    let secret = key("secrets", NAMESPACE, secret.expect("a secret"));
    let found = || lock(shared).objects.get(&secret).cloned();
    let is_there = || lock(shared).objects.get(&pod_key).is_some();
    if !wait_until(|| found().is_some() || !is_there()) {
        return;
    }
    let Some(secret) = found() else { return };
    for (name, text) in secret["stringData"].as_object().unwrap() {
        fs::write(files.join(name), placed(text.as_str().unwrap())).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_clearml-agent");
    let own = agent.join("clearml-agent");
    // What the first container does is a test of its own.
    if fs::hard_link(program, &own).is_err() {
        fs::copy(program, &own).unwrap();
    }
    let container = &pod["spec"]["containers"][0];
    let words = container["command"].as_array().unwrap().iter();
    let mut words = words.map(|word| placed(word.as_str().unwrap()));
    let output = folder.join("output");
    let file = fs::File::create(&output).unwrap();
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .env_clear()
        .envs(machine.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .process_group(0);
    for one in container["env"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (one["name"].as_str(), one["value"].as_str()) {
            command.env(name, placed(value));
        }
    }
    let mut child = {
        let mut state = lock(shared);
        let state = &mut *state;
        let runs = |pod: &mut Value| pod["status"] = json!({"phase": "Running"});
        if !state.objects.change(&pod_key, runs) {
            return;
        }
        let child = command.spawn().unwrap();
        let process = Pid::from_raw(child.id().try_into().unwrap());
        state.processes.insert(name.to_owned(), process);
        state.output.insert(name.to_owned(), output);
        child
    };
    let ended = child.wait().unwrap();
    let mut state = lock(shared);
    let state = &mut *state;
    state.processes.remove(name);
    let code = ended.code().or_else(|| Some(128 + ended.signal()?));
    let Some(pod) = state.objects.get(&pod_key) else {
        return;
    };
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        delete(state, &pod_key);
        return;
    }
    // The test may have said more about its end.
    if pod["status"]["phase"] == "Running" {
        let phase = if code == Some(0) {
            "Succeeded"
        } else {
            "Failed"
        };
        let reason = if code == Some(0) {
            "Completed"
        } else {
            "Error"
        };
        let status = json!({"phase": phase, "containerStatuses": [
            {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason}}}
        ]});
        let ends = |pod: &mut Value| pod["status"] = status;
        state.objects.change(&pod_key, ends);
    }
}
