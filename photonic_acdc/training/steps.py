"""A training under way: its steps, its epochs, and its state between them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from photonic_acdc.data.dataset import Dataset
from photonic_acdc.training.checkpoint import Snapshot, load_checkpoint, remove_checkpoint, save_checkpoint
from photonic_acdc.training.failure import cause_of, check_finite
from photonic_acdc.training.objective import Moment, Objective, check_outputs, validate
from photonic_acdc.training.optimisers import Stepper, follow, needs_closure
from photonic_acdc.training.progress import Progress
from simulators.errors import InputError
from simulators.random import stream


@dataclass(frozen=True)
class Plan:
    """What a training learns from, how long, and what is kept of it.

    Attributes:
        data: to learn from.
        epochs: passes over the data.
        batch_size: rows a step.
        clip: largest norm of the gradient; None: any.
        validation: evaluated after every epoch; None: nothing is.
        patience: epochs without a better figure of it after which to stop; None: all epochs.
        monitor: that figure.
        path: of the checkpoint; None: nothing is kept.
        every: steps between further checkpoints within an epoch.
    """

    data: Dataset
    epochs: int
    batch_size: int
    clip: float | None = None
    validation: Dataset | None = None
    patience: int | None = None
    monitor: Literal["loss", "accuracy"] = "loss"
    path: Path | None = None
    every: int | None = None

    @property
    def batches(self) -> int:
        """Steps an epoch; the last, shorter batch is dropped, where there is a full one."""
        return max(1, len(self.data) // self.batch_size)

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.batches

    def monitored(self, row: dict[str, float]) -> float:
        """The figure of an epoch that early stopping looks at, the smaller the better."""
        return row["validation_loss"] if self.monitor == "loss" else -row["validation_accuracy"]


class Training:
    """A training under way: what :func:`train` has put together, and its state."""

    def __init__(self, model: nn.Module, objective: Objective, stepper: Stepper, plan: Plan, identity: dict[str, Any]):
        self.model, self.objective, self.stepper, self.plan = model, objective, stepper, plan
        self.world = objective.world
        self.on_epoch: Progress | None = None
        self.on_step: Callable[[int, int], None] | None = None
        self.parameters = [p for p in model.parameters() if p.requires_grad and p.numel()]
        self.still = [part for part in model.modules() if not part.training] if model.training else []
        self.device = next(model.parameters()).device
        self.closure_steps = needs_closure(stepper.optimiser)
        self.order: tuple[int, Tensor] | None = None
        self.state = Snapshot(identity, {}, {}, processes=self.world.size)
        self.step_module: nn.Module = _Step(model, objective)

    # --- taking up and keeping ----------------------------------------------------------------------------------

    @property
    def best_epoch(self) -> int | None:
        """Epoch, from 1, whose weights early stopping keeps."""
        return None if self.plan.patience is None or self.state.best is None else self.state.best["epoch"]

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        best, patience = self.state.best, self.plan.patience
        stopped = patience is not None and best is not None and self.state.epoch - best["epoch"] >= patience
        return self.state.epoch >= self.plan.epochs or stopped

    def restore(self, fresh: bool) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.plan.path
        if path is not None:
            self._packed()  # what cannot be kept is told before the first step
            if fresh:
                self.world.first(lambda: remove_checkpoint(path))
            found = self.world.first(lambda: load_checkpoint(path, self.state.identity, self.plan.steps))
            if found is not None:
                self.model.load_state_dict(found.model)
                self.stepper.load(self.model, found.optimiser, found.schedule, found.tensors)
                for method, learnt in zip(self.objective.methods, found.methods, strict=True):
                    method.load_state(learnt)
                found.processes = self.world.size
                self.state = found
        if self.world.size > 1 and not self.over:
            self._share()

    def _packed(self) -> None:
        """The optimiser's and the schedule's state, as plain data."""
        state = self.state
        state.optimiser, state.schedule, state.tensors = self.stepper.state(self.model)

    def keep(self) -> None:
        """Write the checkpoint, if there is to be one."""
        path = self.plan.path
        if path is None:
            return
        self._packed()
        self.state.model = self.model.state_dict()
        self.state.methods = [method.state() for method in self.objective.methods]
        self.world.first(lambda: save_checkpoint(path, self.state))

    def _share(self) -> None:
        """Wrap the step for several processes; what the loss does not reach is found out first, without a trace."""
        moment, x, y = self._batch(self.state.step)
        before = copy.deepcopy(self.model.state_dict())
        self._to_train_mode()
        loss = self.step_module(x, y, moment)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        self.model.load_state_dict(before)
        self.step_module = nn.parallel.DistributedDataParallel(
            self.step_module,
            find_unused_parameters=any(gradient is None for gradient in gradients),
        )

    # --- the work -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All epochs that are left; with early stopping, the best weights at the end."""
        state, plan = self.state, self.plan
        while not self.over:
            self._to_train_mode()
            for i in range(state.step - state.epoch * plan.batches, plan.batches):
                figures = self._one_step()
                for name, value in figures.items():
                    state.sums[name] = state.sums.get(name, 0.0) + value / plan.batches
                state.step += 1
                if self.on_step is not None:
                    self.on_step(state.step, plan.steps)
                if plan.every is not None and state.step % plan.every == 0 and i + 1 < plan.batches:
                    self.keep()
            self._end_of_epoch()
        if plan.patience is not None and state.best is not None:
            self.model.load_state_dict(state.best_model)

    def _to_train_mode(self) -> None:
        """All but what was in eval mode within a model in training mode."""
        self.model.train()
        for part in self.still:
            part.training = False

    def _end_of_epoch(self) -> None:
        state, plan, held = self.state, self.plan, self.plan.validation
        row = {**state.sums, "learning_rate": float(self.stepper.optimiser.param_groups[-1]["lr"])}
        if held is not None:
            x, y = held.x.to(self.device), held.y.to(self.device)
            row |= self.world.first(lambda: validate(self.objective, self.model, x, y))
        follow(self.stepper.schedule, row.get("validation_loss", row["loss"]))
        state.epoch, state.sums = state.epoch + 1, {}
        state.history.append(row)
        if plan.patience is not None:
            figure = plan.monitored(row)
            if state.best is None or figure < state.best["figure"]:
                state.best = {"epoch": state.epoch, "figure": figure}
                state.best_model = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.keep()
        if self.on_epoch is not None:
            self.on_epoch(state.epoch, plan.epochs, row)

    def _batch(self, step: int) -> tuple[Moment, Tensor, Tensor]:
        """This process's rows of a step."""
        plan, data = self.plan, self.plan.data
        epoch, i = divmod(step, plan.batches)
        if self.order is None or self.order[0] != epoch:
            shuffled = stream(self.objective.seed, "train", "order", sample=epoch).permutation(len(data))
            self.order = (epoch, torch.from_numpy(shuffled))
        whole = self.order[1][i * plan.batch_size : (i + 1) * plan.batch_size]
        mine = self.world.part(len(whole))
        rows = whole[mine.start : mine.stop]
        moment = Moment(step, epoch, step / plan.steps, mine, len(whole))
        return moment, data.x[rows].to(self.device), data.y[rows].to(self.device)

    def _one_step(self) -> dict[str, float]:
        moment, x, y = self._batch(self.state.step)
        optimiser, schedule, cosine = self.stepper.optimiser, self.stepper.schedule, self.stepper.cosine
        if cosine is not None:
            cosine.set(moment.step)
        for method in self.objective.methods:
            method.begin(moment.done)
        figures: dict[str, float] = {}
        loss = torch.zeros(())

        def evaluate() -> None:
            nonlocal loss
            again = bool(figures)
            # Statistics of a batch are to count once, however often it is looked at.
            buffers = [buffer.clone() for buffer in self.model.buffers()] if again else []
            loss = self._loss(x, y, moment, first=moment.step == 0 and not again)
            if not again:
                figures.update(self._figures(moment, x, y))
            self.model.zero_grad()  # all of it: what the optimiser does not have must not pile up either
            loss.backward()
            if again:
                with torch.no_grad():
                    for buffer, kept in zip(self.model.buffers(), buffers, strict=True):
                        buffer.copy_(kept)

        def closure() -> Tensor:
            evaluate()
            for method in self.objective.methods:
                method.gradient(self.model, evaluate)
            if self.plan.clip is not None:
                moved = [p for group in optimiser.param_groups for p in group["params"]]
                norm = nn.utils.clip_grad_norm_(moved, self.plan.clip)
                figures.setdefault("gradient_norm", norm.item())
            return loss.detach()

        if self.closure_steps:
            optimiser.step(closure)  # pyright: ignore[reportCallIssue, reportArgumentType]  # L-BFGS takes tensors
        else:
            closure()
            optimiser.step()
        for method in self.objective.methods:
            method.after(self.model)
        check_finite(self.model, self.parameters, moment.step, moment.epoch)
        follow(schedule)
        return figures

    def _loss(self, x: Tensor, y: Tensor, moment: Moment, *, first: bool) -> Tensor:
        """The loss of this process's rows, such that the processes' mean gradient is that of the whole batch."""
        if not first or self.objective.loss is not None:
            return self.step_module(x, y, moment)

        def look(module: nn.Module, inputs: tuple, output: Any) -> None:
            check_outputs(output, inputs[0], self.plan.data.y)

        handle = self.model.register_forward_hook(look)
        try:
            return self.step_module(x, y, moment)
        except RuntimeError as error:
            if any(word in str(error) for word in ("shape", "size", "elements", "channels")):
                raise InputError(
                    f"training: the model does not take rows of {' x '.join(map(str, x.shape[1:]))} values",
                    value=str(error).splitlines()[0],
                ) from error
            raise
        finally:
            handle.remove()

    def _figures(self, moment: Moment, x: Tensor, y: Tensor) -> dict[str, float]:
        """The step's figures over all rows; a loss that is not finite ends the training."""
        step = self.step_module.module if isinstance(self.step_module, _Parallel) else self.step_module
        assert isinstance(step, _Step)
        figures, shared = step.figures, self.world.size > 1
        if shared:
            share = len(moment.rows) / moment.batch
            summed = {name: value * (1 if name == "efficiency" else share) for name, value in figures.items()}
            stacked = torch.stack([value.double() for value in summed.values()])
            whole = self.world.total(stacked)
            figures = dict(zip(summed, whole, strict=True))
            if "efficiency" in figures:
                figures["efficiency"] = figures["efficiency"] / self.world.size
        found = {name: value.item() for name, value in figures.items()}
        if math.isfinite(found["loss"]):
            return found
        causes = self.world.all(cause_of(self.model, lambda: self.objective(self.model, x, y, moment)))
        named = next((cause for cause in causes if cause), None)
        if named is None and found.get("efficiency") == 0 and self.objective.light_weight:
            named = "no light reaches the detector"
        raise InputError(
            f"training: the loss is {found['loss']} at step {moment.step} (epoch {moment.epoch + 1}): "
            f"{named or 'the outputs of all layers are finite, the loss of them is not'}",
            remedy="a smaller learning_rate",
        )


_Parallel = nn.parallel.DistributedDataParallel


class _Step(nn.Module):
    """A step's loss as a module, which is what torch shares among processes."""

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective
        self.figures: dict[str, Tensor] = {}

    def forward(self, x: Tensor, y: Tensor, moment: Moment) -> Tensor:
        loss, self.figures = self.objective(self.model, x, y, moment)
        size = self.objective.world.size
        return loss if size == 1 else loss * (size * len(moment.rows) / moment.batch)
