//! `execute --plan`: what is said is what a run does, and nothing is done.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::support::{Repository, Script, TestContext};

/// The plan of a task as JSON.
#[track_caller]
fn plan(context: &TestContext, task: &str) -> Value {
    plan_with(context, task, &[])
}

#[track_caller]
fn plan_with(context: &TestContext, task: &str, variables: &[(String, String)]) -> Value {
    let mut command = context.command(&["execute", "--id", task, "--plan", "--json"]);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let finished = context.finish(command);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error} in {}", finished.stdout))
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().expect("text").to_owned())
        .collect()
}

/// The recorded cases of one kind.
fn cases(text: &str, kind: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).unwrap();
    let all = document["cases"].as_array().unwrap();
    let found: Vec<Value> = all
        .iter()
        .filter(|case| case["kind"] == kind && case["wart"].is_null())
        .cloned()
        .collect();
    assert!(!found.is_empty());
    found
}

/// Puts the settings of a case into the configuration, in the place of those before.
fn settings(context: &TestContext, case: &Value) -> Vec<(String, String)> {
    let mut text = context.server.configuration();
    for (key, value) in case["config"].as_object().into_iter().flatten() {
        text += &format!("\nagent.{key}: {value}");
    }
    std::fs::write(context.home().join("clearml.conf"), text + "\n").unwrap();
    case["env"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
        .collect()
}

/// Lines with their specifiers in one order: what they mean does not depend on it.
fn ordered(lines: &[String]) -> Vec<String> {
    let ordered = |line: &String| {
        let (line, marker) = line.split_once(';').unwrap_or((line, ""));
        let start = line.find(|c| "<>=!~".contains(c)).unwrap_or(line.len());
        let mut specifiers: Vec<&str> = line[start..].split(',').map(str::trim).collect();
        specifiers.sort_unstable();
        let name = line[..start].trim();
        format!("{name}{} ; {}", specifiers.join(","), marker.trim())
    };
    lines.iter().map(ordered).collect()
}

fn files_below(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Nothing is done: the server is asked for the task alone, and no file is made.
#[test]
fn a_plan_changes_nothing_on_the_server_and_on_the_machine() {
    let context = TestContext::new();
    let task = context.enqueue(Script::python("print('hello')", "six==1.16.0\n"));
    context.configure(
        "environment { FROM_SETTINGS: yes }\nfiles { f { contents: x, path: \"~/made\" } }",
    );
    let files = || [context.home(), context.temporary()].map(|folder| files_below(&folder));
    let before = files();
    let plan = plan(&context, &task);
    assert_eq!(files(), before);
    let calls = context.calls();
    assert_eq!(calls, ["auth.login", "tasks.get_by_id"]);
    assert_eq!(context.status(&task), "queued");

    let names: Vec<&str> = plan
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "task",
        "repository",
        "script",
        "interpreter",
        "requirements",
        "environment",
        "container",
        "variables",
        "command",
        "notices",
    ];
    assert_eq!(names, expected);
    assert_eq!(plan["task"], task);
    assert_eq!(
        (&plan["repository"], &plan["container"]),
        (&Value::Null, &Value::Null)
    );
    let script = json!({ "entry_point": "main.py", "working_dir": ".", "kind": "literal" });
    assert_eq!(plan["script"], script);
    let environment = &plan["environment"];
    assert_eq!(
        (&environment["kind"], &environment["hit"]),
        (&json!("venv"), &json!(false))
    );
    let folder = environment["path"].as_str().unwrap();
    let python = format!("{folder}/bin/python");
    let command = plan["command"].clone();
    assert_eq!(command, json!([python, "-u", "main.py"]));
    let requirements = &plan["requirements"];
    assert_eq!(requirements["source"], "task");
    assert_eq!(requirements["lines"], json!(["six==1.16.0"]));
    let install = requirements["install"].as_array().unwrap();
    assert_eq!(install.len(), 2);
    assert_eq!(
        texts(&install[1])[..4],
        [&python, "-m", "pip", "--disable-pip-version-check"].map(str::to_owned)
    );
    let variables = &plan["variables"];
    assert_eq!(variables["CLEARML_TASK_ID"], task);
    assert_eq!(variables["FROM_SETTINGS"], "yes");
    assert_eq!(
        variables["PYTHONPATH"],
        format!("{folder}/code:{folder}/code")
    );
}

/// What was planned is what is run.
#[test]
fn a_run_does_what_was_planned() {
    let context = TestContext::new();
    let program = "import sys; print('argv', sys.argv[1:])";
    let repository =
        Repository::create(&context.folder().join("code"), &[("pkg/main.py", program)]);
    let task = context.create(
        Script::python("", "")
            .with("repository", repository.url())
            .with("version_num", repository.commit())
            .with("entry_point", "main.py --a 'b c'")
            .with("working_dir", "pkg"),
    );
    let planned = plan(&context, &task);
    assert_eq!(planned["repository"]["commit"], repository.commit());
    assert_eq!(planned["repository"]["cached"], false);
    let finished = context.run(&["execute", "--id", &task]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let words = texts(&planned["command"]);
    let command = shlex::try_join(words.iter().map(String::as_str)).unwrap();
    assert!(
        finished.stdout.contains(&format!("[pkg]$ {command}\n")),
        "{command} in {}",
        finished.stdout
    );
    // The mirror has the commit now, and so its files.
    let planned = plan(&context, &task);
    assert_eq!(planned["repository"]["cached"], true);
}

/// E-130, E-131: the repository's own files, as they are with the task's changes.
#[test]
fn requirements_of_the_repository_are_planned_once_its_files_are_known() {
    let context = TestContext::new();
    let files = [
        ("requirements.txt", "six==1.15.0\n"),
        ("main.py", "import six; print(six.__version__)\n"),
    ];
    let repository = Repository::create(&context.folder().join("code"), &files);
    let diff = repository.append("requirements.txt", "colorama==0.4.6\n");
    let script = || {
        Script::python(&diff, "")
            .with("repository", repository.url())
            .with("version_num", repository.commit())
    };
    let task = context.create(script());
    let before = plan(&context, &task);
    assert_eq!(before["requirements"]["source"], "repository");
    assert_eq!(before["requirements"]["lines"], json!([]));
    let finished = context.run(&["execute", "--id", &task]);
    assert!(
        finished.stdout.contains("\n1.15.0\n"),
        "{}",
        finished.stdout
    );
    // What the run has found out is in the task now, and would be used the next time.
    let again = context.create(script());
    let after = plan(&context, &again);
    assert_eq!(after["requirements"]["source"], "repository");
    assert_eq!(
        after["requirements"]["lines"],
        json!(["six==1.15.0", "colorama==0.4.6"])
    );
    assert_eq!(after["repository"]["has_changes"], true);
}

/// No secret stands in a plan.
#[test]
fn a_plan_holds_no_secret() {
    let context = TestContext::new();
    context.configure(
        "agent { git_user: bob, git_pass: hush-99, enable_task_env: true\n package_manager.extra_index_url: [\"https://me:hush-98@index/simple\"] }",
    );
    let script = Script::python("", "git+https://a:hush-97@host/lib.git@v1\nsix")
        .with("repository", "https://host/code.git")
        .with("branch", "main");
    let task = context.create(script);
    let section = json!({ "Environment": { "MY_TOKEN": { "section": "Environment", "name": "MY_TOKEN", "value": "hush-96" } } });
    context.call(
        "tasks.edit",
        json!({ "task": task, "hyperparams": section, "force": true }),
    );
    for words in [["--plan", "--json"].as_slice(), &["--plan"]] {
        let mut all = vec!["execute", "--id", &task];
        all.extend(words);
        let finished = context.run(&all);
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        let text = finished.stdout + &finished.stderr;
        assert!(!text.contains("hush-"), "{text}");
        assert!(
            text.contains("MY_TOKEN") && text.contains("askpass"),
            "{text}"
        );
        assert!(text.contains("user `bob`"), "{text}");
    }
}

/// A person reads why.
#[test]
fn a_plan_for_a_person_says_why() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo hello"));
    let finished = context.run(&["execute", "--id", &task, "--plan"]);
    for part in [
        "\ncode          the task brings its script itself\n",
        "\nscript        main.sh (shell) in .\n",
        "\nenvironment   none in ",
        "\nrequirements  from: none\n",
        "\ncommand       /bin/bash main.sh\n",
    ] {
        assert!(
            finished.stdout.contains(part),
            "{part} in {}",
            finished.stdout
        );
    }
}

/// E-110, E-112: the interpreter and the reason for it.
#[test]
fn a_plan_says_why_it_takes_an_interpreter() {
    let context = TestContext::new();
    let task = context.create(Script::python("", "six").with("binary", "python3.99"));
    let plan = plan(&context, &task);
    let reason = plan["interpreter"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the task's binary `python3.99` asks for 3.99, but there is none"),
        "{reason}"
    );
}

/// E-037, E-038, E-045 to E-050, E-053: every recorded URL, from the task to the plan.
#[test]
fn recorded_urls_are_planned() {
    let context = TestContext::new();
    let text = include_str!("../data/source/git-url-cases.json");
    for case in cases(text, "clone") {
        let id = &case["id"];
        // The password never goes into the URL here (E-050), and the scheme is a wart of its own elsewhere.
        if case["expect"]["credentials_via"] == "in_url" {
            continue;
        }
        let variables = settings(&context, &case);
        let script = Script::python("", "")
            .with("repository", case["url"].clone())
            .with("branch", "main");
        let task = context.create(script);
        let plan = plan_with(&context, &task, &variables);
        let repository = &plan["repository"];
        assert_eq!(
            repository["credentials"], case["expect"]["credentials_via"],
            "{id}"
        );
        assert_eq!(repository["url"], case["expect"]["git_clone_arg"], "{id}");
    }
}

/// E-143 to E-179: every recorded list that needs no page of PyTorch, from the task to the plan.
#[test]
fn recorded_requirements_are_planned() {
    let context = TestContext::new();
    let text = include_str!("../data/python/requirements-cases.json");
    let mut count = 0;
    for case in cases(text, "replace") {
        let id = &case["id"];
        let needs_more = [
            "files",
            "failing_packages",
            "existing",
            "installed_freeze",
            "rocm_host",
            "download_fails",
        ]
        .iter()
        .any(|key| !case[key].is_null());
        let requirements = case["requirements"].as_str().unwrap();
        let is_other = case["config"]["package_manager.type"] == "conda";
        if needs_more || is_other || requirements.contains("torch") || requirements.contains("$CWD")
        {
            continue;
        }
        count += 1;
        let variables = settings(&context, &case);
        let task = context.create(Script::python("", requirements));
        let plan = plan_with(&context, &task, &variables);
        let found = &plan["requirements"];
        let home = context.home().display().to_string();
        let lines: Vec<String> = texts(&found["lines"])
            .iter()
            .map(|line| line.replace(&home, "$HOME"))
            .collect();
        let expect = &case["expect"];
        assert_eq!(
            ordered(&lines),
            ordered(&texts(&expect["requirements_file_lines"])),
            "{id}"
        );
        assert_eq!(found["before"], expect["installed_before"], "{id}");
        assert_eq!(
            found["extra_index_urls"], expect["extra_index_urls"],
            "{id}"
        );
        let without_pair = |line: String| line.replace("bob:tok@", "");
        let after: Vec<String> = texts(&expect["installed_after"])
            .into_iter()
            .map(without_pair)
            .collect();
        assert_eq!(texts(&found["after"]), after, "{id}");
    }
    assert!(count >= 30, "{count}");
}

/// A folder with a stand-in for an interpreter that this machine may lack: it says who it is, and does nothing else.
fn interpreter_folder(context: &TestContext, name: &str) -> String {
    let folder = context.folder().join("interpreters");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let version = name.trim_start_matches("python");
    let program = format!(
        "#!/bin/sh\necho {version}.4; echo {}; echo False\n",
        path.display()
    );
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.display().to_string()
}

/// E-240, E-241: recorded names of cached environments, from the task to the plan.
#[test]
fn recorded_cache_keys_are_planned() {
    let context = TestContext::new();
    let text = include_str!("../data/python/requirements-cases.json");
    for case in cases(text, "venv_cache_key") {
        let requirements = &case["requirements"];
        // Two lists belong to what is stored after a run, and conda has keys of its own.
        if requirements.is_array() || requirements["conda"].is_string() {
            continue;
        }
        let cuda = case["cuda_version"].as_str().unwrap_or("0");
        let case_with_cuda = json!({ "config": { "cuda_version": cuda } });
        settings(&context, &case_with_cuda);
        let script = Script::python("", "")
            .with("binary", case["python_version"].clone())
            .with("requirements", requirements.clone());
        let task = context.create(script);
        if let Some(docker_cmd) = case["docker_cmd"].as_str() {
            let image = json!({ "image": docker_cmd.split(' ').next() });
            let edit = json!({ "task": task, "container": image, "force": true });
            context.call("tasks.edit", edit);
        }
        let interpreter = case["python_version"].as_str().unwrap();
        let folder = interpreter_folder(&context, interpreter);
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let variables = [("PATH".to_owned(), path)];
        let key = plan_with(&context, &task, &variables)["environment"]["cache_key"].clone();
        assert_eq!(key, case["expect"]["keys"][0], "{}", case["id"]);
    }
}

/// E-134: recorded specifications of pip, from the task to the plan.
#[test]
fn recorded_versions_of_pip_are_planned() {
    let context = TestContext::new();
    let text = include_str!("../data/python/requirements-cases.json");
    for case in cases(text, "pip_version") {
        let version = json!({ "config": { "package_manager.pip_version": case["pip_version"] } });
        settings(&context, &version);
        let requirements = case["requirements"].as_str().unwrap_or("six");
        let task = context.create(Script::python("", requirements));
        let plan = plan(&context, &task);
        let words = texts(&plan["requirements"]["install"][0]);
        let found = &words[5..words.len() - 1];
        assert_eq!(json!(found), case["expect"]["arguments"], "{}", case["id"]);
    }
}

/// E-009 to E-012: recorded script sections, from the task to the plan.
#[test]
fn recorded_scripts_are_planned() {
    let context = TestContext::new();
    let text = include_str!("../data/python/requirements-cases.json");
    for case in cases(text, "execution_info") {
        let mut script = Script::python("", "");
        for (name, value) in case["script"].as_object().unwrap() {
            script = script.with(name, value.clone());
        }
        let task = context.create(script);
        let plan = plan(&context, &task);
        let expect = &case["expect"];
        let home = context.home().display().to_string();
        for name in ["entry_point", "working_dir"] {
            let found = plan["script"][name]
                .as_str()
                .unwrap()
                .replace(&home, "$HOME");
            assert_eq!(found, expect[name], "{} {name}", case["id"]);
        }
        for (name, ours) in [
            ("branch", "branch"),
            ("version_num", "commit"),
            ("tag", "tag"),
        ] {
            let found = &plan["repository"][ours];
            let is_same = found.is_null() || *found == expect[name];
            assert!(is_same, "{} {name}: {found}", case["id"]);
        }
    }
}

/// A task that a run refuses for what its fields say is refused by its plan, in the same words.
#[test]
fn what_a_run_refuses_a_plan_refuses() {
    let context = TestContext::new();
    let files = [("main.py", "print('ran')\n"), ("pkg/a.py", "")];
    let repository = Repository::create(&context.folder().join("code"), &files);
    let of = |commit: &str| {
        Script::python("", "")
            .with("repository", repository.url())
            .with("version_num", commit)
    };
    let first = context.create(of(repository.commit()));
    assert_eq!(context.run(&["execute", "--id", &first]).code, 0);
    let broken = [
        of(repository.commit()).with("working_dir", "../.."),
        of(repository.commit()).with("working_dir", "/tmp"),
        of(repository.commit()).with("working_dir", "nowhere"),
        of("--upload-pack=evil"),
    ];
    for script in broken {
        let task = context.create(script.clone());
        let planned = context.run(&["execute", "--id", &task, "--plan"]);
        let ran = context.run(&["execute", "--id", &task]);
        assert_eq!((planned.code, ran.code), (1, 1), "{script:?}");
        let error = |text: &str| {
            let at = text.find("clearml_agent: ERROR: ").expect("an error");
            text[at..].lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(error(&planned.stdout), error(&ran.stdout));
    }
    // These are not there, whatever the path.
    for script in [
        of(repository.commit()).with("entry_point", "../../main.py"),
        of(repository.commit()).with("requirements", json!({ "pip": "-r ../../list.txt\nsix" })),
    ] {
        let task = context.create(script);
        plan(&context, &task);
    }
}

/// C-142, C-703, D-041: the container that a task would get, without an engine, and with its secrets masked.
#[test]
fn the_container_of_a_task_is_planned() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo hello"));
    let container = json!({
        "image": "some/image:1", "setup_shell_script": "echo first",
        "arguments": "-e CLEARML_AUTH_TOKEN=hush-1 -e T=${CLEARML_TASK.id} --ipc=host",
    });
    context.call(
        "tasks.edit",
        json!({ "task": task, "container": container, "force": true }),
    );
    let words = [
        "execute",
        "--id",
        &task,
        "--cpu-only",
        "--docker",
        "--plan",
        "--json",
    ];
    let finished = context.run(&words);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(!finished.stdout.contains("hush-1"), "{}", finished.stdout);
    let plan: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(plan["container"]["image"], "some/image:1");
    let argv = texts(&plan["container"]["argv"]);
    let start = [
        "docker",
        "run",
        "-t",
        "-e",
        "CLEARML_AUTH_TOKEN=********",
        "-e",
        &format!("T={task}"),
        "--ipc=host",
        "-l",
    ];
    assert_eq!(argv[..start.len()], start);
    assert_eq!(
        argv[argv.len() - 4..argv.len() - 1],
        ["some/image:1", "bash", "-c"]
    );
    let script = plan["container"]["script"].as_str().unwrap();
    assert!(script.contains(&format!("--id {task}")), "{script}");
    let shown = context.run(&["execute", "--id", &task, "--cpu-only", "--docker", "--plan"]);
    assert!(
        shown.stdout.contains("\ncontainer     some/image:1\n"),
        "{}",
        shown.stdout
    );
    assert!(!shown.stdout.contains("hush-1"), "{}", shown.stdout);
    // What is on this machine says nothing of the container.
    for key in ["interpreter", "environment", "requirements"] {
        assert_eq!(plan[key], Value::Null, "{key}");
        let row = format!("\n{key} ");
        assert!(!shown.stdout.contains(&row), "{}", shown.stdout);
    }
    assert_eq!(plan["command"], json!([]));
    assert!(
        !finished.stdout.contains("venvs-builds"),
        "{}",
        finished.stdout
    );
    let notice = "are found out in the container";
    assert!(shown.stdout.contains(notice), "{}", shown.stdout);
}
