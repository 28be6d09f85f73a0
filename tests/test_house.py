"""The house: what is installed, what is shipped, and what may import what."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import adcache
from adcache import doctor
from adcache.backends import rebuild_embedded
from tools import check_source, notebooks

ROOT = notebooks.ROOT
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {  # the benchmark's peers never enter the course's environment
    "requirements.txt": set(EXTRAS) - {"bench"},
    "requirements-bench.txt": {"bench"},
}


def requirements(lock_file: str) -> list[Requirement]:
    """What a lock has to pin: the core's needs, and those of its extras."""
    groups = [PROJECT["dependencies"], *(EXTRAS[name] for name in LOCKS[lock_file])]
    return [Requirement(text) for group in groups for text in group]


REQUIREMENTS = requirements("requirements.txt")
CONDA_NAMES = {"redis-py": "redis"}  # where conda's name is not PyPI's
SIX = ["redis-py", "jupyterlab", "fakeredis", "ipywidgets", "matplotlib", "nbval"]


@pytest.fixture(scope="module")
def conda_specs() -> list[str]:
    """Specs of environment.yml, without its pip part."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    return [spec for spec in environment["dependencies"] if isinstance(spec, str)]


def lock(lock_file: str) -> dict[str, list[Version]]:
    """Versions that a lock pins, by name: several where a marker decides."""
    text = (ROOT / lock_file).read_text(encoding="utf-8")
    pinned: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.M):
        pinned.setdefault(name, []).append(Version(version))
    return pinned


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel of the package, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_conda_brings_python_a_server_and_the_six_packages(conda_specs):
    """environment.yml is Python, a server, the six packages, pip; no more."""
    names = [spec.split()[0] for spec in conda_specs]

    assert sorted(["python", "redis-server", "pip", *SIX]) == sorted(names)


def test_conda_uses_the_ranges_of_pyproject(conda_specs):
    """Each conda range admits exactly what pyproject's range admits."""
    ranges = {r.name: str(r.specifier) for r in REQUIREMENTS}
    ranges["python"] = PROJECT["requires-python"]
    for spec in conda_specs:
        name, _, wanted = spec.partition(" ")
        ours = ranges.get(CONDA_NAMES.get(name, name), "")

        assert sorted(filter(None, ours.split(","))) == sorted(
            filter(None, wanted.split(","))
        ), name


def test_conda_understands_each_spec(conda_specs):
    """Every line is a MatchSpec by conda's own strict rules."""
    parsed = [rattler.MatchSpec(spec, strict=True) for spec in conda_specs]

    assert [spec.split()[0] for spec in conda_specs] == [
        spec.name.normalized for spec in parsed
    ]


def test_conda_then_installs_this_project_with_pip():
    """The pip part, last, is this project with the course's extras."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

    assert {"pip": ["-e .[course,dev]"]} == environment["dependencies"][-1]
    assert {"course", "dev"} <= set(EXTRAS)


@pytest.mark.parametrize("lock_file", LOCKS)
def test_the_lock_pins_each_direct_dependency_within_its_range(lock_file):
    """What pyproject.toml asks for stands in the lock, in range."""
    locked = lock(lock_file)
    for requirement in requirements(lock_file):
        pinned = locked.get(canonicalize_name(requirement.name))

        assert pinned, f"{requirement.name} is not locked; make lock"
        for version in pinned:
            assert version in requirement.specifier, f"{requirement}; make lock"


@pytest.mark.parametrize("lock_file", LOCKS)
def test_the_lock_has_a_hash_for_everything_and_no_address(lock_file):
    """Each pinned package carries hashes; no index or file URL is named."""
    text = (ROOT / lock_file).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())

    assert "://" not in text
    assert [] == [e.split()[0] for e in entries if "--hash=sha256:" not in e]


def test_the_wheel_carries_scripts_and_types(wheel):
    """Lua files, also the parts, and py.typed are in the built wheel."""
    shipped = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "adcache"
    wanted = {p.relative_to(ROOT).as_posix() for p in package.rglob("*.lua")}

    assert wanted
    assert wanted | {"adcache/py.typed"} <= shipped
    assert not any(name.startswith(("tests/", "tools/")) for name in shipped)


def test_the_wheel_works_away_from_this_tree(wheel, tmp_path):
    """Installed elsewhere, it imports from there and counts an impression."""
    site = tmp_path / "site"
    install = ["pip", "install", "--no-deps", "--offline", "--target", str(site)]
    subprocess.run(
        [sys.executable, "-m", "uv", *install, str(wheel)],
        check=True,
        capture_output=True,
    )
    program = (
        "import adcache\n"
        "caps = adcache.FrequencyCapManager(adcache.connect('fakeredis://'))\n"
        "print(bool(caps.check_frequency_cap('ada', 'sneakers', limit=1)))\n"
        "print(bool(caps.check_frequency_cap('ada', 'sneakers', limit=1)))\n"
        "print(adcache.__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ["True", "False", str(site / "adcache" / "__init__.py")] == (
        done.stdout.split()
    ), done.stderr


def test_importing_adcache_loads_no_user_interface_and_no_fake():
    """``import adcache`` stays light: no notebook, no plots, no fakeredis."""
    heavy = ("IPython", "ipywidgets", "matplotlib", "numpy", "fakeredis", "lupa")
    program = f"import adcache, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "[]" == done.stdout.strip()


def test_imports_point_one_way():
    """Core without user interface, components apart, nothing from above."""
    assert [] == list(check_source.import_problems(ROOT / "adcache"))


def test_everything_is_short_enough_to_read():
    """Modules, functions and scripts stay under their ceilings."""
    assert [] == list(check_source.size_problems(ROOT / "adcache"))
    assert [] == list(check_source.size_problems(ROOT / "tools"))


def test_every_public_name_says_what_it_does():
    """Each name in ``__all__`` is a class or function with a docstring."""
    assert [] == list(check_source.doc_problems(adcache))


def test_every_public_name_is_used_in_a_lesson():
    """A name that no lesson shows is not public, or its lesson is to come."""
    lessons = check_source.lesson_texts()
    if not lessons:
        pytest.skip("no lesson is written yet")

    assert [] == list(check_source.usage_problems(adcache.__all__, lessons))


def test_ci_runs_the_same_as_a_contributor():
    """The GitHub workflow runs .ci/run, and that ends in ``make test``."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert ["bash .ci/run"] == [step["run"] for step in steps if "run" in step]
    assert "make test" == script.strip().splitlines()[-1]


def test_the_readme_example_prints_what_it_says(capsys):
    """The Python blocks of the README run as they stand, and print what they say."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S):
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own README
    printed = capsys.readouterr().out.splitlines()

    assert ["show sneakers at 1.8", "holiday bids 3.8", "0.0021"] == printed[:3]
    assert printed[3].startswith("hop ")


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "INSTRUCTORS.md"]
)
def test_links_between_files_lead_somewhere(name):
    """Each relative link and picture of the page is there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)

    assert [] == [target for target in targets if not (ROOT / target).exists()]


def test_make_help_tells_of_every_target():
    """What the Makefile can do, ``make help`` lists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    told = re.findall(r"^([a-z-]+):.*## ", makefile, re.M)

    assert sorted(targets.split()) == sorted(told)


def test_a_private_server_lives_as_long_as_its_command(own_server):
    """The command finds a real server in ADCACHE_URL; afterwards it is gone."""
    own_server.close()  # only asked for to skip, or fail, without a server
    program = (
        "import os, redis; url = os.environ['ADCACHE_URL'];"
        "print('ping', redis.Redis.from_url(url).ping(), url); raise SystemExit(3)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tools.with_server", sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    (url,) = re.findall(r"^ping True (\S+)$", done.stdout, re.M)

    assert 3 == done.returncode
    with pytest.raises(adcache.RedisUnavailable):
        adcache.connect(url).wire.execute("PING")


def test_the_doctor_knows_every_lesson():
    """Each lesson stands in the doctor's table with what it needs."""
    lessons = [path.stem for path in notebooks.find([ROOT / "notebooks"])]

    assert sorted(doctor.LESSONS) == sorted(lessons)


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(adcache.__path__, "adcache.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name, monkeypatch):
    """What a docstring shows after >>> is what happens, on a fresh fake."""
    monkeypatch.setenv("ADCACHE_PROGRESS", os.devnull)
    rebuild_embedded()
    module = importlib.import_module(name)

    assert 0 == doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed
