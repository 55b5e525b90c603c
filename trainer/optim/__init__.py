"""Optimizers: AdamW for everything, or Muon for the blocks' matrices and AdamW for the rest; and weight averaging."""

from trainer.optim.ema import Ema
from trainer.optim.groups import build_optimizer
from trainer.optim.muon import orthogonalize
from trainer.optim.optimizer import MuonAdamW

__all__ = ["Ema", "MuonAdamW", "build_optimizer", "orthogonalize"]
