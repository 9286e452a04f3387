//! GPUs, names, mounts, the restart policy, the configuration.
//!
//! Compiled under `#[cfg(test)]` only.

use super::super::{Copy, configuration, own_container, start_up_lines};
use super::*;

/// C-050, C-051, C-052, C-087
#[test]
fn gpus_are_named_as_the_host_needs_it() {
    let case = |visible: Option<&str>, is_amd, skips, is_podman| {
        let mut world = world("", &[]).asks("i", "");
        world.options.visible_devices = visible.map(str::to_owned);
        world.options.is_podman = is_podman;
        world.options.settings.skips_gpus_flag = skips;
        world.host.is_amd = is_amd;
        world.host.render_nodes = vec!["/dev/dri/renderD128".to_owned()];
        (world.given(), world.command().boot.visible_devices)
    };
    let pair = |words: &str, inner: &str| (words.to_owned(), inner.to_owned());
    assert_eq!(case(None, false, false, false), pair("--gpus all", "all"));
    assert_eq!(case(Some(""), false, false, false), pair("", "all"));
    assert_eq!(case(Some("none"), true, false, false), pair("", "none"));
    assert_eq!(case(None, false, true, false), pair("", "all"));
    let devices = "--gpus \"device=0:0,1:2\"";
    assert_eq!(
        case(Some("0.0,1.2"), false, false, false),
        pair(devices, "all")
    );
    assert_eq!(
        case(Some("0.0,1.2"), false, true, false),
        pair("", "0:0,1:2")
    );
    assert_eq!(
        case(Some("1.0"), false, false, true),
        pair("--gpus 1:0", "all")
    );
    let amd = "--device=/dev/kfd -e HIP_VISIBLE_DEVICES=0:1 -e ROCR_VISIBLE_DEVICES=0:1 --group-add video";
    assert_eq!(case(Some("0.1"), true, false, false), pair(amd, "all"));
    let amd = "--device=/dev/kfd --device=/dev/dri/renderD128 --group-add video";
    assert_eq!(case(Some("all"), true, false, false), pair(amd, "all"));
}

/// C-087
#[test]
fn podman_is_asked_for_no_gpus_where_there_are_none_and_nobody_names_any() {
    let case = |engine: &str, visible: Option<&str>, is_podman, has_no_gpu| {
        let mut world = world("", &[("DOCKER_HOST", engine)]).asks("i", "");
        world.options.visible_devices = visible.map(str::to_owned);
        world.options.is_podman = is_podman;
        world.host.has_no_gpu = has_no_gpu;
        world.given()
    };
    for engine in ["", "unix:///run/podman/podman.sock"] {
        assert_eq!(case(engine, None, true, true), "");
        assert_eq!(case(engine, None, true, false), "--gpus all");
        assert_eq!(case(engine, None, false, true), "--gpus all");
        assert_eq!(case(engine, Some("all"), true, true), "--gpus all");
        assert_eq!(case(engine, Some("0"), true, true), "--gpus 0");
    }
    // Another machine may have some.
    assert_eq!(case("tcp://gpus:2375", None, true, true), "--gpus all");
}

/// C-081, C-082
#[test]
fn a_container_has_the_name_of_its_format() {
    let name = |format: &str| {
        let text = format!(
            "agent {{ docker_container_name_format: \"{format}\", docker_container_name_format_fields {{ kind: type }} }}"
        );
        let command = world(&text, &[]).asks("i", "").command();
        let words = &command.words;
        let place = words.iter().position(|word| word == "--name");
        place
            .map(|place| words[place + 1].clone())
            .or_else(|| command.warnings.first().cloned())
    };
    let cases = [
        ("{task_id}-{worker_id}-{kind}", "t1-host-0-service"),
        ("x{rand_string:.8}{task_id:.1}", "xabcdefght"),
        ("x{task_id:->5}{task_id:_<4}", "x---t1t1__"),
        (
            "-{task_id}",
            "Warning: generated docker container name is invalid: -t1",
        ),
        (
            "{{{task_id}}}",
            "Warning: generated docker container name is invalid: {t1}",
        ),
        (
            "{nobody}",
            "Warning: failed generating docker container name: 'nobody'",
        ),
        (
            "{task_id",
            "Warning: failed generating docker container name: expected '}' before end of string",
        ),
    ];
    for (format, expected) in cases {
        assert_eq!(name(format).as_deref(), Some(expected), "{format}");
    }
}

/// C-083, C-084, C-085
#[test]
fn only_services_are_started_again() {
    let policy = |text: &str, is_service, is_advanced| {
        let variables = [("CLEARML_AGENT_SERVICES_DOCKER_RESTART", text)];
        let mut world = world("", &variables).asks("i", "");
        world.launch.is_service = is_service;
        world.facts.is_advanced = is_advanced;
        world.facts.fields["runtime"] = json!({ "keep": true, "times": 3 });
        let command = world.command();
        assert_eq!(
            command.restart.is_none(),
            command.words.contains(&"--rm".to_owned())
        );
        if let Some(policy) = &command.restart {
            assert_eq!(command.words[2..4], ["--restart", policy.as_str()]);
        }
        (command.restart, command.warnings)
    };
    let always = || (Some("always".to_owned()), Vec::new());
    let none = || (None, Vec::new());
    assert_eq!(policy("always", true, true), always());
    assert_eq!(policy("always", false, true), none());
    assert_eq!(policy("always", true, false), none());
    assert_eq!(policy("always;runtime.keep", true, true), always());
    assert_eq!(policy("always;runtime.keep=yes", true, true), always());
    assert_eq!(policy("always;runtime.times=3.0", true, true), always());
    assert_eq!(policy("always;type=training", true, true), none());
    assert_eq!(policy("always;nothing", true, true), none());
    let (none, warnings) = policy("sometimes", true, true);
    assert_eq!(none, None);
    let expected =
        "Invalid value \"sometimes\" provided for CLEARML_AGENT_SERVICES_DOCKER_RESTART, ignoring";
    assert_eq!(warnings, [expected]);
}

/// C-111: the folders of this machine are made; those of a second agent have another name.
#[test]
fn missing_folders_are_made() {
    let world = world("agent.docker_pip_cache: \"~/p\"", &[]).asks("i", "");
    let folders = world.command().folders;
    assert!(
        folders.contains(&PathBuf::from("/home/user/p")),
        "{folders:?}"
    );
    let second = world
        .options
        .configuration
        .with_folders(1)
        .container()
        .unwrap();
    let apt = second.caches.apt.unwrap();
    assert_eq!(apt, PathBuf::from("/home/user/.clearml/apt-cache.1"));
}

const BELOW: [(&str, &str); 1] = [("TRAINS_AGENT_DOCKER_HOST_MOUNT", "/host/dir:/root/.clearml")];

/// C-072, C-073, C-074, C-074a, C-081: what the engine has to find is below its own folder.
#[test]
fn an_agent_in_a_container_shares_what_is_below_its_mount() {
    let text =
        "agent { docker_apt_cache: \"/root/.clearml/apt\", docker_pip_cache: \"/other/pip\" }";
    let mut world = world(text, &BELOW).asks("i", "");
    world.host.git_files = vec![PathBuf::from("/home/user/.gitconfig")];
    world.host.has_ssh_folder = true;
    world.launch.runner = Some(PathBuf::from("/root/.clearml/runner"));
    let command = world.command();
    let words = command.words.join(" ");
    for mount in [
        "-v /host/dir/apt:/var/cache/apt/archives",
        "-v /host/dir/.clearml_agent.host%3A0.cfg:/tmp/clearml.conf",
        "-v /host/dir/.clearml_agent.host%3A0.ssh:/.ssh",
        "-v /host/dir/.clearml_agent.host%3A0.gitconfig:/.ssh.git/.gitconfig",
        "-v /host/dir/runner:/.clearml-agent:ro",
    ] {
        assert!(words.contains(mount), "no {mount} in {words}");
    }
    assert!(!words.contains("/other/pip"), "{words}");
    let below =
        |name: &str| PathBuf::from(format!("/root/.clearml/.clearml_agent.host%3A0.{name}"));
    assert_eq!(command.configuration, below("cfg"));
    let copy = |from: &str, name: &str| Copy {
        from: PathBuf::from(from),
        to: below(name),
    };
    let copies = [
        copy("/home/user/.gitconfig", "gitconfig"),
        copy("/home/user/.ssh", "ssh"),
    ];
    assert_eq!(command.copies, copies);
    let said = start_up_lines(&world.options.settings, &world.host);
    assert!(
        said.contains(&"Warning: K8S mount missing, ignoring cached folder /other/pip".to_owned())
    );
    assert!(command.warnings.is_empty(), "{:?}", command.warnings);
}

/// C-070: a network that the task names under either name stays.
#[test]
fn the_own_network_is_for_those_who_name_none() {
    for (arguments, networks) in [("", 1), ("--net x", 0), ("--network=x", 0)] {
        let mut world = world("", &BELOW).asks("i", arguments);
        world.host.own_network = Some("mine".to_owned());
        let words = world.command().words;
        let found = words.iter().filter(|word| *word == "mine").count();
        assert_eq!(found, networks, "{arguments}");
    }
}

/// C-112, C-113
#[test]
fn ssh_keys_are_copied_unless_somebody_objects() {
    let copies = |text: &str, variables: &[(&str, &str)], has_folder| {
        let mut world = world(text, variables).asks("i", "");
        world.host.has_ssh_folder = has_folder;
        world.host.has_closed_ssh_folder = !has_folder;
        let said = start_up_lines(&world.options.settings, &world.host);
        let command = world.command();
        assert_eq!(command.boot.ssh.is_some(), !command.copies.is_empty());
        (command.copies.len(), said.len())
    };
    assert_eq!(copies("", &[], true), (1, 0));
    assert_eq!(copies("", &[], false), (0, 1));
    assert_eq!(copies("", &[("SSH_AUTH_SOCK", "/s")], true), (0, 0));
    let disabled = [("CLEARML_AGENT_DISABLE_SSH_MOUNT", "1")];
    assert_eq!(copies("", &disabled, true), (0, 0));
    assert_eq!(copies("agent.disable_ssh_mount: true", &[], true), (0, 0));
    // Where there are no keys, nobody misses a copy.
    let world = world("", &[]);
    let said = start_up_lines(&world.options.settings, &world.host);
    assert_eq!(said, [] as [&str; 0]);
}

/// C-071
#[test]
fn the_own_container_is_found_in_several_ways() {
    let id = "0123456789abcdef".repeat(4);
    let mounts = format!(
        "1 2 0:3 / / rw - overlay overlay rw\n5 2 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/x rw\n"
    );
    let by_mounts = own_container(
        |path| (path == "/proc/self/mountinfo").then(|| mounts.clone()),
        Some("box"),
    );
    assert_eq!(by_mounts, [id.clone(), "box".to_owned()]);
    let by_cpuset = own_container(
        |path| (path == "/proc/1/cpuset").then(|| format!("/docker/{id}\n")),
        None,
    );
    assert_eq!(by_cpuset, [id]);
    assert_eq!(own_container(|_| Some("/\n".to_owned()), None), [""; 0]);
}

/// C-202, C-203: what is no placeholder stays.
#[test]
fn scripts_of_an_administrator_know_a_few_placeholders() {
    let mut world = world("", &[]).asks("i", "");
    world.options.settings.preprocess_script = vec!["cd ${HOME} {".to_owned()];
    let line =
        "{python_single_digit} {mount_ssh} {mount_ssh_ro} {mount_git_ro} {clearml_agent_wheel} {x}";
    world.options.settings.init_script = Some(vec![String::new(), line.to_owned()]);
    let boot = world.command().boot;
    assert_eq!(boot.preprocess, ["cd ${HOME} {"]);
    let expected = "python3 ~/.ssh /.ssh /.ssh.git clearml-agent {x}";
    assert_eq!(boot.init, Some(vec![expected.to_owned()]));
}

/// C-120, C-121, C-122, C-126
#[test]
fn the_configuration_has_the_containers_own_paths() {
    let text = "agent { python_binary: \"/usr/bin/python3\", worker_name: w, git_user: file, \
                package_manager { system_site_packages: false, conda_env_as_base_docker: true } }\n\
                api.credentials { access_key: a, secret_key: bbbbbbbb }\nown.section: 1";
    let variables = [
        ("CLEARML_AGENT_GIT_USER", "variable"),
        ("CLEARML_AGENT_STANDALONE_CONFIG_BC", "1"),
    ];
    let mut world = world(text, &variables);
    let settings = world.options.configuration.clone();
    let made = configuration(&world.options, &settings, false);
    let expected = [
        ("sdk.storage.cache.default_base_dir", "/clearml_agent_cache"),
        (
            "agent.pip_download_cache.path",
            "/root/.clearml/pip-download-cache",
        ),
        ("agent.vcs_cache.path", "/root/.clearml/vcs-cache"),
        ("agent.venvs_cache.path", "/root/.clearml/venvs-cache"),
        ("agent.venvs_dir", "~/.clearml/venvs-builds"),
        ("agent.python_binary", ""),
        ("agent.default_python", ""),
        ("agent.cuda_version", ""),
        ("agent.cudnn_version", ""),
        ("agent.package_manager.conda_env_as_base_docker", "False"),
        ("agent.package_manager.system_site_packages", "True"),
        ("agent.git_user", "variable"),
        ("agent.worker_name", "w"),
        ("own.section", "1"),
        ("api.credentials.access_key", "a"),
    ];
    for (key, value) in expected {
        assert_eq!(made.text(key).as_deref(), Some(value), "{key}");
    }
    assert!(made.value("agent.package_manager.pip_version").is_some());
    world.options.uses_owner_token = true;
    world.options.is_standalone = true;
    let made = configuration(&world.options, &settings, false);
    assert!(made.value("api.credentials").is_none());
    assert!(made.value("agent.package_manager.pip_version").is_none());
    let made = configuration(&world.options, &settings, true);
    assert!(made.value("agent.package_manager.pip_version").is_some());
    world.options.settings.system_site_packages = false;
    let made = configuration(&world.options, &settings, true);
    let own = made.text("agent.package_manager.system_site_packages");
    assert_eq!(own.as_deref(), Some("False"));
}
