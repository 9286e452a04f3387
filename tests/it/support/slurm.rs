//! A real Slurm of the test's own: munge, a controller and two nodes, all on loopback and below one folder.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{TestContext, wait_until};

/// Two nodes, `a` in partition `one` and `b` in partition `two`, and both in `both`; jobs of `urgent`, on `a`, come before the
/// others, which begin again later. Ended when dropped.
pub(crate) struct SlurmCluster {
    folder: PathBuf,
    processes: Vec<Child>,
    nodes: Vec<(&'static str, Child)>,
    controller: Option<Child>,
}

impl SlurmCluster {
    /// A cluster that takes jobs; each node has two processors and 500 MiB.
    pub(crate) fn start(context: &TestContext) -> Self {
        let folder = context.folder().join("slurm");
        for name in ["munge", "state", "spool-a", "spool-b"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let key = folder.join("munge/key");
        fs::write(&key, [7; 1024]).unwrap();
        for (path, mode) in [(&key, 0o600), (&folder.join("munge"), 0o700)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(folder.join("slurm.conf"), configuration(&folder)).unwrap();
        let mut cluster = Self {
            folder,
            processes: Vec::new(),
            nodes: Vec::new(),
            controller: None,
        };
        cluster.start_munge();
        cluster.start_controller();
        for node in ["a", "b"] {
            cluster.start_node(node);
        }
        cluster.wait_until_idle();
        cluster
    }

    fn start_node(&mut self, node: &'static str) {
        let mut daemon = self.command("slurmd");
        daemon.args(["-D", "-N", node]);
        self.nodes.push((node, started(daemon)));
    }

    #[track_caller]
    fn wait_until_idle(&self) {
        let idle = || {
            self.answer(
                "sinfo",
                &["--Node", "--noheader", "--partition=both", "--format=%T"],
            )
        };
        let are_idle = || idle().lines().filter(|line| *line == "idle").count() == 2;
        assert!(wait_until(are_idle), "{}", idle());
    }

    /// A machine dies with all that runs on it, and is there again when its job is not its own any more; no other node has one.
    pub(crate) fn lose_node(&mut self, node: &'static str, is_off: impl Fn(&Self) -> bool) {
        let at = self.nodes.iter().position(|(name, _)| *name == node);
        let (_, mut daemon) = self.nodes.swap_remove(at.unwrap());
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        kill_all(&self.of_jobs());
        let named = format!("nodename={node}");
        self.answer("scontrol", &["update", &named, "state=down", "reason=test"]);
        assert!(wait_until(|| is_off(self)));
        self.start_node(node);
        self.answer("scontrol", &["update", &named, "state=resume"]);
        self.wait_until_idle();
    }

    /// What runs of jobs, and what watches over them.
    fn of_jobs(&self) -> Vec<i32> {
        let (name, value) = self.variable();
        let is_of_job = |pid: &i32| {
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let variables = String::from_utf8_lossy(&variables);
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            variables.contains(&format!("{name}={value}\0"))
                && (variables.contains("SLURM_JOB_ID=") || command.starts_with("slurmstepd"))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_of_job).collect()
    }

    /// What programs of Slurm need to find it.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        let file = self.folder.join("slurm.conf");
        ("SLURM_CONF", file.display().to_string())
    }

    /// What a program of Slurm prints.
    pub(crate) fn answer(&self, program: &str, words: &[&str]) -> String {
        let output = self.command(program).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The states of all jobs of this name, the oldest first.
    pub(crate) fn states(&self, task: &str) -> Vec<String> {
        let name = format!("--name=clearml-id-{task}");
        let words = ["--noheader", "--states=all", "--format=%T", &name];
        let states = self.answer("squeue", &words);
        states.lines().map(str::to_owned).collect()
    }

    /// The id of the one job of a task.
    pub(crate) fn job(&self, task: &str) -> String {
        let name = format!("--name=clearml-id-{task}");
        let words = ["--noheader", "--states=all", "--format=%A", &name];
        self.answer("squeue", &words).trim().to_owned()
    }

    /// The controller is killed; jobs go on.
    pub(crate) fn kill_controller(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            controller.kill().unwrap();
            controller.wait().unwrap();
        }
    }

    /// The controller ends as its service manager has it; it writes down what it knows.
    pub(crate) fn stop_controller(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            let pid = Pid::from_raw(controller.id().cast_signed());
            kill(pid, Signal::SIGTERM).unwrap();
            controller.wait().unwrap();
        }
    }

    /// A controller that knows what the last one knew.
    pub(crate) fn start_controller(&mut self) {
        let mut daemon = self.command("slurmctld");
        daemon.arg("-D");
        self.controller = Some(started(daemon));
        assert!(wait_until(|| !self
            .answer("sinfo", &["--noheader"])
            .is_empty()));
    }

    fn start_munge(&mut self) {
        let path = |name: &str| format!("{}", self.folder.join(name).display());
        let mut daemon = Command::new("munged");
        daemon.args(["--foreground", "--force", "--num-threads=2"]);
        for (option, name) in [
            ("key-file", "munge/key"),
            ("pid-file", "munge/pid"),
            ("log-file", "munge/log"),
            ("seed-file", "munge/seed"),
            ("socket", "munge.socket"),
        ] {
            daemon.arg(format!("--{option}={}", path(name)));
        }
        self.processes.push(started(daemon));
        let socket = self.folder.join("munge.socket");
        assert!(wait_until(|| socket.exists()));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let (name, value) = self.variable();
        command.env(name, value);
        command
    }
}

fn started(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn();
    child.unwrap_or_else(|error| {
        panic!("{command:?}: {error} (apt install slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins)")
    })
}

fn kill_all(pids: &[i32]) {
    for pid in pids {
        // It may have died with another one.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

fn configuration(folder: &Path) -> String {
    let host = nix::unistd::gethostname().unwrap();
    let host = host.to_string_lossy();
    let host = host.split('.').next().unwrap_or_default();
    // They are free at this moment.
    let ports: Vec<u16> = (0..3)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap())
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    let [controller, first, second] = ports[..] else {
        unreachable!("three of them")
    };
    let folder = folder.display();
    format!(
        "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node-%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
MpiDefault=none
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldTimeout=10
SlurmdTimeout=10
PropagateResourceLimits=NONE
NodeName=a NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=500 State=UNKNOWN
NodeName=b NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=500 State=UNKNOWN
PartitionName=one Nodes=a Default=YES MaxTime=INFINITE State=UP
PartitionName=two Nodes=b MaxTime=INFINITE State=UP
PartitionName=both Nodes=a,b MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=a PriorityTier=10 MaxTime=INFINITE State=UP
"
    )
}

impl Drop for SlurmCluster {
    fn drop(&mut self) {
        let _ = self.command("scancel").arg("--user=root").output();
        let nodes = self.nodes.drain(..).map(|(_, node)| node);
        let rest = self.processes.drain(..).rev();
        for mut process in nodes.chain(rest).chain(self.controller.take()) {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
        // What was ending when its daemon died waits for it for ever.
        kill_all(&self.of_jobs());
    }
}
