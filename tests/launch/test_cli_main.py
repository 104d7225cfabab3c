"""The command itself: help without heavy imports, commands that do not exist, failures nobody expected."""

import importlib.metadata
import subprocess
import sys
from types import SimpleNamespace

import pytest

import rlgan as package
from rlgan.errors import LostLearnerError, WorkerError
from rlgan.launch import main as main_module
from rlgan.launch import train as train_module
from rlgan.launch.main import COMMANDS, main


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(words, rlgan):
    said = rlgan(*words)
    assert (said.code, said.err) == (0, "")
    assert all(f"  {name} " in said.out for name in COMMANDS)


def test_version(rlgan):
    assert rlgan("--version").out == f"rlgan {package.__version__}\n"


def test_help_and_a_wrong_command_import_neither_torch_nor_ray():
    code = (
        "import sys; from rlgan.launch.main import main; main(['--help']); main(['trian']); "
        "print(sorted({'torch', 'ray', 'tyro', 'pydantic', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("[]\n")


def test_data_inspect_needs_no_ray(tmp_path):
    (tmp_path / "a.txt").write_text("a b\n" * 3)
    code = (
        "import sys; from rlgan.launch.main import main; main(['data', 'inspect', sys.argv[1]]); "
        "print(sorted({'ray', 'gymnasium'} & sys.modules.keys()))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.txt")]
    assert subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "words, message",
    [
        (("train",), "`rlgan train`: no such command; perhaps you meant `rlgan train "),
        (("train", "seqgam"), "perhaps you meant `rlgan train seqgan`"),
        (("samlpe",), "`rlgan samlpe`: no such command; perhaps you meant `rlgan sample`"),
        (("data",), "perhaps you meant `rlgan data inspect`"),
        (("qqqq",), "there are train seqgan, "),
        (("--verbose",), "`rlgan --verbose`: no such command"),
    ],
)
def test_a_command_that_does_not_exist(words, message, rlgan):
    said = rlgan(*words)
    assert (said.code, said.out) == (2, "") and said.err.count("\n") == 1
    assert message in said.err


def test_a_failure_nobody_expected(rlgan, monkeypatch, tmp_path):
    def fail(words):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(main_module, "_command", lambda name: fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = rlgan("sample", "run")
    assert said.code == 1 and said.err.startswith("rlgan: unexpected ZeroDivisionError: two lines.")
    assert said.err.count("\n") == 1 and "Traceback" not in said.err
    (log,) = tmp_path.glob("rlgan-error-*.log")
    assert str(log) in said.err and "Traceback" in log.read_text()


@pytest.mark.parametrize("trace", ["", ":\nTraceback\nlearner_timeout_seconds = 3 is over."])
def test_what_a_worker_says_names_options_of_the_command(trace, tmp_path):
    directory = SimpleNamespace(error_log=tmp_path / "error.log")
    with pytest.raises(LostLearnerError) as error, train_module._logged(directory):
        raise LostLearnerError(f"a policy learner took longer than learner_timeout_seconds = 3{trace}")
    expected = "a policy learner took longer than --learner-timeout = 3"
    assert str(error.value).startswith(expected) and "timeout_seconds" not in str(error.value)
    assert ("\n" not in str(error.value)) and directory.error_log.exists() == bool(trace)
    with pytest.raises(WorkerError, match="than --rollout-timeout = 9"), train_module._logged(directory):
        raise WorkerError("runners take longer than rollout_timeout_seconds = 9")


def test_debug_shows_the_traceback(rlgan, tmp_path):
    said = rlgan("train", "seqgan", "--debug", "--data", tmp_path / "nowhere", "--run-dir", tmp_path / "run")
    assert said.code == 3 and "Traceback" in said.err and said.err.splitlines()[-1].startswith("rlgan: ")


def test_ctrl_c(rlgan, monkeypatch):
    def interrupt(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "_command", lambda name: interrupt)
    assert rlgan("sample", "run").code == 130


def test_the_installed_command():
    entries = importlib.metadata.entry_points(group="console_scripts")
    (entry,) = [one for one in entries if one.name == "rlgan"]
    assert entry.load() is main
