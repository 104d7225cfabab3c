"""An LSTM of one or more layers with variational dropout: one mask a sequence, the same at every position.

The loop over positions has its own backward pass: automatic differentiation of the loop is two to four times slower.
"""

# B sequences, T positions, S = T + 1 states before and after them, H width of inputs and states, L layers,
# G = 4H gates: input, forget, candidate, output

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class LSTMState(NamedTuple):
    """State of all layers after some positions.

    Attributes:
        hidden_LBH: [L, B, H].
        cell_LBH: [L, B, H].
    """

    hidden_LBH: Tensor
    cell_LBH: Tensor


class VariationalLSTM(nn.Module):
    """L layers of H units that read H numbers a position.

    Dropout (arXiv:1512.05287, as MaskGAN's released code has it): for every sequence and layer one mask, drawn once, on
    the inputs and the recurrent state alike, and one more on the outputs of the last layer. No forget-gate offset.
    """

    def __init__(self, size: int, num_layers: int, init_limit: float, init: torch.Generator) -> None:
        super().__init__()
        self.size, self.num_layers = size, num_layers
        self.input_LGH = nn.Parameter(torch.empty(num_layers, 4 * size, size))
        self.hidden_LGH = nn.Parameter(torch.empty(num_layers, 4 * size, size))
        self.bias_LG = nn.Parameter(torch.zeros(num_layers, 4 * size))
        with torch.no_grad():
            for weight in (self.input_LGH, self.hidden_LGH):
                weight.uniform_(-init_limit, init_limit, generator=init)

    def zero_state(self, num_rows: int) -> LSTMState:
        """The state before the first position.

        Args:
            num_rows: B.

        Returns:
            Zeros.
        """
        zero_LBH = self.bias_LG.new_zeros(self.num_layers, num_rows, self.size)
        return LSTMState(zero_LBH, zero_LBH)

    def forward(
        self, input_BTH: Tensor, state: LSTMState, dropout: float = 0.0, last_B: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """Read a sequence.

        Args:
            input_BTH: [B, T, H].
            state: before its first position.
            dropout: share that each mask drops, in [0, 1); its masks come from torch's global generator.
            last_B: [B] int64, the last position of each sequence; None: T - 1 of all.

        Returns:
            [B, T, H] outputs of the last layer, and the state after the last position of each sequence.
        """
        if last_B is None:
            last_B = torch.full((len(input_BTH),), input_BTH.shape[1] - 1, device=input_BTH.device)
        row_B = torch.arange(len(last_B), device=last_B.device)
        layer_TBH = input_BTH.transpose(0, 1)
        keep_NBH = _draw_masks(self.num_layers + 1, layer_TBH[0], dropout) if dropout > 0 else None
        hidden, cell = [], []
        for layer in range(self.num_layers):
            keep_BH = None if keep_NBH is None else keep_NBH[layer]
            dropped_TBH = layer_TBH if keep_BH is None else layer_TBH * keep_BH
            gates_TBG = torch.nn.functional.linear(dropped_TBH, self.input_LGH[layer], self.bias_LG[layer])
            layer_TBH, cell_TBH = _Recurrence.apply(
                gates_TBG, self.hidden_LGH[layer], state.hidden_LBH[layer], state.cell_LBH[layer], keep_BH
            )  # type: ignore[no-untyped-call]
            hidden.append(layer_TBH[last_B, row_B])
            cell.append(cell_TBH[last_B, row_B])
        output_TBH = layer_TBH if keep_NBH is None else layer_TBH * keep_NBH[-1]
        return output_TBH.transpose(0, 1), LSTMState(torch.stack(hidden), torch.stack(cell))

    @torch.no_grad()
    def step(self, input_BH: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Read one position, without dropout or gradient.

        Args:
            input_BH: [B, H].
            state: before it.

        Returns:
            [B, H] output of the last layer, and the state after it.
        """
        hidden, cell = [], []
        for layer in range(self.num_layers):
            gates_BG = torch.addmm(self.bias_LG[layer], input_BH, self.input_LGH[layer].t())
            gates_BG = torch.addmm(gates_BG, state.hidden_LBH[layer], self.hidden_LGH[layer].t())
            input_BH, cell_BH, _ = _cell(gates_BG, state.cell_LBH[layer])
            hidden.append(input_BH)
            cell.append(cell_BH)
        return input_BH, LSTMState(torch.stack(hidden), torch.stack(cell))


def _draw_masks(count: int, like_BH: Tensor, dropout: float) -> Tensor:
    """[count, B, H] of 0 and 1/(1 - dropout)."""
    keep = 1.0 - dropout
    shape = (count, *like_BH.shape)
    return torch.empty(shape, device=like_BH.device, dtype=like_BH.dtype).bernoulli_(keep).div_(keep)


def _cell(gates_BG: Tensor, cell_BH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step: hidden state, cell, and the four activated gates [4, B, H]."""
    input_BH, forget_BH, candidate_BH, output_BH = gates_BG.chunk(4, dim=1)
    gate_4BH = torch.stack([input_BH.sigmoid(), forget_BH.sigmoid(), candidate_BH.tanh(), output_BH.sigmoid()])
    cell_BH = torch.addcmul(gate_4BH[0] * gate_4BH[2], gate_4BH[1], cell_BH)
    return gate_4BH[3] * cell_BH.tanh(), cell_BH, gate_4BH


class _Recurrence(torch.autograd.Function):
    """One layer over all positions, from the input's share of the gates."""

    @staticmethod
    def forward(
        ctx: Any, gates_TBG: Tensor, weight_GH: Tensor, hidden_BH: Tensor, cell_BH: Tensor, keep_BH: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        hidden, cells, gates = [hidden_BH], [cell_BH], []
        for input_BG in gates_TBG.unbind(0):
            recurrent_BH = hidden_BH if keep_BH is None else hidden_BH * keep_BH
            hidden_BH, cell_BH, gate_4BH = _cell(torch.addmm(input_BG, recurrent_BH, weight_GH.t()), cell_BH)
            hidden.append(hidden_BH)
            cells.append(cell_BH)
            gates.append(gate_4BH)
        hidden_SBH, cell_SBH = torch.stack(hidden), torch.stack(cells)
        ctx.save_for_backward(weight_GH, keep_BH, hidden_SBH, cell_SBH, torch.stack(gates, dim=1))
        return hidden_SBH[1:].clone(), cell_SBH[1:].clone()

    @staticmethod
    def backward(ctx: Any, grad_hidden_TBH: Tensor, grad_cell_TBH: Tensor) -> tuple[Tensor | None, ...]:
        weight_GH, keep_BH, hidden_SBH, cell_SBH, gates_4TBH = ctx.saved_tensors
        to_cell_TBH, factor_T4BH = _derivatives(gates_4TBH, cell_SBH)
        forget_TBH = gates_4TBH[1]
        grad_gates_TB4H = torch.empty_like(factor_T4BH).transpose(1, 2).contiguous()
        carried_BH = grad_cell_BH = torch.zeros_like(grad_cell_TBH[0])
        for t in range(len(grad_hidden_TBH) - 1, -1, -1):
            grad_BH = grad_hidden_TBH[t] + carried_BH
            grad_cell_BH = torch.addcmul(grad_cell_BH + grad_cell_TBH[t], grad_BH, to_cell_TBH[t])
            grad_gates_TB4H[t, :, :3] = (grad_cell_BH * factor_T4BH[t, :3]).transpose(0, 1)
            grad_gates_TB4H[t, :, 3] = grad_BH * factor_T4BH[t, 3]
            carried_BH = grad_gates_TB4H[t].flatten(1) @ weight_GH
            if keep_BH is not None:
                carried_BH = carried_BH * keep_BH
            grad_cell_BH = grad_cell_BH * forget_TBH[t]
        grad_gates_TBG = grad_gates_TB4H.flatten(2)
        before_TBH = hidden_SBH[:-1] if keep_BH is None else hidden_SBH[:-1] * keep_BH
        grad_weight_GH = grad_gates_TBG.flatten(0, 1).t() @ before_TBH.flatten(0, 1)
        return grad_gates_TBG, grad_weight_GH, carried_BH, grad_cell_BH, None


def _derivatives(gates_4TBH: Tensor, cell_SBH: Tensor) -> tuple[Tensor, Tensor]:
    """dh/dc of every step, and of every gate d(c or h) by its input: what the backward loop multiplies by."""
    input_TBH, forget_TBH, candidate_TBH, output_TBH = gates_4TBH
    squashed_TBH = cell_SBH[1:].tanh()
    factor_T4BH = torch.stack(
        [
            candidate_TBH * input_TBH * (1 - input_TBH),
            cell_SBH[:-1] * forget_TBH * (1 - forget_TBH),
            input_TBH * (1 - candidate_TBH.square()),
            squashed_TBH * output_TBH * (1 - output_TBH),
        ],
        dim=1,
    )
    return output_TBH * (1 - squashed_TBH.square()), factor_T4BH
