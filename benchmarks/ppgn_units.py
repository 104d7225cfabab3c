"""Chains of a finished PPGN run to hidden units: how much they excite the unit they were asked for, and a control.

    python benchmarks/ppgn_units.py --run runs/ppgn/long-0 --output runs/units

Units are not chosen: every eighth of the code's layer, and every fourth channel of the second convolution in the middle
of the image. An activation is given in units of its standard deviation over the real training images, from their mean.
"Free" are the same chains without a condition, "control" those to the next unit of the list. A sheet has two rows for
each unit: the ten training images that excite it most, and ten chains.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import machine, table
from torch import Tensor

from rlgan.chain_requests import ChainRequest, UnitRequest
from rlgan.data.image_source import load_image_source
from rlgan.launch.chain_model import ChainModel, load_chain_model
from rlgan.launch.image_judgement import as_picture
from rlgan.launch.pictures import write_png
from rlgan.plug_and_play import ENCODER
from rlgan.settings import changed

NUM_SHOWN = 10


@dataclass(frozen=True)
class Unit:
    """One unit, and its activation in the images of the data."""

    request: UnitRequest
    read: Callable[[Tensor], Tensor]
    real_N: Tensor

    def score(self, image_NCHW: Tensor) -> Tensor:
        """[N] activations in standard deviations from the mean of the data."""
        return (self.read(image_NCHW) - self.real_N.mean()) / self.real_N.std()


def units_of(model: ChainModel, real_NCHW: Tensor) -> list[Unit]:
    """Every eighth hidden unit, every fourth channel in the middle of the second convolution."""
    net: Any = model.nets[ENCODER]
    second = net.layer("second", real_NCHW[:1]).shape[1:]
    requests = [UnitRequest("hidden", number) for number in range(0, net.net.num_features, 8)]
    requests += [UnitRequest("second", number, second[1] // 2, second[2] // 2) for number in range(0, second[0], 4)]

    def unit(request: UnitRequest) -> Unit:
        def read(image_NCHW: Tensor) -> Tensor:
            with torch.no_grad():
                rows = [net.layer(request.layer, some) for some in image_NCHW.split(500)]
            return torch.cat(rows)[:, request.channel, request.row, request.column]

        return Unit(request, read, read(real_NCHW))

    return [unit(request) for request in requests]


def main() -> None:
    """Print one table and write one sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--chains", type=int, default=64, help="to a unit")
    parser.add_argument("--eps2", type=float, help="of the condition; the model's by default")
    parser.add_argument("--seed", type=int, default=0, help="of all chains")
    arguments = parser.parse_args()
    model = load_chain_model(arguments.run)
    source = load_image_source(model.data)
    real_NCHW = source.space.to_unit(source.train_NCHW)
    units = units_of(model, real_NCHW)
    rule = changed(model.chain, {} if arguments.eps2 is None else {"eps2": arguments.eps2}, "chain").rule_for(
        model.model
    )
    num_steps = model.chain.steps

    def images(request: UnitRequest | None) -> Tensor:
        asked = ChainRequest(request, rule, num_steps, arguments.seed, (num_steps,))
        return model.run(asked, arguments.chains).image_TNCHW[-1].clamp(0.0, 1.0)

    free_NCHW, made = images(None), [images(unit.request) for unit in units]
    rows, sheet = [], []
    for index, unit in enumerate(units):
        control_NCHW = made[(index + 1) % len(units)]
        high = float(unit.score(real_NCHW).quantile(0.99))
        score_N = unit.score(made[index])
        name = f"{unit.request.layer}:{unit.request.channel}"
        means = [float(unit.score(one).mean()) for one in (made[index], free_NCHW, control_NCHW)]
        share = float((score_N > high).float().mean())
        rows.append([name, *(f"{value:.2f}" for value in (*means, high, share))])
        sheet += [real_NCHW[unit.real_N.topk(NUM_SHOWN).indices], made[index][:NUM_SHOWN]]
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_png(arguments.output / "units.png", as_picture(torch.cat(sheet), NUM_SHOWN))
    print(f"{machine()}\n")
    table(["unit", "asked for", "free", "control", "real, top 1%", "share above it"], rows)
    columns = torch.tensor([[float(cell) for cell in row[1:]] for row in rows]).mean(dim=0)
    print(f"mean of {len(rows)} units: {', '.join(f'{value:.2f}' for value in columns.tolist())}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
