"""Conditions of your own, plugged into a finished PPGN run: its generator has never heard of them and is not trained.

Run it: `python docs/examples/own_condition.py runs/digits strips`. Two conditions: a network of any architecture that
says odd or even, trained here in plain torch; and something that is no network at all, the amount of ink.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlgan.chain_requests import ChainRequest, ConditionRequest, LabelRequest
from rlgan.data.image_source import load_image_source
from rlgan.launch.chain_model import ChainModel, load_chain_model
from rlgan.launch.chain_pictures import recorded_steps, strip
from rlgan.launch.pictures import write_png
from rlgan.plug_and_play import ENCODER, Nets

NUM_CHAINS, NUM_IMAGES = 32, 10


class RowReader(nn.Module):
    """A recurrent net that reads an image row by row."""

    def __init__(self, row_size: int) -> None:
        super().__init__()
        self.rows = nn.GRU(row_size, 32, batch_first=True)
        self.output = nn.Linear(32, 2)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] images -> [N, 2] logits, even and odd."""
        _, last_1NF = self.rows(image_NCHW.transpose(1, 2).flatten(2))
        logits_N2: Tensor = self.output(last_1NF[0])
        return logits_N2


def trained_reader(run: ChainModel, num_steps: int) -> RowReader:
    """Learns odd and even from the run's own images, by any loop you like."""
    torch.manual_seed(0)
    source = load_image_source(run.data)
    names = [int(name) for name in source.label_names]
    is_odd_N = torch.tensor(names)[source.train_label_N] % 2
    net = RowReader(run.space.channels * run.space.width)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(num_steps):
        row_B = torch.randint(len(is_odd_N), (64,))
        image_BCHW = source.space.to_unit(source.train_NCHW[row_B])
        noisy_BCHW = image_BCHW + 0.3 * torch.rand(64, 1, 1, 1) * torch.randn(image_BCHW.shape)  # smooth gradients
        F.cross_entropy(net(noisy_BCHW), is_odd_N[row_B]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return net.eval()  # a net in training mode is refused


@dataclass(frozen=True)
class Ink:
    """Log p = -(mean brightness - wanted)^2 / (2 sd^2). A `ConditionRequest` and the `Condition` that it builds."""

    wanted: float
    sd: float = 0.05

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the run's own nets that it would ask: none."""
        return ()

    def build(self, nets: Nets, chain_numbers: Sequence[int]) -> "Ink":
        """What these chains are to show; here they could be told apart by their numbers."""
        return self

    def log_probability(self, image_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] images -> [N] nats, differentiable."""
        return -(image_NCHW.mean(dim=(1, 2, 3)) - self.wanted).square() / (2 * self.sd**2)


def chains(run: ChainModel, condition: ConditionRequest | None, path: Path | None = None) -> Tensor:
    """The last images of chains that move as the run was told; a strip of the first eight."""
    rule, num_steps = run.chain.rule_for(run.model), run.chain.steps
    request = ChainRequest(condition, rule, num_steps, seed=0, record_at=recorded_steps(num_steps, NUM_IMAGES))
    image_TNCHW = run.run(request, NUM_CHAINS).image_TNCHW
    if path is not None:
        write_png(path, strip(image_TNCHW[:, :8]))
    return image_TNCHW[-1]


def main(path: str, output: str, num_steps: int = 600) -> tuple[float, float, list[float]]:
    """Prints and returns the share of odd digits, as the encoder reads them, with and without; and mean brightness."""
    run, folder = load_chain_model(Path(path)), Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    names = torch.tensor([int(name) for name in run.label_names])

    def share_odd(image_NCHW: Tensor) -> float:
        return float((names[run.nets[ENCODER](image_NCHW).argmax(dim=1)] % 2).float().mean())

    free_NCHW = chains(run, None)
    odd_NCHW = chains(run, LabelRequest((1,), classifier=trained_reader(run, num_steps)), folder / "odd.png")
    shares = share_odd(odd_NCHW), share_odd(free_NCHW)
    print(f"odd digits: {shares[0]:.2f} of the chains that a row reader steers, {shares[1]:.2f} of others")
    usual = float(free_NCHW.mean())
    inks = [float(chains(run, Ink(factor * usual), folder / f"ink-{factor}.png").mean()) for factor in (0.7, 1.3)]
    print(f"mean brightness: {usual:.3f}; asked for 0.7 and 1.3 times as much, {inks[0]:.3f} and {inks[1]:.3f}")
    return *shares, [usual, *inks]


if __name__ == "__main__":
    main(*sys.argv[1:3])
