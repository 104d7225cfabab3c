"""The SeqGAN oracle: a known random LSTM that draws training data and scores any sequence (arXiv:1609.05473, sec. 4).

An oracle file is a safetensors file of 15 float arrays, V ids, E embedding, H hidden:

    embedding [V, E]
    input_gate.W [E, H]   input_gate.U [H, H]   input_gate.b [H]     (and the same for forget_gate, output_gate,
    candidate.W [E, H]    candidate.U [H, H]    candidate.b [H]       which are sigmoid; candidate is tanh)
    logits.W [H, V]       logits.b [V]

    i, f, o = sigmoid(x W + h U + b);  g = tanh(x W + h U + b);  c' = f c + i g;  h' = o tanh(c');  logits = h' W + b

The state is zero before token 0, which is fed first; no forget-gate offset. The order embedding, (W, U, b) of input,
forget, output, candidate, then logits is that of `target_params.pkl` of LantaoYu/SeqGAN, whose arrays `Oracle` takes.
"""

# N rows, T positions, V vocabulary, E embedding, H hidden, G = 4H the gates side by side

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlgan.errors import DataError
from rlgan.native import softmax_layer
from rlgan.sampling import sample_linear
from rlgan.seeding import derive_seed

_GATES = ("input_gate", "forget_gate", "output_gate", "candidate")
_START_ID = 0
_CHUNK = 240_000  # logits worked on at a time: 1 MB stays in the cache; 1.3 MB is given back to the system each time

ARRAY_NAMES = ("embedding", *(f"{gate}.{part}" for gate in _GATES for part in "WUb"), "logits.W", "logits.b")


def array_shapes(vocab_size: int, embedding: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the 15 arrays of an oracle, in the order of the reference's parameter list.

    Args:
        vocab_size: V, number of ids.
        embedding: E, width of the embedding.
        hidden: H, width of the LSTM.

    Returns:
        {name: shape}.
    """
    part_shapes = {"W": (embedding, hidden), "U": (hidden, hidden), "b": (hidden,)}
    shapes: dict[str, tuple[int, ...]] = {"embedding": (vocab_size, embedding)}
    shapes.update({f"{gate}.{part}": shape for gate in _GATES for part, shape in part_shapes.items()})
    return shapes | {"logits.W": (hidden, vocab_size), "logits.b": (vocab_size,)}


class Oracle:
    """A frozen LSTM over tokens; it meets `rlgan.types.TokenPolicy`. All numbers are float32 on the CPU.

    Example:
        With `oracle = Oracle.draw(seed=68)`, `oracle.nll(oracle.sample(64, 20, generator)).mean()` is near 5.7 nats.
    """

    def __init__(self, arrays: Mapping[str, Tensor], where: str = "oracle arrays") -> None:
        _check_arrays(arrays, where)
        self.arrays = {name: arrays[name].detach().to("cpu", torch.float32).contiguous() for name in ARRAY_NAMES}
        self.vocab_size, self.hidden_size = self.arrays["logits.W"].shape[::-1]
        # x W + b depends on the token alone: one table for all four gates
        w_EG = torch.cat([self.arrays[f"{gate}.W"] for gate in _GATES], dim=1)
        b_G = torch.cat([self.arrays[f"{gate}.b"] for gate in _GATES])
        self._table_VG = self.arrays["embedding"] @ w_EG + b_G
        self._u_HG = torch.cat([self.arrays[f"{gate}.U"] for gate in _GATES], dim=1)

    @classmethod
    def draw(cls, seed: int, vocab_size: int = 5000, embedding: int = 32, hidden: int = 32) -> "Oracle":
        """An oracle whose every parameter, biases included, is drawn from N(0, 1), as in the paper.

        Args:
            seed: the same seed gives the same parameters on every machine.
            vocab_size: V, number of ids.
            embedding: E, width of the embedding (paper: 32).
            hidden: H, width of the LSTM (paper: 32).

        Returns:
            The oracle.
        """
        rng = np.random.Generator(np.random.PCG64(derive_seed(seed, "oracle")))
        shapes = array_shapes(vocab_size, embedding, hidden)
        return cls({name: torch.from_numpy(rng.standard_normal(shape)).float() for name, shape in shapes.items()})

    @classmethod
    def load(cls, path: Path) -> "Oracle":
        """Read an oracle from a safetensors file (see the top of this module).

        Args:
            path: the file.

        Returns:
            The oracle.

        Raises:
            DataError: if the file is missing or damaged, or a name, shape, type or number is wrong.
        """
        try:
            arrays = load_file(path)
        except FileNotFoundError as error:
            raise DataError(f"oracle file {path}: no such file.") from error
        except (OSError, SafetensorError) as error:
            raise DataError(f"oracle file {path} is not a safetensors file: {error}.") from error
        return cls(arrays, where=f"oracle file {path}")

    def save(self, path: Path) -> None:
        """Write the oracle as a safetensors file that `load` reads.

        Args:
            path: the file, overwritten if it exists.
        """
        save_file(self.arrays, path)

    def fingerprint(self) -> str:
        """The sha256 of all parameters.

        Returns:
            64 hexadecimal digits.
        """
        digest = hashlib.sha256()
        for name, array in self.arrays.items():
            digest.update(f"{name}{list(array.shape)}".encode() + array.numpy().tobytes())
        return digest.hexdigest()

    def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
        """The state after the start token has been fed to a zero state.

        Args:
            num_rows: N.

        Returns:
            (h_NH, c_NH).
        """
        zero_NH = torch.zeros(num_rows, self.hidden_size)
        return self.advance(torch.full((num_rows,), _START_ID), (zero_NH, zero_NH))

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        """Unnormalised log-probabilities of the next token.

        Args:
            state_N: (h_NH, c_NH).

        Returns:
            [N, V] float, nats.
        """
        return torch.addmm(self.arrays["logits.b"], state_N[0], self.arrays["logits.W"])

    def readout(self, state_N: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """The parts of `state_logits`.

        Args:
            state_N: (h_NH, c_NH).

        Returns:
            Hidden [N, H], weight [V, H], bias [V].
        """
        return state_N[0], self.arrays["logits.W"].t(), self.arrays["logits.b"]

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after one more token.

        Args:
            token_N: [N] int64 ids.
            state_N: (h_NH, c_NH).

        Returns:
            (h_NH, c_NH).
        """
        h_NH, c_NH = state_N
        gates_NG = torch.addmm(self._table_VG[token_N], h_NH, self._u_HG)
        i_NH, f_NH, o_NH, g_NH = gates_NG.chunk(4, dim=1)
        c_NH = f_NH.sigmoid() * c_NH + i_NH.sigmoid() * g_NH.tanh()
        return o_NH.sigmoid() * c_NH.tanh(), c_NH

    @torch.no_grad()
    def nll(self, tokens_NT: Tensor) -> Tensor:
        """Minus the log-probability of every token given those before it; its mean over N and T is NLL_oracle.

        Args:
            tokens_NT: [N, T] int64 ids in [0, V).

        Returns:
            [N, T] float32, nats per token.

        Raises:
            ValueError: if tokens_NT is not a matrix of ids of this oracle.
        """
        if tokens_NT.ndim != 2 or tokens_NT.is_floating_point():
            raise ValueError(f"tokens_NT must be [N, T] ids; got {tokens_NT.dtype} {list(tokens_NT.shape)}.")
        if tokens_NT.numel() and not (int(tokens_NT.min()) >= 0 and int(tokens_NT.max()) < self.vocab_size):
            low, high = int(tokens_NT.min()), int(tokens_NT.max())
            raise ValueError(f"tokens_NT must be ids in [0, {self.vocab_size}) of the oracle; got {low} to {high}.")
        nll_NT = torch.empty(tokens_NT.shape)
        for rows in self._chunks(len(tokens_NT)):
            state_N = self.initial_state(rows.stop - rows.start)
            for t, token_N in enumerate(tokens_NT[rows].long().unbind(dim=1)):
                nll_NT[rows, t] = self._token_nll(state_N, token_N)
                state_N = self.advance(token_N, state_N)
        return nll_NT

    def _token_nll(self, state_N: tuple[Tensor, ...], token_N: Tensor) -> Tensor:
        """[N] minus the log-probability of the next token, nats."""
        hidden_NH, weight_VH, bias_V = self.readout(state_N)
        if softmax_layer.supports(hidden_NH):
            return -softmax_layer.log_prob_and_entropy(hidden_NH, weight_VH, bias_V, token_N)[0]
        logits_NV = self.state_logits(state_N)
        return logits_NV.logsumexp(1) - logits_NV.gather(1, token_N[:, None]).squeeze(1)

    @torch.no_grad()
    def sample(self, num_sequences: int, length: int, generator: torch.Generator) -> Tensor:
        """Draw sequences from the oracle.

        Args:
            num_sequences: N.
            length: T, tokens of each.
            generator: the source of the N * T uniform numbers used.

        Returns:
            [N, T] int64 ids.
        """
        uniform_NT = torch.rand(num_sequences, length, generator=generator)
        tokens_NT = torch.empty(num_sequences, length, dtype=torch.int64)
        for rows in self._chunks(num_sequences):
            state_N = self.initial_state(rows.stop - rows.start)
            for t in range(length):
                token_N = sample_linear(*self.readout(state_N), uniform_NT[rows, t : t + 1]).squeeze(1)
                tokens_NT[rows, t] = token_N
                state_N = self.advance(token_N, state_N)
        return tokens_NT

    def _chunks(self, num_rows: int) -> Iterator[slice]:
        """Slices of the rows that are worked on at a time."""
        size = max(1, _CHUNK // self.vocab_size)
        return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


def _check_arrays(arrays: Mapping[str, Tensor], where: str) -> None:
    """Raise DataError unless the arrays are those of an oracle."""
    missing, extra = sorted(set(ARRAY_NAMES) - set(arrays)), sorted(set(arrays) - set(ARRAY_NAMES))
    if missing or extra:
        raise DataError(
            f"{where}: expected the 15 arrays {', '.join(ARRAY_NAMES)}; missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(extra[:15]) or 'none'}."
        )
    if arrays["embedding"].ndim != 2 or arrays["logits.W"].ndim != 2:
        raise DataError(f"{where}: embedding must be [V, E] and logits.W [H, V].")
    (vocab_size, embedding), hidden = arrays["embedding"].shape, arrays["logits.W"].shape[0]
    if min(vocab_size, embedding, hidden) < 1:
        raise DataError(f"{where}: V, E and H must be at least 1; got {vocab_size}, {embedding}, {hidden}.")
    for name, shape in array_shapes(vocab_size, embedding, hidden).items():
        array = arrays[name]
        if tuple(array.shape) != shape:
            raise DataError(
                f"{where}: {name} must be {list(shape)} (V={vocab_size}, E={embedding} from embedding, H={hidden} from "
                f"logits.W); got {list(array.shape)}."
            )
        if not array.is_floating_point():
            raise DataError(f"{where}: {name} must be a float array; got {array.dtype}.")
        if not bool(array.isfinite().all()):
            raise DataError(f"{where}: {name} holds NaN or infinite numbers.")
