"""Training: the loop, and the checkpoints that let it be interrupted at any moment."""

from photonic_acdc.training.loop import TrainingResult, train

__all__ = ["TrainingResult", "train"]
