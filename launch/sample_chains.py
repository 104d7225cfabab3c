"""`rlgan sample` for a run of PPGN: chains of images under a condition, as a strip, an animation, a sheet or .npz."""

# T recorded steps, N chains, K pictures with a hole (1 or none), C channels, H height, W width

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator

from rlgan.chain_requests import ChainConfig, ChainRequest, ConditionRequest, ContextRequest
from rlgan.chains import ChainRecord, Prior
from rlgan.errors import ConfigError
from rlgan.image_types import to_bytes
from rlgan.launch.chain_conditions import ConditionOptions, condition_of
from rlgan.launch.chain_model import ChainModel, load_chain_model
from rlgan.launch.chain_pictures import recorded_steps, strip, write_gif
from rlgan.launch.image_judgement import as_picture
from rlgan.launch.options import OptionStyle, one_line, parse_options
from rlgan.launch.pictures import write_png
from rlgan.priors import BlurPrior, GaussianPrior
from rlgan.settings import told

STYLE = OptionStyle("rlgan sample", "Run chains of images with the newest checkpoint of a PPGN run.", positional="run")


class SampleChainOptions(ConditionOptions):
    """All options of `rlgan sample` for a run of PPGN."""

    run: Path = Field(description="Run directory, or one of its checkpoints.")
    chains: int = Field(16, ge=1, le=1_000_000, description="How many chains.")
    steps: int | None = Field(None, ge=1, le=1_000_000, description="Steps of a chain. None: as the run was told.")
    quiet_steps: int | None = Field(None, ge=0, description="Of these, last ones without noise. None: as told.")
    eps1: float | None = Field(None, ge=0, description="Multiplier of the prior. None: as told.")
    eps2: float | None = Field(None, ge=0, description="Multiplier of the condition. None: as told.")
    eps3: float | None = Field(None, ge=0, description="Sd of the noise. None: as told.")
    prior: Literal["model", "gaussian", "blur"] = Field(
        "model",
        description="R(x) - x: of the run's model (default), or of a prior that nobody trained: -x, the decay of an L2 "
        "penalty, or a blur, where chains move images (--model ppgn_x). Give --eps1 with these two; they want less.",
    )
    blur_sd: float = Field(1.0, gt=0, le=100, description="Of --prior blur, in pixels.")
    rule: Literal["equation", "released"] | None = Field(None, description="The paper's step or the released one.")
    released_step_size: float | None = Field(None, gt=0, description="Of the released step. None: as told.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of all chains; chain n is the same whatever their number.")
    frames: int = Field(10, ge=2, le=10_000, description="Images of a chain that are kept, from its start to its end.")
    strip: Path | None = Field(None, description="PNG file: a row for each chain, from its start to its end.")
    gif: Path | None = Field(None, description="GIF file: all chains on one sheet, moving.")
    grid: Path | None = Field(None, description="PNG file: the last images of all chains on one sheet.")
    columns: int = Field(8, ge=1, le=1000, description="Chains in a row of a sheet.")
    output: Path | None = Field(None, description=".npz file: images [T, N, H, W, C] as bytes, and log p(condition).")
    num_env_runners: int = Field(0, ge=0, le=10_000, description="Ray processes that share the chains; 0: none.")
    address: str | None = Field(None, min_length=1, description="Of a Ray cluster; None: a private one, if any.")
    rollout_timeout: float = Field(
        600.0, gt=0, le=1e6, description="Seconds that a Ray process may take for 16 chains before it is given up."
    )

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> "SampleChainOptions":
        """Refuse options that nothing would come of."""
        if self.num_env_runners == 0 and self.address is not None:
            raise ValueError("--address is of the cluster of the runners; give it with --num-env-runners 1 or more.")
        if self.num_env_runners == 0 and told(self, "rollout_timeout"):
            raise ValueError("--rollout-timeout is of Ray processes; give it with --num-env-runners 1 or more.")
        if told(self, "blur_sd") and self.prior != "blur":
            raise ValueError("--blur-sd is of a blur; give it with --prior blur.")
        if told(self, "columns") and self.gif is None and self.grid is None:
            raise ValueError("--columns is of a sheet; give it with --grid FILE.png or --gif FILE.gif.")
        return self


def sample(arguments: Sequence[str]) -> int:
    """Run `rlgan sample`.

    Args:
        arguments: the words after it.

    Returns:
        0.

    Raises:
        ConfigError: if there is nowhere to put the images, or it cannot be written to.
    """
    options = parse_options(SampleChainOptions, arguments, STYLE)
    if options.strip is None and options.gif is None and options.grid is None and options.output is None:
        raise ConfigError("where to? Give --strip or --grid FILE.png, --gif FILE.gif, or --output FILE.npz.")
    model = load_chain_model(options.run)
    request = request_of(options, model)
    record = runner_of(options, model)(request, options.chains)
    try:
        _write(record, request.condition, options)
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written ({error.strerror or error}).") from None
    mean = float(record.log_condition_TN[-1].mean())
    sys.stdout.write(f"{options.chains} chains of {request.num_steps} steps: mean log p(condition) {mean:.3f} nats\n")
    return 0


def request_of(options: SampleChainOptions, model: ChainModel) -> ChainRequest:
    """The chains that the options ask for.

    Args:
        options: those left out are as the run was told.
        model: of the run.

    Returns:
        The request; a ConfigError says what cannot be had, and of which net that has not learned yet.
    """
    chain = _chain_of(options, model)
    record_at = recorded_steps(chain.steps, options.frames)
    condition, rule = condition_of(options, model), chain.rule_for(model.model)
    request = ChainRequest(condition, rule, chain.steps, options.seed, record_at, _prior_of(options, model))
    model.require_trained(request)
    return request


def _prior_of(options: SampleChainOptions, model: ChainModel) -> Prior | None:
    """The hand-designed prior that is asked for; None: the model's own."""
    if options.prior == "model":
        return None
    if options.prior == "gaussian":
        return GaussianPrior()
    if model.model.has_generator:
        raise ConfigError(
            "--prior blur smooths states that are images (--model ppgn_x); this run's are codes: use gaussian."
        )
    return BlurPrior(options.blur_sd)


def _chain_of(options: SampleChainOptions, model: ChainModel) -> ChainConfig:
    """How the run's chains move, with the options over it, checked as a whole."""
    names = ("steps", "quiet_steps", "eps1", "eps2", "eps3", "rule", "released_step_size")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    try:
        chain = ChainConfig.model_validate({**model.chain.model_dump(), **changes})
    except ValidationError as error:
        raise ConfigError(one_line(error, {(name,): f"--{name.replace('_', '-')}" for name in names})) from None
    is_released = chain.rule == "released"
    if options.released_step_size is not None and not is_released:
        raise ConfigError("--released-step-size is of the released step; give it with --rule released.")
    if options.quiet_steps and is_released:
        raise ConfigError("--quiet-steps: the released step has noise to the end; give it with --rule equation.")
    if is_released and model.model.has_generator and not model.sizes.encoder.rectified:
        sys.stderr.write(
            "rlgan: warning: the released step keeps codes in [0, 30], and this run's codes have mean 0: it cuts off "
            "what is below. It suits a run with --nets.encoder.rectified.\n"
        )
    return chain


def runner_of(options: SampleChainOptions, model: ChainModel) -> Callable[[ChainRequest, int], ChainRecord]:
    """What runs the chains: this process, or Ray workers.

    Args:
        options: how many workers.
        model: of the run.

    Returns:
        A function of the request and the number of chains.
    """
    if options.num_env_runners == 0:
        return model.run

    def run(request: ChainRequest, num_chains: int) -> ChainRecord:
        from rlgan.launch.ray_session import quiet_ray, ray_for

        quiet_ray()
        from rlgan.launch.run_config import WorkerConfig
        from rlgan.policies.chain_workers import ChainWorkers, workers_config

        config = workers_config(model.training, model.space, options.num_env_runners)
        config.time_limits(rollout_seconds=options.rollout_timeout)
        weights = {name: net.state_dict() for name, net in model.nets.items()}
        workers = WorkerConfig(num_env_runners=options.num_env_runners, address=options.address)
        with ray_for(workers, config.worker_bundles()), ChainWorkers(config, weights) as runners:
            return runners.run(request, num_chains)

    return run


def _write(record: ChainRecord, condition: ConditionRequest | None, options: SampleChainOptions) -> None:
    """All files that are asked for; a picture with a hole comes first in a row of a strip, and on a sheet."""
    images_TNCHW = record.image_TNCHW.clamp(0.0, 1.0)
    given_KCHW = images_TNCHW[0, :0]
    if isinstance(condition, ContextRequest):
        images_TNCHW = torch.stack([condition.filled(image_NCHW) for image_NCHW in images_TNCHW])
        given_KCHW = condition.with_grey_hole()[None]
    given_KNCHW = given_KCHW[:, None].expand(-1, images_TNCHW.shape[1], -1, -1, -1)
    if options.strip is not None:
        write_png(options.strip, strip(torch.cat([given_KNCHW, images_TNCHW])))
    if options.gif is not None:
        write_gif(options.gif, images_TNCHW, options.columns)
    if options.grid is not None:
        write_png(options.grid, as_picture(torch.cat([given_KCHW, images_TNCHW[-1]]), options.columns))
    if options.output is not None:
        bytes_TNHWC = to_bytes(images_TNCHW).permute(0, 1, 3, 4, 2).numpy()
        log_condition_TN = record.log_condition_TN.numpy()
        np.savez_compressed(options.output, images=bytes_TNHWC, log_condition=log_condition_TN)
