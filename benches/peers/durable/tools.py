"""What the measurements of queues share: how contenders are built, and what the machine is."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time


def shell(*command, **options):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options).stdout


def build_all(names, build):
    """The command of each contender that can be built, and why the others cannot."""
    programs, missing = {}, {}
    for name in names:
        print(f"building {name}", file=sys.stderr)
        try:
            programs[name] = build(name)
        except subprocess.CalledProcessError as error:
            lines = [line for line in (error.stderr or "").splitlines() if line.strip()]
            telling = [line for line in lines if re.search("error|ERR", line)]
            missing[name] = (telling or lines or [str(error)])[0].strip()
            print(f"without {name}: {missing[name]}", file=sys.stderr)
        except (OSError, subprocess.TimeoutExpired) as error:
            missing[name] = str(error)
    if "millhand" in missing:
        sys.exit(missing["millhand"])
    return programs, missing


def rust(folder, program, quick):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", folder.parent / "target"))
    profile = [] if quick else ["--release"]
    shell("cargo", "build", "--locked", *profile, cwd=folder, env=os.environ | {"CARGO_TARGET_DIR": str(target)})
    return [str(target / ("debug" if quick else "release") / program)]


def python(environment, imports, *packages):
    """An interpreter that has the packages."""
    path = str(environment / "bin" / "python3")
    try:
        shell(path, "-c", f"import {imports}")
    except (OSError, subprocess.CalledProcessError):
        shell("python3", "-m", "venv", "--clear", str(environment))
        shell(path, "-m", "pip", "install", "--quiet", *packages)
    return path


def node(source, folder):
    """A copy of a package of Node, with what it depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "measure.mjs"):
        shutil.copy(source / file, folder)
    shell("npm", "install", "--no-audit", "--no-fund", cwd=folder, timeout=300)
    return ["node", str(folder / "measure.mjs")]


def machine(folder):
    def say(*command):
        try:
            return shell(*command, cwd=folder).splitlines()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            return "unknown"

    models = re.findall("model name\\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "kernel": say("uname", "-sr"),
        "compiler": say("rustc", "--version"),
        "revision": say("git", "describe", "--always", "--dirty"),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
