"""Every command of the pages is run, in order, in one folder, as a reader would."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["docs/getting_started.md", "docs/maskgan.md", "docs/bgan.md", "docs/began.md", "docs/ppgn.md"]


def commands(page: str) -> list[str]:
    """The bash blocks of a page, with continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    lines = commands(page)
    assert len(lines) >= 2
    for line in lines:
        command = ["bash", "-c", line]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    runs = [run for run in (tmp_path / "runs").iterdir() if (run / "config.yaml").is_file()]
    assert runs and all((run / "report.html").is_file() for run in runs)


@pytest.mark.parametrize(
    "page",
    [
        "README.md", "docs/results.md", "docs/benchmarks.md", "docs/tensorboard.md", "docs/cluster.md", "docs/tune.md",
        "docs/scaling.md", "docs/reliability.md", *PAGES,
    ],
)  # fmt: skip
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    for target in targets:
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_the_commands_for_a_cluster_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs them here; their options are read."""
    from rlgan.launch.catalogue import system_named
    from rlgan.launch.submit import job_command
    from rlgan.launch.train_options import read_train_options

    (tmp_path / "poems.txt").touch()
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^rlgan .*$", (ROOT / "docs/cluster.md").read_text(encoding="utf-8"), re.MULTILINE)
    words = [shlex.split(line) for line in lines]
    assert [one[1] for one in words] == ["doctor", "train", "submit"]
    assert read_train_options(system_named(words[1][2]), words[1][3:]).run.workers.num_env_runners == 16
    assert job_command(words[2][words[2].index("train") :])[0].endswith("--num-env-runners 16 --address auto")
