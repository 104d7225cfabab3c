"""PPGN fills holes of MNIST images that it has never seen: error in the hole, and whether the digit is kept.

    python benchmarks/ppgn_results.py --data t10k-images-idx3-ubyte.gz --output runs/ppgn --rows PPGN-h --seeds 0 1 2
    python benchmarks/ppgn_inpainting.py --data t10k-images-idx3-ubyte.gz --runs runs/ppgn --seeds 0 1 2

The generators are those of the first command. Of the 4,000 images that they have not seen, 3,000 teach the judge and
100 of the other 1,000, ten of each digit, lose their hole. Four chains fill each. Errors are means of squares over the
pixels of the hole; "mean of 4" is the error of the four fills' mean, which is the fairer rival of the mean image.
The four training images whose known pixels are nearest are a rival that needs no generator.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import machine, table
from ppgn_results import HELD_OUT, NUM_LABELS, JudgeNet, trained_judge
from torch import Tensor

from rlgan.chain_requests import ChainRequest, ContextRequest, LabelRequest
from rlgan.launch.chain_model import ChainModel, load_chain_model
from rlgan.launch.holes import hole_of
from rlgan.launch.image_judgement import as_picture
from rlgan.launch.pictures import write_png
from rlgan.policies import PPGNConfig

NUM_JUDGE_IMAGES, PICTURES_A_LABEL, NUM_CHAINS = 3000, 10, 4
CHAIN = {"eps1": 0.2, "eps2": 0.1, "eps3": 0.2}
CONTEXT_SD = 0.5


@dataclass(frozen=True)
class Pictures:
    """What is filled: [N, C, H, W] images, their labels, and the mean training image [C, H, W]."""

    real_NCHW: Tensor
    label_N: Tensor
    mean_CHW: Tensor


def nearest_fills(pictures: Pictures, train_NCHW: Tensor, is_hole_HW: Tensor) -> Tensor:
    """[N, 4, C, H, W]: the holes filled from the four training images whose other pixels are nearest."""
    distance_NM = torch.cdist(pictures.real_NCHW[..., ~is_hole_HW].flatten(1), train_NCHW[..., ~is_hole_HW].flatten(1))
    nearest_NK = distance_NM.topk(NUM_CHAINS, largest=False).indices
    return torch.where(is_hole_HW, train_NCHW[nearest_NK], pictures.real_NCHW[:, None])


def fills(model: ChainModel, pictures: Pictures, is_hole_HW: Tensor, has_label: bool, seed: int) -> Tensor:
    """[N, 4, C, H, W]: every picture, its hole filled by four chains."""
    chain = model.chain.model_copy(update=CHAIN)
    filled = []
    for number, (known_CHW, label) in enumerate(zip(pictures.real_NCHW, pictures.label_N.tolist(), strict=True)):
        condition = ContextRequest(known_CHW, ~is_hole_HW, CONTEXT_SD, LabelRequest((label,)) if has_label else None)
        rule = chain.rule_for(model.model)
        request = ChainRequest(condition, rule, chain.steps, 1000 * seed + number, (chain.steps,))
        filled.append(condition.filled(model.run(request, NUM_CHAINS).image_TNCHW[-1].clamp(0.0, 1.0)))
    return torch.stack(filled)


def figures(judge: JudgeNet, pictures: Pictures, fill_NKCHW: Tensor, is_hole_HW: Tensor) -> list[str]:
    """Error of one fill, error of the mean of four, share of fills that are judged to be the digit."""
    real_NCHW = pictures.real_NCHW
    error = (fill_NKCHW - real_NCHW[:, None])[..., is_hole_HW].square().mean()
    mean_error = (fill_NKCHW.mean(dim=1) - real_NCHW)[..., is_hole_HW].square().mean()
    judged = judge(fill_NKCHW.flatten(0, 1)).argmax(dim=1).view(len(real_NCHW), -1)
    kept = (judged == pictures.label_N[:, None]).float().mean()
    return [f"{float(error):.4f}", f"{float(mean_error):.4f}", f"{float(kept):.3f}"]


def main() -> None:
    """Fill, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="output of ppgn_results.py")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="none: the rivals only")
    parser.add_argument("--masks", nargs="+", default=["center", "bottom", "10,10,18,18"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source: Any = PPGNConfig().data(data=arguments.data, held_out_fraction=HELD_OUT).load_source()
    unseen_NCHW, label_N = source.space.to_unit(source.held_out_NCHW), source.held_out_label_N
    taught = slice(NUM_JUDGE_IMAGES)
    judge = trained_judge(unseen_NCHW[taught], label_N[taught], arguments.runs / "inpainting_judge.safetensors")
    rest_NCHW, rest_N = unseen_NCHW[NUM_JUDGE_IMAGES:], label_N[NUM_JUDGE_IMAGES:]
    rows = torch.cat([(rest_N == label).nonzero()[:PICTURES_A_LABEL, 0] for label in range(NUM_LABELS)])
    train_NCHW = source.space.to_unit(source.train_NCHW)
    pictures = Pictures(rest_NCHW[rows], rest_N[rows], train_NCHW.mean(dim=0))
    print(machine())
    print(
        f"judge: {float((judge(pictures.real_NCHW).argmax(dim=1) == pictures.label_N).float().mean()):.3f} of the real"
    )
    lines = []
    for word in arguments.masks:
        is_hole_HW = hole_of(word, source.space)
        mean_NKCHW = torch.where(is_hole_HW, pictures.mean_CHW, pictures.real_NCHW)[:, None]
        lines.append([word, "mean training image", "", *figures(judge, pictures, mean_NKCHW, is_hole_HW)])
        nearest_NKCHW = nearest_fills(pictures, train_NCHW, is_hole_HW)
        lines.append([word, "nearest training images", "", *figures(judge, pictures, nearest_NKCHW, is_hole_HW)])
        for seed in arguments.seeds:
            model = load_chain_model(arguments.runs / f"ppgn_h-{seed}")
            for name, has_label in (("context", False), ("context and class", True)):
                fill_NKCHW = fills(model, pictures, is_hole_HW, has_label, seed)
                lines.append([word, name, str(seed), *figures(judge, pictures, fill_NKCHW, is_hole_HW)])
                shown_NKCHW = torch.cat([pictures.real_NCHW[:, None], mean_NKCHW, fill_NKCHW], dim=1)[::5]
                sheet = as_picture(shown_NKCHW.flatten(0, 1), shown_NKCHW.shape[1] * 2)
                write_png(arguments.runs / f"inpainting-{word}-{name.replace(' ', '-')}-{seed}.png", sheet)
                print(" | ".join(lines[-1]), flush=True)
    table(["hole", "filled by", "seed", "error", "error, mean of 4", "digit kept"], lines)


if __name__ == "__main__":
    main()
