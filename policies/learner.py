"""A learner whose steps are its own: plain torch steps with gradients summed over the learners by hand.

RLlib's own path adds all losses into one backward pass and wraps every net in DDP, which is wrong for D(G(z)) losses,
and its minibatching hangs on unequal shards. Here every learner gets the whole batch, works on rows rank, rank + world,
..., and its loss is its part of the loss of all: two learners then do what one does.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from rlgan.checkpoint import load_module, load_optimizer, tensors_of_optimizer
from rlgan.errors import NonFiniteError
from rlgan.seeding import derive_seed

TensorGroups = dict[str, dict[str, Tensor]]


class AdversarialLearner(TorchLearner):  # type: ignore[misc]
    """One learner of a group. `nets` and `optimizers` are what a checkpoint holds of it.

    Attributes:
        optimizers: torch optimisers by name.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @property
    def nets(self) -> dict[str, torch.nn.Module]:
        """The nets by name: the RLModules of this learner."""
        return {name: self.module[name].unwrapped().net for name in self.module.keys()}  # noqa: SIM118

    @property
    def rank(self) -> int:
        """Which of the learners this is."""
        return dist.get_rank() if dist.is_initialized() else 0

    @property
    def world_size(self) -> int:
        """How many learners share the work."""
        return dist.get_world_size() if dist.is_initialized() else 1

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers by name.

        Raises:
            NotImplementedError: always; a paper's learner overrides it.
        """
        raise NotImplementedError

    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """Not used: a paper's learner has steps by name, such as `policy_step`.

        Args:
            **kwargs: RLlib's.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("rlgan's learners are stepped by name, through foreach_learner.")

    def configure_optimizers(self) -> None:
        """RLlib's hook: make the optimisers, and leave them out of RLlib's own bookkeeping."""
        self.optimizers = self.build_optimizers()

    def _make_modules_ddp_if_necessary(self) -> None:
        """Start from equal weights; no DDP wrapper."""
        if self.world_size > 1:
            for net in self.nets.values():
                for tensor in net.state_dict().values():
                    dist.broadcast(tensor, src=0)

    def shard(self, rows: Tensor) -> Tensor:
        """This learner's share of a batch.

        Args:
            rows: any tensor whose first axis is the rows of the whole batch.

        Returns:
            Every world_size-th row from rank on, on the learner's device.
        """
        return rows[self.rank :: self.world_size].to(self._device)

    def seed_noise(self, purpose: str, *indices: int) -> None:
        """Make dropout a function of the run's seed, the place in the run, and the rank.

        Args:
            purpose: what the noise is for.
            *indices: round, epoch and so on.
        """
        torch.manual_seed(derive_seed(self.config.seed or 0, purpose, *indices, self.rank))

    def descend(self, optimizer_name: str, loss: Tensor, max_grad_norm: float = math.inf, **seen: Tensor) -> float:
        """One optimiser step on the sum of all learners' losses.

        Args:
            optimizer_name: key into `optimizers`.
            loss: this learner's part of the loss; the parts add up to the loss of the whole batch.
            max_grad_norm: the global norm is clipped to this.
            **seen: what this learner's part was computed of, which an error carries.

        Returns:
            The global gradient norm before clipping.

        Raises:
            NonFiniteError: if the loss or the gradient is NaN or infinite; nothing has been changed then.
        """
        optimizer = self.optimizers[optimizer_name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.world_size > 1:
            self._sum_gradients(parameters)
        norm = float(_clipped_norm(parameters, max_grad_norm))
        if not math.isfinite(norm) or not math.isfinite(float(loss.detach())):
            raise NonFiniteError(
                f"{optimizer_name}: loss {float(loss.detach())} with gradient norm {norm}. The step was not taken; the "
                "last checkpoint is intact. Try a smaller learning rate, or look at the data of this round.",
                {name: tensor.detach().cpu() for name, tensor in seen.items()},
            )
        optimizer.step()
        return norm

    def _sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """All-reduce in one message; a parameter that this shard did not touch counts as 0."""
        for parameter in (parameters := list(parameters)):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        offset = 0
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()

    def summed(self, *parts: Tensor) -> list[float]:
        """Figures of the whole batch from this learner's parts of them.

        Args:
            *parts: scalars.

        Returns:
            Plain numbers: the sums over all learners.
        """
        values = torch.stack([part.detach() for part in parts]).cpu()
        if self.world_size > 1:
            dist.all_reduce(values)
        numbers: list[float] = values.double().tolist()
        return numbers

    def weights(self) -> TensorGroups:
        """State dicts of the nets on the CPU.

        Returns:
            Copies, by the name of the net.

        Raises:
            NonFiniteError: if a weight is NaN or infinite: it must reach neither runners nor a checkpoint.
        """
        nets = {name: cpu_copy(net.state_dict()) for name, net in self.nets.items()}
        for net, weights in nets.items():
            for name, weight in weights.items():
                if not bool(torch.isfinite(weight).all()):
                    raise NonFiniteError(
                        f"weight {name} of net {net} is NaN or infinite; the last checkpoint is intact. Try a smaller "
                        "learning rate."
                    )
        return nets

    def tensors(self) -> TensorGroups:
        """All that a checkpoint holds of this learner.

        Returns:
            Nets by name, and optimisers as "optimizer_<name>".
        """
        groups = self.weights()
        for name, optimizer in self.optimizers.items():
            groups[f"optimizer_{name}"] = cpu_copy(tensors_of_optimizer(optimizer))
        return groups

    def load_tensors(self, groups: TensorGroups) -> None:
        """The reverse of `tensors`.

        Args:
            groups: what `tensors` returned.
        """
        for name, net in self.nets.items():
            load_module(net, groups[name], name)
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, groups[f"optimizer_{name}"])


def _clipped_norm(parameters: list[Tensor], max_grad_norm: float) -> Tensor:
    """The global gradient norm before clipping; without a limit the gradients are only read."""
    if math.isinf(max_grad_norm):
        return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)


def cpu_copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share nothing with the originals.

    Args:
        tensors: by name.

    Returns:
        The copies, by the same names.
    """
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
