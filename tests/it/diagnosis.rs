//! Failures that are not those of the user's code: the status and the last line of the console say which, and what to do.
//!
//! What no test can bring about on the machine it runs on (the kernel's own killing, errors of GPUs) is put in the place of the
//! kernel's files: `CLEARML_AGENT_KERNEL` names a folder for them, in builds for debugging.

use std::fs;
use std::path::PathBuf;

use super::support::{Agent, Disk, Script, TestContext};

/// A machine whose kernel says what the test writes.
struct Machine {
    context: TestContext,
    folder: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let context = TestContext::new();
        let folder = context.folder().join("kernel");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("memory.events"), "low 0\noom 1\noom_kill 4\n").unwrap();
        // What was said before the task is none of its business.
        let before = "3,1,1,-;Out of memory: Killed process 1 (x) total-vm:8kB\n\
                      4,2,2,-;NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.\n";
        fs::write(folder.join("kmsg"), before).unwrap();
        for (index, address) in ["0000:3b:00.0", "0000:af:00.0"].iter().enumerate() {
            let gpu = folder.join("gpus").join(address);
            fs::create_dir_all(&gpu).unwrap();
            let text = format!("Model: \t\t Stand-in\nGPU UUID: \t GPU-{index}-stand-in\n");
            fs::write(gpu.join("information"), text).unwrap();
        }
        Self { context, folder }
    }

    fn daemon(&self, gpus: &str) -> Agent {
        let mut command = self.context.command(&[
            "daemon",
            "--queue",
            "default",
            "--foreground",
            "--gpus",
            gpus,
        ]);
        command.env("CLEARML_AGENT_KERNEL", &self.folder);
        self.context.start_command(command)
    }

    /// Shell code by which the kernel says this.
    fn says(&self, line: &str) -> String {
        let log = self.folder.join("kmsg");
        format!("echo \"4,9,9,-;{line}\" >> '{}'", log.display())
    }

    /// Runs a task that fails; its reason.
    #[track_caller]
    fn reason(&self, script: &str) -> String {
        let task = self.context.enqueue(Script::shell(script));
        self.context.wait_for_status(&task, "failed");
        let reason = self.context.reason(&task);
        let console = self.context.console(&task);
        let last = reason.replacen("worker execution", "Process failed,", 1);
        assert!(console.ends_with(&last), "{reason}\n{console}");
        reason
    }
}

const MEMORY: &str =
    "worker execution exit code -9: out of memory: the kernel has killed the program (hint: ";

/// D-241: by the counter of the cgroup, or by the kernel's log; a program that somebody else has killed is called as ever.
#[test]
fn a_program_that_the_kernel_kills_for_its_memory_is_named_so() {
    let machine = Machine::new();
    let mut daemon = machine.daemon("0");
    let counter = machine.folder.join("memory.events");
    let counted = format!("echo 'oom_kill 5' > '{}'; kill -9 $$", counter.display());
    let reason = machine.reason(&counted);
    assert!(reason.starts_with(MEMORY), "{reason}");
    assert_eq!(
        machine.reason("kill -9 $$"),
        "worker execution exit code -9"
    );
    let killed = |pid: &str| {
        let line = machine.says(&format!(
            "Out of memory: Killed process {pid} (bash) total-vm:8kB"
        ));
        machine.reason(&format!("{line}; kill -9 $$"))
    };
    let reason = killed("$$");
    assert!(reason.starts_with(MEMORY), "{reason}");
    assert_eq!(killed("1"), "worker execution exit code -9");
    // Somebody else has been killed, and this one fails by itself.
    assert_eq!(
        machine.reason(&format!(
            "echo 'oom_kill 9' > '{}'; exit 3",
            counter.display()
        )),
        "worker execution exit code 3"
    );
    assert_eq!(daemon.terminate(), 254);
}

/// D-241: an error of a GPU that the task does not have changes nothing.
#[test]
fn an_error_of_the_tasks_gpu_is_named() {
    let machine = Machine::new();
    let mut daemon = machine.daemon("1");
    let with_error = |address: &str, rest: &str| {
        let line = machine.says(&format!("NVRM: Xid (PCI:{address}): {rest}"));
        machine.reason(&format!("{line}; exit 3"))
    };
    let lost = "79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.";
    assert_eq!(
        with_error("0000:af:00", lost),
        "worker execution exit code 3: GPU error: Xid 79 of GPU 0000:af:00, GPU has fallen off the bus \
         (hint: look at the GPU with `nvidia-smi -q` before it gets another task)"
    );
    assert_eq!(
        with_error("0000:3b:00", lost),
        "worker execution exit code 3"
    );
    let reason = with_error("0000:3b:00", "31, pid=$$, name=bash, MMU Fault");
    let expected = "worker execution exit code 3: GPU error: Xid 31 of GPU 0000:3b:00, MMU Fault (hint: mostly the program's";
    assert!(reason.starts_with(expected), "{reason}");
    let cleaned = with_error("0000:af:00", "45, pid=$$, name=bash, Ch 00000008");
    assert_eq!(cleaned, "worker execution exit code 3");
    assert_eq!(daemon.terminate(), 254);
}

/// D-241: real; a program that fails while there is room has failed by itself.
#[test]
fn a_disk_that_is_full_is_named() {
    let context = TestContext::new();
    let disk = Disk::new(context.folder().join("disk"), "8m");
    let folder = disk.folder().to_str().unwrap().to_owned();
    let mut daemon = context.daemon_with(&[("TMPDIR", &folder)]);
    let fails = |script: &str| {
        let task = context.enqueue(Script::shell(script));
        context.wait_for_status(&task, "failed");
        (context.reason(&task), context.console(&task))
    };
    let (reason, _) = fails("exit 3");
    assert_eq!(reason, "worker execution exit code 3");
    let fill = "cat /dev/zero > \"$TMPDIR/filler\" 2> /dev/null || exit 3";
    let (reason, console) = fails(fill);
    let expected =
        format!("exit code 3: disk full: no room in `{folder}` (hint: free space there)");
    assert_eq!(reason, format!("worker execution {expected}"));
    assert!(
        console.ends_with(&format!("Process failed, {expected}")),
        "{console}"
    );
    fs::remove_file(disk.folder().join("filler")).unwrap();
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
}
