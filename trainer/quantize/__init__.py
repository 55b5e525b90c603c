"""Models in few bits a weight: rounded on calibration text, packed into one file, and read back as a GPT."""

from trainer.quantize.file import read_quantized, write_quantized
from trainer.quantize.quantize import QuantizeSettings, dequantized, quantize

__all__ = ["QuantizeSettings", "dequantized", "quantize", "read_quantized", "write_quantized"]
