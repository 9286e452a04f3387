#!/usr/bin/env python3
"""A stand-in for conda, which cannot be installed where the tests run.

It answers the calls that the agent makes in the form of the real program, makes a real virtual environment, and writes
down how it was called. What it does not have stands in the file `unavailable` of its installation, one name a line;
names in `conflicting` are answered as a conflict.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

BASE = pathlib.Path(__file__).resolve().parent.parent
# Importable after an installation; everything else is only listed.
REAL = ["tinydep"]


def names(file):
    path = BASE / file
    return path.read_text().split() if path.exists() else []


def name_of(specification):
    return re.split(r"[=~<>!\[ ]", specification)[0]


def answer(value):
    print("WARNING conda.core: a newer version of conda exists. {please} [update]")
    print(json.dumps(value, indent=2))


def fail(value):
    answer(value)
    sys.exit(1)


def option(words, *options):
    return next(words[at + 1] for at, word in enumerate(words) if word in options)


def note(prefix, specification):
    name = name_of(specification)
    version = re.sub(r"^[^0-9]*", "", specification[len(name):]).split("=")[0]
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True, exist_ok=True)
    package = {"name": name, "version": version or "1.0", "channel": "conda-forge"}
    (meta / (name + ".json")).write_text(json.dumps(package))


def install(prefix, specifications):
    missing = [line for line in specifications if name_of(line) in names("unavailable")]
    if missing:
        lines = "".join("\n  - " + line for line in missing)
        fail({
            "bad_deps": missing,
            "caused_by": "None",
            "error": "ResolvePackageNotFound: " + lines,
            "exception_name": "ResolvePackageNotFound",
        })
    conflicting = [line for line in specifications if name_of(line) in names("conflicting")]
    if conflicting:
        lines = "".join("  - " + line + " -> python[version='<3']\n" for line in conflicting)
        fail({
            "error": "UnsatisfiableError: The following specifications were found to be in conflict:\n\n"
            + lines + "\nUse \"conda info <package>\" to see the dependencies.\n",
            "exception_name": "UnsatisfiableError",
        })
    if (BASE / "channel-away").exists():
        fail({"error": "CondaHTTPError: HTTP 000 CONNECTION FAILED for url <https://channel>\n"})
    for specification in specifications:
        note(prefix, specification)
        if name_of(specification) in REAL:
            program = [prefix / "bin/python", "-m", "pip", "install", "--quiet", name_of(specification)]
            subprocess.run(program, check=True, stdout=sys.stderr)
    answer({"success": True, "prefix": str(prefix)})


def listed(prefix):
    own = [json.loads(path.read_text()) for path in sorted((prefix / "conda-meta").glob("*.json"))]
    frozen = subprocess.run([prefix / "bin/python", "-m", "pip", "list", "--format", "json"], capture_output=True)
    known = [package["name"] for package in own] + ["setuptools"]
    others = [
        {"name": package["name"], "version": package["version"], "channel": "pypi"}
        for package in json.loads(frozen.stdout or "[]")
        if package["name"] not in known
    ]
    return own + others


def main(words):
    if words == ["--version"]:
        version = names("version") or ["24.11.3"]
        print("conda " + version[0])
        return
    with open(BASE / "calls", "a") as calls:
        calls.write(json.dumps({"words": words, "pythonpath": os.environ.get("PYTHONPATH")}) + "\n")
    if words[:2] == ["info", "--json"]:
        answer({"root_prefix": (names("root") or [str(BASE)])[0]})
    elif words[0] == "create":
        if (BASE / "offline").exists():
            print("CondaHTTPError: HTTP 000 CONNECTION FAILED for url <https://channel>", file=sys.stderr)
            sys.exit(1)
        prefix = pathlib.Path(option(words, "--prefix"))
        subprocess.run(["python3", "-m", "venv", prefix], check=True)
        for name in ("python=" + "%d.%d.%d" % sys.version_info[:3], "pip=23.0", "_libgcc_mutex=0.1"):
            note(prefix, name)
    elif words[:2] == ["env", "remove"]:
        shutil.rmtree(option(words, "-p"))
        answer({"success": True})
    elif words[:2] == ["env", "update"]:
        prefix = pathlib.Path(option(words, "-p"))
        file = json.loads(pathlib.Path(option(words, "--file")).read_text())
        with open(BASE / "updates", "a") as updates:
            updates.write(json.dumps(file) + "\n")
        install(prefix, file["dependencies"])
    elif words[:2] == ["env", "export"]:
        prefix = option(words, "-p")
        answer({"name": None, "channels": ["x"], "prefix": prefix, "dependencies": ["python=3.11.4=h1"]})
    elif words[0] == "install":
        install(pathlib.Path(option(words, "-p")), [])
    elif words[0] == "list":
        answer(listed(pathlib.Path(option(words, "-p"))))
    else:
        sys.exit("the stand-in does not know: " + " ".join(words))


main(sys.argv[1:])
