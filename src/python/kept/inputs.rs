//! What environments depend on, and so what they are kept under (E-240).

use std::path::Path;

use super::super::cache::KeyInputs;
use super::super::install::added_packages;
use super::super::interpreter::Interpreter;
use super::super::options::{PythonOptions, PythonRequest};
use super::super::pip::pip_specifications;
use super::super::requirements::{RequirementList, TaskRequirements};
use super::super::store::{
    EntryKind, Input, StoreInputs, file_identity, file_in_image, packages_in_image, platform,
};

/// Everything that an environment with the packages of a task depends on.
pub fn store_inputs(
    request: &PythonRequest,
    options: &PythonOptions,
    interpreter: &Interpreter,
    requirements: &TaskRequirements,
) -> StoreInputs {
    let mut machine = base_machine(options, interpreter, requirements);
    machine.extend(image_name(options, &request.docker_cmd));
    machine.push(Input::new("cuda", &options.cuda_version));
    machine.extend(installer_inputs(options));
    let list = requirements.pip.as_ref().map(RequirementList::text);
    let mut packages: Vec<&str> = list.as_deref().unwrap_or_default().lines().collect();
    if request.entry_point.to_lowercase().ends_with(".ipynb") {
        packages.extend(["nbconvert", "ipython"]);
    }
    StoreInputs::new(EntryKind::Environment, machine, packages)
}

/// The image as the task names it, where its id is not among the inputs.
fn image_name(options: &PythonOptions, docker_cmd: &str) -> Option<Input> {
    let image = docker_cmd.split_whitespace().next();
    let is_known = options.store.image.is_some();
    (!is_known).then(|| Input::new("image", image.unwrap_or_default()))
}

/// What the agent tells every installer.
fn installer_inputs(options: &PythonOptions) -> Vec<Input> {
    let mut inputs = vec![Input::new("torch", format!("{:?}", options.torch.mode))];
    for index in &options.extra_index_url {
        inputs.push(Input::new("extra index", index.to_string()));
    }
    for flag in &options.extra_install_flags {
        inputs.push(Input::new("flag", flag));
    }
    if options.force_upgrade {
        inputs.push(Input::new("flag", "--upgrade"));
    }
    inputs
}

/// The same for an environment with nothing but pip.
pub(super) fn base_inputs(
    options: &PythonOptions,
    interpreter: &Interpreter,
    requirements: &TaskRequirements,
) -> BaseInputs {
    let of = |machine| StoreInputs::new(EntryKind::Base, machine, []);
    BaseInputs {
        wanted: of(base_machine(options, interpreter, requirements)),
        bundled: of(machine_with_pip(
            options,
            interpreter,
            [BUNDLED_PIP.to_owned()],
        )),
    }
}

/// What an environment with nothing but pip is known by.
#[derive(Debug)]
pub(super) struct BaseInputs {
    /// With the wanted pip.
    pub(super) wanted: StoreInputs,
    /// With the one that the interpreter brings: for tasks that install nothing.
    pub(super) bundled: StoreInputs,
}

type Identity = fn(&Path) -> String;

/// Stands for a version of pip; no specification is like it.
const BUNDLED_PIP: &str = "as the interpreter brings it";

fn base_machine(
    options: &PythonOptions,
    interpreter: &Interpreter,
    requirements: &TaskRequirements,
) -> Vec<Input> {
    machine_with_pip(
        options,
        interpreter,
        pip_specifications(options, requirements),
    )
}

fn machine_with_pip(
    options: &PythonOptions,
    interpreter: &Interpreter,
    pip: impl IntoIterator<Item = String>,
) -> Vec<Input> {
    let path = &interpreter.path;
    let file = path.canonicalize().unwrap_or_else(|_| path.clone());
    let image = options.store.image.as_ref();
    let (of_file, of_packages): (Identity, Identity) = match image {
        Some(_) => (file_in_image, packages_in_image),
        None => (file_identity, file_identity),
    };
    let mut machine = platform(&interpreter.libc);
    machine.extend(image.map(|image| Input::new("image", image)));
    machine.extend([
        Input::new("python", &interpreter.name),
        Input::new("python.path", path.to_string_lossy()),
        Input::new("python.version", interpreter.version.to_string()),
        Input::new("python.abi", &interpreter.abi),
        Input::new("python.file", file.to_string_lossy()),
        Input::new("python.identity", of_file(&file)),
        Input::new("virtualenv", interpreter.has_virtualenv.to_string()),
    ]);
    if options.system_site_packages {
        machine.push(Input::new("system packages", "visible"));
        for folder in &interpreter.site_folders {
            machine.push(Input::new(
                format!("system packages in {}", folder.display()),
                of_packages(folder),
            ));
        }
    }
    for specification in pip {
        machine.push(Input::new("pip", specification));
    }
    machine.extend(options.store.index_settings.iter().cloned());
    machine
}

/// False where the task names packages, or the agent adds some; its repository may have a list all the same.
pub(in crate::python) fn may_install_nothing(
    request: &PythonRequest,
    options: &PythonOptions,
    requirements: &TaskRequirements,
) -> bool {
    requirements.is_empty() && added_packages(request, options).0.is_empty()
}

pub(super) fn key_inputs(
    request: &PythonRequest,
    options: &PythonOptions,
    interpreter: &Interpreter,
) -> KeyInputs {
    KeyInputs {
        docker_cmd: request.docker_cmd.clone(),
        cuda_version: options.cuda_version.clone(),
        interpreter: interpreter.name.clone(),
        is_conda: false,
    }
}

pub(super) fn conda_key_inputs(
    request: &PythonRequest,
    options: &PythonOptions,
    version: &str,
) -> KeyInputs {
    KeyInputs {
        docker_cmd: request.docker_cmd.clone(),
        cuda_version: options.cuda_version.clone(),
        interpreter: version.to_owned(),
        is_conda: true,
    }
}

/// A package of conda among those of pip.
pub(in crate::python) fn conda_package(line: &str) -> String {
    format!("conda {line}")
}

/// What an environment of conda depends on. Its files name its folder, so that it can be used nowhere else.
pub(super) fn conda_inputs(
    options: &PythonOptions,
    inputs: &KeyInputs,
    requirements: &TaskRequirements,
    folder: &Path,
) -> StoreInputs {
    let mut machine = platform("conda");
    let image = options.store.image.as_ref();
    let image = image.map(|image| Input::new("image", image));
    let image = image.or_else(|| image_name(options, &inputs.docker_cmd));
    machine.extend([
        Input::new("python", &inputs.interpreter),
        Input::new("folder", folder.to_string_lossy()),
    ]);
    machine.extend(image);
    machine.push(Input::new("cuda", &inputs.cuda_version));
    for channel in &options.conda.channels {
        machine.push(Input::new("channel", channel));
    }
    machine.extend(installer_inputs(options));
    machine.extend(options.store.index_settings.iter().cloned());
    let text = |list: &Option<RequirementList>| list.as_ref().map(RequirementList::text);
    let conda = text(&requirements.conda).unwrap_or_default();
    let named = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut packages: Vec<String> = conda.lines().filter(named).map(conda_package).collect();
    let pip = text(&requirements.pip).unwrap_or_default();
    packages.extend(pip.lines().map(str::to_owned));
    let packages = packages.iter().map(String::as_str);
    StoreInputs::new(EntryKind::Environment, machine, packages)
}
