//! Requests to the engine, where no engine is needed to tell.
//!
//! Compiled under `#[cfg(test)]` only.

use proptest::prelude::*;

use super::super::{ApiVersion, ArgsError, CreateRequest, HostContext, PullPolicy, parse, table};

const NEW: ApiVersion = ApiVersion::new(1, 50);

fn request(line: &str, api: ApiVersion) -> Result<CreateRequest, ArgsError> {
    let words = shlex::split(line).unwrap();
    parse(&words)?.create_request(api, &HostContext::default())
}

fn refusal(line: &str, api: ApiVersion) -> String {
    request(line, api).unwrap_err().to_string()
}

/// C-037
#[test]
fn an_unknown_flag_is_named_with_the_nearest_one() {
    let error = request("--rm --shm_size 8g IMAGE", NEW).unwrap_err();
    assert_eq!(error.to_string(), "docker has no flag `--shm_size`");
    assert_eq!(error.hint().unwrap(), "did you mean `--shm-size`?");
    let error = request("-itx IMAGE", NEW).unwrap_err();
    assert_eq!(error.to_string(), "docker has no flag `-x`");
    let error = request("-v", NEW).unwrap_err();
    assert_eq!(error.to_string(), "the docker flag `-v` needs a value");
    assert_eq!(refusal("--rm", NEW), "the docker arguments name no image");
    assert_eq!(
        refusal("--rm ''", NEW),
        "the docker arguments name no image"
    );
}

#[test]
fn what_the_engine_is_too_old_for_fails_by_name() {
    let too_old = |line: &str, minor: usize| {
        assert!(request(line, ApiVersion::new(1, minor)).is_ok(), "{line}");
        let error = refusal(line, ApiVersion::new(1, minor - 1));
        let tail = format!(
            "needs version 1.{minor} of the engine's API; this engine speaks 1.{}",
            minor - 1
        );
        error
            .strip_suffix(&tail)
            .unwrap_or_else(|| panic!("{error}"))
            .trim()
            .to_owned()
    };
    assert_eq!(
        too_old("--annotation a=b IMAGE", 43),
        "the docker flag `--annotation`"
    );
    assert_eq!(
        too_old("--cgroupns host IMAGE", 41),
        "the docker flag `--cgroupns`"
    );
    assert_eq!(
        too_old("--platform linux/amd64 IMAGE", 41),
        "the docker flag `--platform`"
    );
    assert_eq!(
        too_old("--health-start-interval 1s IMAGE", 44),
        "the docker flag `--health-start-interval`"
    );
    assert_eq!(
        too_old("--mac-address 92:d0:c6:0a:29:33 IMAGE", 44),
        "the docker flag `--mac-address`"
    );
    assert_eq!(
        too_old("--network a --network b IMAGE", 44),
        "more than one docker flag `--network`"
    );
    // No engine takes it, and a newer one is no help.
    let twice = request("--network host --net=host IMAGE", ApiVersion::new(1, 41)).unwrap_err();
    assert_eq!(twice.to_string(), "the network `host` is given twice");
    let hint = twice.hint().unwrap_or_default();
    assert!(hint.contains("`agent.extra_docker_arguments`"), "{hint}");
    assert_eq!(
        too_old("--device nvidia.com/gpu=0 IMAGE", 44),
        "the CDI device `nvidia.com/gpu=0` of the docker flag `--device`"
    );
    let error = request("IMAGE", ApiVersion::new(1, 39)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the engine speaks version 1.39 of its API; containers need 1.40 (docker 19.03) or a later one"
    );
    assert!(request("--gpus all IMAGE", ApiVersion::MINIMUM).is_ok());
}

#[test]
fn podman_takes_cdi_devices_whatever_its_version() {
    let words = shlex::split("--device nvidia.com/gpu=all IMAGE").unwrap();
    let host = HostContext {
        is_podman: true,
        ..HostContext::default()
    };
    let request = parse(&words).unwrap();
    let request = request.create_request(ApiVersion::MINIMUM, &host).unwrap();
    let requests = request.body.host_config.unwrap().device_requests.unwrap();
    assert_eq!(requests[0].driver.as_deref(), Some("cdi"));
    assert_eq!(
        requests[0].device_ids.as_deref(),
        Some(&["nvidia.com/gpu=all".to_owned()][..])
    );
}

/// C-087
#[test]
fn podman_gets_gpus_by_their_names() {
    let request = |line: &str| {
        let words = shlex::split(line).unwrap();
        let host = HostContext {
            is_podman: true,
            ..HostContext::default()
        };
        parse(&words)?.create_request(NEW, &host)
    };
    for (value, names) in [
        ("all", &["all"][..]),
        ("0", &["0"]),
        ("0,1", &["0", "1"]),
        ("1:0", &["1:0"]),
        ("'\"device=0,1\"'", &["0", "1"]),
        ("MIG-1b-2c", &["MIG-1b-2c"]),
    ] {
        let made = request(&format!("--gpus {value} IMAGE")).unwrap();
        let asked = made.body.host_config.unwrap().device_requests.unwrap();
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("nvidia.com/gpu={name}"))
            .collect();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].driver.as_deref(), Some("cdi"), "{value}");
        assert_eq!(asked[0].device_ids.as_ref(), Some(&names), "{value}");
        assert_eq!(asked[0].count, None, "{value}");
    }
    for value in ["count=2", "driver=nvidia", "'a b'", "0,", "''"] {
        let error = request(&format!("--gpus {value} IMAGE")).unwrap_err();
        let reason = "podman takes `all`, or the names of GPUs such as `0,1`";
        assert!(error.to_string().ends_with(reason), "{value}: {error}");
    }
}

#[test]
fn values_of_variables_and_of_mounts_are_in_no_error() {
    for line in [
        "-e =secret IMAGE",
        "--mount type=volume,target=/a,volume-opt=o=password=secret,strange=1 IMAGE",
        "--mount type=volume,target=/a,volume-nocopy=secret IMAGE",
    ] {
        let words = shlex::split(line).unwrap();
        let parsed = parse(&words).unwrap();
        assert!(!format!("{parsed:?}").contains("secret"));
        assert!(!refusal(line, NEW).contains("secret"), "{line}");
    }
}

#[test]
fn what_is_not_for_the_engine_is_kept_beside_the_request() {
    let request_of = |line| request(line, NEW).unwrap();
    let asked = request_of(
        "--rm -d --name me --platform linux/arm64 --pull always -q --cidfile /nowhere/id IMAGE a b",
    );
    assert_eq!(asked.name.as_deref(), Some("me"));
    assert_eq!(asked.platform.as_deref(), Some("linux/arm64"));
    assert_eq!(asked.pull, PullPolicy::Always);
    assert!(asked.removes_itself && asked.is_detached && asked.is_quiet);
    assert_eq!(asked.id_file.unwrap().to_str(), Some("/nowhere/id"));
    assert_eq!(asked.body.attach_stdout, Some(false));
    assert_eq!(asked.body.cmd.unwrap(), ["a", "b"]);
    assert_eq!(request_of("IMAGE").pull, PullPolicy::Missing);
    assert_eq!(
        request_of("--sig-proxy=false --detach-keys ctrl-a IMAGE")
            .body
            .attach_stdout,
        Some(true)
    );
    assert_eq!(
        refusal("-d -a stdin IMAGE", NEW),
        "`--attach` and `--detach` exclude each other"
    );
    // Nobody has given `--rm`: it is the agent's.
    let kept = request("--rm --restart always IMAGE", NEW).unwrap_err();
    assert!(!kept.to_string().contains("--rm"), "{kept}");
    assert!(
        kept.hint()
            .unwrap()
            .contains("CLEARML_AGENT_SERVICES_DOCKER_RESTART")
    );
    assert!(refusal("--use-api-socket IMAGE", NEW).contains("mount the socket"));
    assert!(refusal("--disable-content-trust=false IMAGE", NEW).contains("signatures"));
    assert!(refusal("--help IMAGE", NEW).contains("docker's help"));
}

#[test]
fn proxies_of_dockers_own_configuration_are_those_of_the_engine() {
    let text = r#"{"proxies": {"default": {"httpProxy": "a"}, "tcp://x:1": {"allProxy": "b"}}}"#;
    let of = |engine| super::super::host::proxies(text, engine);
    assert_eq!(of(None)["HTTP_PROXY"], "a");
    assert_eq!(of(Some("tcp://y:1"))["http_proxy"], "a");
    let of_engine = of(Some("tcp://x:1"));
    assert_eq!(of_engine["ALL_PROXY"], "b");
    assert!(!of_engine.contains_key("HTTP_PROXY"));
    assert!(super::super::host::proxies("no JSON", None).is_empty());
}

/// Every flag of the table is read by somebody: what it is set to changes the request, or is refused.
#[test]
fn each_flag_of_the_table_is_known_to_the_request() {
    let plain = format!("{:?}", request("IMAGE", NEW).unwrap());
    // They are for docker's own client, or do nothing any more.
    let without_effect = [
        "detach-keys",
        "sig-proxy",
        "kernel-memory",
        "disable-content-trust",
    ];
    for flag in table::FLAGS {
        let value = match flag.name {
            "add-host" => "a:1.2.3.4",
            "attach" => "stdin",
            "blkio-weight" => "20",
            "cpus" | "cpu-period" | "cpu-quota" | "cpu-rt-period" | "cpu-rt-runtime"
            | "cpu-shares" => "7",
            "device" => "/dev/null",
            "device-cgroup-rule" => "'c 1:3 r'",
            "dns" | "ip" | "link-local-ip" => "1.2.3.4",
            "ip6" => "::1",
            "expose" | "publish" | "stop-timeout" | "pids-limit" | "oom-score-adj"
            | "memory-swappiness" => "5",
            "gpus" => "all",
            "health-interval"
            | "health-start-interval"
            | "health-start-period"
            | "health-timeout" => "5s",
            "health-retries" => "3",
            "isolation" => "process",
            "mac-address" => "92:d0:c6:0a:29:33",
            "memory" | "memory-reservation" | "memory-swap" | "shm-size" | "kernel-memory" => "5m",
            "mount" => "target=/a",
            "network-alias" => "x --network mine",
            "restart" => "always",
            "security-opt" => "no-new-privileges",
            "storage-opt" => "size=1",
            "sysctl" => "net.a=1",
            "ulimit" => "nofile=1",
            "userns" | "uts" | "pid" | "ipc" | "cgroupns" | "network" => "host",
            "pull" => "never",
            "blkio-weight-device"
            | "device-read-bps"
            | "device-read-iops"
            | "device-write-bps"
            | "device-write-iops" => "/dev/sda:50",
            "env-file" | "label-file" => "/dev/null/missing",
            "cidfile" => "/nowhere/id",
            _ => "x",
        };
        let line = match flag.takes {
            table::Takes::Truth => format!("--{} IMAGE", flag.name),
            _ => format!("--{} {value} IMAGE", flag.name),
        };
        match request(&line, NEW) {
            Ok(request) => {
                let is_same = format!("{request:?}") == plain;
                assert_eq!(is_same, without_effect.contains(&flag.name), "{line}");
            }
            Err(
                ArgsError::NotCarriedOut { flag: named, .. } | ArgsError::File { flag: named, .. },
            ) => {
                assert_eq!(named, flag.name);
            }
            Err(error) => panic!("{line}: {error}"),
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let names: Vec<&str> = table::FLAGS.iter().map(|flag| flag.name).collect();
    let piece = "[-a-z0-9:,=/.\"_é ]{0,12}";
    prop_oneof![
        any::<String>(),
        "-{0,2}[-a-zé=:,./0-9]{0,6}",
        (proptest::sample::select(names), piece)
            .prop_map(|(name, value)| format!("--{name}={value}")),
        (proptest::char::range('a', 'w'), piece)
            .prop_map(|(letter, value)| format!("-{letter}{value}")),
    ]
}

proptest! {
    #[test]
    fn random_words_never_panic(mut words in proptest::collection::vec(word(), 0..4), minor in 38_usize..53) {
        words.push("IMAGE".to_owned());
        if let Ok(command) = parse(&words) {
            let _ = command.create_request(ApiVersion::new(1, minor), &HostContext::default());
        }
    }
}
