"""The examples in docs/ as a user runs them: stock RLlib on Ray, their own process, their own home."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "num_env_runners", "start"),
    [("ppo_token_env.py", 0, 0.02), ("ppo_token_env.py", 2, 0.02), ("ppo_infilling_env.py", 0, 0.1)],
)
def test_stock_ppo_learns_the_language_from_a_discriminator(example, num_env_runners, start, tmp_path):
    arguments = [sys.executable, str(EXAMPLES / example), "15", str(num_env_runners), "1"]
    environment = {**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    lines = re.findall(r"iteration +(\d+): ([0-9.]+) grammatical, (\d+) of 36 sentences", run.stdout)
    assert [int(iteration) for iteration, _, _ in lines] == list(range(16))
    grammatical = [float(share) for _, share, _ in lines]
    assert grammatical[0] < start, "an untrained policy writes almost no sentence, and hardly completes one"
    assert grammatical[-1] > 0.5, f"a discriminator that is sent to all workers takes it far: {grammatical}"
    assert int(lines[-1][2]) > 18, "and the policy has not collapsed"
    assert f"grammatical before {grammatical[0]:.3f}, after {grammatical[-1]:.3f}" in run.stdout
