"""Models to and from stock `transformers` classes."""

from trainer.export.hf import ExportSummary, export_hf, hf_class
from trainer.export.load import from_hf, load_hf

__all__ = ["ExportSummary", "export_hf", "from_hf", "hf_class", "load_hf"]
