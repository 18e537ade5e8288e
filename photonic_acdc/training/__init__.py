"""Training: the loop, and the checkpoints that let it be interrupted at any moment.

| file | holds |
|---|---|
| ``loop``, ``steps`` | :func:`train`; a training under way |
| ``objective`` | one step's loss on its benches, and figures |
| ``method`` | what a way of training more robustly may do |
| ``sharpness``, ``vaccination``, ``distillation``, ``annealing`` | such ways |
| ``physics_aware``, ``twin`` | forward on the bench itself, backward through its twin, which may be refined |
| ``optimisers`` | groups of parameters, optimiser and schedule, and their state as plain data |
| ``checkpoint``, ``differences`` | the state of a training in one file; what differs from it |
| ``distributed`` | several processes that train as one |
| ``settings``, ``failure`` | what is refused before, and what breaks on the way |
| ``history``, ``progress`` | what is left, and what is told meanwhile |
"""

from photonic_acdc.training.annealing import AnnealedLevels
from photonic_acdc.training.distillation import Distillation
from photonic_acdc.training.history import TrainingResult
from photonic_acdc.training.loop import train
from photonic_acdc.training.method import Method
from photonic_acdc.training.physics_aware import PhysicsAware, TwinRefinement, physics_aware
from photonic_acdc.training.sharpness import SharpnessAware
from photonic_acdc.training.twin import Twin
from photonic_acdc.training.vaccination import Vaccination

__all__ = [
    "AnnealedLevels",
    "Distillation",
    "Method",
    "PhysicsAware",
    "SharpnessAware",
    "TrainingResult",
    "Twin",
    "TwinRefinement",
    "Vaccination",
    "physics_aware",
    "train",
]
