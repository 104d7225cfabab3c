"""Chains of PPGN to captions, "a three left of a seven": exact match by readers that know other digits.

    python benchmarks/ppgn_captions.py --output runs/captions --seeds 0 1 2

Each seed is one `rlgan train ppgn` command, which is printed; a complete run is kept. It trains on scenes of 60% of
scikit-learn's digits. The readers, of another architecture, know the other 40%: one tells the relation, one reads the
digit around the centre of brightness of each half; they are tested on the training scenes. 200 chains, one for each
caption. "Shuffled": the same images read against the captions of other chains. A caption is matched when both digits
are; the relation is another column. With --plugged a captioner is trained for every finished run by `rlgan train
condition`, with another seed and as many steps as the run's own, and leads the same chains.
"""

import argparse
import subprocess
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import machine, table
from ppgn_results import HELD_OUT, JudgeNet, shifted
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from training_runs import RLGAN, train_all

from rlgan.captions import CaptionWords
from rlgan.chain_requests import CaptionRequest, ChainRequest
from rlgan.condition_nets import caption_log_probabilities
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import ImageFileSource, load_image_source
from rlgan.launch.chain_model import ChainModel, load_chain_model
from rlgan.launch.chain_pictures import recorded_steps, strip
from rlgan.launch.condition_files import load_condition
from rlgan.launch.image_judgement import as_picture
from rlgan.launch.pictures import write_png
from rlgan.plug_and_play import CAPTIONER
from rlgan.seeding import torch_generator
from rlgan.settings import changed

NUM_SCENES, NUM_DIGITS, IMAGE_SIZE = 20_000, 10, 8
CHAIN = {"eps1": 0.2, "eps2": 2.0, "eps3": 0.2, "steps": 200, "quiet_steps": 10}
OPTIONS = """--scenes 20000 --held-out-fraction 0.4 --captioner-rounds 160 --encoder-rounds 160 --rounds 160
    --denoiser-rounds 480 --nets.encoder.code-size 128 --classifier-rounds 0 --eval-samples 400"""
PLUGGED_STEPS = 4000


class Readers(nn.Module):
    """One net tells the relation; the other reads a digit in each half that this makes."""

    def __init__(self, random: torch.Generator) -> None:
        super().__init__()
        self.relation = JudgeNet(random, (1, 2 * IMAGE_SIZE, 2 * IMAGE_SIZE), 2)
        self.digit = JudgeNet(random, (1, IMAGE_SIZE, IMAGE_SIZE), NUM_DIGITS)

    @torch.no_grad()
    def read(self, image_NCHW: Tensor) -> Tensor:
        """[N, 3] relation, first and second digit."""
        relation_N = self.relation(image_NCHW).argmax(dim=1)
        is_above_N = (relation_N == 1)[:, None, None, None]
        first, second = (
            torch.where(is_above_N, centred(image_NCHW.mT[..., half]).mT, centred(image_NCHW[..., half]))
            for half in (slice(None, IMAGE_SIZE), slice(IMAGE_SIZE, None))
        )
        return torch.stack([relation_N, self.digit(first).argmax(dim=1), self.digit(second).argmax(dim=1)], dim=1)


def centred(half_NCHW: Tensor) -> Tensor:
    """The square of an upright half around its centre of brightness: [N, 1, size, size]."""
    weight_NH = half_NCHW.square().sum(dim=(1, 3)) + 1e-9
    centre_N = (weight_NH * torch.arange(0.5, 2 * IMAGE_SIZE)).sum(dim=1) / weight_NH.sum(dim=1)
    top_N = (centre_N - IMAGE_SIZE / 2).round().long().clamp(0, IMAGE_SIZE)
    return torch.stack([half[:, top : top + IMAGE_SIZE] for half, top in zip(half_NCHW, top_N.tolist(), strict=True)])


def parts_of(label_N: Tensor) -> Tensor:
    """[N, 3] relation, first and second digit of the captions with these numbers."""
    first_N = label_N // NUM_DIGITS
    return torch.stack([first_N // NUM_DIGITS, first_N % NUM_DIGITS, label_N % NUM_DIGITS], dim=1)


def trained_readers(digits: ImageFileSource, scenes: ImageFileSource, path: Path, num_steps: int) -> Readers:
    """The readers, from a file or fitted to the held-out digits and scenes of them."""
    random = torch_generator(0, "caption readers")
    readers = Readers(random)
    if path.exists():
        readers.load_state_dict(load_file(path))
        return readers.eval().requires_grad_(False)
    digit_NCHW, scene_NCHW = (source.space.to_unit(source.held_out_NCHW) for source in (digits, scenes))
    relation_N = parts_of(scenes.held_out_label_N)[:, 0]
    optimizer = torch.optim.Adam(readers.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        rows = torch.randint(len(digit_NCHW), (64,), generator=random)
        loss = F.cross_entropy(readers.digit(shifted(digit_NCHW[rows], random, most=1)), digits.held_out_label_N[rows])
        rows = torch.randint(len(scene_NCHW), (16,), generator=random)
        loss = loss + F.cross_entropy(readers.relation(scene_NCHW[rows]), relation_N[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    save_file(readers.state_dict(), path)
    return readers.eval().requires_grad_(False)


def scores(readers: Readers, image_NCHW: Tensor, label_N: Tensor) -> list[str]:
    """Exact match of both digits, of a digit, of the relation; and both digits against the captions of others."""
    seen_N3, told_N3 = readers.read(image_NCHW), parts_of(label_N)
    is_same_N3 = seen_N3 == told_N3
    both = is_same_N3[:, 1:].all(dim=1).float().mean()
    other_N3 = told_N3[torch.randperm(len(told_N3), generator=torch_generator(0, "shuffled captions"))]
    shuffled = (seen_N3 == other_N3)[:, 1:].all(dim=1).float().mean()
    figures = (both, shuffled, is_same_N3[:, 1:].float().mean(), is_same_N3[:, 0].float().mean())
    return [f"{float(figure):.3f}" for figure in figures]


def caption_accuracy(captioner: nn.Module, words: CaptionWords, image_NCHW: Tensor, label_N: Tensor) -> float:
    """Share of scenes whose own caption is the likeliest of all to the captioner."""
    chosen_N = caption_log_probabilities(captioner, words, image_NCHW).argmax(dim=1)
    return float((chosen_N == label_N).float().mean())


def plugged_captioner(run: Path, seed: int, model: ChainModel) -> nn.Module:
    """A captioner that was trained when the run was finished; one that is there is kept."""
    if not (run / "conditions" / "words").is_dir():
        command = [RLGAN, "train", "condition", str(run), "--name", "words", "--kind", "captioner",
                   "--steps", str(PLUGGED_STEPS), "--seed", str(1000 + seed)]  # fmt: skip
        print(" ".join(command), flush=True)
        subprocess.run(command, check=True)
    return load_condition(run, "words", model.space).net


def main() -> None:
    """Train what is missing, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--reader-steps", type=int, default=4000)
    parser.add_argument("--plugged", action="store_true", help="also with captioners trained afterwards")
    arguments, chain_options = parser.parse_known_args()
    options = [*OPTIONS.split(), *chain_options]
    runs = train_all("ppgn", arguments.output, arguments.seeds, {"scenes": options}, jobs=1)
    corpus = ImageCorpusConfig(held_out_fraction=HELD_OUT)
    digits = load_image_source(corpus)
    source = load_image_source(changed(corpus, {"scenes": NUM_SCENES}, "data"))
    readers = trained_readers(digits, source, arguments.output / "readers.safetensors", arguments.reader_steps)
    to_unit = source.space.to_unit
    unseen = to_unit(source.held_out_NCHW[:200]), source.held_out_label_N[:200]
    some = to_unit(source.train_NCHW[:2000]), source.train_label_N[:2000]
    rows = [["training scenes, not seen by the readers", "", "", *scores(readers, *some)]]
    for (_, seed), path in runs.items():
        model = load_chain_model(path)
        chain, words = changed(model.chain, CHAIN, "chain"), CaptionWords(model.label_names)
        label_N, captions = torch.arange(len(words.captions)), tuple(tuple(row) for row in words.table().tolist())
        captioners = {"chains to captions": ("captions", model.nets[CAPTIONER].eval())}
        if arguments.plugged:
            captioners["the same, captioner trained afterwards"] = "plugged", plugged_captioner(path, seed, model)
        for name, (file, captioner) in captioners.items():
            request = ChainRequest(
                CaptionRequest(captions, captioner),
                chain.rule_for(model.model), chain.steps, seed, recorded_steps(chain.steps, 10),
            )  # fmt: skip
            image_TNCHW = model.run(request, len(label_N)).image_TNCHW.clamp(0.0, 1.0)
            accuracy = caption_accuracy(captioner, words, *unseen)
            rows.append([name, str(seed), f"{accuracy:.3f}", *scores(readers, image_TNCHW[-1], label_N)])
            write_png(arguments.output / f"{file}-{seed}.png", as_picture(image_TNCHW[-1], 20))
            write_png(arguments.output / f"{file}-strip-{seed}.png", strip(image_TNCHW[:, [37, 181]]))
    print(f"\n{machine()}\n")
    head = ["images", "seed", "captioner", "both digits", "shuffled captions", "a digit", "relation"]
    table(head, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
