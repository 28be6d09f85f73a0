"""The doctor: what it finds, what it tells to do, and what it keeps secret."""

import subprocess
import sys

import pytest

from adcache import __main__, backends, doctor


def test_doctor_finds_all_that_the_lessons_need(monkeypatch):
    """On a machine that is set up, nothing that a lesson needs is missing."""
    monkeypatch.delenv("ADCACHE_URL", raising=False)
    findings = doctor.diagnose()

    assert [] == [f.what for f in findings if f.cure and f.is_needed]


def test_doctor_runs_as_a_module():
    """``python -m adcache doctor`` prints the report and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "adcache", "doctor"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "backend: embedded fakeredis" in done.stdout
    assert "07_frequency_capping   can run" in done.stdout


def test_a_dead_backend_is_missing_and_has_a_cure(monkeypatch, capsys):
    """A server that does not answer fails the doctor and names the command."""
    monkeypatch.setenv("ADCACHE_URL", f"redis://127.0.0.1:{backends.free_port()}/0")

    assert 1 == doctor.main()
    printed = capsys.readouterr().out
    assert "mend it with: unset ADCACHE_URL" in printed
    assert "07_frequency_capping   lacks backend" in printed


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:s3cret@127.0.0.1:1/0",
        "redis://127.0.0.1:1/0?password=s3cret",
        "redis+cluster://ann:s3cret@127.0.0.1:1",
        "http://ann:s3cret@127.0.0.1",
        "redis://ann:s3cret@127.0.0.1:99999/0",
        "redis://ann:s3cret@[::1/0",
    ],
)
def test_the_report_never_shows_a_password(monkeypatch, url):
    """Whatever is wrong with the URL, its password is not in the report."""
    monkeypatch.setenv("ADCACHE_URL", url)
    report = doctor.report(doctor.diagnose())

    assert "MISSING" in report
    assert "s3cret" not in report


def test_a_real_server_is_named_with_its_version(monkeypatch):
    """The backend line tells which server answered, and its version."""
    try:
        server = backends.LocalServer()
    except backends.ServerNotFound as error:
        pytest.skip(str(error))
    with server:
        monkeypatch.setenv("ADCACHE_URL", server.url)
        report = doctor.report(doctor.diagnose())

    assert f"backend {server.url} (" in report
    assert "version not told" not in report


def test_a_missing_package_names_the_command_that_brings_it(monkeypatch):
    """A package that is not installed comes with its own pip command."""
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda _: ["no-such-package[x]<2,>=1.0"]
    )
    (finding,) = doctor._packages()

    assert finding.is_needed
    assert finding.cure.endswith("-m pip install 'no-such-package[x]<2,>=1.0'")


def test_a_missing_server_and_browser_are_no_failure(monkeypatch):
    """No server binary and no browser: absent, with a cure, but lessons run."""
    monkeypatch.delenv("ADCACHE_URL", raising=False)
    monkeypatch.setattr(doctor, "server_binaries", dict)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    findings = doctor.diagnose()
    absent = [f for f in findings if f.cure]

    assert ["server", "browser"] == [f.group for f in absent]
    assert not any(f.is_needed for f in absent)


@pytest.mark.parametrize(
    ("installed", "wanted", "expected"),
    [
        ("8.1.0", "<9,>=8.0", True),
        ("8.0", "<9,>=8.0.0", True),
        ("7.4.1", "<9,>=8.0", False),
        ("9.0.0", "<9,>=8.0", False),
        ("10.0", ">=9.1", True),
        ("8.1.0rc1", "<9,>=8.0", True),
        ("24.2", ">=24", True),
    ],
)
def test_a_version_is_compared_as_numbers(installed, wanted, expected):
    """A range is a lower bound that counts and an upper one that does not."""
    assert expected == doctor.version_fits(installed, wanted)


def test_an_unknown_command_shows_the_usage(capsys):
    """Anything but ``doctor`` prints the usage and ends with 2."""
    assert 2 == __main__.main(["docter"])
    assert "python -m adcache doctor" in capsys.readouterr().out
