"""Modules and optimisers through a checkpoint, and refusal of one that belongs to another run (RELIABILITY R20)."""

from pathlib import Path

import pytest
import torch
from torch import nn

from rlgan.checkpoint import (
    Checkpoint,
    load_module,
    load_optimizer,
    read_checkpoint,
    require_match,
    tensors_of_optimizer,
    write_checkpoint,
)
from rlgan.errors import CheckpointError

OPTIMIZERS = {
    "Adam": lambda weights: torch.optim.Adam(weights, lr=0.01, betas=(0.85, 0.99), amsgrad=True),
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1),
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9),
    "plain SGD": lambda weights: torch.optim.SGD(weights, lr=0.01),
    "tensor lr": lambda weights: torch.optim.Adam(weights, lr=torch.tensor(0.01), capturable=False, foreach=False),
}


def make_net(width: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int) -> None:
    for step in range(num_steps):
        optimizer.zero_grad()
        net(torch.full((2, 4), 0.1 * step + 1.0)).square().sum().backward()
        optimizer.step()


def through_disk(folder: Path, tensors: dict) -> dict:
    write_checkpoint(folder, Checkpoint(0, {"optimizer": tensors}, {}, ""))
    return read_checkpoint(folder).tensors["optimizer"]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    whole = make_net()
    whole_optimizer = OPTIMIZERS[kind](whole.parameters())
    train(whole, whole_optimizer, 3)
    whole_optimizer.param_groups[0]["lr"] *= 1.0 / 3.0  # a schedule has moved it, to no round number
    resumed = make_net()
    load_module(resumed, {name: tensor.clone() for name, tensor in whole.state_dict().items()}, "net")
    resumed_optimizer = OPTIMIZERS[kind](resumed.parameters())
    load_optimizer(resumed_optimizer, through_disk(tmp_path / "it", tensors_of_optimizer(whole_optimizer)))
    assert resumed_optimizer.param_groups[0]["lr"] == whole_optimizer.param_groups[0]["lr"]
    train(whole, whole_optimizer, 3)
    train(resumed, resumed_optimizer, 3)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)


def test_numbers_of_the_groups_keep_value_and_type() -> None:
    net = make_net()
    groups = [
        {"params": net[0].parameters(), "lr": 0.1},
        {"params": net[1].parameters(), "lr": 1 / 3, "initial_lr": 0.5},
    ]
    tensors = tensors_of_optimizer(torch.optim.Adam(groups, betas=(0.7, 0.9), maximize=True))
    assert tensors["group.1.lr"].dtype == torch.float64 and tensors["group.1.params"].tolist() == [2, 3]
    fresh = torch.optim.Adam([{"params": net[0].parameters()}, {"params": net[1].parameters()}])
    load_optimizer(fresh, tensors)
    assert [group["lr"] for group in fresh.param_groups] == [0.1, 1 / 3]
    assert fresh.param_groups[0]["betas"] == (0.7, 0.9) and fresh.param_groups[0]["maximize"] is True
    assert fresh.param_groups[1]["initial_lr"] == 0.5 and "initial_lr" not in fresh.param_groups[0]


def test_state_that_is_no_tensor_is_refused() -> None:
    net = make_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.state[net[0].weight]["note"] = "text"
    with pytest.raises(ValueError, match="SGD keeps 'note' as str"):
        tensors_of_optimizer(optimizer)


def edited(edit) -> dict:
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    train(net, optimizer, 1)
    tensors = dict(tensors_of_optimizer(optimizer))
    edit(tensors)
    return tensors


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.update({"state.0.exp_avg": torch.zeros(7, 7)}), r"weight 0: exp_avg is \[7, 7\] .* is \[3, 4\]"),
        (lambda t: t.update({"state.9.step": torch.zeros(())}), "weight 9 in the checkpoint; here are only 4 weights"),
        (
            lambda t: t.update({"group.0.params": torch.arange(6)}),
            r"weights int64\[6\] in the checkpoint, 4 weights here",
        ),
        (lambda t: t.pop("group.0.params"), "weights none in the checkpoint, 4 weights here"),
        (lambda t: t.update({"group.1.lr": torch.ones(())}), "group 1 in the checkpoint; here are only 1 groups"),
        (lambda t: t.update({"group.0.lr": torch.tensor(float("nan"))}), "lr is nan, not finite numbers"),
        (lambda t: t.update({"weight": torch.ones(1)}), "'weight' is no entry of an optimiser"),
        (lambda t: t.update({"state.x.step": torch.ones(1)}), "'state.x.step' is no entry of an optimiser"),
    ],
)
def test_optimizer_of_another_net_is_refused_and_nothing_changes(edit, message: str) -> None:
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
    with pytest.raises(CheckpointError, match=r"disc optimizer.*" + message):
        load_optimizer(optimizer, edited(edit), "disc optimizer")
    assert optimizer.param_groups[0]["lr"] == 0.5 and not optimizer.state


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("0.bias"), r"0\.bias: absent in the checkpoint, float32\[3\] here"),
        (lambda t: t.update({"2.bias": torch.ones(1)}), r"2\.bias: float32\[1\] in the checkpoint, absent here"),
        (lambda t: t.update({"1.weight": torch.ones(1, 5)}), r"1\.weight: float32\[1, 5\] .* float32\[1, 3\] here"),
        (lambda t: t.update({"1.bias": torch.ones(1).double()}), r"1\.bias: float64\[1\] .* float32\[1\] here"),
    ],
)
def test_module_of_another_shape_is_refused_and_nothing_changes(edit, message: str) -> None:
    net, before = make_net(), make_net().state_dict()
    tensors = {name: tensor + 1 for name, tensor in before.items()}
    edit(tensors)
    with pytest.raises(CheckpointError, match="generator does not fit the checkpoint: " + message):
        load_module(net, tensors, "generator")
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_only_the_first_differences_are_named() -> None:
    with pytest.raises(CheckpointError, match="and 2 more"):
        load_module(nn.Linear(1, 1), {f"w{index}": torch.ones(1) for index in range(5)}, "net")


CONFIG = "vocab_size: 5000\ngenerator:\n  hidden: 32\n  windows: [1, 2]\n  bias: true\nseed: 1\n"
ARCHITECTURE = {"vocab_size": 5000, "generator": {"hidden": 32, "windows": (1, 2), "bias": True}}


def checkpoint_with(config: str = CONFIG, tokenizer: str | None = '{"a": 0}') -> Checkpoint:
    return Checkpoint(120, {}, {}, config, tokenizer)


def test_the_same_run_matches_whatever_else_differs() -> None:
    require_match(checkpoint_with(), '{"a": 0}', ARCHITECTURE)
    require_match(checkpoint_with(CONFIG.replace("seed: 1", "seed: 2")), '{"a": 0}', ARCHITECTURE)
    require_match(checkpoint_with(tokenizer=None), None, {})


@pytest.mark.parametrize(
    ("checkpoint", "tokenizer", "message"),
    [
        (
            checkpoint_with(),
            '{"b": 0}',
            "tokenizer: sha256 25b24058ee62 in the checkpoint, sha256 [0-9a-f]{12} in this run",
        ),
        (checkpoint_with(), None, "tokenizer: sha256 [0-9a-f]{12} in the checkpoint, none in this run"),
        (checkpoint_with(tokenizer=None), '{"a": 0}', "tokenizer: none in the checkpoint"),
        (
            checkpoint_with("vocab_size: 4704\n"),
            '{"a": 0}',
            "vocab_size: 4704 in the checkpoint, 5000 in this run; generator",
        ),
        (
            checkpoint_with(CONFIG.replace("32", "64")),
            '{"a": 0}',
            r"generator\.hidden: 64 in the checkpoint, 32 in this run",
        ),
        (
            checkpoint_with(CONFIG.replace("1, 2", "1, 3")),
            '{"a": 0}',
            r"windows: \[1, 3\] in the checkpoint, \[1, 2\] in",
        ),
        (
            checkpoint_with(CONFIG.replace("true", "1")),
            '{"a": 0}',
            r"generator\.bias: 1 in the checkpoint, True in this run",
        ),
        (checkpoint_with("[1]"), '{"a": 0}', r"config: \[1\] in the checkpoint, a section in this run"),
        (checkpoint_with("a: [1"), '{"a": 0}', "config.yaml is not plain YAML"),
        (
            checkpoint_with("a: !!python/object/apply:os.system ['touch x']"),
            '{"a": 0}',
            "config.yaml is not plain YAML",
        ),
    ],
)
def test_another_run_is_refused_with_both_values(checkpoint: Checkpoint, tokenizer, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        require_match(checkpoint, tokenizer, ARCHITECTURE)
