//! The running server: its listeners, and the tests' hand on it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use serde_json::Value;
use tokio::{net::TcpSocket, runtime::Runtime};

use crate::{
    auth,
    call::{Call, Caller},
    clock::Moment,
    endpoint,
    error::{ApiError, StartError},
    files,
    http::{self, Shared},
    options::{Credentials, Options},
    record::RecordedRequest,
    schema::Document,
    services,
    storage::{Collection, Storage},
    version::NEWEST,
};

/// How long a closing server waits for a request that it is answering.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A running server; dropping it shuts it down.
///
/// It has threads of its own: it serves synchronous and asynchronous tests alike, and needs no runtime round it.
#[derive(Debug)]
pub struct LocalServer {
    shared: Arc<Shared>,
    credentials: Credentials,
    addresses: Addresses,
    presence: Mutex<Presence>,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    api: SocketAddr,
    web: SocketAddr,
    files: SocketAddr,
}

/// Whether clients can connect.
#[derive(Debug)]
enum Presence {
    Listening(Runtime),
    /// The ports are kept, but connections are refused.
    Away(#[expect(dead_code, reason = "held so that nobody takes the ports")] Vec<TcpSocket>),
}

impl LocalServer {
    /// Starts a server from asynchronous code. See [`Self::start_blocking`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        tokio::task::spawn_blocking(|| Self::start_blocking(options))
            .await
            .map_err(|error| StartError::Runtime(std::io::Error::other(error)))?
    }

    /// Opens the database, makes the first user and the queue `default` where they are missing, and listens.
    ///
    /// Fails if an address is taken or the database cannot be used.
    pub fn start_blocking(options: Options) -> Result<Self, StartError> {
        let storage = Storage::open(&options.database)?;
        let now = Moment::now();
        let (owner, credentials) = storage.transaction(|store| {
            let prepared =
                auth::prepare(store, options.credentials.as_ref(), options.edition, now)?;
            services::queues::ensure_default(store, now)?;
            Ok(prepared)
        })?;
        let shared = Arc::new(Shared {
            storage,
            recorder: crate::record::Recorder::default(),
            owner,
            options,
        });
        let beside = SocketAddr::new(shared.options.listen.ip(), 0);
        let wanted = Addresses {
            api: shared.options.listen,
            web: shared.options.web_listen.unwrap_or(beside),
            files: shared.options.files_listen.unwrap_or(beside),
        };
        let (runtime, addresses) = listen(&shared, wanted)?;
        Ok(Self {
            shared,
            credentials,
            addresses,
            presence: Mutex::new(Presence::Listening(runtime)),
        })
    }

    /// Address of the API, e.g. `http://127.0.0.1:8008`.
    pub fn url(&self) -> String {
        url(self.addresses.api)
    }

    /// Address of the placeholder of the web application.
    pub fn web_url(&self) -> String {
        url(self.addresses.web)
    }

    /// Address of the file store.
    pub fn files_url(&self) -> String {
        url(self.addresses.files)
    }

    /// Keys of the first user.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// A `clearml.conf` with this server's addresses and keys.
    pub fn configuration(&self) -> String {
        format!(
            "api {{\n    web_server: {}\n    api_server: {}\n    files_server: {}\n    credentials {{\n        \
             \"access_key\" = \"{}\"\n        \"secret_key\" = \"{}\"\n    }}\n}}\n",
            self.web_url(),
            self.url(),
            self.files_url(),
            self.credentials.access_key,
            self.credentials.secret_key,
        )
    }

    /// Every request to the API in the order of arrival. Empty if [`Options::record`] is off.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.recorder.all()
    }

    /// How many requests [`Self::requests`] would give.
    pub fn request_count(&self) -> usize {
        self.shared.recorder.count()
    }

    /// Calls the API directly, as the first user: `call("tasks.stop", json!({"task": id}))`.
    ///
    /// Gives the `data` member of the answer, or the refusal. A list as body is a batch. Works while the server does
    /// not listen, takes well under a millisecond, and is not among [`Self::requests`].
    pub fn call(&self, endpoint: &str, body: Value) -> Result<Value, ApiError> {
        self.call_by(self.shared.owner.clone(), endpoint, body)
    }

    /// The same as the user with this id.
    pub fn call_as(&self, user: &str, endpoint: &str, body: Value) -> Result<Value, ApiError> {
        let user = self
            .shared
            .storage
            .transaction(|store| auth::user(store, user))?;
        let user = user.ok_or_else(|| ApiError::bad_request(6, "unknown user"))?;
        self.call_by(user, endpoint, body)
    }

    fn call_by(&self, caller: Caller, endpoint: &str, body: Value) -> Result<Value, ApiError> {
        let target = endpoint::parse_path(endpoint)?;
        let version = target.version.unwrap_or(NEWEST);
        let endpoint = endpoint::find(&target.name, version, self.shared.options.edition)?;
        let (parameters, batch) = match body {
            Value::Object(mut parameters) => match parameters.remove("__json_lines__") {
                Some(Value::Array(lines)) => (parameters, Some(lines)),
                _ => (parameters, None),
            },
            Value::Array(lines) => (Document::new(), Some(lines)),
            _ => (Document::new(), None),
        };
        self.shared.storage.transaction(|store| {
            let mut call = Call {
                store,
                options: &self.shared.options,
                caller,
                parameters,
                batch,
                version,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                now: Moment::now(),
                impersonated: None,
            };
            http::execute(&mut call, endpoint)
        })
    }

    /// Makes all tokens given out so far useless: the next call with one of them is answered 401/31.
    pub fn block_tokens(&self) -> Result<(), ApiError> {
        let now = Moment::now().milliseconds();
        self.shared
            .storage
            .transaction(|store| store.set_setting(auth::BLOCKED_BEFORE, now.into()))
    }

    /// Forgets the user with this id; what is his stays.
    pub fn remove_user(&self, user: &str) -> Result<(), ApiError> {
        self.shared
            .storage
            .transaction(|store| store.delete(Collection::User, user).map(drop))
    }

    /// Adds a configuration vault for [`crate::Edition::Enterprise`]: what `users.get_vaults` answers.
    pub fn add_vault(&self, description: &str, data: &str) -> Result<(), ApiError> {
        self.shared
            .storage
            .transaction(|store| services::users::add_vault(store, description, data))
    }

    /// Waits until `condition` gives a value for the recorded requests, and gives `None` after `patience`.
    pub fn wait_for<T>(
        &self,
        patience: Duration,
        mut condition: impl FnMut(&[RecordedRequest]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(value) = condition(&self.requests()) {
                return Some(value);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Closes all connections and refuses new ones, as a server that is away. The ports stay ours.
    ///
    /// Fails if the ports cannot be kept; the server does not listen then either.
    pub fn stop_listening(&self) -> Result<(), StartError> {
        let mut presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        if let Presence::Listening(_) = &*presence {
            let before = std::mem::replace(&mut *presence, Presence::Away(Vec::new()));
            close(before);
            let Addresses { api, web, files } = self.addresses;
            let kept = [api, web, files]
                .into_iter()
                .map(bind_again)
                .collect::<Result<_, _>>()?;
            *presence = Presence::Away(kept);
        }
        Ok(())
    }

    /// Listens again, on the same ports.
    pub fn resume(&self) -> Result<(), StartError> {
        let mut presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        if let Presence::Away(_) = &*presence {
            *presence = Presence::Away(Vec::new());
            let (runtime, _) = listen(&self.shared, self.addresses)?;
            *presence = Presence::Listening(runtime);
        }
        Ok(())
    }

    /// Shuts the server down; the same as dropping it.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        let presence = self
            .presence
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        close(std::mem::replace(presence, Presence::Away(Vec::new())));
    }
}

/// Ends the event loop and with it all connections, on a thread where waiting is allowed.
fn close(presence: Presence) {
    if let Presence::Listening(runtime) = presence {
        // Not joining could only fail if the thread panicked: nothing is left to close then.
        let _ = thread::spawn(move || runtime.shutdown_timeout(LAST_ANSWERS)).join();
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn bind(address: SocketAddr) -> Result<TcpSocket, StartError> {
    let refused = |source| StartError::Listen { address, source };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(refused)?;
    socket.set_reuseaddr(true).map_err(refused)?;
    socket.bind(address).map_err(refused)?;
    Ok(socket)
}

/// Takes an address that was this server's a moment ago. A connection of somebody else may have its port for as long as it
/// lasts.
fn bind_again(address: SocketAddr) -> Result<TcpSocket, StartError> {
    const TRIES: u32 = 200;
    for _ in 1..TRIES {
        if let Ok(socket) = bind(address) {
            return Ok(socket);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bind(address)
}

/// Serves the three addresses on an event loop of their own.
fn listen(shared: &Arc<Shared>, wanted: Addresses) -> Result<(Runtime, Addresses), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("local-server")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let serve = |address, router: Router| -> Result<SocketAddr, StartError> {
        let refused = |source| StartError::Listen { address, source };
        let _entered = runtime.enter();
        let listener = bind(address)?.listen(1024).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await });
        Ok(bound)
    };
    let addresses = Addresses {
        api: serve(wanted.api, http::router(Arc::clone(shared)))?,
        web: serve(wanted.web, http::web_router())?,
        files: serve(wanted.files, files::router(Arc::clone(shared)))?,
    };
    Ok((runtime, addresses))
}
