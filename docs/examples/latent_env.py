"""PPGN's chain as a Gymnasium environment: the chain's own rule acts in rlgan/Latent-v0, on the codes of a trained run.

Run it: `python docs/examples/latent_env.py runs/digits 7` asks for a seven. The policy is the step of the paper, so the
episode is a chain as `rlgan sample` runs it; put your own policy in the place of `move`. Up to 64 steps.
"""

import sys
from pathlib import Path

import gymnasium
import torch

from rlgan.chain_requests import LabelRequest
from rlgan.chains import Chain, draw_block
from rlgan.envs.latent_episode import LARGEST_MOVE
from rlgan.launch.chain_model import load_chain_model
from rlgan.plug_and_play import PlugAndPlayModel
from rlgan.settings import changed

SEED = 0


def main(run: str, label: str, num_steps: int = 64) -> tuple[float, float]:
    """Runs one episode; prints and returns the reward of all moves and log p(label | image) at the end, both nats."""
    opened = load_chain_model(Path(run))
    model: PlugAndPlayModel = opened.model
    condition = LabelRequest((opened.label_names.index(label),)).build(opened.nets, [0])
    rule = changed(opened.chain, {"steps": num_steps}, "chain").rule_for(model)
    chain = Chain(model.generate(opened.nets), model.prior(opened.nets), condition, rule)
    shape = model.state_shape(opened.space, opened.sizes.encoder.code_size)
    env = gymnasium.make(
        "rlgan.envs:rlgan/Latent-v0",
        state_shape=shape,
        chain=chain,
        num_steps=num_steps,
        prior_noise_sd=opened.training["noise"]["code_denoiser"],  # of ppgn_h, whose prior is R(h) - h
    )
    state, info = env.reset(seed=SEED)
    noise, _ = draw_block(torch.zeros(1, *shape), [0], SEED, 0)
    gained, is_over, step = 0.0, False, 0
    while not is_over:
        place = chain.place(torch.from_numpy(state)[None])
        move = rule.propose(place, noise[step], step)[0] - place.state_N[0]
        state, reward, _, is_over, info = env.step(move.numpy() / LARGEST_MOVE)
        gained, step = gained + reward, step + 1
    print(f"gained {gained:.2f} nats; log p({label} | image) is {info['log_condition']:.3f} nats")
    return gained, info["log_condition"]


if __name__ == "__main__":
    main(*sys.argv[1:3])
