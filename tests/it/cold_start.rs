//! The first tasks of a machine on which nothing is kept: what is asked of a package index, and what pip they get.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::support::{IndexServer, Repository, Script, TestContext};

/// The wheel of pip that the interpreter brings, as version 99.0, and `colddep` 1.0.
const WHEELS: &str = r#"
import ensurepip, glob, os, sys, zipfile
folder = sys.argv[1]
places = (os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels")
own = [wheel for place in places for wheel in glob.glob(os.path.join(place, "pip-*.whl"))][0]
version = os.path.basename(own).split("-")[1]
old, new = "pip-%s.dist-info/" % version, "pip-99.0.dist-info/"
with zipfile.ZipFile(own) as wheel, zipfile.ZipFile(folder + "/pip-99.0-py3-none-any.whl", "w") as other:
    for name in wheel.namelist():
        if name == old + "RECORD":
            continue
        text = wheel.read(name)
        if name == old + "METADATA":
            text = text.replace(b"\nVersion: " + version.encode(), b"\nVersion: 99.0", 1)
        other.writestr(name.replace(old, new), text)
    names = other.namelist() + [new + "RECORD"]
    other.writestr(new + "RECORD", "".join(name + ",,\n" for name in names))
info = "colddep-1.0.dist-info/"
with zipfile.ZipFile(folder + "/colddep-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("colddep.py", "answer = 42\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: colddep\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "colddep.py,,\n" + "".join(info + name + ",,\n" for name in ("METADATA", "WHEEL", "RECORD")))
"#;

/// Says which pip the environment has, whether each way to it works, and which of its files are missing.
const WHICH_PIP: &str = r#"
import importlib.metadata, os, subprocess, sys
version = importlib.metadata.version("pip")
said = [subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]
        for words in ([sys.executable, "-m", "pip", "--version"], [os.path.join(sys.prefix, "bin", "pip"), "--version"])]
missing = [str(file) for file in importlib.metadata.files("pip") if not file.locate().exists()]
print("pip", version, said, missing)
"#;

/// A machine that knows one index, which wants pip 99.0.
struct Machine {
    context: TestContext,
    index: IndexServer,
}

impl Machine {
    fn new() -> Self {
        let context = TestContext::new();
        let index = IndexServer::start();
        let folder = context.folder();
        let status = Command::new("python3")
            .args(["-c", WHEELS])
            .arg(folder)
            .status();
        assert!(status.unwrap().success());
        for (name, wheel) in [
            ("pip", "pip-99.0-py3-none-any.whl"),
            ("colddep", "colddep-1.0-py3-none-any.whl"),
        ] {
            let page = format!("<a href=\"/files/{wheel}\">{wheel}</a>");
            index.add(&format!("/simple/{name}/"), page);
            let bytes = fs::read(folder.join(wheel)).unwrap();
            index.add(&format!("/files/{wheel}"), bytes);
        }
        context.configure("agent.package_manager.pip_version: \"==99.0\"");
        Self { context, index }
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("PIP_INDEX_URL", self.index.url("/simple")),
            ("PIP_NO_COMPILE", "1".to_owned()),
            // Neither the machine's wheels nor what it has downloaded before.
            ("PIP_FIND_LINKS", String::new()),
        ]
    }

    /// The calls of an installer that the plan of the task names.
    fn planned(&self, task: &str) -> Value {
        let mut command = self
            .context
            .command(&["execute", "--id", task, "--plan", "--json"]);
        command.envs(self.variables());
        let finished = self.context.finish(command);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let plan: Value = serde_json::from_str(&finished.stdout).unwrap();
        plan["requirements"]["install"].clone()
    }

    /// The line of the program, and what was asked of the index for it; the plan has told the truth.
    #[track_caller]
    fn run(&self, script: Script) -> (String, Vec<String>) {
        let before = self.index.asked().len();
        let task = self.context.create(script);
        let planned = self.planned(&task);
        assert_eq!(self.index.asked().len(), before, "a plan asks no index");
        let mut command = self.context.command(&["execute", "--id", &task]);
        command.envs(self.variables());
        let finished = self.context.finish(command);
        let console = finished.stdout + &finished.stderr;
        assert_eq!(finished.code, 0, "{console}");
        let asked = self.index.asked().split_off(before);
        assert!(asked.is_empty() || planned != json!([]), "{asked:?}");
        let line = console.lines().find(|line| line.starts_with("pip "));
        (line.expect("the program has printed").to_owned(), asked)
    }
}

/// A version of pip as the program sees it, complete and at work.
fn works(line: &str, version: &str) -> bool {
    line == format!("pip {version} ['pip', 'pip'] []")
}

/// E-130, E-133, E-134, E-195: a task without packages gets the interpreter's own pip and asks no index, with and without
/// a repository; what installs something gets the wanted pip, and what comes after it as well.
#[test]
fn a_task_without_packages_asks_no_index() {
    let machine = Machine::new();
    let nothing = || Script::python(WHICH_PIP, "");
    let code = |name: &str, files: &[(&str, &str)]| {
        let folder = machine.context.folder().join(name);
        let repository = Repository::create(&folder, files);
        nothing()
            .with("repository", repository.url())
            .with("version_num", repository.commit())
    };
    let bundled = [
        nothing(),
        // Taken from the store now.
        nothing(),
        code("without-list", &[("main.py", "")]),
    ];
    for script in bundled {
        let (line, asked) = machine.run(script.clone());
        assert_eq!(asked, Vec::<String>::new());
        // By now the files of the repository are known.
        let planned = machine.planned(&machine.context.create(script));
        assert_eq!(planned, json!([]));
        assert!(line.ends_with(" ['pip', 'pip'] []"), "{line}");
        assert!(!works(&line, "99.0"), "{line}");
    }
    let list = [("main.py", ""), ("requirements.txt", "colddep\n")];
    let (line, asked) = machine.run(code("with-list", &list));
    assert!(!asked.is_empty() && works(&line, "99.0"), "{line}");
    // The wanted one is kept now.
    let (line, asked) = machine.run(nothing());
    assert!(asked.is_empty() && works(&line, "99.0"), "{line}");
}

/// E-133, E-134: what was kept for a task without packages does not serve one with packages.
#[test]
fn the_next_task_with_a_package_gets_the_wanted_pip() {
    let machine = Machine::new();
    let (line, asked) = machine.run(Script::python(WHICH_PIP, ""));
    assert!(asked.is_empty() && !works(&line, "99.0"), "{line}");
    let script = format!("import colddep\n{WHICH_PIP}");
    let (line, asked) = machine.run(Script::python(&script, "colddep==1.0"));
    assert!(!asked.is_empty() && works(&line, "99.0"), "{line}");
}
