//! The keys about the server, and the sections that are handed to tasks.

use super::{Group, group};

pub(super) const SERVER: Group = group! { "The server":
    /// The API server. It is not the page that one sees in the browser.
    "api.api_server": Url = "(absent)" [API_HOST] eg "\"http://localhost:8008\"";
    /// The page in the browser; for links.
    "api.web_server": Url = "(made of the API server)" [WEB_HOST] eg "\"http://localhost:8080\"" => ForTasks;
    /// Where models and artifacts go unless a task says otherwise.
    "api.files_server": Url = "(made of the API server)" [FILES_HOST] eg "\"http://localhost:8081\"" => ForTasks;
    /// An older name of the API server; used where that is not given.
    "api.host": Url = "(the API server)" eg "\"http://localhost:8008\"";
    /// Made in the browser: Settings, Workspace, Create new credentials.
    "api.credentials.access_key": Text = "(absent)" [API_ACCESS_KEY] eg "\"\"";
    /// The secret half of these credentials.
    "api.credentials.secret_key": Text = "(absent)" [API_SECRET_KEY] eg "\"\"";
    /// Whether the server's certificate is checked; a path names the file with the certificates to trust.
    "api.verify_certificate": BooleanOrText [API_HOST_VERIFY_CERT];
    /// Shown, and used by nobody.
    "api.version": Number => Ignored;
    /// Shown, and used by nobody.
    "api.default_version": Number => Ignored;
    /// HTTP method of ordinary calls.
    "api.http.default_method": Choice("get", "post", "put") = "\"get\"" [API_DEFAULT_REQ_METHOD];
    /// Most bytes of one request. The agent sends less in any case; a missing or zero value ends it.
    "api.http.max_req_size": Integer;
    /// How often a call is tried again at most; null sets no limit.
    "api.http.retries.total": Integer;
    /// The same for errors of connecting.
    "api.http.retries.connect": Integer;
    /// The same for connections that break while an answer is read.
    "api.http.retries.read": Integer;
    /// Redirections that are followed.
    "api.http.retries.redirect": Integer;
    /// How often a call is tried again after an answer that says so by its status.
    "api.http.retries.status": Integer;
    /// Seconds before the second try; they double with each further one.
    "api.http.retries.backoff_factor": Number;
    /// Most seconds between two tries.
    "api.http.retries.backoff_max": Seconds;
    /// Waits without end while the server says that it is being maintained.
    "api.http.wait_on_maintenance_forever": Boolean;
    /// Connections that are kept open.
    "api.http.pool_maxsize": Integer;
    /// Servers to which connections are kept; there is one.
    "api.http.pool_connections": Integer => Ignored;
    /// A token is renewed when so many seconds of its life are left.
    "api.auth.token_expiration_threshold_sec": Seconds;
    /// Life in seconds that is asked for with a new token.
    "api.auth.request_token_expiration_sec": Seconds eg "86400";
    /// Address that is looked for to learn which of its own addresses the machine uses.
    "api.public_ip_ping": Text = "\"8.8.8.8\"" => Later;
    /// Services that tell the machine its public address.
    "api.public_ip_service_urls": List = "(built in)" eg "[\"https://api.ipify.org\"]" => Later;
};

pub(super) const SECTIONS: Group = group! { "Sections for every task":
    /// Variables that the agent and its tasks get.
    "environment": Object = "(absent)" eg "{ \"MY_DATA\": \"/mnt/data\" }";
    /// Files that are written before a task: each with a name of its own, `path`, `contents`, and where needed `format`,
    /// `target_format`, `overwrite` and `mode`.
    "files": Object = "(absent)"
        eg "{ \"netrc\": { \"path\": \"~/.netrc\", \"contents\": \"machine example.org\", \"mode\": \"0o600\" } }";
};

pub(super) const SDK: Group = group! { "The SDK in the task":
    /// The SDK's cache.
    "sdk.storage.cache.default_base_dir": Path => ForTasks;
    /// What stays free on the disk of the cache.
    "sdk.storage.cache.size.min_free_bytes": Text => ForTasks;
    /// Places whose files are used where they are, without a copy.
    "sdk.storage.direct_access": Objects => ForTasks;
    /// Debug files that are kept for each metric and variant.
    "sdk.metrics.file_history_size": Integer => ForTasks;
    /// Plots without a title of their own that are kept.
    "sdk.metrics.matplotlib_untitled_history_size": Integer => ForTasks;
    /// Format of debug images.
    "sdk.metrics.images.format": Text => ForTasks;
    /// Their quality, as their format counts it.
    "sdk.metrics.images.quality": Integer => ForTasks;
    /// How coarse their colours are, as their format counts it.
    "sdk.metrics.images.subsampling": Integer => ForTasks;
    /// Draws every series of TensorBoard in a graph of its own.
    "sdk.metrics.tensorboard_single_series_per_graph": Boolean => ForTasks;
    /// Threads that upload files.
    "sdk.network.metrics.file_upload_threads": Integer => ForTasks;
    /// Seconds without an upload after which the SDK warns.
    "sdk.network.metrics.file_upload_starvation_warning_sec": Integer => ForTasks;
    /// Tries after an error of the server.
    "sdk.network.iteration.max_retries_on_server_error": Integer => ForTasks;
    /// Seconds before the second of these tries.
    "sdk.network.iteration.retry_backoff_factor_sec": Integer => ForTasks;
    /// Key for Amazon S3.
    "sdk.aws.s3.key": Text [AWS_ACCESS_KEY_ID] => ForTasks;
    /// Its secret half.
    "sdk.aws.s3.secret": Text [AWS_SECRET_ACCESS_KEY] => ForTasks;
    /// Region of Amazon S3.
    "sdk.aws.s3.region": Text [AWS_DEFAULT_REGION] => ForTasks;
    /// Keys for single buckets or hosts.
    "sdk.aws.s3.credentials": Objects => ForTasks;
    /// Connections to Amazon S3 that are kept open.
    "sdk.aws.boto3.pool_connections": Integer => ForTasks;
    /// Parts of one file that are uploaded at once.
    "sdk.aws.boto3.max_multipart_concurrency": Integer => ForTasks;
    /// Google's file with credentials.
    "sdk.google.storage.credentials_json": Path = "(absent)" [GOOGLE_APPLICATION_CREDENTIALS]
        eg "\"/etc/google.json\"" => ForTasks;
    /// Accounts of Azure with their keys. The variables add one.
    "sdk.azure.storage.containers": Objects = "(absent)" [AZURE_STORAGE_ACCOUNT AZURE_STORAGE_KEY]
        eg "[{ \"account_name\": \"mine\", \"account_key\": \"key\" }]" => ForTasks;
    /// Lets log messages reach Python's root logger that otherwise do not.
    "sdk.log.null_log_propagate": Boolean => ForTasks;
    /// Lines of a task's log that are sent together.
    "sdk.log.task_log_buffer_capacity": Integer => ForTasks;
    /// Leaves the small talk of the HTTP library out of the log.
    "sdk.log.disable_urllib3_info": Boolean => ForTasks;
    /// Hours in which a script that is started again by hand goes on with its last task.
    "sdk.development.task_reuse_time_window_in_hours": Number => ForTasks;
    /// Looks for the script's repository while the script goes on.
    "sdk.development.vcs_repo_detect_async": Boolean => ForTasks;
    /// Records what is changed in the repository and not committed.
    "sdk.development.store_uncommitted_code_diff": Boolean => ForTasks;
    /// Lets a task that is started by hand be stopped from the web page.
    "sdk.development.support_stopping": Boolean => ForTasks;
    /// Where models and artifacts go when the script does not say it.
    "sdk.development.default_output_uri": Text => ForTasks;
    /// Looks for packages in the whole repository, not only in what the script uses.
    "sdk.development.force_analyze_entire_repo": Boolean => ForTasks;
    /// Does not tell of newer releases of the SDK.
    "sdk.development.suppress_update_message": Boolean => ForTasks;
    /// Records the packages as `pip freeze` lists them.
    "sdk.development.detect_with_pip_freeze": Boolean => ForTasks;
    /// Seconds between two reports of a task that is started by hand.
    "sdk.development.worker.report_period_sec": Number => ForTasks;
    /// Seconds between two of its signs of life.
    "sdk.development.worker.ping_period_sec": Number => ForTasks;
    /// Reports what it prints.
    "sdk.development.worker.log_stdout": Boolean => ForTasks;
    /// Reports the memory of the whole machine, not only its own.
    "sdk.development.worker.report_global_mem_used": Boolean => ForTasks;
    /// Python's format number for the section `logging`, which takes what Python's logging takes.
    "logging.version": Integer => ForTasks;
    /// Least weight of messages of the HTTP library.
    "logging.loggers.urllib3.level": Text => ForTasks;
};
