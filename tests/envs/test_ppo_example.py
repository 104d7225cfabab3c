"""The example in docs/ as a user runs it: stock RLlib on Ray, its own process, its own home."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ppo_token_env.py"


@pytest.mark.slow
@pytest.mark.parametrize("num_env_runners", [0, 2])
def test_stock_ppo_learns_the_language_from_a_discriminator(num_env_runners, tmp_path):
    arguments = [sys.executable, str(EXAMPLE), "15", str(num_env_runners), "1"]
    environment = {**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    lines = re.findall(r"iteration +(\d+): ([0-9.]+) grammatical, (\d+) of 36 sentences", run.stdout)
    assert [int(iteration) for iteration, _, _ in lines] == list(range(16))
    grammatical = [float(share) for _, share, _ in lines]
    assert grammatical[0] < 0.02, "an untrained policy writes almost no sentence"
    assert grammatical[-1] > 0.5, f"a discriminator that is sent to all workers takes it far: {grammatical}"
    assert int(lines[-1][2]) > 18, "and the policy has not collapsed"
    assert f"grammatical before {grammatical[0]:.3f}, after {grammatical[-1]:.3f}" in run.stdout
