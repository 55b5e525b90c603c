"""Optimizers, each a file found through one table (`grouped.OPTIMIZERS`); learning rates; and weight averaging."""

from trainer.optim.ema import Ema
from trainer.optim.grouped import GroupedOptimizer, build_optimizer

__all__ = ["Ema", "GroupedOptimizer", "build_optimizer"]
