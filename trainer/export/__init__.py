"""Models to and from stock `transformers` classes."""

from trainer.export.hf import ExportSummary, export_hf, hf_class

__all__ = ["ExportSummary", "export_hf", "hf_class"]
