"""Event files are read back: numbers, purge, histograms, escaped text, and the page that lists every tag."""

import html
import io
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from rlgan.data.text import TextSource
from rlgan.launch.system import Shown
from rlgan.launch.tensorboard import TensorBoardLog
from rlgan.launch.token_tables import as_markdown, escaped, reward_tables
from rlgan.policies.rounds import RoundReport
from rlgan.types import RolloutBatch, TokenSpace

PAGE = Path(__file__).parents[2] / "docs" / "tensorboard.md"
NASTY = "<script>alert(1)</script> | *a* _b_ `c` [d](javascript:e) &amp; # - 1. ~~f~~ \\ ! é 春"


class Words(TextSource):
    """Ids whose text is hostile to Markdown."""

    def decode(self, tokens_T):
        return " ".join(f"<b>|{token}|</b>" for token in tokens_T.tolist() if token != self.space.end_id)


def source(end_id=None):
    nothing = torch.zeros(0, 3, dtype=torch.int64)
    return Words(TokenSpace(7, 3, end_id=end_id), nothing, nothing, "words")


def batch(tokens, values):
    tokens_BT, values_BT = torch.tensor(tokens), torch.tensor(values)
    return RolloutBatch(tokens_BT, values_BT, values_BT[:, -1], 1, 0.1, 12)


def report(step=1, **changes):
    content = {
        "step": step,
        "phase": "adversarial",
        "phase_round": step,
        "phase_rounds": 50,
        "figures": {"gen/loss": 1.0 / step, "gen/entropy": 2.0},
    }
    return RoundReport(**(content | changes))


def read(directory):
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0})
    return events.Reload()


def scalars(directory, tag):
    return [(event.step, round(event.value, 6)) for event in read(directory).Scalars(tag)]


def text_html(directory, tag):
    event = read(directory).Tensors(f"{tag}/text_summary")[-1]
    return markdown_to_safe_html(event.tensor_proto.string_val[0])


def test_figures_come_back_at_their_steps(tmp_path):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.round(report(1))
    log.round(report(2))
    log.evaluation(2, {"gen/nll_oracle": 9.25}, [])
    log.close()
    assert scalars(tmp_path / "tb", "gen/loss") == [(1, 1.0), (2, 0.5)]
    assert scalars(tmp_path / "tb", "gen/nll_oracle") == [(2, 9.25)]


def test_every_round_is_on_the_disk_at_once(tmp_path):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.round(report(1))
    assert scalars(tmp_path / "tb", "gen/loss") == [(1, 1.0)]


def test_an_evaluation_does_not_repeat_a_tag_of_its_round(tmp_path):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.round(report(1))
    log.evaluation(1, {"gen/entropy": 1.5, "gen/nll_test": 8.0}, [])
    log.round(report(2, figures={"gen/loss": 0.5}))
    log.evaluation(2, {"gen/entropy": 1.25}, [])
    assert scalars(tmp_path / "tb", "gen/entropy") == [(1, 2.0), (2, 1.25)]
    assert scalars(tmp_path / "tb", "gen/nll_test") == [(1, 8.0)]


def test_a_resumed_run_hides_what_came_after_its_checkpoint(tmp_path):
    first = TensorBoardLog(tmp_path / "tb", purge_step=None)
    for step in (1, 2, 3, 4):
        first.round(report(step))
    first.close()
    second = TensorBoardLog(tmp_path / "tb", purge_step=3)
    second.round(report(3, figures={"gen/loss": 7.0}))
    assert scalars(tmp_path / "tb", "gen/loss") == [(1, 1.0), (2, 0.5), (3, 7.0)]


def test_histogram_keeps_count_and_range_and_leaves_out_what_is_not_finite(tmp_path):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    logits = torch.tensor([-2.0, 0.0, 1.0, float("nan"), float("inf")])
    log.round(report(1, histograms={"disc/logits": logits}))
    log.round(report(2, histograms={"disc/logits": torch.tensor([float("nan")])}))
    events = read(tmp_path / "tb").Histograms("disc/logits")
    assert [event.step for event in events] == [1]
    value = events[0].histogram_value
    assert (value.num, value.min, value.max) == (3, -2.0, 1.0)


def test_texts_and_pictures_of_a_round(tmp_path):
    picture = np.zeros((4, 6, 3), dtype=np.uint8)
    picture[1, 2] = (255, 0, 10)
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.round(report(1), Shown(texts={"samples/reward_per_token": "a"}, images={"samples/grid": picture}))
    log.round(report(2))
    assert [event.step for event in read(tmp_path / "tb").Tensors("samples/reward_per_token/text_summary")] == [1]
    (event,) = read(tmp_path / "tb").Images("samples/grid")
    assert (event.width, event.height) == (6, 4)
    shown = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB"))
    assert (shown == picture).all()


def test_hyperparameters_are_flat_and_bring_figures_that_were_never_written(tmp_path):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.round(report(4))
    values = {"seed": 3, "training": {"lr": 0.5, "windows": [1, 2], "reward": "constant", "cut": None}}
    log.hyperparameters(values, {"gen/loss": 9.0, "gen/nll_oracle": 8.5, "eval/x": float("nan")})
    assert scalars(tmp_path / "tb", "gen/nll_oracle") == [(4, 8.5)]
    assert scalars(tmp_path / "tb", "gen/loss") == [(4, 0.25)]
    plugin = read(tmp_path / "tb").summary_metadata["_hparams_/session_start_info"].plugin_data.content
    for expected in (b"seed", b"training.lr", b"training.windows", b"[1, 2]", b"constant"):
        assert expected in plugin


@pytest.mark.parametrize("obstacle", ["file in the way", "no parent"])
def test_a_directory_that_cannot_be_made_costs_one_warning(tmp_path, caplog, obstacle):
    directory = tmp_path / "tb" if obstacle == "file in the way" else tmp_path / "nowhere" / "tb"
    if obstacle == "file in the way":
        directory.write_text("")
    with caplog.at_level(logging.WARNING):
        log = TensorBoardLog(directory, purge_step=None)
        log.round(report(1))
        log.evaluation(1, {"gen/nll_test": 1.0}, ["x"])
        log.hyperparameters({"seed": 1}, {})
        log.close()
    assert len(caplog.records) == 1 and "training goes on" in caplog.text


def test_a_directory_that_vanishes_costs_one_warning_and_writing_goes_on(tmp_path, caplog, capfd):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.round(report(1))
    shutil.rmtree(tmp_path / "tb")
    with caplog.at_level(logging.WARNING):
        log.round(report(2))
        log.round(report(3))
        shutil.rmtree(tmp_path / "tb")
        log.round(report(4))
        log.round(report(5))
    assert len(caplog.records) == 1
    assert scalars(tmp_path / "tb", "gen/loss") == [(5, 0.2)]
    assert "Traceback" not in capfd.readouterr().err


def test_generated_text_shows_exactly_as_it_is(tmp_path):
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.evaluation(1, {}, [NASTY, "plain"])
    stored = read(tmp_path / "tb").Tensors("samples/generated/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "<" not in stored and "|" not in stored and "`" not in stored
    shown = text_html(tmp_path / "tb", "samples/generated")
    assert re.findall(r"<(?!/?(?:ol|li)>)[a-z]+", shown) == []
    lines = re.findall(r"<li>(.*?)</li>", shown)
    assert [html.unescape(line) for line in lines] == [NASTY, "plain"]


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x9f", "\x7f"])
def test_control_characters_are_replaced(character):
    assert escaped(f"a{character}b") == "a�b"


def test_configuration_keeps_its_lines(tmp_path):
    text = "seed: 1\ntraining:\n  reward: <i>x</i> *y*\n"
    assert "training:\n  reward: &lt;i&gt;x&lt;/i&gt; *y*" in markdown_to_safe_html(as_markdown(text))
    log = TensorBoardLog(tmp_path / "tb", purge_step=None)
    log.configuration(text)
    assert "seed: 1" in text_html(tmp_path / "tb", "run/config")
    assert "torch" in text_html(tmp_path / "tb", "run/versions")


def test_reward_table_has_every_token_with_its_own_q():
    rollout = batch([[1, 2, 3], [4, 5, 6]], [[0.0, 0.25, 0.5], [0.125, 0.75, 1.0]])
    shown = markdown_to_safe_html(reward_tables(rollout, source(), num_best=1, num_worst=1))
    cells = [[html.unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", table)] for table in tables_of(shown)]
    assert cells == [
        ["<b>|4|</b>", "<b>|5|</b>", "<b>|6|</b>", "▂", "▇", "█", "0.125", "0.75", "1"],
        ["<b>|1|</b>", "<b>|2|</b>", "<b>|3|</b>", "▁", "▃", "▅", "0", "0.25", "0.5"],
    ]
    assert shown.index("reward 1") < shown.index("reward 0.5")


def test_reward_table_stops_at_the_end_token_and_bears_a_constant_q():
    rollout = batch([[1, 6, 6]], [[0.5, 0.5, 0.0]])
    shown = markdown_to_safe_html(reward_tables(rollout, source(end_id=6)))
    (table,) = tables_of(shown)
    cells = [html.unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", table)]
    assert cells == ["<b>|1|</b>", "⏎", "▄", "▄", "0.5", "0.5"]


def tables_of(html_text):
    return re.findall(r"<table>.*?</table>", html_text, flags=re.DOTALL)


def documented_tags():
    return set(re.findall(r"`((?:_hparams_|[a-z]+)/[A-Za-z_0-9]+)`", PAGE.read_text(encoding="utf-8")))


def tags_in(directory):
    tags = read(directory).Tags()
    names = {*tags["scalars"], *tags["histograms"], *tags["tensors"]}
    return {name.removesuffix("/text_summary") for name in names} | set(read(directory).summary_metadata)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_tag_of_a_run_is_on_the_page(tmp_path):
    from rlgan.launch.main import main

    options = "--vocab-size 20 --length 6 --oracle-sequences 70 --oracle-held-out 20 --likelihood.epochs 1 --rounds 2"
    options += " --discriminator-training.pretrain-steps 1 --batch-size 8 --num-rollouts 2 --eval-samples 20"
    assert main(["train", "seqgan", "--run-dir", str(tmp_path / "run"), *options.split()]) == 0
    written = {tag.removesuffix("/text_summary") for tag in tags_in(tmp_path / "run" / "tensorboard")}
    assert {"gen/nll_oracle", "disc/logits", "samples/reward_per_token", "run/config", "time/adversarial"} <= written
    assert written - documented_tags() == set()


def test_every_tag_that_the_code_names_is_on_the_page():
    root = Path(__file__).parents[2]
    files = [*(root / "policies").glob("*.py"), *(root / "launch").rglob("*.py"), root / "rlgan" / "evaluation.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r'"((?:gen|critic|disc|rollout|eval|health|samples|run)/[a-z_0-9]+[a-z0-9])"', text))
    assert "rollout/worker_restarts" in named
    assert named - documented_tags() == set()
