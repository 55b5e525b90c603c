"""The PyTorch trainer. It runs without Dagster (`torchrun -m trainer train ...`) and never imports pipeline."""
