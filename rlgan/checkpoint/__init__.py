"""The on-disk checkpoint: written atomically, verified before use, and never able to run code (no pickle)."""

from rlgan.checkpoint.directory import latest_checkpoint, list_checkpoints, save_checkpoint
from rlgan.checkpoint.folder import SCHEMA_VERSION, Checkpoint, read_checkpoint, write_checkpoint
from rlgan.checkpoint.matching import require_match
from rlgan.checkpoint.torch_state import load_module, load_optimizer, tensors_of_optimizer

__all__ = [
    "SCHEMA_VERSION",
    "Checkpoint",
    "latest_checkpoint",
    "list_checkpoints",
    "load_module",
    "load_optimizer",
    "read_checkpoint",
    "require_match",
    "save_checkpoint",
    "tensors_of_optimizer",
    "write_checkpoint",
]
